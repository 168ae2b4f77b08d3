/* sources: hv/net/address.c hv/net/commands.c hv/net/datagram.c hv/net/ether.c hv/net/hop.c hv/net/net.c hv/net/stream.c hv/net/stream_tcp.c drivers/lwip/port.c hv/base/digest.c hv/base/ip_address.c hv/base/config.c hv/base/config_key.c hv/base/config_net.c hv/base/config_serial.c hv/base/features.c hv/base/failure.c hv/base/format.c hv/monitor/line.c hv/monitor/command.c tests/unit/net_station.c */
#include "hv/net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/lwip/arch/cc.h"
#include "drivers/lwip/port.h"
#include "hv/base/frame.h"
#include "hv/monitor/commands.h"
#include "hv/net/datagram.h"
#include "hv/net/stream_priv.h"
#include "tests/unit/net_station.h"
#include "tests/unit/support/support.h"

static unsigned closes;
static struct stream *last;

static bool opened(struct stream *s)
{
	last = s;
	return true;
}

static void echo(struct stream *s)
{
	uint8_t bytes[1000];
	size_t n;

	while ((n = stream_read(s, bytes, sizeof(bytes))) != 0)
		stream_write(s, bytes, n);
}

static void closed(struct stream *s)
{
	(void)s;
	closes++;
}

static const struct stream_service service = {
	.name = "echo", .max_connections = 4, .opened = opened, .received = echo, .closed = closed,
};

static struct stream_listener *listener;

static struct station_tcp *connect(void)
{
	struct failure f = { "" };
	struct station_tcp *t = station_tcp(STATION_IP, 80);

	closes = 0;
	listener = stream_listen(&service, 80, NULL, NULL, &f);
	assert_non_null(listener);
	assert_true(station_connect(t));
	return t;
}

static void disconnect(struct station_tcp *t)
{
	stream_unlisten(listener);
	station_run(1);
	assert_int_equal(closes, 1);
	assert_int_equal(frame_count(OWNER_NET), 0);
	station_forget(t);
}

static void say(struct station_tcp *t, const char *text)
{
	station_segment(t, TCP_ACK | TCP_PSH, text, strlen(text));
	station_run(1);
}

/* An idle network wants the monitor once a second, with an idle connection four times. */
static void test_idle_polls(void **state)
{
	struct station_tcp *t;

	(void)state;
	assert_in_range(station_run(60000), 55, 65);
	t = connect();
	assert_in_range(station_run(10000), 35, 45);
	disconnect(t);
}

/* Nobody may take more of the monitor than a burst every two milliseconds. */
static void test_flood_of_frames(void **state)
{
	uint8_t junk[60] = { 2, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 1, 8, 0 };
	uint64_t before = test_net_tsc, deadline;
	unsigned polls = 0;

	(void)state;
	for (int i = 0; i < 300; i++)
		station_frame(junk, sizeof(junk));
	while ((deadline = net_poll()) <= before + 100000000 && ++polls < 100)
		test_net_tsc = deadline;
	assert_in_range((test_net_tsc - before) / 1000, 8000, 12000);
	assert_in_range(polls, 4, 8);
}

static size_t udp_len;
static void take_udp(const uint8_t *frame, size_t len)
{
	if (get16(frame + 12) != 0x800 || frame[23] != 17)
		return;
	assert_true(len >= 42);
	assert_int_equal(get32(frame + 30), 0xc0000250);
	assert_int_equal(get16(frame + 36), 514);
	udp_len = get16(frame + 38) - 8u;
}

