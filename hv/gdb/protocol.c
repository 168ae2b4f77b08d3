/* Packets, one after the other, and those about registers, memory and breakpoints. */
#include "hv/gdb/protocol.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "hv/base/format.h"
#include "hv/base/hex.h"
#include "hv/gdb/registers.h"
#include "hv/gdb/reply.h"

/* Bytes that a reply of hexadecimal digits has room for. */
#define MEMORY_MAX (GDB_TEXT_MAX / 2)

/* ---- replies ---- */

void gdb_put_bytes(struct gdb *g, const void *bytes, size_t n)
{
	if (n > sizeof g->reply - g->reply_len)
		n = sizeof g->reply - g->reply_len;
	memcpy(g->reply + g->reply_len, bytes, n);
	g->reply_len += n;
}

void gdb_put(struct gdb *g, const char *fmt, ...)
{
	char text[160];
	va_list args;

	va_start(args, fmt);
	vformat(text, sizeof text, fmt, args);
	va_end(args);
	gdb_put_bytes(g, text, strlen(text));
}

void gdb_put_hex(struct gdb *g, const void *bytes, size_t n)
{
	if (n > (sizeof g->reply - g->reply_len) / 2)
		n = (sizeof g->reply - g->reply_len) / 2;
	hex_put(g->reply + g->reply_len, bytes, n);
	g->reply_len += 2 * n;
}

void gdb_put_error(struct gdb *g, int err) { gdb_put(g, "E%02x", (unsigned)-err & 0xff); }

/* What was to be sent before has been: gdb_input() is only called then, and a stop comes when gdb waits. */
void gdb_send_reply(struct gdb *g)
{
	size_t n;

	if (sizeof g->out - g->out_len < 2 * g->reply_len + 4)
		return;
	n = gdb_frame(g->reply, g->reply_len, g->out + g->out_len);
	g->last_len = g->reply_len;
	g->reply_len = 0;
	g->out_len += n;
}

static void put_byte(struct gdb *g, char byte)
{
	if (g->out_len < sizeof g->out)
		g->out[g->out_len++] = byte;
}

const char *gdb_output(const struct gdb *g, size_t *size)
{
	*size = g->out_len - g->out_sent;
	return g->out + g->out_sent;
}

void gdb_sent(struct gdb *g, size_t n)
{
	g->out_sent += n;
	if (g->out_sent == g->out_len)
		g->out_sent = g->out_len = 0;
}

/* ---- words of packets ---- */

bool gdb_begins(const char *text, const char *with, const char **rest)
{
	size_t n = strlen(with);

	if (strncmp(text, with, n) != 0)
		return false;
	*rest = text + n;
	return true;
}

static bool skip(const char **text, char c)
{
	if (**text != c)
		return false;
	++*text;
	return true;
}

bool gdb_thread(struct gdb *g, const char **text, uint32_t *thread)
{
	uint64_t id;

	if (gdb_begins(*text, "-1", text)) {
		*thread = GDB_ALL;
		return true;
	}
	if (!gdb_hex_number(text, &id) || id > g->target->threads(g->ctx))
		return false;
	*thread = id == 0 ? g->selected : (uint32_t)id - 1; /* 0: any */
	return true;
}

/* "address,length" and what must follow. */
static bool range(const char **text, uint64_t *address, uint64_t *length, char end)
{
	return gdb_hex_number(text, address) && skip(text, ',') && gdb_hex_number(text, length) &&
	       (end ? skip(text, end) : **text == 0);
}

/* ---- registers ---- */

static struct debug_regs *registers(struct gdb *g) { return g->target->registers(g->ctx, g->selected); }

static void read_all(struct gdb *g)
{
	uint8_t bytes[GDB_REGISTER_BYTES];

	for (unsigned n = 0; n < gdb_register_count(); n++) {
		gdb_register_get(registers(g), n, bytes);
		gdb_put_hex(g, bytes, gdb_register_size(n));
	}
}

