/* sources: hv/net/remote.c hv/net/remote_auth.c hv/net/outbox.c hv/net/counts.c hv/base/digest.c hv/base/random.c hv/monitor/line.c hv/monitor/command.c hv/base/format.c tests/unit/fake_stream.c */
/*
 * The monitor over TCP: who has the key gets in, who has not is held back, and no connection outstays its time.
 */
#include "hv/net/remote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "hv/base/clock.h"
#include "hv/base/digest.h"
#include "hv/base/x86.h"
#include "hv/monitor/monitor.h"
#include "hv/net/counts.h"
#include "hv/net/outbox.h"
#include "hv/net/remote_auth.h"
#include "hv/sched.h"
#include "tests/unit/fake_stream.h"
#include "tests/unit/support/random.h"
#include "tests/unit/support/support.h"

#define PORT 2323
#define PEER "192.0.2.7"
#define KEY "0123456789abcdef"

static char got[1 << 17];
static struct stream *client;
static unsigned trusted_runs, untrusted_runs;
static struct config config = { .net_key = KEY, .monitor_port = { .number = PORT } };

static int word_command(struct monitor_out *out, int argc, char **argv)
{
	if (out->trusted)
		trusted_runs++;
	else
		untrusted_runs++;
	mon_printf(out, "%d words, the last is %s\n", argc, argv[argc - 1]);
	return 0;
}

/* much [LINES] */
static int much_command(struct monitor_out *out, int argc, char **argv)
{
	unsigned lines = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;

	for (unsigned i = 0; i < lines; i++)
		mon_printf(out, "line %u\n", i);
	return 0;
}

static const struct monitor_command commands[] = {
	{ "word", "[WORD ...]", "", word_command },
	{ "much", "[WORD ...]", "", much_command },
	{ NULL, NULL, NULL, NULL },
};

void monitor_add_commands(struct monitor_line *line) { monitor_line_add(line, commands); }

static void take(void) { fake_take_all(client, got, sizeof got); }

static int setup(void **state)
{
	(void)state;
	test_phys_init(MIB(1), MIB(2));
	fake_reset();
	memset(&net_counts, 0, sizeof net_counts);
	trusted_runs = untrusted_runs = 0;
	remote_service.start(&config);
	client = fake_connect(PORT, PEER);
	assert_non_null(client);
	take();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_phys_end();
	return 0;
}

static void say(const char *text)
{
	fake_send(client, text, strlen(text));
	take();
}

/* What a client does: the nonce out of the greeting, digested under the key. */
static void make_answer(const char *key, char answer[65])
{
	char nonce[65], text[100];
	uint8_t mac[SHA256_BYTES];

	assert_non_null(strstr(got, "\nnonce "));
	assert_int_equal(sscanf(strstr(got, "\nnonce "), "\nnonce %64[0-9a-f]\n", nonce), 1);
	assert_int_equal(strlen(nonce), 64);
	snprintf(text, sizeof text, "gnomon monitor %s", nonce);
	hmac_sha256(key, strlen(key), text, strlen(text), mac);
	for (unsigned i = 0; i < sizeof mac; i++)
		sprintf(answer + 2 * i, "%02x", mac[i]);
}

static void log_in(const char *key, const char *more)
{
	char answer[65], line[100];

	make_answer(key, answer);
	snprintf(line, sizeof line, "%s%s\n", answer, more);
	say(line);
}

static void connect_again(void)
{
	fake_hang_up(client);
	client = fake_connect(PORT, PEER);
	assert_non_null(client);
	take();
}

static void the_key_opens(void **state)
{
	(void)state;
	assert_null(strstr(got, KEY));
	log_in(KEY, "");
	assert_memory_equal(got, "welcome", 7);
	say("word a b\n");
	assert_string_equal(got, "3 words, the last is b\n> ");
	assert_int_equal(trusted_runs, 1);
	assert_int_equal(net_counts.remote_sessions, 1);
	say("help\n");
	assert_non_null(strstr(got, "end this session"));
	say("exit\nword x\n");
	assert_true(fake_is_closed(client));
	assert_int_equal(trusted_runs, 1);
	assert_string_equal(test_last_log, "monitor: session with " PEER " is over");
}

