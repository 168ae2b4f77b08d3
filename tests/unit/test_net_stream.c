/* sources: hv/net/address.c hv/net/ether.c hv/net/net.c hv/net/stream.c hv/net/outbox.c hv/net/stream_tcp.c drivers/lwip/port.c hv/base/digest.c hv/base/ip_address.c hv/base/config.c hv/base/config_key.c hv/base/config_net.c hv/base/config_serial.c hv/base/features.c hv/base/failure.c hv/base/format.c tests/unit/net_station.c */
#include "hv/net/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/lwip/port.h"
#include "hv/base/frame.h"
#include "hv/net/stream_priv.h"
#include "hv/net/outbox.h"
#include "tests/unit/net_station.h"
#include "tests/unit/support/support.h"

/* ---- A service that can be told what to do ---- */

static struct {
	unsigned opened, received, writable, closed;
	bool refuse, echo, hold;   /* hold: leaves what comes unread */
	size_t give;               /* bytes to be said through the outbox when something comes */
	struct outbox outbox;
	bool close_after;
	struct stream *last;
	struct stream_listener *unlisten;
} service_did;

static uint8_t pattern(size_t i) { return (uint8_t)(i * 7 + (i >> 8)); }

static bool opened(struct stream *s)
{
	service_did.opened++;
	service_did.last = s;
	assert_null(stream_state(s));
	assert_string_equal(stream_listener_state(s), "state");
	stream_set_state(s, &service_did);
	return !service_did.refuse;
}

static char kept[65536];

static void give(struct stream *s)
{
	uint8_t *bytes = malloc(service_did.give);

	for (size_t i = 0; i < service_did.give; i++)
		bytes[i] = pattern(i);
	outbox_init(&service_did.outbox, kept, sizeof(kept));
	assert_true(outbox_say(&service_did.outbox, s, (char *)bytes, service_did.give));
	free(bytes);
}

static void received(struct stream *s)
{
	uint8_t bytes[1000];
	size_t n;

	service_did.received++;
	assert_ptr_equal(stream_state(s), &service_did);
	while (!service_did.hold && (n = stream_read(s, bytes, sizeof(bytes))) != 0)
		if (service_did.echo)
			assert_int_equal(stream_write(s, bytes, n), n);
	if (service_did.give)
		give(s);
	if (service_did.unlisten)
		stream_unlisten(service_did.unlisten);
	if (service_did.close_after)
		stream_close(s);
}

static void writable(struct stream *s)
{
	service_did.writable++;
	if (service_did.give)
		outbox_move(&service_did.outbox, s);
}

static void closed(struct stream *s)
{
	service_did.closed++;
	assert_ptr_equal(stream_state(s), &service_did);
}

static const struct stream_service service = {
	.name = "test", .max_connections = 4, .idle_seconds = 60, .opened = opened, .received = received,
	.writable = writable, .closed = closed,
};
static const struct stream_service simple = { .name = "simple", .max_connections = 100, .received = received };

static struct stream_listener *listener;
static uint64_t frames_before;

static int set_up(void **state)
{
	struct failure f = { "" };
	static char text[] = "state";

	(void)state;
	memset(&service_did, 0, sizeof(service_did));
	frames_before = frame_count(OWNER_NET);
	listener = stream_listen(&service, 80, NULL, text, &f);
	if (!listener)
		fail_msg("%s", f.text);
	return 0;
}

/* Whatever a test did, nothing of it is left. */
static int tear_down(void **state)
{
	(void)state;
	station_link(true);
	if (listener)
		stream_unlisten(listener);
	station_run(300000);
	assert_int_equal(service_did.closed, service_did.opened - (service_did.refuse ? service_did.opened : 0));
	for (unsigned i = 0; i < STREAM_MAX; i++)
		assert_null(streams[i]);
	for (unsigned i = 0; i < STREAM_LISTENERS_MAX; i++)
		assert_null(stream_listeners[i].service);
	assert_int_equal(frame_count(OWNER_NET), frames_before);
	assert_null(lwip_broken());
	return 0;
}

static struct station_tcp *connect(void)
{
	struct station_tcp *t = station_tcp(STATION_IP, 80);

	if (!station_connect(t))
		fail_msg("no connection");
	return t;
}

