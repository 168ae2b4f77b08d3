/*
 * /metrics: the hypervisor's counters in Prometheus' text exposition format, version 0.0.4. One table of metrics;
 * the answer is made in pieces, so its length needs no memory. Monitor's context; no locks.
 */
#ifndef HV_NET_METRICS_H
#define HV_NET_METRICS_H

#include "hv/net/text.h"

#define METRICS_LINE 512 /* the longest line, and the room metrics_piece wants at least */

/* How far an answer has got; zero to begin with. */
struct metrics_at {
	uint32_t metric; /* row of the table */
	bool headed;     /* its HELP and TYPE are written */
	uint32_t vm, vcpu, item;
};

/* Writes lines while t has room for METRICS_LINE. True: that was the last one. */
bool metrics_piece(struct text *t, struct metrics_at *at);

#endif
