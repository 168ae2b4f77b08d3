/* A small generator for tests: the same numbers in every run. */
#ifndef TESTS_UNIT_SUPPORT_RANDOM_H
#define TESTS_UNIT_SUPPORT_RANDOM_H

#include <stdint.h>

/* xorshift64*, by Marsaglia and Vigna. *state must not be 0. */
static inline uint64_t test_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dul;
}

#endif