/* A terminal that shows nothing itself is shown what is typed; ^D ends the session, but not in the middle of a line. */
static void with_echo(void **state)
{
	(void)state;
	log_in(KEY, " echo\r");
	say("word q\x04\r");
	assert_string_equal(got, "word q\n2 words, the last is q\n\r> ");
	say("\x04");
	assert_true(fake_is_closed(client));
}

static void two_sessions_do_not_mix(void **state)
{
	struct stream *first = client;

	(void)state;
	log_in(KEY, "");
	client = fake_connect(PORT, PEER);
	take();
	log_in(KEY, "");
	say("word sec");
	fake_send(first, "word first\n", 11);
	take();
	assert_string_equal(got, "");
	say("ond\n");
	assert_string_equal(got, "2 words, the last is second\n> ");
	say("exit\n");
	assert_true(fake_is_closed(client));
	assert_false(fake_is_closed(first));
}

static void wrong(const char *line)
{
	fake_reset(); /* and a fresh brake */
	remote_service.start(&config);
	client = fake_connect(PORT, PEER);
	take();
	say(line);
	assert_string_equal(got, "wrong answer\n");
	assert_true(fake_is_closed(client));
}

static void wrong_answers(void **state)
{
	char text[200], answer[65];

	(void)state;
	wrong("\n");
	wrong("word a\n");
	wrong(KEY "\n");
	memset(text, '0', sizeof text);
	text[63] = '\n', text[64] = 0;
	wrong(text);
	memset(text, '0', sizeof text);
	text[64] = '\n', text[65] = 0;
	wrong(text);
	memset(text, '0', sizeof text);
	text[199] = 0; /* no end at all */
	wrong(text);
	assert_int_equal(net_counts.remote_wrong, 6);
	assert_int_equal(net_counts.remote_sessions, 0);
	assert_int_equal(trusted_runs + untrusted_runs, 0);
	/* Right digits and something behind, before, or one of them another. */
	for (unsigned i = 0; i < 4; i++) {
		fake_reset();
		remote_service.start(&config);
		client = fake_connect(PORT, PEER);
		take();
		make_answer(KEY, answer);
		if (i == 3)
			answer[5] = answer[5] == '0' ? '1' : '0';
		snprintf(text, sizeof text, "%s%s%s\n", i == 0 ? " " : "", answer, i == 1 ? " " : i == 2 ? " ECHO" : "");
		say(text);
		assert_string_equal(got, "wrong answer\n");
	}
}

static void wrong_key(void **state)
{
	(void)state;
	log_in("0123456789abcdeg", "");
	assert_string_equal(got, "wrong answer\n");
}

/* What was right for one connection is wrong for every other one. */
static void replay(void **state)
{
	char answer[65], line[80];

	(void)state;
	make_answer(KEY, answer);
	snprintf(line, sizeof line, "%s\n", answer);
	say(line);
	assert_memory_equal(got, "welcome", 7);
	connect_again();
	say(line);
	assert_string_equal(got, "wrong answer\n");
}

static uint64_t in_seconds(uint64_t n) { return rdtsc() + n * 1000 * tsc_khz; }

/* After a wrong answer nobody is heard for a while, also not who was there already. */
static void held_back(void **state)
{
	struct stream *early = fake_connect(PORT, "192.0.2.8"), *late;

	(void)state;
	say("0\n");
	late = fake_connect(PORT, "192.0.2.9");
	assert_non_null(late);
	client = late;
	take();
	assert_string_equal(got, "after a wrong answer the next one is taken in 2 seconds\n");
	assert_true(fake_is_closed(late));
	client = early;
	take();
	log_in(KEY, "");
	assert_string_equal(got, "after a wrong answer the next one is taken in 2 seconds\n");
	assert_int_equal(net_counts.remote_put_off, 2);
	assert_int_equal(net_counts.remote_sessions, 0);
}

