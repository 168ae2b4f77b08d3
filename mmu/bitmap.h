/*
 * Arithmetic on words of bitmaps. Plain accesses: who may change them meanwhile is the user's affair.
 */
#ifndef MMU_BITMAP_H
#define MMU_BITMAP_H

#include "hv/base/types.h"

#define WORD_BITS 64

/* The bits of word n of a bitmap that stand for numbers of [first, end), which the word has some of. */
static inline uint64_t bitmap_mask(uint64_t n, uint64_t first, uint64_t end)
{
	uint64_t low = n * WORD_BITS < first ? first % WORD_BITS : 0;
	uint64_t high = (n + 1) * WORD_BITS > end ? (end - 1) % WORD_BITS : WORD_BITS - 1;

	return BITS(high, low);
}

/* Bits that are set. By hand: POPCNT is no part of every x86-64, and libgcc is not linked. */
static inline uint32_t bitmap_weight(uint64_t word)
{
	word -= word >> 1 & 0x5555555555555555u;
	word = (word & 0x3333333333333333u) + (word >> 2 & 0x3333333333333333u);
	word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
	return (uint32_t)(word * 0x0101010101010101u >> 56);
}

#endif
