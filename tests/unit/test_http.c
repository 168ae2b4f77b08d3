/* sources: hv/net/http.c hv/net/http_request.c hv/net/metrics.c hv/net/page.c hv/net/plot.c hv/net/stats.c hv/net/text.c hv/net/counts.c hv/net/trace_page.c hv/base/format.c tests/unit/fake_stream.c tests/unit/net_world.c */
/*
 * The web server with clients of all kinds: well-behaved, malformed, slow, many. The other end of each connection is
 * the test.
 */
#include "hv/net/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "hv/base/clock.h"
#include "hv/base/percpu.h"
#include "hv/base/x86.h"
#include "hv/net/counts.h"
#include "tests/unit/fake_stream.h"
#include "tests/unit/net_world.h"
#include "tests/unit/support/support.h"

#define PORT 80
#define PEER "192.0.2.7"

static char got[1 << 18];
static struct stream *client;

static int setup(void **state)
{
	static struct config c;

	(void)state;
	net_world_start();
	fake_reset();
	memset(&net_counts, 0, sizeof net_counts);
	c.http_port.number = PORT;
	http_service.start(&c);
	client = fake_connect(PORT, PEER);
	assert_non_null(client);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	net_world_end();
	return 0;
}

static void ask(const char *request)
{
	fake_send(client, request, strlen(request));
	fake_take_all(client, got, sizeof got);
}

static void again(void)
{
	fake_hang_up(client);
	client = fake_connect(PORT, PEER);
	assert_non_null(client);
}

static void expect_status(unsigned status)
{
	char wanted[20];

	snprintf(wanted, sizeof wanted, "HTTP/1.1 %u ", status);
	assert_memory_equal(got, wanted, strlen(wanted));
}

/* Takes the chunks apart, strictly; what is behind the last one is returned. */
static char *unchunk(char *body)
{
	char *to = body, *end;

	for (;;) {
		size_t n = strtoul(body, &end, 16);

		assert_true(end > body && memcmp(end, "\r\n", 2) == 0);
		body = end + 2;
		assert_true(strlen(body) >= n + 2 && memcmp(body + n, "\r\n", 2) == 0);
		if (n == 0)
			break;
		memmove(to, body, n);
		to += n;
		body += n + 2;
	}
	*to = 0;
	return body + 2;
}

