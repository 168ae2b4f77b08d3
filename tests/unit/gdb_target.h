/*
 * A target for tests of gdb's protocol: three threads, a page of memory, breakpoints in a list; and a
 * conversation with it in strings.
 */
#ifndef TESTS_UNIT_GDB_TARGET_H
#define TESTS_UNIT_GDB_TARGET_H

#include "hv/debug.h"
#include "hv/gdb/protocol.h"

#define FAKE_THREADS 3
#define FAKE_BASE 0x1000ul
#define FAKE_SIZE 0x1000ul

struct fake {
	struct debug_regs regs[FAKE_THREADS];
	uint8_t memory[FAKE_SIZE];
	struct {
		bool used;
		enum gdb_break kind;
		uint64_t address, length;
	} breaks[8];
	bool running;    /* nothing but halt may be called */
	bool steps[GDB_MAX_THREADS], runs[GDB_MAX_THREADS];
	unsigned resumes, halts, detaches, kills;
	struct gdb_stop stop;
};

extern const struct gdb_target fake_target;

void fake_start(struct fake *f, struct gdb *g);
/* Sends bytes as they are; what came back, up to the next call. */
const char *fake_bytes(struct gdb *g, const void *bytes, size_t len);
/* Sends a packet of that text; the text of the reply, NULL: there was none. The reply's frame is checked. */
const char *fake_packet(struct gdb *g, const char *text);
/* The target stops; the text of the reply to that. */
const char *fake_stop(struct fake *f, struct gdb *g, enum gdb_why why, uint32_t thread, uint64_t address);

#endif
