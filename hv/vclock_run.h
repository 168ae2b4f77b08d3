/*
 * The inside of a guest's clock: its memory, and how a host CPU runs what is due.
 * Device models see hv/vclock.h only.
 */
#ifndef HV_VCLOCK_RUN_H
#define HV_VCLOCK_RUN_H

#include "hv/base/percpu.h"
#include "hv/base/spin.h"
#include "hv/vclock.h"

struct vclock {
	uint64_t tsc_start;     /* host TSC at power-on */
	uint64_t epoch;         /* seconds since 1970 at power-on */
	struct cpu *home;       /* where its timers fire */
	struct spinlock lock;   /* timers; innermost */
	struct vtimer *timers;  /* sorted by deadline */
	struct vclock *next;    /* clocks of the same home CPU */
};

/* Registers the clock with its home CPU, for good. Start-up of a VM, on the monitor's CPU. */
void vclock_init(struct vclock *c, struct cpu *home);
/* Starts guest time at zero and forgets all timers. */
void vclock_restart(struct vclock *c, uint64_t epoch);
/* Fires this CPU's due timers; returns the host TSC of the next one, UINT64_MAX when none. */
uint64_t vclock_run_due(uint64_t now_tsc);

#endif
