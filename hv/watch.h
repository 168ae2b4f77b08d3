/*
 * The watch: each CPU tells, whenever it looks at its timers, that it is well; the others look whether it has
 * lately, and say where one is that has not. An alarm by NMI (performance counter, or the PIT of a machine
 * with one CPU) looks at the CPU it strikes when nobody else can. An NMI from outside calls the roll.
 */
#ifndef HV_WATCH_H
#define HV_WATCH_H

#include "hv/base/percpu.h"
#include "hv/base/types.h"

enum watch_missed { WATCH_WELL, WATCH_MISSED, WATCH_NOTED }; /* of the last two: said; not said yet */

/* One CPU's, written by itself but for `missed`. */
struct watch_cpu {
	uint64_t seen; /* host TSC of its latest tick; 0: not started, or halted with nothing to do */
	uint64_t look; /* host TSC at which it looks after the others again; NEVER: it does not */
	uint32_t missed; /* atomic: enum watch_missed */
	uint64_t away; /* for how long, when its own alarm noted it */
} __attribute__((aligned(64)));

extern struct watch_cpu watch_cpus[MAX_CPUS];
extern uint32_t watch_roll_called; /* atomic: an NMI from outside wants to know where all are */

/* seconds: how long a CPU may be away before it is missed; 0: nobody watches, but the roll is called all the
 * same. Boot CPU, start-up, after cpus_start. Says in the log who watches. */
void watch_init(uint32_t seconds);

void watch_look(uint64_t now);

/* This CPU is well. With every sched_tick(), no lock held. */
static inline void watch_tick(uint64_t now)
{
	struct watch_cpu *w = &watch_cpus[this_cpu()->index];

	__atomic_store_n(&w->seen, now, __ATOMIC_RELAXED);
	if (UNLIKELY(now >= w->look || __atomic_load_n(&watch_roll_called, __ATOMIC_RELAXED)))
		watch_look(now);
}

/* This CPU is about to halt for want of work: it is not missed until its next tick. Returns the host TSC
 * at which it must tick again to look after the others; NEVER when they can do without. */
uint64_t watch_rest(void);

/* Who watches the CPUs, in words. */
#define WATCH_TEXT 160
void watch_describe(char *out, size_t size);

#endif
