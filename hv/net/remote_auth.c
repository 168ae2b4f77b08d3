/* Challenge and response for the monitor over TCP. */
#include "hv/net/remote_auth.h"

#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/digest.h"
#include "hv/base/hex.h"
#include "hv/base/random.h"

#define BRAKE_MAX_SHIFT 6 /* 64 seconds */
#define ECHO_WORD " echo"

/* The count and the time of day, as far as the TSC has one, make it a new one; the key makes that unknown to others. */
void remote_challenge_make(struct remote_challenge *c, const char *key)
{
	static uint64_t count;
	struct {
		char what[16]; /* other digests under the key begin with other words */
		uint8_t random[SHA256_BYTES];
		uint64_t count, tsc;
	} from = { .what = "gnomon nonce", .count = ++count, .tsc = __builtin_ia32_rdtsc() };
	uint8_t nonce[SHA256_BYTES];

	random_bytes(from.random, sizeof from.random);
	hmac_sha256(key, strlen(key), &from, sizeof from, nonce);
	hex_put(c->nonce, nonce, sizeof nonce);
	c->nonce[2 * sizeof nonce] = 0;
}

/* No branch depends on where they differ. */
static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
	uint8_t difference = 0;

	for (size_t i = 0; i < n; i++) {
		difference |= a[i] ^ b[i];
		__asm__("" : "+r"(difference)); /* keeps the compiler from leaving the loop early */
	}
	return difference == 0;
}

enum remote_answer remote_answer_judge(const struct remote_challenge *c, const char *key, const char *line, size_t len)
{
	char text[sizeof(REMOTE_PREFIX) + REMOTE_NONCE_DIGITS] = REMOTE_PREFIX;
	uint8_t wanted[SHA256_BYTES], given[SHA256_BYTES];
	bool echo = len == REMOTE_NONCE_DIGITS + strlen(ECHO_WORD);

	if (len != REMOTE_NONCE_DIGITS && !echo)
		return REMOTE_WRONG;
	if (echo && memcmp(line + REMOTE_NONCE_DIGITS, ECHO_WORD, strlen(ECHO_WORD)) != 0)
		return REMOTE_WRONG;
	if (!hex_get(line, given, sizeof given))
		return REMOTE_WRONG;
	memcpy(text + strlen(REMOTE_PREFIX), c->nonce, REMOTE_NONCE_DIGITS);
	hmac_sha256(key, strlen(key), text, strlen(REMOTE_PREFIX) + REMOTE_NONCE_DIGITS, wanted);
	if (!same_bytes(wanted, given, sizeof wanted))
		return REMOTE_WRONG;
	return echo ? REMOTE_RIGHT_ECHO : REMOTE_RIGHT;
}

uint32_t remote_brake_left(const struct remote_brake *b, uint64_t now)
{
	uint64_t second = tsc_khz * 1000;

	return now >= b->until ? 0 : (uint32_t)((b->until - now + second - 1) / second);
}

void remote_brake_judged(struct remote_brake *b, bool right, uint64_t now)
{
	b->failures = right ? 0 : b->failures + (b->failures < BRAKE_MAX_SHIFT);
	b->until = right ? now : now + (tsc_khz * 1000 << b->failures);
}
