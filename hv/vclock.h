/*
 * A guest's time and its timers. Guest time counts nanoseconds since the VM's power-on, derived
 * from the host TSC. Timers fire in root mode on the host CPU of the VM's vCPU 0, no lock held.
 */
#ifndef HV_VCLOCK_H
#define HV_VCLOCK_H

#include "hv/base/types.h"

#define VTIMER_OFF UINT64_MAX

struct vclock; /* per VM */

struct vtimer {
	void (*fire)(void *dev); /* may set the timer again */
	void *dev;
	uint64_t deadline;    /* ns of guest time, VTIMER_OFF when not pending */
	struct vtimer *next;  /* the clock's list, sorted by deadline */
	struct vclock *clock;
};

/* ns of guest time. Lock-free, monotone, any CPU. */
uint64_t vclock_now(const struct vclock *c);
/* Wall-clock seconds since 1970-01-01 UTC at power-on of the VM, from the host's RTC. */
uint64_t vclock_epoch(const struct vclock *c);

void vtimer_init(struct vtimer *t, struct vclock *c, void (*fire)(void *dev), void *dev);
/* Arms or re-arms for an absolute time; one in the past fires at once after return. Any CPU; takes
 * the clock's lock, which is innermost: never held while fire runs. */
void vtimer_set(struct vtimer *t, uint64_t deadline_ns);
void vtimer_cancel(struct vtimer *t);

#endif
