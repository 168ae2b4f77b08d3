/*
 * What the services of the network have done: one structure, written by each of them and shown by /metrics. Monitor's
 * context; no locks.
 */
#ifndef HV_NET_COUNTS_H
#define HV_NET_COUNTS_H

#include "hv/base/types.h"

struct net_counts {
	uint64_t http_answers[6];    /* by the first digit of the status */
	uint64_t http_late;          /* connections closed because a request or its answer took too long */
	uint64_t remote_sessions;    /* that have shown the key */
	uint64_t remote_wrong;       /* answers to a challenge that were wrong */
	uint64_t remote_late;        /* connections that did not answer in time */
	uint64_t remote_put_off;     /* connections refused while wrong answers hold the port back */
	uint64_t remote_dropped;     /* sessions whose clients did not take what was said */
	uint64_t syslog_sent;
	uint64_t syslog_dropped;     /* lines gone from the log before they could be sent */
	uint64_t console_bytes;      /* to clients of guests' consoles */
	uint64_t console_lost;       /* not sent, because a client was too slow */
};

extern struct net_counts net_counts;

#endif
