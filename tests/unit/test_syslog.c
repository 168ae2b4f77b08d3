/* sources: hv/net/syslog.c hv/net/syslog_format.c hv/net/text.c hv/net/counts.c hv/base/log.c hv/base/format.c */
/*
 * The log over syslog: every line once and in order, also those from before the network; at a bounded rate; what was
 * overwritten is counted and told. The network is a list of datagrams that a test may refuse.
 */
#include "hv/net/syslog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "drivers/rtc.h"
#include "hv/base/clock.h"
#include "hv/base/x86.h"
#include "hv/monitor/monitor.h"
#include "hv/net/counts.h"
#include "hv/net/datagram.h"
#include "hv/net/net.h"
#include "hv/sched.h"

#define SENT_MAX 4096

static char sent[SENT_MAX][SYSLOG_MESSAGE_MAX + 1];
static unsigned sent_count, wakes;
static int send_error, hop_error;
static uint64_t now, epoch;

void monitor_wake(void) { wakes++; }
uint64_t rtc_epoch(void) { return epoch; }

int net_next_hop(const struct ip_address *to, struct net_hop *hop)
{
	(void)to;
	(void)hop;
	return hop_error;
}

int datagram_send(const struct ip_address *to, uint16_t port, const void *data, size_t n)
{
	assert_int_equal(to->bytes[3], 9);
	assert_int_equal(port, 514);
	assert_true(n <= DATAGRAM_MAX && n <= SYSLOG_MESSAGE_MAX);
	if (send_error)
		return send_error;
	assert_true(sent_count < SENT_MAX);
	memcpy(sent[sent_count], data, n);
	sent[sent_count++][n] = 0;
	return 0;
}

size_t ip_address_text(const struct ip_address *a, char text[IP_ADDRESS_TEXT])
{
	return (size_t)snprintf(text, IP_ADDRESS_TEXT, "192.0.2.%u", a->bytes[3]);
}

static struct config config = {
	.syslog = { .address = { IP_V4, { 192, 0, 2, 9 } }, .port = 514 },
	.net = { .mode = NET_STATIC, .address = { IP_V4, { 192, 0, 2, 7 } } },
};

/* Everything that can be sent, as if time did not matter. */
static void send_all(void)
{
	while (syslog_service.poll(now) != NEVER)
		now += 1000 * tsc_khz;
}

static void forget(void) { sent_count = 0; }

/* The log and the service stay from test to test; the first one starts the service. */
static void from_the_first_line(void **state)
{
	char wanted[300];

	(void)state;
	assert_true(syslog_service.poll(rdtsc()) == NEVER);
	log_info("the very first line");
	log_debug("too quiet to be sent");
	log_error("trouble: %s", "caf\xe9\x01");
	epoch = 1793966400; /* 2026-11-06 12:00:00 UTC */
	syslog_service.start(&config);
	now = rdtsc();
	send_all();
	assert_true(sent_count >= 3);
	snprintf(wanted, sizeof wanted, "<134>1 2026-11-06T11:59:59.");
	assert_memory_equal(sent[0], wanted, strlen(wanted));
	assert_non_null(strstr(sent[0], "Z 192.0.2.7 gnomon - - [meta sequenceId=\"1\"][timeQuality tzKnown=\"0\""
					" isSynced=\"0\"] the very first line"));
	assert_memory_equal(sent[1], "<131>1 ", 7);
	assert_non_null(strstr(sent[1], "sequenceId=\"2\""));
	assert_non_null(strstr(sent[1], "] trouble: caf??"));
	assert_non_null(strstr(sent[2], "syslog: the log goes to port 514"));
	assert_int_equal(net_counts.syslog_sent, sent_count);
}

/* A new line wakes the monitor, nothing else does. */
static void a_line_wakes(void **state)
{
	unsigned before = wakes;

	(void)state;
	forget();
	assert_true(syslog_service.poll(now) == NEVER);
	log_warn("look");
	assert_int_equal(wakes, before + 1);
	assert_true(syslog_service.poll(now) == NEVER);
	assert_int_equal(sent_count, 1);
	assert_memory_equal(sent[0], "<132>1 2026-11-06T1", 19);
}

