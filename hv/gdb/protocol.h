/*
 * A conversation with gdb: packets in, what they ask of a target, replies out. All-stop, several threads, no
 * processes. Pure: the target is an interface, bytes come and go by calls. GDB manual, "Remote Protocol".
 */
#ifndef HV_GDB_PROTOCOL_H
#define HV_GDB_PROTOCOL_H

#include "hv/gdb/packet.h"

struct debug_regs;

#define GDB_MAX_THREADS 64

/* Kinds of breakpoints, as the Z packets number them. */
enum gdb_break { GDB_BREAK_SOFT, GDB_BREAK_HW, GDB_WATCH_WRITE, GDB_WATCH_READ, GDB_WATCH_ACCESS, GDB_BREAKS };

enum gdb_why { GDB_STOP_ASKED, GDB_STOP_STEP, GDB_STOP_SOFT, GDB_STOP_HW, GDB_STOP_WATCH_WRITE, GDB_STOP_WATCH_ACCESS };

struct gdb_stop {
	uint32_t thread;
	enum gdb_why why;
	uint64_t address; /* of a watchpoint */
};

/* Threads are numbered from 0 here. All but halt are called while the target stands still only. */
struct gdb_target {
	uint32_t (*threads)(void *ctx);
	/* A few words about a thread. */
	void (*describe)(void *ctx, uint32_t thread, char *text, size_t size);
	struct debug_regs *(*registers)(void *ctx, uint32_t thread);
	/* How many bytes from address on could be read or written. */
	size_t (*read)(void *ctx, uint32_t thread, uint64_t address, void *buf, size_t len);
	size_t (*write)(void *ctx, uint32_t thread, uint64_t address, const void *buf, size_t len);
	/* 0 or an errno; -ENOTSUP: no such kind. */
	int (*insert)(void *ctx, uint32_t thread, enum gdb_break kind, uint64_t address, uint64_t length);
	int (*remove)(void *ctx, enum gdb_break kind, uint64_t address, uint64_t length);
	/* One instruction of those in steps[], all of those in runs[]; gdb_stopped() says when that is over. */
	void (*resume)(void *ctx, const bool *steps, const bool *runs);
	/* Stops it; gdb_stopped() follows. */
	void (*halt)(void *ctx);
	/* Why it stopped; preferred: of several, the thread to be told of first. */
	void (*why)(void *ctx, uint32_t preferred, struct gdb_stop *stop);
	/* The debugger goes, the guest goes on. */
	void (*detach)(void *ctx);
	/* The guest is to stop for good. */
	void (*kill)(void *ctx);
};

struct gdb {
	const struct gdb_target *target;
	void *ctx;
	bool no_ack;       /* QStartNoAckMode */
	bool running;      /* a stop is owed */
	bool over;         /* nothing more is to be said: close when all has been sent */
	uint32_t selected; /* thread of Hg */
	uint32_t hc;       /* thread of Hc, or ALL */
	struct gdb_parser in;
	size_t reply_len;
	char reply[GDB_TEXT_MAX];
	size_t out_len, out_sent, last_len; /* bytes to be sent; the last packet, which gdb may ask for again */
	char out[GDB_FRAME_MAX + 2048]; /* the largest reply, and behind it a stop */
};

/* The target stands still. */
void gdb_start(struct gdb *g, const struct gdb_target *target, void *ctx);
/* One byte from gdb. Only while gdb_output() is empty, so that what it answers has room. */
void gdb_input(struct gdb *g, uint8_t byte);
/* The target stands still after resume or halt. */
void gdb_stopped(struct gdb *g);
/* The guest is gone; failed: not by its own will. text says why, for the user of gdb. */
void gdb_ended(struct gdb *g, bool failed, const char *text);
/* What is to be sent; gdb_sent() takes n bytes of it away. */
const char *gdb_output(const struct gdb *g, size_t *size);
void gdb_sent(struct gdb *g, size_t n);

#endif
