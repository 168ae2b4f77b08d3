/* Packets that ask about the stub and the threads. */
#include <errno.h>
#include <string.h>

#include "hv/gdb/registers.h"
#include "hv/gdb/reply.h"

static void supported(struct gdb *g, const char *text)
{
	(void)text;
	gdb_put(g, "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+",
		GDB_TEXT_MAX);
}

/* The acknowledgement of this packet is the last: it is in the output already. */
static void no_ack(struct gdb *g, const char *text)
{
	(void)text;
	g->no_ack = true;
	gdb_put(g, "OK");
}

/* "offset,length" of target.xml: what there is from there on, and whether that is all. */
static void features(struct gdb *g, const char *text)
{
	uint64_t offset, length;
	const char *xml;
	size_t size;

	xml = gdb_target_xml(&size);
	if (!gdb_hex_number(&text, &offset) || *text++ != ',' || !gdb_hex_number(&text, &length) || *text ||
	    offset > size) {
		gdb_put_error(g, -EINVAL);
		return;
	}
	if (length > GDB_TEXT_MAX / 2) /* every byte may need an escape */
		length = GDB_TEXT_MAX / 2;
	if (length >= size - offset)
		length = size - offset;
	gdb_put(g, offset + length == size ? "l" : "m");
	gdb_put_bytes(g, xml + offset, length);
}

static void current(struct gdb *g, const char *text)
{
	(void)text;
	gdb_put(g, "QC%x", g->selected + 1);
}

static void threads(struct gdb *g, const char *text)
{
	(void)text;
	for (uint32_t i = 0; i < g->target->threads(g->ctx); i++)
		gdb_put(g, "%c%x", i ? ',' : 'm', i + 1);
}

static void no_more_threads(struct gdb *g, const char *text)
{
	(void)text;
	gdb_put(g, "l");
}

static void thread_words(struct gdb *g, const char *text)
{
	char words[100] = "";
	uint32_t thread;

	if (!gdb_thread(g, &text, &thread) || *text || thread == GDB_ALL) {
		gdb_put_error(g, -EINVAL);
		return;
	}
	g->target->describe(g->ctx, thread, words, sizeof words);
	gdb_put_hex(g, words, strlen(words));
}

/* The guest was there before gdb was: gdb leaves it running when it ends. */
static void attached(struct gdb *g, const char *text)
{
	(void)text;
	gdb_put(g, "1");
}

void gdb_query(struct gdb *g, const char *text)
{
	static const struct {
		const char *name;
		void (*answer)(struct gdb *g, const char *text);
	} queries[] = {
		{ "qSupported", supported },
		{ "QStartNoAckMode", no_ack },
		{ "qXfer:features:read:target.xml:", features },
		{ "qThreadExtraInfo,", thread_words },
		{ "qfThreadInfo", threads },
		{ "qsThreadInfo", no_more_threads },
		{ "qAttached", attached },
	};
	const char *rest;

	if (strcmp(text, "qC") == 0) {
		current(g, text);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(queries); i++)
		if (gdb_begins(text, queries[i].name, &rest)) {
			queries[i].answer(g, rest);
			return;
		}
}
