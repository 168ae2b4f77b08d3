/*
 * Work for one certain CPU: run there in a context of its own, before any guest of that CPU, while the caller
 * waits. For start-up and the monitor, not for anything that happens often.
 */
#ifndef HV_CPU_CALL_H
#define HV_CPU_CALL_H

#include "hv/base/failure.h"
#include "hv/base/percpu.h"

/* Makes every CPU ready for it; -ENOMEM. Boot CPU, once all CPUs have been started. */
int cpu_call_init(struct failure *f);

/*
 * Runs fn on c and returns when it has. On c itself it is a plain call. From the boot CPU in start-up or in the
 * monitor's context only, no lock held: two CPUs that wait for each other would wait for ever.
 */
void cpu_call(struct cpu *c, void (*fn)(void *arg), void *arg);

#endif