static void say(struct station_tcp *t, const char *text)
{
	station_segment(t, TCP_ACK | TCP_PSH, text, strlen(text));
	station_run(1);
}

/* ---- Tests ---- */

static void test_echo_and_close(void **state)
{
	struct station_tcp *t = connect();

	(void)state;
	assert_int_equal(service_did.opened, 1);
	assert_string_equal(stream_peer(service_did.last), "192.0.2.1");
	service_did.echo = true;
	say(t, "hello");
	say(t, " world");
	assert_int_equal(service_did.received, 2);
	assert_int_equal(t->len, 11);
	assert_memory_equal(t->data, "hello world", 11);
	station_segment(t, TCP_ACK | TCP_FIN, NULL, 0);
	station_run(1);
	assert_true(t->finished);
	assert_false(t->reset);
	assert_int_equal(service_did.closed, 1);
	station_forget(t);
}

/* What a peer asked before it finished its side is answered. */
static void test_peer_half_closed(void **state)
{
	struct station_tcp *t = connect();

	(void)state;
	service_did.echo = true;
	station_segment(t, TCP_ACK | TCP_PSH | TCP_FIN, "question", 8);
	station_run(1);
	assert_int_equal(t->len, 8);
	assert_true(t->finished);
	assert_false(t->reset);
	assert_int_equal(service_did.closed, 1);
	station_forget(t);
}

static void test_service_closes(void **state)
{
	struct station_tcp *t = connect();

	(void)state;
	service_did.echo = service_did.close_after = true;
	say(t, "bye");
	assert_int_equal(t->len, 3);
	assert_true(t->finished);
	assert_int_equal(service_did.closed, 1);
	/* What comes behind it finds nobody. */
	say(t, "more");
	assert_true(t->reset);
	station_forget(t);
}

static void test_service_refuses(void **state)
{
	struct station_tcp *t = station_tcp(STATION_IP, 80);

	(void)state;
	service_did.refuse = true;
	station_connect(t);
	assert_int_equal(service_did.opened, 1);
	assert_true(t->reset);
	assert_int_equal(service_did.closed, 0);
	station_forget(t);
}

static void test_peer_resets(void **state)
{
	struct station_tcp *t = connect();

	(void)state;
	station_segment(t, TCP_RST | TCP_ACK, NULL, 0);
	station_run(1);
	assert_int_equal(service_did.closed, 1);
	assert_int_equal(service_did.received, 0);
	station_forget(t);
}

/* More than the stream has room for, to a peer that takes a little at a time. */
static void test_slow_peer(void **state)
{
	struct station_tcp *t = connect();

	(void)state;
	t->window = 100;
	service_did.give = 60000;
	say(t, "x");
	assert_false(outbox_empty(&service_did.outbox));
	t->window = 1000;
	for (unsigned i = 0; i < 100 && t->len < 60000; i++) {
		station_segment(t, TCP_ACK, NULL, 0);
		station_run(1000);
	}
	assert_int_equal(t->len, 60000);
	assert_true(outbox_empty(&service_did.outbox));
	for (size_t i = 0; i < t->len; i++)
		assert_int_equal(t->data[i], pattern(i));
	station_forget(t);
}

/* One that takes nothing holds nobody up: others are served meanwhile, and its end is noticed. */
static void test_stalled_peer(void **state)
{
	struct station_tcp *t = connect(), *other;
	uint64_t before = test_net_tsc;

	(void)state;
	t->silent = true;
	service_did.give = 60000;
	say(t, "x");
	service_did.give = 0;
	service_did.echo = true;
	other = connect();
	say(other, "hello");
	assert_int_equal(other->len, 5);
	assert_in_range((test_net_tsc - before) / 1000000, 0, 100);
	assert_int_equal(service_did.closed, 0);
	station_segment(t, TCP_RST | TCP_ACK, NULL, 0);
	station_run(1);
	assert_int_equal(service_did.closed, 1);
	station_forget(t);
	station_forget(other);
}

