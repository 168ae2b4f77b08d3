/* The target, and the other end of the line. */
#include "tests/unit/gdb_target.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/hex.h"

static struct fake *still(void *ctx)
{
	struct fake *f = ctx;

	assert_false(f->running);
	return f;
}

static uint32_t threads(void *ctx)
{
	(void)ctx;
	return FAKE_THREADS;
}

static void describe(void *ctx, uint32_t thread, char *text, size_t size)
{
	assert_true(thread < FAKE_THREADS);
	still(ctx);
	snprintf(text, size, "thread %u", thread);
}

static struct debug_regs *registers(void *ctx, uint32_t thread)
{
	assert_true(thread < FAKE_THREADS);
	return &still(ctx)->regs[thread];
}

static size_t available(uint64_t address, size_t len)
{
	if (address - FAKE_BASE >= FAKE_SIZE)
		return 0;
	return len < FAKE_SIZE - (address - FAKE_BASE) ? len : FAKE_SIZE - (address - FAKE_BASE);
}

static size_t read(void *ctx, uint32_t thread, uint64_t address, void *buf, size_t len)
{
	assert_true(thread < FAKE_THREADS);
	len = available(address, len);
	if (len)
		memcpy(buf, still(ctx)->memory + (address - FAKE_BASE), len);
	return len;
}

static size_t write(void *ctx, uint32_t thread, uint64_t address, const void *buf, size_t len)
{
	assert_true(thread < FAKE_THREADS);
	len = available(address, len);
	if (len)
		memcpy(still(ctx)->memory + (address - FAKE_BASE), buf, len);
	return len;
}

static int insert(void *ctx, uint32_t thread, enum gdb_break kind, uint64_t address, uint64_t length)
{
	struct fake *f = still(ctx);

	assert_true(thread < FAKE_THREADS && kind < GDB_BREAKS);
	if (kind == GDB_WATCH_READ)
		return -ENOTSUP;
	for (size_t i = 0; i < ARRAY_LEN(f->breaks); i++)
		if (!f->breaks[i].used) {
			f->breaks[i].used = true;
			f->breaks[i].kind = kind;
			f->breaks[i].address = address;
			f->breaks[i].length = length;
			return 0;
		}
	return -ENOSPC;
}

static int remove_break(void *ctx, enum gdb_break kind, uint64_t address, uint64_t length)
{
	struct fake *f = still(ctx);

	for (size_t i = 0; i < ARRAY_LEN(f->breaks); i++)
		if (f->breaks[i].used && f->breaks[i].kind == kind && f->breaks[i].address == address &&
		    f->breaks[i].length == length) {
			f->breaks[i].used = false;
			return 0;
		}
	return -ENOENT;
}

static void resume(void *ctx, const bool *steps, const bool *runs)
{
	struct fake *f = still(ctx);
	bool any = false;

	memcpy(f->steps, steps, sizeof f->steps);
	memcpy(f->runs, runs, sizeof f->runs);
	for (unsigned i = 0; i < GDB_MAX_THREADS; i++) {
		assert_false(steps[i] && runs[i]);
		assert_true(i < FAKE_THREADS || (!steps[i] && !runs[i]));
		any |= steps[i] || runs[i];
	}
	assert_true(any);
	f->running = true;
	f->resumes++;
}

static void halt(void *ctx) { ((struct fake *)ctx)->halts++; }

static void why(void *ctx, uint32_t preferred, struct gdb_stop *stop)
{
	assert_true(preferred < FAKE_THREADS);
	*stop = still(ctx)->stop;
}

static void detach(void *ctx) { still(ctx)->detaches++; }

static void kill(void *ctx) { still(ctx)->kills++; }

const struct gdb_target fake_target = { threads, describe, registers, read, write, insert, remove_break, resume,
					halt, why, detach, kill };

/* ---- the other end ---- */

static char out[3 * GDB_FRAME_MAX];

void fake_start(struct fake *f, struct gdb *g)
{
	memset(f, 0, sizeof *f);
	gdb_start(g, &fake_target, f);
}

/* A few bytes at a time, as a network would take them. */
static void drain(struct gdb *g)
{
	size_t at = strlen(out), size, n;

	for (;;) {
		const char *bytes = gdb_output(g, &size);

		if (!size)
			break;
		n = size < 7 ? size : 7;
		assert_true(at + n < sizeof out);
		memcpy(out + at, bytes, n);
		at += n;
		gdb_sent(g, n);
	}
	out[at] = 0;
}

const char *fake_bytes(struct gdb *g, const void *bytes, size_t len)
{
	out[0] = 0;
	for (size_t i = 0; i < len; i++) {
		gdb_input(g, ((const uint8_t *)bytes)[i]);
		drain(g);
	}
	return out;
}

/* The text of the first packet in out, in place. */
static const char *text_of(char *bytes)
{
	char *begin = strchr(bytes, '$'), *end, *to;
	uint8_t sum = 0, said;

	if (!begin)
		return NULL;
	end = strchr(++begin, '#');
	assert_non_null(end);
	for (char *p = begin; p < end; p++)
		sum = (uint8_t)(sum + (uint8_t)*p);
	assert_true(hex_get(end + 1, &said, 1));
	assert_int_equal(sum, said);
	to = begin;
	for (char *p = begin; p < end; p++)
		*to++ = *p == '}' ? (char)(*++p ^ 0x20) : *p;
	*to = 0;
	return begin;
}

const char *fake_packet(struct gdb *g, const char *text)
{
	static char frame[GDB_FRAME_MAX];
	size_t n = gdb_frame(text, strlen(text), frame);

	fake_bytes(g, frame, n);
	if (!g->no_ack)
		assert_int_equal(out[0], '+');
	return text_of(out);
}

const char *fake_stop(struct fake *f, struct gdb *g, enum gdb_why reason, uint32_t thread, uint64_t address)
{
	out[0] = 0;
	f->running = false;
	f->stop = (struct gdb_stop){ thread, reason, address };
	gdb_stopped(g);
	drain(g);
	return text_of(out);
}
