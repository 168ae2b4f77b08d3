/* The trace as a page. */
#include "hv/net/trace_page.h"

#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/percpu.h"
#include "hv/trace.h"

#define EVENT_MAX 200 /* bytes of an event's line */

_Static_assert((TRACE_PAGE_EVENTS + 1) * (EVENT_MAX + 4) <= TRACE_PAGE_CPU_MAX, "a CPU's events fit");

static void write_head(struct text *t)
{
	text_add(t, trace_on ? "the trace is on" : "the trace is off: `trace on` in the monitor starts it");
	text_add(t, "; the TSC counts ");
	text_number(t, tsc_khz);
	text_add(t, " kHz\n");
}

static void write_cpu(struct text *t, uint32_t cpu)
{
	struct trace_event events[TRACE_PAGE_EVENTS];
	uint32_t n = trace_read(cpu, events, TRACE_PAGE_EVENTS);
	char line[EVENT_MAX];

	text_add(t, "CPU ");
	text_number(t, cpu);
	text_char(t, '\n');
	for (uint32_t i = 0; i < n; i++) {
		trace_format(&events[i], i ? events[i - 1].tsc : 0, line, sizeof line);
		text_add(t, "  ");
		text_add(t, line);
		text_char(t, '\n');
	}
}

bool trace_piece(struct text *t, struct trace_page_at *at)
{
	if (!at->headed) {
		write_head(t);
		at->headed = true;
		return false;
	}
	while (at->cpu < cpu_count && text_room(t) >= TRACE_PAGE_CPU_MAX)
		write_cpu(t, at->cpu++);
	return at->cpu == cpu_count;
}
