/*
 * Exits in the trace (hv/base/trace.h), and its events in words: for the monitor, the web page and a panic.
 */
#ifndef HV_TRACE_H
#define HV_TRACE_H

#include "hv/base/trace.h"
#include "hv/vm.h"

/* An exit of v, which happened at v->exit_tsc. trace_on is set. On v's CPU. */
void trace_exit(struct vcpu *v, uint32_t reason, uint64_t rip, uint64_t qualification, uint64_t gpa);

/* One event as a line without its end; previous: the time of the event before, or 0. Any context. */
void trace_format(const struct trace_event *e, uint64_t previous, char *text, size_t size);

/* The last events of every CPU by panic_line(). False when there are none. No lock. */
bool trace_panic(void);

#endif