/* A prefix will do: the rest stays. */
static void write_all(struct gdb *g, const char *text, size_t len)
{
	uint8_t bytes[GDB_REGISTER_BYTES];
	bool ok = true;

	for (unsigned n = 0; n < gdb_register_count() && len >= 2 * gdb_register_size(n); n++) {
		size_t size = gdb_register_size(n);

		ok &= hex_get(text, bytes, size) && gdb_register_set(registers(g), n, bytes);
		text += 2 * size;
		len -= 2 * size;
	}
	if (ok)
		gdb_put(g, "OK");
	else
		gdb_put_error(g, -EINVAL);
}

static void read_one(struct gdb *g, const char *text)
{
	uint8_t bytes[GDB_REGISTER_BYTES];
	uint64_t n;

	if (!gdb_hex_number(&text, &n) || *text || n >= gdb_register_count()) {
		gdb_put_error(g, -EINVAL);
		return;
	}
	gdb_register_get(registers(g), (unsigned)n, bytes);
	gdb_put_hex(g, bytes, gdb_register_size((unsigned)n));
}

static void write_one(struct gdb *g, const char *text)
{
	uint8_t bytes[GDB_REGISTER_BYTES];
	uint64_t n;

	if (gdb_hex_number(&text, &n) && skip(&text, '=') && n < gdb_register_count() &&
	    strlen(text) == 2 * gdb_register_size((unsigned)n) &&
	    hex_get(text, bytes, gdb_register_size((unsigned)n)) &&
	    gdb_register_set(registers(g), (unsigned)n, bytes))
		gdb_put(g, "OK");
	else
		gdb_put_error(g, -EINVAL);
}

/* ---- memory ---- */

static void read_memory(struct gdb *g, const char *text)
{
	uint8_t bytes[256];
	uint64_t address, length;
	size_t done = 0, n, got;

	if (!range(&text, &address, &length, 0)) {
		gdb_put_error(g, -EINVAL);
		return;
	}
	if (length > MEMORY_MAX)
		length = MEMORY_MAX; /* less than asked for is an answer */
	for (; done < length; done += got) {
		n = length - done < sizeof bytes ? length - done : sizeof bytes;
		got = g->target->read(g->ctx, g->selected, address + done, bytes, n);
		gdb_put_hex(g, bytes, got);
		if (got < n)
			break;
	}
	if (!g->reply_len && length)
		gdb_put_error(g, -EFAULT);
}

static void written(struct gdb *g, bool ok)
{
	if (ok)
		gdb_put(g, "OK");
	else
		gdb_put_error(g, -EFAULT);
}

static void write_hex(struct gdb *g, const char *text)
{
	uint64_t address, length;
	uint8_t bytes[256];
	size_t done = 0, n;

	if (!range(&text, &address, &length, ':') || strlen(text) != 2 * length) {
		gdb_put_error(g, -EINVAL);
		return;
	}
	for (; done < length; done += n) {
		n = length - done < sizeof bytes ? length - done : sizeof bytes;
		if (!hex_get(text + 2 * done, bytes, n) ||
		    g->target->write(g->ctx, g->selected, address + done, bytes, n) != n)
			break;
	}
	written(g, done == length);
}

static void write_binary(struct gdb *g, const char *text)
{
	const char *end = g->in.text + g->in.len;
	uint64_t address, length;

	if (!range(&text, &address, &length, ':') || (uint64_t)(end - text) != length) {
		gdb_put_error(g, -EINVAL);
		return;
	}
	written(g, g->target->write(g->ctx, g->selected, address, text, length) == length);
}

/* ---- breakpoints ---- */

static void breakpoint(struct gdb *g, const char *text, bool insert)
{
	uint64_t kind, address, length;
	int err = -EINVAL;

	if (gdb_hex_number(&text, &kind) && skip(&text, ',') && kind < GDB_BREAKS &&
	    range(&text, &address, &length, *text && strchr(text, ';') ? ';' : 0))
		err = insert ? g->target->insert(g->ctx, g->selected, (enum gdb_break)kind, address, length)
			     : g->target->remove(g->ctx, (enum gdb_break)kind, address, length);
	if (err == -ENOTSUP)
		return; /* an empty reply says so */
	if (err)
		gdb_put_error(g, err);
	else
		gdb_put(g, "OK");
}

/* ---- packets ---- */