static void test_datagram(void **state)
{
	struct ip_address to = { .version = IP_V4, .bytes = { 192, 0, 2, 0x50 } };
	static uint8_t bytes[DATAGRAM_MAX + 1];
	struct net_hop hop;

	(void)state;
	station_other = take_udp;
	assert_int_equal(net_next_hop(&to, &hop), -EAGAIN);
	assert_int_equal(datagram_send(&to, 514, bytes, DATAGRAM_MAX + 1), -EMSGSIZE);
	assert_int_equal(datagram_send(&to, 514, "line", 4), 0);
	station_run(10);
	assert_int_equal(udp_len, 4);
	assert_int_equal(datagram_send(&to, 514, bytes, DATAGRAM_MAX), 0);
	station_run(10);
	assert_int_equal(udp_len, DATAGRAM_MAX);
	assert_int_equal(net_next_hop(&to, &hop), 0);
	assert_memory_equal(hop.mac, "\2\0\0\0\0\1", 6);
	assert_memory_equal(hop.source_mac, "\2\0\0\0\0\7", 6);
	assert_memory_equal(hop.source.bytes, "\300\0\2\7", 4);
	to.bytes[2] = 3; /* beyond the gateway */
	net_next_hop(&to, &hop);
	station_run(10);
	assert_int_equal(net_next_hop(&to, &hop), 0);
	station_link(false);
	assert_int_equal(datagram_send(&to, 514, "line", 4), -ENETDOWN);
	station_link(true);
	station_run(1);
	station_other = NULL;
}

/* The cable is pulled in the middle of something, and put back. */
static void test_link(void **state)
{
	struct station_tcp *t = connect();

	(void)state;
	station_link(false);
	stream_write(last, "unheard", 7);
	station_run(3000);
	assert_false(net_up());
	assert_int_equal(t->len, 0);
	station_link(true);
	station_run(20000);
	assert_int_equal(t->len, 7);
	say(t, "x");
	assert_int_equal(t->len, 8);
	disconnect(t);
}

static char shown[8192];
static void show(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	strncat(shown, text, len);
}

static void test_command(void **state)
{
	struct monitor_out out = { .write = show };
	struct station_tcp *t = connect();

	(void)state;
	say(t, "hello");
	shown[0] = 0;
	commands_net[0].run(&out, 1, NULL);
	assert_non_null(strstr(shown, "link up, 1000 Mbit/s, full duplex"));
	assert_non_null(strstr(shown, "address 192.0.2.7/24 (static)\ngateway 192.0.2.1\n"));
	assert_non_null(strstr(shown, "port 80: echo, for anybody; 1 of 4 connections, 1 taken, 0 refused\n"));
	assert_non_null(strstr(shown, "  echo from 192.0.2.1 port "));
	assert_non_null(strstr(shown, "5 bytes in, 5 out, 0 waiting"));
	disconnect(t);
}

/* The last: lwIP finds itself wrong. The services hear of the end, nothing calls lwIP again, the host goes on. */
static void breaks(void *arg)
{
	(void)arg;
	lwip_port_assert("as if", "a/b/tcp.c", 7);
}

static void test_broken_assertion(void **state)
{
	struct failure f = { "" };
	struct station_tcp *t = connect();

	(void)state;
	assert_false(lwip_guard(breaks, NULL));
	assert_string_equal(lwip_broken(), "as if (tcp.c:7)");
	assert_true(net_poll() > test_net_tsc);
	assert_int_equal(closes, 1);
	assert_false(net_up());
	say(t, "anybody?");
	assert_int_equal(t->len, 0);
	assert_null(stream_listen(&service, 90, NULL, NULL, &f));
	assert_string_equal(f.text, "port 90: the host has no network; `net` says why");
	disconnect(t);
}

static int start(void **state)
{
	(void)state;
	station_start("net = 192.0.2.7/24\ngateway = 192.0.2.1\n");
	assert_false(net_up() && station_services_started);
	station_run(1000);
	assert_int_equal(station_services_started, 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_polls), cmocka_unit_test(test_flood_of_frames), cmocka_unit_test(test_datagram),
		cmocka_unit_test(test_link), cmocka_unit_test(test_command), cmocka_unit_test(test_broken_assertion),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
