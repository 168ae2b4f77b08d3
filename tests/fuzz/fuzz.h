/*
 * Fuzzing by mutation: deterministic, so that a failure repeats. A fuzzer is a cmocka program in
 * tests/fuzz/fuzz_*.c that calls fuzz_run with its seeds; ASan and UBSan are the judges, besides
 * what the body asserts. FUZZ_ROUNDS in the environment asks for longer runs.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uint64_t fuzz_state = 0x9e3779b97f4a7c15u;

/* xorshift64: a new value below limit (1 or more). */
static inline uint64_t fuzz_random(uint64_t limit)
{
	fuzz_state ^= fuzz_state << 13;
	fuzz_state ^= fuzz_state >> 7;
	fuzz_state ^= fuzz_state << 17;
	return fuzz_state % limit;
}

/* One change to data: a bit, a byte, a telling number, a cut, or a piece copied elsewhere. Returns the new length. */
static inline size_t fuzz_mutate(uint8_t *data, size_t len)
{
	static const uint64_t telling[] = { 0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff,
		                            0x8000000000000000u, ~(uint64_t)0 };
	size_t at, from, n;

	if (len == 0)
		return 0;
	at = fuzz_random(len);
	switch (fuzz_random(5)) {
	case 0:
		data[at] ^= (uint8_t)(1u << fuzz_random(8));
		return len;
	case 1:
		data[at] = (uint8_t)fuzz_random(256);
		return len;
	case 2:
		n = (size_t)1 << fuzz_random(4);
		if (n > len - at)
			n = len - at;
		memcpy(data + at, &telling[fuzz_random(sizeof(telling) / sizeof(telling[0]))], n);
		return len;
	case 3:
		return fuzz_random(16) ? len : at;
	default:
		from = fuzz_random(len);
		n = fuzz_random(len - (at > from ? at : from)) + 1;
		memmove(data + at, data + from, n);
		return len;
	}
}

/* Calls body with mutations of the seed, each in a heap block of its exact size. */
static inline void fuzz_run(const void *seed, size_t len, unsigned rounds,
                            void (*body)(const uint8_t *data, size_t len))
{
	const char *wish = getenv("FUZZ_ROUNDS");

	if (wish)
		rounds = (unsigned)strtoul(wish, NULL, 0);
	for (unsigned round = 0; round < rounds; round++) {
		uint8_t *copy = malloc(len + 1), *exact;
		size_t now = len;

		memcpy(copy, seed, len);
		for (uint64_t changes = 1 + fuzz_random(8); changes; changes--)
			now = fuzz_mutate(copy, now);
		exact = malloc(now ? now : 1);
		memcpy(exact, copy, now);
		free(copy);
		body(exact, now);
		free(exact);
	}
}

#endif
