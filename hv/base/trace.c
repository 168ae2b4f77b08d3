/*
 * The rings of the trace. Only its own CPU writes to a ring, in root mode and so with interrupts off.
 */
#include "hv/base/trace.h"

#include "hv/base/frame.h"
#include "hv/base/percpu.h"
#include "hv/base/phys.h"

#include <errno.h>

#define RING_PAGES ((sizeof(struct trace_ring) + PAGE_SIZE - 1) >> PAGE_SHIFT)

bool trace_on;

int trace_start(struct failure *f)
{
	for (uint32_t i = 0; i < cpu_count; i++) {
		hpa_t home;

		if (cpus[i]->trace)
			continue;
		home = frame_alloc_run(RING_PAGES, 1, OWNER_HV);
		if (home == HPA_NONE)
			return fail(f, -ENOMEM, "no memory for the trace of CPU %u: it takes %lu KiB on each", i,
				    RING_PAGES * PAGE_SIZE >> 10);
		__atomic_store_n(&cpus[i]->trace, phys_to_virt(home), __ATOMIC_RELEASE);
	}
	__atomic_store_n(&trace_on, true, __ATOMIC_RELEASE);
	return 0;
}

void trace_stop(void) { __atomic_store_n(&trace_on, false, __ATOMIC_RELEASE); }

struct trace_event *trace_put(uint32_t kind, uint16_t vm, uint64_t what, uint64_t detail)
{
	struct trace_ring *r = this_cpu()->trace;
	struct trace_event *e;

	if (!r)
		return NULL;
	e = &r->event[r->next % TRACE_EVENTS];
	*e = (struct trace_event){ .tsc = __builtin_ia32_rdtsc(), .kind = kind, .vm = vm, .what = what,
				   .detail = detail };
	__atomic_store_n(&r->next, r->next + 1, __ATOMIC_RELEASE); /* readers take what lies before it */
	return e;
}

/* The oldest place may be written to just now, though next does not say so yet. */
static uint32_t oldest(uint32_t next) { return next < TRACE_EVENTS ? 0 : next - TRACE_EVENTS + 1; }

uint32_t trace_read(uint32_t cpu, struct trace_event *out, uint32_t n)
{
	const struct trace_ring *r = cpu < cpu_count ? __atomic_load_n(&cpus[cpu]->trace, __ATOMIC_ACQUIRE) : NULL;
	uint32_t next, first, lost, count;

	if (!r)
		return 0;
	next = __atomic_load_n(&r->next, __ATOMIC_ACQUIRE);
	first = oldest(next);
	if (next - first > n)
		first = next - n;
	count = next - first;
	for (uint32_t i = 0; i < count; i++)
		out[i] = r->event[(first + i) % TRACE_EVENTS];
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	lost = oldest(__atomic_load_n(&r->next, __ATOMIC_ACQUIRE));
	if (lost <= first)
		return count;
	lost = lost - first < count ? lost - first : count;
	for (uint32_t i = lost; i < count; i++)
		out[i - lost] = out[i];
	return count - lost;
}
