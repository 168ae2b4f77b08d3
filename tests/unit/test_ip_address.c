/* sources: hv/base/ip_address.c hv/base/format.c */
#include "hv/base/ip_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "tests/unit/support/random.h"

static uint64_t random_below(uint64_t *seed, uint64_t n) { return test_random(seed) % n; }

static bool parse(struct ip_address *a, const char *text) { return ip_address_parse(a, text, strlen(text)); }

/* What the C library says of the same text. */
static enum ip_version judge(const char *text, uint8_t bytes[16])
{
	if (inet_pton(AF_INET, text, bytes) == 1)
		return IP_V4;
	return inet_pton(AF_INET6, text, bytes) == 1 ? IP_V6 : IP_NONE;
}

static void compare(const char *text)
{
	struct ip_address a = { 0 };
	uint8_t bytes[16];
	enum ip_version version = judge(text, bytes);

	if (parse(&a, text) != (version != IP_NONE))
		fail_msg("\"%s\"", text);
	assert_int_equal(a.version, version);
	if (version != IP_NONE)
		assert_memory_equal(a.bytes, bytes, version == IP_V4 ? 4 : 16);
}

static void test_texts(void **state)
{
	static const char *const texts[] = {
		"", "1", "1.2.3.4", "1.2.3", "1.2.3.4.", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "0.0.0.0", "1..2.3", " 1.2.3.4",
		"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7", "1::2::3", ":1::2", "1::2:", ":",
		":::", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "::1:2:3:4:5:6:7:8", "fe80::aB", "12345::", "g::", "::1.2.3.4",
		"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:1", "::1.2.3", "::256.1.1.1", "1:", "1:2", "::1:",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		compare(texts[i]);
}

static void test_random_texts(void **state)
{
	uint64_t seed = 7;
	char text[24];

	(void)state;
	for (int round = 0; round < 300000; round++) {
		size_t len = random_below(&seed, sizeof(text));

		for (size_t i = 0; i < len; i++)
			text[i] = "::::..011fF2"[random_below(&seed, 12)];
		text[len] = 0;
		compare(text);
	}
}

/* Back to the same text as the C library's, which follows RFC 5952 but for IPv4 in the last groups. */
static void test_to_text(void **state)
{
	uint64_t seed = 8;

	(void)state;
	for (int round = 0; round < 100000; round++) {
		struct ip_address a = { .version = round & 1 ? IP_V4 : IP_V6 }, back;
		char text[IP_ADDRESS_TEXT], expected[64];

		for (int i = 0; i < 16; i++)
			a.bytes[i] = random_below(&seed, 3) ? 0 : (uint8_t)random_below(&seed, 256);
		a.bytes[0] |= 1;
		inet_ntop(a.version == IP_V4 ? AF_INET : AF_INET6, a.bytes, expected, sizeof(expected));
		assert_int_equal(ip_address_text(&a, text), strlen(expected));
		assert_string_equal(text, expected);
		assert_true(parse(&back, text));
		assert_true(ip_address_equal(&a, &back));
		back.bytes[a.version == IP_V4 ? 3 : 15] ^= 1;
		assert_false(ip_address_equal(&a, &back));
	}
}

static void test_none(void **state)
{
	struct ip_address none = { 0 }, a;
	char text[IP_ADDRESS_TEXT];

	(void)state;
	ip_address_text(&none, text);
	assert_string_equal(text, "none");
	assert_true(parse(&a, "1.2.3.4"));
	assert_false(ip_address_equal(&none, &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts), cmocka_unit_test(test_random_texts), cmocka_unit_test(test_to_text),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