static char *body(void)
{
	char *end = strstr(got, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

static void pages(void **state)
{
	(void)state;
	ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	expect_status(200);
	assert_non_null(strstr(got, "\r\nTransfer-Encoding: chunked\r\n"));
	assert_null(strstr(got, "Connection: close"));
	assert_string_equal(unchunk(body()), "");
	assert_non_null(strstr(body(), "http-equiv=\"refresh\""));
	assert_non_null(strstr(body(), "</body></html>"));
	ask("GET /still?x=y HTTP/1.1\r\nHost: x\r\n\r\n");
	expect_status(200);
	assert_null(strstr(got, "http-equiv=\"refresh\""));
	ask("GET http://10.0.0.1:80/metrics HTTP/1.1\r\nhost:x\r\n\r\n");
	expect_status(200);
	assert_non_null(strstr(got, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
	ask("GET /trace HTTP/1.1\r\nHost: x\r\n\r\n");
	expect_status(200);
	assert_string_equal(unchunk(body()), "");
	assert_string_equal(body(), "the trace is on; the TSC counts 1000000 kHz\nCPU 0\n  event 1\n  event 2\n");
	ask("GET /favicon.ico HTTP/1.1\r\nHost: x\r\n\r\n");
	expect_status(404);
	assert_false(fake_is_closed(client));
	assert_int_equal(net_counts.http_answers[2], 4);
	assert_int_equal(net_counts.http_answers[4], 1);
}

/* The last piece of an answer may turn out empty; the answer ends once all the same. */
static void empty_last_piece(void **state)
{
	uint32_t cpus_before = cpu_count;

	(void)state;
	cpu_count = 0;
	ask("GET /trace HTTP/1.1\r\nHost: x\r\n\r\n");
	cpu_count = cpus_before;
	assert_string_equal(unchunk(body()), "");
	assert_string_equal(body(), "the trace is on; the TSC counts 1000000 kHz\n");
}

static void head_has_no_body(void **state)
{
	(void)state;
	ask("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
	expect_status(200);
	assert_string_equal(body(), "");
	ask("HEAD /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
	expect_status(404);
	assert_string_equal(body(), "");
	ask("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_string_not_equal(body(), "");
}

static void old_clients(void **state)
{
	(void)state;
	ask("GET /metrics HTTP/1.0\r\n\r\n");
	expect_status(200);
	assert_null(strstr(got, "chunked"));
	assert_non_null(strstr(got, "\r\nConnection: close\r\n"));
	assert_memory_equal(body(), "# HELP ", 7);
	assert_true(fake_is_closed(client));
}

static void connection_close(void **state)
{
	(void)state;
	ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: foo , CLOSE\r\n\r\n");
	expect_status(200);
	assert_true(fake_is_closed(client));
}

/* Requests sent in one go are answered one after the other, also when the client reads slowly. */
static void pipeline(void **state)
{
	char text[4000] = "";
	unsigned answers = 0;

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		strcat(text, i % 2 ? "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" : "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
	fake_room = 700;
	ask(text);
	for (char *p = got; (p = strstr(p, "HTTP/1.1 ")); p += 9)
		answers++;
	assert_int_equal(answers, 20);
	assert_int_equal(net_counts.http_answers[2], 10);
	assert_false(fake_is_closed(client));
}

static void connections_end(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= HTTP_REQUESTS; i++) {
		ask("GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
		expect_status(404);
		assert_int_equal(strstr(got, "Connection: close") != NULL, i == HTTP_REQUESTS);
	}
	assert_true(fake_is_closed(client));
}

static void refused(const char *request, unsigned status)
{
	ask(request);
	expect_status(status);
	assert_non_null(strstr(got, "\r\nConnection: close\r\n"));
	assert_true(fake_is_closed(client));
	again();
}

static void malformed(void **state)
{
	char text[10000];

	(void)state;
	refused("GET /\r\n", 400);
	refused("GET / HTTP/1.1\nHost: x\n\n", 400);
	refused("GET  / HTTP/1.1\r\n", 400);
	refused("GET /a b HTTP/1.1\r\n", 400);
	refused("GET / HTTP/1.1 \r\n", 400);
	refused("GET x HTTP/1.1\r\n", 400);
	refused("GET /\x01 HTTP/1.1\r\n", 400);
	refused("GET /\xff HTTP/1.1\r\n", 400);
	refused("GET / HTTP/2.0\r\n", 505);
	refused("GET / HTTQ/1.1\r\n", 400);
	refused("G(T / HTTP/1.1\r\n", 400);
	refused("POST / HTTP/1.1\r\n", 405);
	refused("OPTIONS * HTTP/1.1\r\n", 405);
	refused("GET / HTTP/1.1\r\n\r\n", 400); /* without Host */
	refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400);
	refused("GET / HTTP/1.1\r\nHost: a/b\r\n", 400);
	refused("GET / HTTP/1.1\r\nHost : a\r\n", 400);
	refused("GET / HTTP/1.1\r\nHost\r\n", 400);
	refused("GET / HTTP/1.1\r\n: a\r\n", 400);
	refused("GET / HTTP/1.1\r\nA: b\r\n c\r\n", 400);
	refused("GET / HTTP/1.1\r\nA: b\x0b\r\n", 400);
	refused("GET / HTTP/1.1\r\nA: b\rc\r\n", 400);
	refused("GET / HTTP/1.1\r\nContent-Length: 1\r\n", 413);
	refused("GET / HTTP/1.1\r\nContent-Length: -1\r\n", 400);
	refused("GET / HTTP/1.1\r\nContent-Length:\r\n", 400);
	refused("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", 501);
	sprintf(text, "GET /%0200d HTTP/1.1\r\n", 0);
	refused(text, 414);
	sprintf(text, "GET /%01000d HTTP/1.1\r\n", 0);
	refused(text, 414);
	sprintf(text, "GET / HTTP/1.1\r\nHost: %0300d\r\n", 0);
	refused(text, 431);
	sprintf(text, "GET / HTTP/1.1\r\nCookie: %08200d\r\n", 0);
	refused(text, 431);
	memset(text, '\n', 9000);
	for (unsigned i = 0; i < 9000; i += 2)
		text[i] = '\r';
	text[9000] = 0;
	refused(text, 431);
	/* What is odd and allowed. */
	ask("\r\n\r\nGET / HTTP/1.1\r\nHost:\r\nContent-Length: 00\r\nX:\t\xe4\r\n\r\n");
	expect_status(200);
	sprintf(text, "GET /none HTTP/1.9\r\nHost: a\r\nCookie: %03000d\r\n\r\n", 0);
	ask(text);
	expect_status(404);
}

static void byte_by_byte(void **state)
{
	const char *request = "GET /none HTTP/1.1\r\nHost: x\r\n\r\n";

	(void)state;
	for (const char *p = request; *p; p++)
		assert_true(fake_send(client, p, 1));
	fake_take_all(client, got, sizeof got);
	expect_status(404);
}

/* A client that reads one byte at a time gets it all, and meanwhile others are served. */
static void slow_reader(void **state)
{
	struct stream *other = fake_connect(PORT, PEER), *slow = client;
	const char *request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	static char all[1 << 17];
	size_t len = 0;

	(void)state;
	fake_room = 256;
	fake_send(slow, request, strlen(request));
	while (fake_take(slow, all + len, 1)) {
		if (len++ % 1000 == 0) {
			client = other;
			ask("GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
			expect_status(404);
			if (fake_is_closed(other))
				other = fake_connect(PORT, PEER);
		}
	}
	all[len] = 0;
	memcpy(got, all, len + 1);
	assert_string_equal(unchunk(body()), "");
	assert_non_null(strstr(body(), "</html>"));
}

static uint64_t in_seconds(uint64_t n) { return rdtsc() + n * 1000 * tsc_khz; }

/* Who opens connections and says nothing, or half a request, or does not read, is closed after a while. */
static void half_open(void **state)
{
	struct stream *all[HTTP_CONNECTIONS] = { client };
	const char *half = "GET / HTTP/1.1\r\nHo", *whole = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

	(void)state;
	for (unsigned i = 1; i < HTTP_CONNECTIONS; i++) {
		all[i] = fake_connect(PORT, PEER);
		assert_non_null(all[i]);
	}
	fake_room = 100;
	fake_send(all[0], half, strlen(half));
	fake_send(all[1], whole, strlen(whole));
	assert_null(fake_connect(PORT, PEER));
	assert_in_range(http_service.poll(rdtsc()), in_seconds(HTTP_REQUEST_SECONDS - 5), in_seconds(HTTP_REQUEST_SECONDS));
	assert_int_equal(fake_open_count(), HTTP_CONNECTIONS);
	http_service.poll(in_seconds(HTTP_REQUEST_SECONDS + 1));
	fake_settle();
	assert_int_equal(fake_open_count(), 1); /* the one with an answer has more time */
	http_service.poll(in_seconds(HTTP_ANSWER_SECONDS + 1));
	fake_settle();
	assert_int_equal(fake_open_count(), 0);
	assert_int_equal(net_counts.http_late, HTTP_CONNECTIONS);
	assert_true(http_service.poll(rdtsc()) == NEVER);
	fake_room = 4096;
	client = fake_connect(PORT, PEER);
	ask(whole);
	expect_status(200);
}

static void leaving_at_any_time(void **state)
{
	const char *request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

	(void)state;
	for (size_t n = 0; n <= strlen(request); n++) {
		fake_send(client, request, n);
		again();
	}
	ask(request);
	expect_status(200);
}

static void off_by_default(void **state)
{
	static struct config c;

	(void)state;
	fake_reset();
	http_service.start(&c);
	assert_false(fake_listens(PORT));
}

static void port_in_use(void **state)
{
	static struct config c = { .http_port = { .number = PORT } };

	(void)state;
	http_service.start(&c);
	assert_string_equal(test_last_log, "http: port 80 is in use");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pages), TEST(empty_last_piece), TEST(head_has_no_body), TEST(old_clients), TEST(connection_close),
		TEST(pipeline), TEST(connections_end), TEST(malformed), TEST(byte_by_byte), TEST(slow_reader), TEST(half_open),
		TEST(leaving_at_any_time), TEST(off_by_default), TEST(port_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
