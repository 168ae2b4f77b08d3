/* Text put together in a buffer of fixed size. */
#include "hv/net/text.h"

#include <string.h>

#include "hv/base/format.h"

#define MAX_DIGITS 20 /* of a uint64_t */
#define THIN_SPACE "&#8239;"

void text_bytes(struct text *t, const void *bytes, size_t n)
{
	size_t fits = min_u64(n, text_room(t));

	memcpy(t->at + t->len, bytes, fits);
	t->len += fits;
	t->cut |= fits < n;
}

void text_add(struct text *t, const char *s) { text_bytes(t, s, strlen(s)); }

/* Labels are written by it: most of what /metrics says. */
void text_char(struct text *t, char c)
{
	if (text_room(t))
		t->at[t->len++] = c;
	else
		t->cut = true;
}

/* The number's digits, the last one first; returns how many. */
static unsigned digits_of(uint64_t n, char digits[MAX_DIGITS])
{
	unsigned count = 0;

	do {
		digits[count++] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	return count;
}

void text_number(struct text *t, uint64_t n) { text_decimal(t, n, 0); }

void text_decimal(struct text *t, uint64_t n, unsigned decimals)
{
	char digits[MAX_DIGITS], out[MAX_DIGITS + 1];
	unsigned count = digits_of(n, digits), len = 0;

	while (count <= decimals)
		digits[count++] = '0';
	while (count > 0) {
		out[len++] = digits[--count];
		if (decimals && count == decimals)
			out[len++] = '.';
	}
	text_bytes(t, out, len);
}

void text_grouped(struct text *t, uint64_t n)
{
	char digits[MAX_DIGITS];
	unsigned count = digits_of(n, digits);

	while (count > 0) {
		text_char(t, digits[--count]);
		if (count && count % 3 == 0)
			text_add(t, THIN_SPACE);
	}
}

void text_printf(struct text *t, const char *fmt, ...)
{
	char line[400];
	va_list args;

	va_start(args, fmt);
	int len = vformat(line, sizeof(line), fmt, args);
	va_end(args);
	if (len > 0)
		text_bytes(t, line, min_u64((uint64_t)len, sizeof(line) - 1));
}

void text_html(struct text *t, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '<': text_add(t, "&lt;"); break;
		case '>': text_add(t, "&gt;"); break;
		case '&': text_add(t, "&amp;"); break;
		case '"': text_add(t, "&quot;"); break;
		case '\'': text_add(t, "&#39;"); break;
		default: text_char(t, (unsigned char)*s < ' ' || (unsigned char)*s >= 0x7f ? '?' : *s); break;
		}
	}
}

void text_label(struct text *t, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '\\': text_add(t, "\\\\"); break;
		case '"': text_add(t, "\\\""); break;
		case '\n': text_add(t, "\\n"); break;
		default: text_char(t, (unsigned char)*s < ' ' || (unsigned char)*s >= 0x7f ? '?' : *s); break;
		}
	}
}