/* A service that does not read: the window closes, nothing overflows, and it opens again. */
static void test_service_does_not_read(void **state)
{
	struct station_tcp *t = connect();
	uint8_t bytes[1000];
	uint32_t begin = t->seq;
	size_t got = 0, n;

	(void)state;
	service_did.hold = true;
	memset(bytes, 'a', sizeof(bytes));
	for (int i = 0; i < 12; i++) {
		station_segment(t, TCP_ACK, bytes, sizeof(bytes));
		station_run(1);
	}
	assert_in_range(t->acked - begin, 5000, 8192);
	while ((n = stream_read(service_did.last, bytes, 100)) != 0)
		got += n;
	assert_int_equal(got, t->acked - begin);
	t->seq = t->acked;
	station_run(1);
	station_segment(t, TCP_ACK, bytes, sizeof(bytes));
	station_run(500);
	assert_int_equal(t->acked, t->seq);
	station_segment(t, TCP_RST | TCP_ACK, NULL, 0);
	station_run(1);
	station_forget(t);
}

static void test_writable(void **state)
{
	struct station_tcp *t = connect();
	static uint8_t much[40000];

	(void)state;
	t->silent = true;
	assert_int_equal(stream_room(service_did.last), STREAM_TX_SIZE);
	assert_int_equal(stream_write(service_did.last, much, sizeof(much)), STREAM_TX_SIZE);
	assert_int_equal(stream_room(service_did.last), 0);
	station_run(10);
	assert_int_equal(service_did.writable, 0);
	t->silent = false;
	station_segment(t, TCP_ACK, NULL, 0);
	station_run(1000);
	assert_int_equal(service_did.writable, 1);
	assert_int_equal(t->len, STREAM_TX_SIZE);
	station_forget(t);
}

static void test_idle(void **state)
{
	struct station_tcp *t = connect();

	(void)state;
	station_run(59000);
	assert_int_equal(service_did.closed, 0);
	station_run(2000);
	assert_int_equal(service_did.closed, 1);
	assert_true(t->finished);
	station_forget(t);
}

/* A peer that has vanished is noticed although the service knows no idle time. */
static void test_vanished_peer(void **state)
{
	struct failure f = { "" };
	struct stream_listener *l = stream_listen(&simple, 81, NULL, NULL, &f);
	struct station_tcp *t = station_tcp(STATION_IP, 81);

	(void)state;
	assert_true(station_connect(t));
	assert_int_equal(l->connections, 1);
	t->silent = true;
	station_run(600000);
	assert_int_equal(l->connections, 0);
	stream_unlisten(l);
	station_forget(t);
}

static void test_limits(void **state)
{
	struct station_tcp *t[6];

	(void)state;
	for (int i = 0; i < 6; i++) {
		t[i] = station_tcp(STATION_IP, 80);
		station_connect(t[i]);
		station_run(1);
		assert_int_equal(t[i]->reset, i >= 4);
	}
	assert_int_equal(service_did.opened, 4);
	assert_int_equal(listener->refused, 2);
	station_segment(t[0], TCP_RST | TCP_ACK, NULL, 0);
	station_run(1);
	station_forget(t[0]);
	t[0] = station_tcp(STATION_IP, 80);
	assert_true(station_connect(t[0]));
	for (int i = 0; i < 6; i++)
		station_forget(t[i]);
}

static void test_ports(void **state)
{
	struct failure f = { "" };
	struct stream_listener *l;

	(void)state;
	assert_null(stream_listen(&simple, 80, NULL, NULL, &f));
	assert_string_equal(f.text, "port 80 is taken by another service; choose another one");
	assert_null(stream_listen(&simple, 0, NULL, NULL, &f));
	assert_string_equal(f.text, "0 is no port; take one from 1 to 65535");
	assert_null(stream_listen(&simple, 82, "router", NULL, &f));
	assert_string_equal(f.text, "router is no IP address; write it like 192.0.2.7 or fe80::1");
	for (int i = 1; i < STREAM_LISTENERS_MAX; i++)
		assert_non_null(stream_listen(&simple, (uint16_t)(100 + i), NULL, NULL, &f));
	assert_null(stream_listen(&simple, 82, NULL, NULL, &f));
	assert_string_equal(f.text, "port 82: 20 ports are open already; close one");
	for (int i = 1; i < STREAM_LISTENERS_MAX; i++)
		stream_unlisten(&stream_listeners[i]);
	/* Opens again at once, whatever old connections wait for. */
	l = stream_listen(&simple, 101, NULL, NULL, &f);
	assert_non_null(l);
	stream_unlisten(l);
}

