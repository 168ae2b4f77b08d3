/*
 * Contexts: what a host CPU runs. Each vCPU is one, the monitor is one, each with its own stack and
 * pinned to a CPU. A CPU goes round-robin over its runnable contexts by time slices; with none it
 * halts. Switching is cooperative in root mode: guests are made to exit by the preemption timer or
 * by an interrupt, then yield. All functions without "any CPU" are for the CPU that runs.
 */
#ifndef HV_SCHED_H
#define HV_SCHED_H

#include "hv/base/percpu.h"
#include "hv/base/types.h"

#define NEVER UINT64_MAX
#define SCHED_SLICE_MS 10

struct context {
	void *sp;               /* saved stack pointer while not running */
	void *stack_top;
	const char *name;
	struct cpu *cpu;
	struct vcpu *vcpu;      /* NULL for the monitor */
	uint32_t woken;         /* atomic: set by context_wake, taken when it runs again */
	bool blocked;           /* waits for woken or for deadline */
	bool priority;          /* the monitor: preempts guests when it wakes */
	uint64_t deadline;      /* host TSC, NEVER when none */
	uint64_t run_since;     /* host TSC of the last switch to it */
	uint64_t run_time;      /* host TSC ticks in all */
	struct context *next;   /* ring of the CPU's contexts */
};

struct sched {
	struct context *current; /* NULL while idle */
	struct context *ring;
	struct context idle;
	uint64_t slice_end;     /* host TSC; NEVER while nobody else is runnable */
	/* Host TSC at which this CPU must be back in root mode whatever the guest does: the least of
	 * slice end, due timers and deadlines of blocked contexts. Guests' own APIC timers apart. */
	uint64_t next_event;
	uint64_t tick_from;     /* host TSC; from here on a sched_tick is welcome where there is an exit anyway */
	uint32_t resched;       /* atomic: somebody was woken or a timer was set: look again */
};

/* Boot CPU, once: the interrupts a CPU gets from others and from its timer. */
void sched_init(void);
void sched_init_cpu(struct cpu *c);
/* Creates a blocked context on c; any CPU. NULL when there is no memory for its stack. */
struct context *context_create(struct cpu *c, const char *name, void (*run)(void *arg), void *arg);
/* Makes c look at its contexts and timers again: sets resched, interrupts it if it is another CPU. */
void sched_poke(struct cpu *c);
/* Makes it runnable, interrupts its CPU if that is another one. Any CPU, any lock, no allocation. */
void context_wake(struct context *c);
/* Gives the CPU to the next runnable context; returns when this one has its turn again. */
void sched_yield(void);
/* Gives the CPU away until context_wake or until the host TSC reaches deadline. A wake that came
 * since the last return makes it return at once: no wake-up is lost. */
void sched_block(uint64_t deadline);
/* Runs what is due (timers, blocked contexts whose deadline passed), refreshes next_event.
 * True when the current context should yield now. To be called when now >= next_event, better from
 * tick_from on, and when resched is set, as after an interrupt. */
bool sched_tick(uint64_t now);
/* This CPU's life after start-up: runs contexts, idles when there is none. */
NORETURN void sched_run(void);

#endif
