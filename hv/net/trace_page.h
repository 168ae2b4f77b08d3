/*
 * /trace: the last events of every CPU as text, as the monitor's `trace` shows them. Made in pieces, CPU by CPU.
 * Monitor's context; no locks.
 */
#ifndef HV_NET_TRACE_PAGE_H
#define HV_NET_TRACE_PAGE_H

#include "hv/net/text.h"

#define TRACE_PAGE_EVENTS 14     /* of each CPU */
#define TRACE_PAGE_CPU_MAX 3072  /* bytes of a CPU, and the room trace_piece wants at least */

/* How far an answer has got; zero to begin with. */
struct trace_page_at {
	uint32_t cpu;
	bool headed;
};

/* Writes CPUs while t has room for TRACE_PAGE_CPU_MAX. True: that was the last one. */
bool trace_piece(struct text *t, struct trace_page_at *at);

#endif