static void test_named_peer(void **state)
{
	struct failure f = { "" };
	struct stream_listener *l = stream_listen(&simple, 83, "192.0.2.99", NULL, &f);
	struct station_tcp *other = station_tcp(STATION_IP, 83), *named = station_tcp(0xc0000263, 83);

	(void)state;
	station_connect(other);
	station_run(1);
	assert_true(other->reset);
	assert_true(station_connect(named));
	station_run(1);
	assert_false(named->reset);
	stream_unlisten(l);
	station_run(1);
	assert_true(named->reset);
	station_forget(other);
	station_forget(named);
}

/* A port closed from inside a service's function, with the very connection that asked for it. */
static void test_unlisten_inside(void **state)
{
	struct station_tcp *a = connect(), *b = connect();

	(void)state;
	service_did.unlisten = listener;
	say(a, "close");
	listener = NULL;
	assert_int_equal(service_did.closed, 2);
	assert_true(a->reset && b->reset);
	station_forget(a);
	station_forget(b);
}

/* A flood of half-open connections: the others live on, and a real peer still gets in. */
static void test_half_open_flood(void **state)
{
	struct station_tcp *real = connect(), *flood[150], *late;

	(void)state;
	service_did.echo = true;
	for (unsigned i = 0; i < 150; i++) {
		flood[i] = station_tcp(0xc0000264 + i % 50, 80);
		flood[i]->silent = true;
		station_segment(flood[i], TCP_SYN, NULL, 0);
		if (i % 10 == 9)
			station_run(3);
	}
	say(real, "still there");
	assert_int_equal(real->len, 11);
	late = connect();
	say(late, "me too");
	assert_int_equal(late->len, 6);
	station_run(120000);
	assert_int_equal(stream_tcp_half_open(), 0);
	for (unsigned i = 0; i < 150; i++)
		station_forget(flood[i]);
	station_forget(real);
	station_forget(late);
}

/* Segments lost both ways, and in the wrong order. */
static void test_loss(void **state)
{
	struct station_tcp *t = connect();
	uint32_t begin = t->seq;

	(void)state;
	service_did.echo = true;
	t->silent = true;
	t->seq = begin + 5;
	say(t, "world");
	assert_int_equal(t->len, 0);
	t->seq = begin;
	say(t, "hello");
	t->seq = begin + 10;
	assert_int_equal(t->acked, begin + 10);
	assert_memory_equal(t->data, "helloworld", 10);
	t->len = 0; /* as if what came had been lost: it is sent again */
	t->ack -= 10;
	t->silent = false;
	station_run(5000);
	assert_int_equal(t->len, 10);
	station_forget(t);
}

static void test_no_memory(void **state)
{
	struct station_tcp *t = station_tcp(STATION_IP, 80);

	(void)state;
	test_frames_left = 3;
	station_connect(t);
	test_frames_left = ~0ul;
	assert_true(t->reset);
	assert_int_equal(service_did.opened, 0);
	station_forget(t);
}

/* Connections come and go without end; lwIP's pools are as full as before. */
static void test_many(void **state)
{
	(void)state;
	service_did.echo = service_did.close_after = true;
	for (int i = 0; i < 1000; i++) {
		struct station_tcp *t = connect();

		say(t, "GET / HTTP/1.1\r\n\r\n");
		assert_int_equal(t->len, 18);
		assert_true(t->finished);
		station_segment(t, TCP_ACK | TCP_FIN, NULL, 0);
		station_run(1);
		station_forget(t);
	}
	assert_int_equal(service_did.closed, 1000);
}

static int start(void **state)
{
	(void)state;
	station_start("net = 192.0.2.7/24\n");
	station_run(1000);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_echo_and_close), TEST(test_peer_half_closed), TEST(test_service_closes),
		TEST(test_service_refuses), TEST(test_peer_resets), TEST(test_slow_peer), TEST(test_stalled_peer),
		TEST(test_service_does_not_read), TEST(test_writable), TEST(test_idle),
		TEST(test_vanished_peer), TEST(test_limits), TEST(test_ports), TEST(test_named_peer),
		TEST(test_unlisten_inside), TEST(test_half_open_flood), TEST(test_loss), TEST(test_no_memory),
		TEST(test_many),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
