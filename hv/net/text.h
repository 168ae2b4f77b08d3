/*
 * Text put together in a buffer of fixed size: for answers that are made in pieces, without printf where many
 * numbers are written. What does not fit is left out and remembered in `cut`. Pure, no locks.
 */
#ifndef HV_NET_TEXT_H
#define HV_NET_TEXT_H

#include "hv/base/types.h"

struct text {
	char *at; /* never NUL-terminated */
	size_t size, len;
	bool cut;
};

static inline size_t text_room(const struct text *t) { return t->size - t->len; }

void text_bytes(struct text *t, const void *bytes, size_t n);
void text_add(struct text *t, const char *s);
void text_char(struct text *t, char c);
void text_number(struct text *t, uint64_t n);
/* n / 10^digits with all digits behind the point; digits up to 18. */
void text_decimal(struct text *t, uint64_t n, unsigned digits);
/* Digits in groups of three, for people: 12 345 678 with narrow spaces as HTML has them. */
void text_grouped(struct text *t, uint64_t n);
/* Longer than 400 bytes is cut. */
void text_printf(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* As text in HTML or as an attribute's value; control characters become '?'. */
void text_html(struct text *t, const char *s);
/* As a label's value in Prometheus' text format. */
void text_label(struct text *t, const char *s);

#endif