static void the_brake(void **state)
{
	struct remote_brake b = { 0 };
	uint64_t now = 12345, second = 1000 * tsc_khz;
	unsigned wanted = 2;

	(void)state;
	assert_int_equal(remote_brake_left(&b, now), 0);
	for (unsigned i = 0; i < 20; i++) {
		remote_brake_judged(&b, false, now);
		assert_int_equal(remote_brake_left(&b, now), wanted);
		assert_int_equal(remote_brake_left(&b, now + 1), wanted);
		assert_int_equal(remote_brake_left(&b, now + wanted * second - 1), 1);
		assert_int_equal(remote_brake_left(&b, now + wanted * second), 0);
		now += wanted * second;
		wanted = wanted < 64 ? wanted * 2 : 64;
	}
	remote_brake_judged(&b, true, now);
	assert_int_equal(remote_brake_left(&b, now), 0);
	remote_brake_judged(&b, false, now);
	assert_int_equal(remote_brake_left(&b, now), 2);
}

/* Who says nothing, or too slowly, is gone after a while and frees the place; a session stays. */
static void late_answers(void **state)
{
	struct stream *session = client;

	(void)state;
	log_in(KEY, "");
	for (unsigned i = 1; i < REMOTE_SESSIONS; i++) {
		client = fake_connect(PORT, PEER);
		assert_non_null(client);
		fake_send(client, "0", 1);
	}
	assert_null(fake_connect(PORT, PEER));
	assert_true(remote_service.poll(rdtsc()) <= in_seconds(REMOTE_ANSWER_SECONDS));
	fake_settle();
	assert_int_equal(fake_open_count(), REMOTE_SESSIONS);
	assert_true(remote_service.poll(in_seconds(REMOTE_ANSWER_SECONDS + 1)) == NEVER);
	fake_settle();
	assert_int_equal(fake_open_count(), 1);
	assert_false(fake_is_closed(session));
	assert_int_equal(net_counts.remote_late, REMOTE_SESSIONS - 1);
	assert_non_null(fake_connect(PORT, PEER));
}

/* The answer may come in any pieces. */
static void byte_by_byte(void **state)
{
	char answer[65];

	(void)state;
	make_answer(KEY, answer);
	for (unsigned i = 0; i < 64; i++)
		assert_true(fake_send(client, &answer[i], 1));
	say("\n");
	assert_memory_equal(got, "welcome", 7);
}

static void much_output(void **state)
{
	(void)state;
	log_in(KEY, "");
	say("much\n");
	assert_non_null(strstr(got, "line 999\n> "));
	assert_memory_equal(got, "line 0\nline 1\n", 14);
	/* The next command waits until what the last one said is on its way; then all goes on, and the end comes last. */
	fake_send(client, "much\nword x\nexit\n", 17);
	assert_int_equal(trusted_runs, 0);
	assert_false(fake_is_closed(client));
	take();
	assert_int_equal(trusted_runs, 1);
	assert_non_null(strstr(got, "line 999\n> 2 words, the last is x\n> "));
	assert_true(fake_is_closed(client));
	assert_int_equal(net_counts.remote_dropped, 0);
}

/* What is kept for a client outlives `exit`, up to the last byte. */
static void the_end_waits_for_the_output(void **state)
{
	(void)state;
	log_in(KEY, "");
	fake_room = 10;
	fake_send(client, "help\n", 5);
	fake_send(client, "\x04", 1);
	take();
	assert_non_null(strstr(got, "end this session"));
	assert_string_equal(got + strlen(got) - 2, "> ");
	assert_true(fake_is_closed(client));
}

/* It is cut off after a while, and what it said afterwards is not carried out. Others do not notice. */
static void a_client_that_takes_nothing(void **state)
{
	struct stream *other;
	uint64_t deadline;

	(void)state;
	log_in(KEY, "");
	other = client;
	client = fake_connect(PORT, PEER);
	take();
	log_in(KEY, "");
	fake_send(client, "much\nword x\n", 12);
	deadline = remote_service.poll(rdtsc());
	assert_in_range(deadline, in_seconds(REMOTE_STALL_SECONDS - 2), in_seconds(REMOTE_STALL_SECONDS));
	fake_settle();
	assert_false(fake_is_closed(client));
	assert_true(fake_send(other, "word y\n", 7));
	assert_int_equal(trusted_runs, 1);
	assert_true(remote_service.poll(deadline) == NEVER);
	fake_settle();
	assert_true(fake_is_closed(client));
	assert_false(fake_is_closed(other));
	assert_int_equal(trusted_runs, 1);
	assert_int_equal(net_counts.remote_dropped, 1);
	assert_int_equal(net_counts.remote_late, 0);
}

