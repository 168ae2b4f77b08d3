/*
 * What is done for guests now and then, beside them: a context of its own on the boot CPU.
 */
#ifndef HV_UPKEEP_H
#define HV_UPKEEP_H

/* Boot CPU, once, after sched_init_cpu(). */
void upkeep_init(void);

#endif
