/*
 * Packets of gdb's remote protocol: $text#checksum, acknowledgements, escapes, the interrupt byte. Pure.
 * GDB manual, "Remote Protocol": "Overview", "Packet Acknowledgment", "Interrupts".
 */
#ifndef HV_GDB_PACKET_H
#define HV_GDB_PACKET_H

#include "hv/base/types.h"

#define GDB_TEXT_MAX 4096 /* bytes of a packet's text, with its escapes: what qSupported tells */

enum gdb_input {
	GDB_NOTHING,   /* more is needed */
	GDB_PACKET,    /* text[0..len) is one, without escapes, with a NUL behind it */
	GDB_BROKEN,    /* a packet too long, or with a wrong checksum */
	GDB_ACK,
	GDB_NAK,
	GDB_INTERRUPT,
};

struct gdb_parser {
	enum { GDB_BETWEEN, GDB_TEXT, GDB_SUM_HIGH, GDB_SUM_LOW } state;
	uint8_t sum, sent_sum;
	bool escaped, too_long, bad_digit;
	size_t len;
	char text[GDB_TEXT_MAX + 1];
};

/* One byte of what gdb sends. A zeroed parser is ready. */
enum gdb_input gdb_parse(struct gdb_parser *p, uint8_t byte);

#define GDB_FRAME_MAX (2 * GDB_TEXT_MAX + 4)
/* The packet with that text; out has GDB_FRAME_MAX bytes, len is at most GDB_TEXT_MAX. Returns its size. */
size_t gdb_frame(const char *text, size_t len, char *out);

/* A number of digits, most significant first, *text moved behind it. False: no digit there, or too many. */
bool gdb_hex_number(const char **text, uint64_t *value);

#endif