/* Who takes some now and then stays. */
static void a_slow_client(void **state)
{
	char piece[1001];
	size_t len = 0;

	(void)state;
	log_in(KEY, "");
	fake_send(client, "much 3000\n", 10);
	for (unsigned i = 0; i < 200; i++) {
		size_t n = fake_take(client, piece, 1000);

		assert_true(len + n < sizeof got);
		memcpy(got + len, piece, n);
		len += n;
		remote_service.poll(in_seconds(REMOTE_STALL_SECONDS - 1));
		fake_settle();
		assert_false(fake_is_closed(client));
	}
	got[len] = 0;
	assert_string_equal(got + len - 12, "line 2999\n> ");
}

static void more_than_is_kept(void **state)
{
	(void)state;
	log_in(KEY, "");
	fake_send(client, "much 40000\nword x\n", 18);
	assert_true(fake_is_closed(client));
	assert_int_equal(net_counts.remote_dropped, 1);
	assert_int_equal(trusted_runs, 0);
	/* The place is a new one again. */
	client = fake_connect(PORT, PEER);
	take();
	log_in(KEY, "");
	say("much 10\n");
	assert_string_equal(strstr(got, "line 9"), "line 9\n> ");
}

/* Any lengths on both sides: what comes out is what went in, until something does not fit. */
static void any_output(void **state)
{
	static char kept[64], said[20000], came[20000];
	uint64_t chance = 1;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct outbox o;
		size_t in = 0, out = 0;

		outbox_init(&o, kept, sizeof kept);
		o.head = o.tail = UINT32_MAX - (uint32_t)(test_random(&chance) % 100); /* counters go round */
		fake_room = 16;
		take();
		for (unsigned step = 0; step < 200; step++) {
			size_t n = test_random(&chance) % 30;

			for (size_t i = 0; i < n; i++)
				said[in + i] = (char)('a' + (in + i) % 23);
			if (outbox_say(&o, client, said + in, n))
				in += n;
			o.full = false; /* a refusal leaves no trace */
			out += fake_take(client, came + out, test_random(&chance) % 40);
			outbox_move(&o, client);
		}
		while (out < in) {
			out += fake_take(client, came + out, 16);
			outbox_move(&o, client);
		}
		assert_true(outbox_empty(&o));
		assert_memory_equal(came, said, in);
	}
}

static void nonces_differ(void **state)
{
	static struct remote_challenge c[200];

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		remote_challenge_make(&c[i], KEY);
		assert_int_equal(strlen(c[i].nonce), 64);
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(c[i].nonce, c[k].nonce);
	}
}

/* What openssl says: printf 'gnomon monitor %064d' 7 | openssl dgst -sha256 -hmac 0123456789abcdef */
static void as_openssl_has_it(void **state)
{
	const char *answer = "a6a3621e734dc7c0eb12e0e2315a761179d1000e81d317f118cee5f19e94e0e0";
	struct remote_challenge c;

	(void)state;
	snprintf(c.nonce, sizeof c.nonce, "%064d", 7);
	assert_int_equal(remote_answer_judge(&c, KEY, answer, 64), REMOTE_RIGHT);
	snprintf(c.nonce, sizeof c.nonce, "%064d", 8);
	assert_int_equal(remote_answer_judge(&c, KEY, answer, 64), REMOTE_WRONG);
}

static void off_by_default(void **state)
{
	static struct config none;

	(void)state;
	fake_reset();
	remote_service.start(&none);
	assert_false(fake_listens(PORT));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_key_opens), TEST(with_echo), TEST(two_sessions_do_not_mix), TEST(wrong_answers), TEST(wrong_key),
		TEST(replay), TEST(held_back), TEST(the_brake), TEST(late_answers), TEST(byte_by_byte), TEST(much_output),
		TEST(the_end_waits_for_the_output), TEST(a_client_that_takes_nothing), TEST(a_slow_client),
		TEST(more_than_is_kept), TEST(any_output), TEST(nonces_differ), TEST(as_openssl_has_it), TEST(off_by_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
