/* sources: hv/base/digest.c */
/* The digests against published answers, and SHA-384 of awkward lengths against coreutils' sha384sum. */
#include "hv/base/digest.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/sha384sum.h"

static void to_hex(const uint8_t *bytes, size_t count, char *text)
{
	for (size_t i = 0; i < count; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
}

static void assert_hex(const uint8_t *bytes, size_t count, const char *expected)
{
	char text[129];

	to_hex(bytes, count, text);
	assert_string_equal(text, expected);
}

/* FIPS 180-4, "SHA-384 Example"; the last one is the digest of nothing. */
static void sha384_known_answers(void **state)
{
	static const struct { const char *text, *digest; } cases[] = {
		{ "abc", "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
			"8086072ba1e7cc2358baeca134c825a7" },
		{ "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
			"mnopqrstnopqrstu", "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712"
			"fcc7c71a557e2db966c3e9fa91746039" },
		{ "", "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da"
			"274edebfe76f65fbd51ad2f14898b95b" },
	};
	uint8_t digest[SHA384_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		sha384_of(cases[i].text, strlen(cases[i].text), digest);
		assert_hex(digest, sizeof(digest), cases[i].digest);
	}
}

/* Lengths about the block and the padding, added in pieces that cross blocks. */
static void sha384_in_pieces_as_sha384sum(void **state)
{
	static const size_t lengths[] = { 1, 111, 112, 127, 128, 129, 239, 240, 255, 256, 1000, 4096, 8193 };
	uint8_t data[8193], digest[SHA384_BYTES], expected[SHA384_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + (i >> 8));
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct sha384 sha;

		sha384_start(&sha);
		for (size_t at = 0; at < lengths[i]; at += 77)
			sha384_add(&sha, data + at, min_u64(77, lengths[i] - at));
		sha384_finish(&sha, digest);
		sha384sum(data, lengths[i], expected);
		assert_memory_equal(digest, expected, SHA384_BYTES);
	}
}

/* RFC 4231, test cases 1, 2 and 6: a short key, a text key, a key longer than a block. */
static void hmac_known_answers(void **state)
{
	uint8_t key[131], mac[SHA256_BYTES];

	(void)state;
	memset(key, 0x0b, 20);
	hmac_sha256(key, 20, "Hi There", 8, mac);
	assert_hex(mac, sizeof(mac), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
	assert_hex(mac, sizeof(mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	hmac_sha256(key, sizeof(key), "Test Using Larger Than Block-Size Key - Hash Key First", 54, mac);
	assert_hex(mac, sizeof(mac), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha384_known_answers),
		cmocka_unit_test(sha384_in_pieces_as_sha384sum),
		cmocka_unit_test(hmac_known_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
