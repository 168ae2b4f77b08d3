/*
 * The NMI that comes to a CPU which is busy and does nothing for it: from its performance counter, or from the
 * PIT, by the I/O APIC, where there is one CPU without such a counter.
 */
#ifndef HV_WATCH_ALARM_H
#define HV_WATCH_ALARM_H

#include "hv/base/types.h"

/* Chooses, and tries it out: up to 50 ms. Boot CPU, after cpus_start, with NMIs going to watch_alarm_rang. */
void watch_alarm_init(void);
/* "its performance counter", "the PIT's NMI"; NULL without one. */
const char *watch_alarm_name(void);
/*
 * The running CPU's alarm rings when that many TSC ticks have passed, or sooner, during which it did not halt.
 * Returns the ticks after which a CPU that is well must have set it again; NEVER when there is none. Any
 * context, NMI included.
 */
uint64_t watch_alarm_set(uint64_t ticks);
/* It need not ring while the CPU halts; but may. True when it must be set again afterwards. */
bool watch_alarm_off(void);
/* For an NMI: whether it was the alarm, which is then silent until it is set again. */
bool watch_alarm_rang(void);

#endif
