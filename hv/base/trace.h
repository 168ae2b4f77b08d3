/*
 * The trace: on every CPU a ring of the last things that happened there, VM exits and changes of guests'
 * memory. Off, which it is at first, each place that has something to tell costs one branch. What the events
 * mean in words is hv/trace.h's.
 */
#ifndef HV_BASE_TRACE_H
#define HV_BASE_TRACE_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

/* What an event is: the number of an exit's reason, which depends on the back end, or one of these. */
enum trace_kind {
	TRACE_MMU_FLUSH = 0x100, /* what: gfn, detail: pages: CPUs drop what they cached of them */
	TRACE_MMU_ZAP,           /* what: gfn, detail: pages: to be faulted in again */
	TRACE_MMU_SPLIT,         /* what: gfn, detail: level: a large page becomes smaller ones */
	TRACE_MMU_COLLAPSE,      /* what: gfn, detail: level: the other way round */
	TRACE_SHADOW_NEW,        /* what: gfn of the guest's table, detail: level */
	TRACE_SHADOW_GONE,
	TRACE_KIND_END
};

struct trace_event {
	uint64_t tsc;    /* the host's, when it happened */
	uint32_t kind;
	uint16_t vm;     /* struct vm.id, 0: no guest's */
	uint16_t vcpu;   /* of an exit */
	uint64_t what;   /* of an exit: the guest's RIP; else by kind */
	uint64_t detail; /* of an exit: its qualification; else by kind */
	uint64_t gpa;    /* of an exit: the guest-physical address where there is one */
	uint64_t cost;   /* of an exit: TSC ticks in root mode; TRACE_OPEN: it was the vCPU's last one */
};

#define TRACE_OPEN UINT64_MAX
#define TRACE_EVENTS 256 /* that a CPU keeps */

struct trace_ring {
	uint32_t next; /* counts all; modulo TRACE_EVENTS it is the place of the next one */
	struct trace_event event[TRACE_EVENTS];
};

extern bool trace_on;

/* Makes room, once, and lets CPUs record. Monitor's context, or start-up when all CPUs are there. -ENOMEM. */
int trace_start(struct failure *f);
/* The events so far stay. */
void trace_stop(void);

/* Puts an event with this CPU's time into its ring. Returns where it is until TRACE_EVENTS more have come;
 * NULL when there is no ring. trace_on is set. No lock; any context. */
struct trace_event *trace_put(uint32_t kind, uint16_t vm, uint64_t what, uint64_t detail);

/* A change of a guest's memory. Any context. */
static inline void trace_mmu(enum trace_kind kind, uint16_t vm, uint64_t what, uint64_t detail)
{
	if (UNLIKELY(trace_on))
		trace_put(kind, vm, what, detail);
}

/*
 * Copies the latest events of a CPU, at most n, oldest first; returns how many. Takes no lock and stops
 * nobody: what the CPU overwrites meanwhile is left out. Any context, also a panic.
 */
uint32_t trace_read(uint32_t cpu, struct trace_event *out, uint32_t n);

#endif
