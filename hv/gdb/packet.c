/* Framing of gdb's remote protocol. */
#include "hv/gdb/packet.h"

#include "hv/base/hex.h"

#define INTERRUPT 0x03
#define ESCAPE '}'
#define ESCAPE_BIT 0x20

bool gdb_hex_number(const char **text, uint64_t *value)
{
	const char *at = *text;

	*value = 0;
	for (; hex_digit(*at) >= 0; at++) {
		if (*value >> 60)
			return false;
		*value = *value << 4 | (uint64_t)hex_digit(*at);
	}
	if (at == *text)
		return false;
	*text = at;
	return true;
}

/* ---- in ---- */

static void begin(struct gdb_parser *p)
{
	p->state = GDB_TEXT;
	p->sum = 0;
	p->len = 0;
	p->escaped = p->too_long = p->bad_digit = false;
}

static enum gdb_input between(struct gdb_parser *p, uint8_t byte)
{
	switch (byte) {
	case '$':
		begin(p);
		return GDB_NOTHING;
	case '+':
		return GDB_ACK;
	case '-':
		return GDB_NAK;
	case INTERRUPT:
		return GDB_INTERRUPT;
	default:
		return GDB_NOTHING;
	}
}

static void add(struct gdb_parser *p, uint8_t byte)
{
	p->sum = (uint8_t)(p->sum + byte);
	if (byte == ESCAPE && !p->escaped) {
		p->escaped = true;
		return;
	}
	if (p->len == GDB_TEXT_MAX)
		p->too_long = true;
	else
		p->text[p->len++] = (char)(p->escaped ? byte ^ ESCAPE_BIT : byte);
	p->escaped = false;
}

static void in_text(struct gdb_parser *p, uint8_t byte)
{
	if (byte == '$') /* the end of the packet before was lost */
		begin(p);
	else if (byte == '#')
		p->state = GDB_SUM_HIGH;
	else
		add(p, byte);
}

static void sum_digit(struct gdb_parser *p, uint8_t byte)
{
	int digit = hex_digit((char)byte);

	p->bad_digit |= digit < 0;
	p->sent_sum = (uint8_t)(p->sent_sum << 4 | (digit & 15));
}

enum gdb_input gdb_parse(struct gdb_parser *p, uint8_t byte)
{
	switch (p->state) {
	case GDB_BETWEEN:
		return between(p, byte);
	case GDB_TEXT:
		in_text(p, byte);
		return GDB_NOTHING;
	case GDB_SUM_HIGH:
		p->sent_sum = 0;
		sum_digit(p, byte);
		p->state = GDB_SUM_LOW;
		return GDB_NOTHING;
	case GDB_SUM_LOW:
		sum_digit(p, byte);
		p->state = GDB_BETWEEN;
		p->text[p->len] = 0;
		return p->bad_digit || p->too_long || p->sum != p->sent_sum ? GDB_BROKEN : GDB_PACKET;
	}
	return GDB_NOTHING;
}

/* ---- out ---- */

static bool needs_escape(char c) { return c == '$' || c == '#' || c == ESCAPE || c == '*'; }

size_t gdb_frame(const char *text, size_t len, char *out)
{
	size_t at = 0;
	uint8_t sum = 0;

	out[at++] = '$';
	for (size_t i = 0; i < len; i++) {
		if (needs_escape(text[i]))
			out[at++] = ESCAPE;
		out[at++] = needs_escape(text[i]) ? (char)(text[i] ^ ESCAPE_BIT) : text[i];
	}
	for (size_t i = 1; i < at; i++)
		sum = (uint8_t)(sum + (uint8_t)out[i]);
	out[at++] = '#';
	hex_put(out + at, &sum, 1);
	return at + 2;
}
