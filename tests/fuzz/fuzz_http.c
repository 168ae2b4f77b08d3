/* sources: hv/net/http.c hv/net/http_request.c hv/net/metrics.c hv/net/page.c hv/net/plot.c hv/net/stats.c hv/net/text.c hv/net/counts.c hv/net/trace_page.c hv/base/format.c tests/unit/fake_stream.c tests/unit/net_world.c */
/*
 * Any bytes to the web server, in pieces of any size, taken by the client in pieces of any size: every answer begins
 * with a status line, what is refused ends the connection, and the next client is served.
 */
#include "hv/net/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#undef fail

#include "hv/net/counts.h"
#include "hv/net/http_request.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fake_stream.h"
#include "tests/unit/net_world.h"

static char got[1 << 19];
static unsigned ready, refused;

static const char seed[] =
	"GET /none?x=1 HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"
	"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
	"GET http://x/nothing HTTP/1.0\r\nX:\r\n\r\n";

/* The reader alone, which is quick. */
static void read_bytes(const uint8_t *data, size_t len)
{
	struct http_request *r = malloc(sizeof *r);

	http_request_reset(r);
	for (size_t i = 0; i < len; i++) {
		enum http_progress p = http_request_byte(r, data[i]);

		if (p == HTTP_MORE)
			continue;
		if (p == HTTP_REFUSE) {
			assert_true(r->status >= 400 && r->status <= 505);
			refused++;
			break;
		}
		assert_non_null(memchr(r->target, 0, sizeof r->target));
		assert_true(r->target[0] == '/' && r->status == 0);
		ready++;
		http_request_reset(r);
	}
	free(r);
}

static void serve_bytes(const uint8_t *data, size_t len)
{
	struct stream *s = fake_connect(80, "192.0.2.7");
	size_t at = 0, had = 0;

	assert_non_null(s);
	fake_room = 200 + fuzz_random(5000);
	while (at < len) {
		size_t n = min_u64(1 + fuzz_random(120), len - at);

		if (!fake_send(s, data + at, n))
			break;
		at += n;
		if (fuzz_random(2) && had < sizeof got / 2)
			had += fake_take(s, got + had, fuzz_random(400));
	}
	fake_take_all(s, got + had, sizeof got - had);
	if (got[had])
		assert_memory_equal(got, "HTTP/1.1 ", 9);
	fake_hang_up(s);
	assert_int_equal(fake_open_count(), 0);
}

static void the_reader(void **state)
{
	(void)state;
	fuzz_run(seed, sizeof(seed) - 1, 60000, read_bytes);
	assert_true(ready > 1000 && refused > 1000);
}

static void the_server(void **state)
{
	static struct config c = { .http_port = { .number = 80 } };

	(void)state;
	net_world_start();
	fake_reset();
	http_service.start(&c);
	fuzz_run(seed, sizeof(seed) - 1, 1500, serve_bytes);
	assert_true(net_counts.http_answers[4] > 100 && net_counts.http_answers[2] > 100);
	net_world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_reader), cmocka_unit_test(the_server) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