static void the_rate_is_bounded(void **state)
{
	(void)state;
	forget();
	now += 10000 * tsc_khz;
	for (unsigned i = 0; i < 500; i++)
		log_info("line %u", i);
	assert_true(syslog_service.poll(now) == now + SYSLOG_EACH_MS * tsc_khz);
	assert_in_range(sent_count, SYSLOG_BURST - 2, SYSLOG_BURST);
	for (unsigned i = 0; i < 100; i++) {
		now += tsc_khz; /* a turn for each millisecond: they save up nothing more */
		syslog_service.poll(now);
	}
	assert_in_range(sent_count, SYSLOG_BURST + 8, SYSLOG_BURST + 11);
	send_all();
	assert_int_equal(sent_count, 500);
	for (unsigned i = 0; i < 500; i++) {
		char wanted[20];

		snprintf(wanted, sizeof wanted, "] line %u", i);
		assert_string_equal(sent[i] + strlen(sent[i]) - strlen(wanted), wanted);
	}
}

/* Without a way to the collector lines wait; what the ring cannot hold meanwhile is told of first. */
static void the_network_is_away(void **state)
{
	unsigned lost;
	const char *told;

	(void)state;
	forget();
	hop_error = -EAGAIN;
	for (unsigned i = 0; i < 20000; i++)
		log_info("line %u", i);
	assert_true(syslog_service.poll(now) > now + 500 * tsc_khz);
	assert_int_equal(sent_count, 0);
	hop_error = 0;
	send_error = -EAGAIN;
	assert_in_range(syslog_service.poll(now) - now, 1, 100 * tsc_khz);
	send_error = 0;
	send_all();
	told = strstr(sent[0], "] ");
	assert_non_null(told);
	assert_int_equal(sscanf(told, "] %u lines of the log were overwritten", &lost), 1);
	assert_memory_equal(sent[0], "<132>1 ", 7);
	assert_int_equal(lost + sent_count - 1, 20000);
	assert_int_equal(net_counts.syslog_dropped, lost);
	assert_non_null(strstr(sent[sent_count - 1], "] line 19999"));
}

static void no_clock(void **state)
{
	(void)state;
	forget();
	epoch = 0;
	config.net.mode = NET_DHCP;
	syslog_service.start(&config);
	log_info("timeless");
	send_all();
	assert_non_null(strstr(sent[sent_count - 1], "<134>1 - - gnomon - - [meta sequenceId=\""));
	assert_null(strstr(sent[sent_count - 1], "timeQuality"));
}

/* ---- the format ---- */

static const char *formatted(uint64_t us)
{
	static char buffer[SYSLOG_MESSAGE_MAX + 1];
	struct text t = { .at = buffer, .size = SYSLOG_MESSAGE_MAX };
	struct syslog_message m = { .level = LOG_INFO, .time_us = us, .host = "h", .sequence = 7, .text = "x", .len = 1 };

	syslog_format(&t, &m);
	assert_false(t.cut);
	buffer[t.len] = 0;
	return buffer + strlen("<134>1 ");
}

static void expect_time(uint64_t seconds, uint64_t us, const char *wanted)
{
	assert_memory_equal(formatted(seconds * 1000000 + us), wanted, strlen(wanted));
}

static void times(void **state)
{
	(void)state;
	expect_time(0, 1, "1970-01-01T00:00:00.000001Z ");
	expect_time(86399, 999999, "1970-01-01T23:59:59.999999Z ");
	expect_time(951782400, 0, "2000-02-29T00:00:00.000000Z ");
	expect_time(1709251199, 120000, "2024-02-29T23:59:59.120000Z ");
	expect_time(1767225600, 0, "2026-01-01T00:00:00.000000Z ");
	expect_time(4107542400, 0, "2100-03-01T00:00:00.000000Z ");
	expect_time(253402300799, 0, "9999-12-31T23:59:59.000000Z ");
	expect_time(UINT64_MAX / 1000000 - 1, 0, "9999-12-31T");
}

static void longest(void **state)
{
	static char buffer[SYSLOG_MESSAGE_MAX], line[400];
	struct text t = { .at = buffer, .size = sizeof buffer };
	struct syslog_message m = { .level = LOG_DEBUG, .time_us = UINT64_MAX, .sequence = INT32_MAX, .text = line,
		.len = 400, .host = "2001:0db8:1111:2222:3333:4444:5555:6666%verylong" };

	(void)state;
	syslog_format(&t, &m);
	assert_false(t.cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_the_first_line), cmocka_unit_test(a_line_wakes), cmocka_unit_test(the_rate_is_bounded),
		cmocka_unit_test(the_network_is_away), cmocka_unit_test(no_clock), cmocka_unit_test(times),
		cmocka_unit_test(longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
