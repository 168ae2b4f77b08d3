/*
 * Hexadecimal digits as numbers and bytes, read in either case and written in lower case. Pure.
 */
#ifndef HV_BASE_HEX_H
#define HV_BASE_HEX_H

#include "hv/base/types.h"

/* The value of a digit, or -1. */
static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Two digits for each of n bytes, low address first; no NUL. */
static inline void hex_put(char *out, const void *bytes, size_t n)
{
	const uint8_t *b = (const uint8_t *)bytes;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = "0123456789abcdef"[b[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[b[i] & 15];
	}
}

/* False: not 2 * n digits; bytes may then be written in part. */
static inline bool hex_get(const char *text, void *bytes, size_t n)
{
	uint8_t *b = (uint8_t *)bytes;

	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(text[2 * i]), low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (low < 0)
			return false;
		b[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

#endif
