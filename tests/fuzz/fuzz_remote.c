/* sources: hv/net/remote.c hv/net/remote_auth.c hv/net/counts.c hv/base/digest.c hv/base/random.c hv/monitor/line.c hv/monitor/command.c hv/base/format.c tests/unit/fake_stream.c */
/*
 * Any bytes before the key is shown: nothing but the answer itself opens a session, and no command is carried out.
 */
#include "hv/net/remote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#undef fail

#include "hv/base/digest.h"
#include "hv/monitor/monitor.h"
#include "hv/net/counts.h"
#include "hv/net/remote_auth.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fake_stream.h"
#include "tests/unit/support/support.h"

#define KEY "0123456789abcdef"

static unsigned runs, right, wrong;
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

static const struct monitor_command commands[] = { { "vm", "", "", run }, { NULL, NULL, NULL, NULL } };

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

static void connect_and_say(const uint8_t *data, size_t len)
{
	static const struct config c = { .net_key = KEY, .monitor_port = { .number = 2323 } };
	struct stream *s;

	test_phys_init(MIB(1), 16 * PAGE_SIZE);
	fake_reset();
	remote_service.start(&c);
	s = fake_connect(2323, "192.0.2.7");
	assert_non_null(s);
	for (size_t at = 0, n; at < len && fake_send(s, data + at, n = min_u64(1 + fuzz_random(40), len - at)); at += n)
		;
	fake_hang_up(s);
	assert_int_equal(runs, 0);
	assert_int_equal(net_counts.remote_sessions, 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(any_answer), cmocka_unit_test(any_line) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
