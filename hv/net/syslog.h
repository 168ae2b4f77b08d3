/*
 * The log sent to a collector by syslog over UDP (RFC 5424, RFC 5426), from its first line on: a reader that follows
 * the log's ring, at a bounded rate. Monitor's context; no locks but the log's, for short.
 */
#ifndef HV_NET_SYSLOG_H
#define HV_NET_SYSLOG_H

#include "hv/base/log.h"
#include "hv/net/service.h"
#include "hv/net/text.h"

#define SYSLOG_BURST 50          /* messages at once */
#define SYSLOG_EACH_MS 10        /* after a burst: one message per so many milliseconds */
#define SYSLOG_MESSAGE_MAX 640   /* bytes, of a log line of the greatest length */

struct syslog_message {
	enum log_level level;
	uint64_t time_us;      /* microseconds since 1970-01-01, UTC; 0: not known */
	const char *host;      /* "-": not known */
	uint32_t sequence;     /* 1 to 2147483647 */
	const char *text;      /* any bytes */
	size_t len;
};

/* Writes one message; what syslog does not allow in it becomes '?'. Pure. */
void syslog_format(struct text *t, const struct syslog_message *m);

extern const struct net_service syslog_service;

#endif
