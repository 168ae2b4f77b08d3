/* sources: hv/net/remote.c hv/net/remote_auth.c hv/net/outbox.c hv/net/counts.c hv/base/digest.c hv/base/random.c hv/monitor/line.c hv/monitor/command.c hv/base/format.c tests/unit/fake_stream.c */
/*
 * Any bytes before the key is shown: nothing but the answer itself opens a session, and no command is carried out.
 * And any bytes behind it, from clients that take what is said to them when they like, or not.
 */
#include "hv/net/remote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "hv/base/clock.h"
#include "hv/base/digest.h"
#include "hv/base/x86.h"
#include "hv/monitor/monitor.h"
#include "hv/net/counts.h"
#include "hv/net/remote_auth.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fake_stream.h"
#include "tests/unit/support/support.h"

#define KEY "0123456789abcdef"

static unsigned runs, right, wrong;
static uint64_t dropped, sessions;
static struct remote_challenge challenge;
static char seed[100];

static int run(struct monitor_out *out, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	assert_true(out->trusted);
	runs++;
	return 0;
}

static int much(struct monitor_out *out, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	for (uint64_t lines = fuzz_random(fuzz_random(20) ? 300 : 4000); lines; lines--)
		mon_printf(out, "one of many lines that make %lu bytes and more, as a command may have them\n", lines * 70);
	return 0;
}

static const struct monitor_command commands[] = {
	{ "vm", "[WORD ...]", "", run },
	{ "much", "[WORD ...]", "", much },
	{ NULL, NULL, NULL, NULL },
};

void monitor_add_commands(struct monitor_line *line) { monitor_line_add(line, commands); }

/* The judge accepts the 64 digits in either case, with the word or without, and nothing else. */
static void judge(const uint8_t *data, size_t len)
{
	char lower[65] = "";
	bool same = len == 64 || (len == 69 && memcmp(data + 64, " echo", 5) == 0);
	enum remote_answer a = remote_answer_judge(&challenge, KEY, (const char *)data, len);

	for (size_t i = 0; same && i < 64; i++)
		lower[i] = data[i] >= 'A' && data[i] <= 'F' ? (char)(data[i] | 0x20) : (char)data[i];
	same &= memcmp(lower, seed, 64) == 0;
	assert_int_equal(a != REMOTE_WRONG, same);
	if (same)
		right++;
	else
		wrong++;
}

static struct stream *connect(void)
{
	static const struct config c = { .net_key = KEY, .monitor_port = { .number = 2323 } };
	struct stream *s;

	test_phys_init(MIB(1), MIB(2));
	fake_reset();
	remote_service.start(&c);
	s = fake_connect(2323, "192.0.2.7");
	assert_non_null(s);
	return s;
}

static void connect_and_say(const uint8_t *data, size_t len)
{
	struct stream *s = connect();

	for (size_t at = 0, n; at < len && fake_send(s, data + at, n = min_u64(1 + fuzz_random(40), len - at)); at += n)
		;
	fake_hang_up(s);
	assert_int_equal(runs, 0);
	assert_int_equal(net_counts.remote_sessions, 0);
	test_phys_end();
}

/* What opens the session that the nonce in said belongs to, with its line's end. */
static void make_answer(const char *said, char answer[66])
{
	char nonce[65], text[100];
	uint8_t mac[SHA256_BYTES];

	assert_int_equal(sscanf(strstr(said, "\nnonce "), "\nnonce %64[0-9a-f]\n", nonce), 1);
	snprintf(text, sizeof text, REMOTE_PREFIX "%s", nonce);
	hmac_sha256(KEY, strlen(KEY), text, strlen(text), mac);
	for (unsigned i = 0; i < sizeof mac; i++)
		sprintf(answer + 2 * i, "%02x", mac[i]);
	strcpy(answer + 64, "\n");
}

/* The client reads sometimes, or hears that its time is up. */
static void take_or_wait(struct stream *s)
{
	static char sink[FAKE_BUFFER];

	if (fuzz_random(3))
		fake_take(s, sink, fuzz_random(2) ? fuzz_random(FAKE_BUFFER) : fuzz_random(100));
	if (fuzz_random(8) == 0)
		remote_service.poll(rdtsc() + fuzz_random(2 * REMOTE_STALL_SECONDS) * 1000 * tsc_khz);
	fake_settle();
}

static void log_in_and_say(const uint8_t *data, size_t len)
{
	static char said[FAKE_BUFFER];
	char answer[66];
	struct stream *s = connect();
	size_t at = 0, n;

	fake_take_all(s, said, sizeof said);
	make_answer(said, answer);
	assert_true(fake_send(s, answer, 65));
	fake_room = 1 + fuzz_random(5000);
	while (at < len && !fake_is_closed(s)) {
		n = min_u64(1 + fuzz_random(40), len - at);
		fake_send(s, data + at, n);
		at += n;
		take_or_wait(s);
	}
	dropped += net_counts.remote_dropped;
	sessions += net_counts.remote_sessions;
	memset(&net_counts, 0, sizeof net_counts);
	fake_hang_up(s);
	test_phys_end();
}

static void any_answer(void **state)
{
	char text[100];
	uint8_t mac[SHA256_BYTES];

	(void)state;
	remote_challenge_make(&challenge, KEY);
	snprintf(text, sizeof text, REMOTE_PREFIX "%s", challenge.nonce);
	hmac_sha256(KEY, strlen(KEY), text, strlen(text), mac);
	for (unsigned i = 0; i < sizeof mac; i++)
		sprintf(seed + 2 * i, "%02x", mac[i]);
	fuzz_run(seed, 64, 5000, judge);
	strcpy(seed + 64, " echo");
	fuzz_run(seed, 69, 5000, judge);
	assert_true(right > 10 && wrong > 5000);
}

static void any_line(void **state)
{
	static const char said[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef echo\r\nvm\nvm x\n";

	(void)state;
	fuzz_run(said, sizeof(said) - 1, 3000, connect_and_say);
}

static void any_session(void **state)
{
	static const char said[] = "vm\nmuch\nmuch x\nhelp\n\x1b[A\nmuch\nmuch\nvm x\nexit\n";

	(void)state;
	fuzz_run(said, sizeof(said) - 1, 2000, log_in_and_say);
	assert_int_equal(sessions, 2000);
	assert_in_range(dropped, 20, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_answer),
		cmocka_unit_test(any_line),
		cmocka_unit_test(any_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
