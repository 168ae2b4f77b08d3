/*
 * The log's reader for syslog. A line leaves the ring's reader when its datagram is accepted; while the network is
 * away, lines wait in the ring, and those overwritten there are counted and reported in their place.
 */
#include "hv/net/syslog.h"

#include "drivers/rtc.h"
#include "hv/base/clock.h"
#include "hv/base/x86.h"
#include "hv/monitor/monitor.h"
#include "hv/net/counts.h"
#include "hv/net/datagram.h"
#include "hv/net/net.h"
#include "hv/sched.h"

#define WAIT_HOP_MS 1000    /* until the collector's station may be known */
#define WAIT_BUFFERS_MS 50

static struct {
	bool on;
	struct config_syslog to;
	char host[IP_ADDRESS_TEXT];
	uint64_t clock_us, clock_tsc; /* the machine's clock at that host TSC; 0: it has none */
	uint32_t sequence;
	uint64_t credit;              /* host TSC ticks saved up for messages */
	uint64_t credited_at;
	struct log_reader reader;
	bool waiting;                 /* entry is to be sent */
	struct log_entry entry;
} state;

static uint64_t each_ticks(void) { return SYSLOG_EACH_MS * tsc_khz; }

/* What was logged before the clock was read lies before it. */
static uint64_t time_us(uint64_t tsc)
{
	if (!state.clock_us)
		return 0;
	if (tsc >= state.clock_tsc)
		return state.clock_us + tsc_to_ns(tsc - state.clock_tsc) / 1000;
	return state.clock_us - min_u64(tsc_to_ns(state.clock_tsc - tsc) / 1000, state.clock_us - 1);
}

static int send_text(enum log_level level, uint64_t tsc, const char *line, size_t len)
{
	char buffer[SYSLOG_MESSAGE_MAX];
	struct text t = { .at = buffer, .size = sizeof buffer };
	struct syslog_message m = { .level = level, .time_us = time_us(tsc), .host = state.host,
		.sequence = state.sequence + 1, .text = line, .len = len };
	int err;

	syslog_format(&t, &m);
	err = datagram_send(&state.to.address, (uint16_t)state.to.port, t.at, t.len);
	if (!err) {
		state.sequence = (state.sequence + 1) % INT32_MAX;
		net_counts.syslog_sent++;
		state.credit -= each_ticks();
	}
	return err;
}

/* Lines that are gone are told of first; once. */
static int send_lost(struct log_entry *e)
{
	char line[80];
	struct text t = { .at = line, .size = sizeof line };
	int err;

	if (!e->lost)
		return 0;
	text_number(&t, e->lost);
	text_add(&t, " lines of the log were overwritten before they could be sent");
	err = send_text(LOG_WARN, e->tsc, line, t.len);
	if (err)
		return err;
	net_counts.syslog_dropped += e->lost;
	e->lost = 0;
	return 0;
}

/* Sends the next line, if there is one: -ENOENT. Other errors mean that it waits. */
static int send_next(void)
{
	struct net_hop hop;
	int err;

	if (!state.waiting && !log_next(&state.reader, &state.entry))
		return -ENOENT;
	state.waiting = true;
	err = net_next_hop(&state.to.address, &hop);
	if (err)
		return -EHOSTUNREACH;
	err = send_lost(&state.entry);
	if (!err)
		err = send_text(state.entry.level, state.entry.tsc, state.entry.text, state.entry.len);
	if (!err)
		state.waiting = false;
	return err;
}

static void add_credit(uint64_t now)
{
	uint64_t most = SYSLOG_BURST * each_ticks();

	state.credit = min_u64(state.credit + (now - state.credited_at), most);
	state.credited_at = now;
}

/* Of a message and what is told of lost lines before it. */
static bool has_credit(void) { return state.credit >= 2 * each_ticks(); }

static uint64_t poll(uint64_t now)
{
	int err = 0;

	if (!state.on)
		return NEVER;
	add_credit(now);
	while (!err && has_credit())
		err = send_next();
	if (err == -ENOENT)
		return NEVER;
	if (err == -EHOSTUNREACH)
		return now + WAIT_HOP_MS * tsc_khz;
	return now + (err ? WAIT_BUFFERS_MS * tsc_khz : each_ticks());
}

/* The log has a new line. It cannot be sent from here, where any CPU may be doing anything. */
static void wake(enum log_level level, const char *line, size_t len)
{
	(void)level;
	(void)line;
	(void)len;
	monitor_wake();
}

static void start(const struct config *c)
{
	if (c->syslog.address.version == IP_NONE)
		return;
	state.to = c->syslog;
	state.host[0] = '-';
	state.host[1] = 0;
	if (c->net.mode == NET_STATIC)
		ip_address_text(&c->net.address, state.host);
	state.clock_us = rtc_epoch() * 1000000;
	state.clock_tsc = state.credited_at = rdtsc();
	state.credit = SYSLOG_BURST * each_ticks();
	state.on = true;
	if (log_add_sink(wake))
		log_warn("syslog: the log has too many readers already; lines are sent with delay");
	else
		log_info("syslog: the log goes to port %u of the collector, from its beginning", c->syslog.port);
}

const struct net_service syslog_service = { .name = "syslog", .start = start, .poll = poll };