static void select_thread(struct gdb *g, const char *text)
{
	char what = *text ? *text++ : 0;
	uint32_t thread;

	if ((what != 'g' && what != 'c') || !gdb_thread(g, &text, &thread) || *text) {
		gdb_put_error(g, -EINVAL);
		return;
	}
	if (what == 'c')
		g->hc = thread;
	else if (thread != GDB_ALL)
		g->selected = thread;
	gdb_put(g, "OK");
}

static void is_alive(struct gdb *g, const char *text)
{
	uint32_t thread;

	if (gdb_thread(g, &text, &thread) && !*text)
		gdb_put(g, "OK");
	else
		gdb_put_error(g, -EINVAL);
}

static void detach(struct gdb *g)
{
	g->target->detach(g->ctx);
	g->over = true;
	gdb_put(g, "OK");
}

static void kill(struct gdb *g, bool answer)
{
	g->target->kill(g->ctx);
	g->over = true;
	if (answer)
		gdb_put(g, "OK");
}

static void verbose(struct gdb *g, const char *text)
{
	const char *rest;

	if (gdb_begins(text, "Kill", &rest))
		kill(g, true);
	else if (gdb_begins(text, "Cont?", &rest))
		gdb_put(g, "vCont;c;C;s;S");
	else if (gdb_begins(text, "Cont", &rest))
		gdb_vcont(g, rest);
}

/* False: no reply, now or at all. */
static bool carry_out(struct gdb *g, const char *text)
{
	const char *rest = text + 1;

	switch (*text) {
	case '?': gdb_put_stop(g); break;
	case 'g': read_all(g); break;
	case 'G': write_all(g, rest, g->in.len - 1); break;
	case 'p': read_one(g, rest); break;
	case 'P': write_one(g, rest); break;
	case 'm': read_memory(g, rest); break;
	case 'M': write_hex(g, rest); break;
	case 'X': write_binary(g, rest); break;
	case 'Z': breakpoint(g, rest, true); break;
	case 'z': breakpoint(g, rest, false); break;
	case 'H': select_thread(g, rest); break;
	case 'T': is_alive(g, rest); break;
	case 'c': case 'C': case 's': case 'S': gdb_continue(g, text); break;
	case 'v': verbose(g, rest); break;
	case 'q': case 'Q': gdb_query(g, text); break;
	case 'D': detach(g); break;
	case 'k': kill(g, false); return false;
	default: break; /* an empty reply: not known */
	}
	return !g->running;
}

static void packet(struct gdb *g)
{
	if (!g->no_ack)
		put_byte(g, '+');
	if (g->over)
		return;
	if (g->running) { /* gdb waits for a stop and asks nothing */
		gdb_put_error(g, -EBUSY);
		gdb_send_reply(g);
		return;
	}
	if (carry_out(g, g->in.text))
		gdb_send_reply(g);
}

/* The last packet again. */
static void again(struct gdb *g)
{
	if (g->no_ack || !g->last_len)
		return;
	g->reply_len = g->last_len;
	gdb_send_reply(g);
}

void gdb_input(struct gdb *g, uint8_t byte)
{
	switch (gdb_parse(&g->in, byte)) {
	case GDB_PACKET:
		packet(g);
		break;
	case GDB_BROKEN:
		if (!g->no_ack)
			put_byte(g, '-');
		break;
	case GDB_NAK:
		again(g);
		break;
	case GDB_INTERRUPT:
		if (g->running)
			g->target->halt(g->ctx);
		break;
	case GDB_ACK:
	case GDB_NOTHING:
		break;
	}
}

void gdb_stopped(struct gdb *g)
{
	if (!g->running)
		return;
	g->running = false;
	gdb_put_stop(g);
	gdb_send_reply(g);
}

void gdb_ended(struct gdb *g, bool failed, const char *text)
{
	if (g->over)
		return;
	g->over = true;
	if (!g->running)
		return; /* gdb finds the connection closed at its next packet */
	g->running = false;
	gdb_put(g, "O");
	gdb_put_hex(g, text, strlen(text));
	gdb_put_hex(g, "\n", 1);
	gdb_send_reply(g);
	gdb_put(g, failed ? "X06" : "W00");
	gdb_send_reply(g);
}

void gdb_start(struct gdb *g, const struct gdb_target *target, void *ctx)
{
	memset(g, 0, sizeof *g);
	g->target = target;
	g->ctx = ctx;
	g->hc = GDB_ALL;
}
