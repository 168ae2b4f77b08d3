/*
 * The log's ring and its sinks. A record is a header and the finished line, prefix and line end
 * included; the oldest records make room for new ones.
 */
#include "hv/base/log.h"

#include <errno.h>
#include <string.h>

#include "hv/base/format.h"
#include "hv/base/spin.h"

#define RING_SIZE 131072u /* a power of two, so that positions may wrap */
#define MAX_TEXT LOG_TEXT_MAX
#define MAX_SINKS 4

static const char prefix[] = "gnomon: ";
#define PREFIX_LEN (sizeof prefix - 1)
#define MAX_LINE (PREFIX_LEN + MAX_TEXT + 2)

struct record {
	uint64_t tsc;
	uint16_t len;
	uint8_t level;
};

static char ring[RING_SIZE];
static uint64_t ring_first, ring_end; /* positions count all bytes ever written */
static uint64_t ring_number;          /* records overwritten: the number of the one at ring_first */
static struct spinlock lock = SPINLOCK_INIT;
static log_sink_fn sinks[MAX_SINKS];
static enum log_level max_level = LOG_INFO;

static void ring_write(uint64_t at, const void *data, size_t len)
{
	size_t first = min_u64(len, RING_SIZE - at % RING_SIZE);

	memcpy(ring + at % RING_SIZE, data, first);
	memcpy(ring, (const char *)data + first, len - first);
}

static void ring_read(uint64_t at, void *data, size_t len)
{
	size_t first = min_u64(len, RING_SIZE - at % RING_SIZE);

	memcpy(data, ring + at % RING_SIZE, first);
	memcpy((char *)data + first, ring, len - first);
}

static void ring_append(enum log_level level, const char *line, size_t len)
{
	struct record r = { .tsc = __builtin_ia32_rdtsc(), .len = (uint16_t)len, .level = (uint8_t)level }, old;

	while (ring_end + sizeof r + len - ring_first > RING_SIZE) {
		ring_read(ring_first, &old, sizeof old);
		ring_first += sizeof old + old.len;
		ring_number++;
	}
	ring_write(ring_end, &r, sizeof r);
	ring_write(ring_end + sizeof r, line, len);
	ring_end += sizeof r + len;
}

/* Guests' names and messages end up in lines: no control character reaches the operator's terminal. */
static void neutralise(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
			text[i] = '?';
}

static size_t build_line(char *line, const char *fmt, va_list args)
{
	size_t len;
	int wanted;

	memcpy(line, prefix, PREFIX_LEN);
	wanted = vformat(line + PREFIX_LEN, MAX_TEXT + 1, fmt, args);
	len = wanted < 0 ? 0 : min_u64((uint64_t)wanted, MAX_TEXT);
	neutralise(line + PREFIX_LEN, len);
	memcpy(line + PREFIX_LEN + len, "\r\n", 2);
	return PREFIX_LEN + len + 2;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	char line[MAX_LINE + 1];
	va_list args;
	size_t len;

	va_start(args, fmt);
	len = build_line(line, fmt, args);
	va_end(args);
	spin_lock(&lock);
	ring_append(level, line, len);
	for (unsigned i = 0; i < MAX_SINKS && sinks[i] && level <= max_level; i++)
		sinks[i](level, line, len);
	spin_unlock(&lock);
}

void log_set_level(enum log_level level) { max_level = level; }

/* Reads the record at *at into line and moves *at to the next; false at the end, and where the ring is damaged. */
static bool next_record(uint64_t *at, struct record *r, char *line)
{
	if (ring_end - *at > RING_SIZE || ring_end - *at < sizeof *r)
		return false;
	ring_read(*at, r, sizeof *r);
	if (r->len > MAX_LINE || ring_end - *at < sizeof *r + r->len)
		return false;
	ring_read(*at + sizeof *r, line, r->len);
	*at += sizeof *r + r->len;
	return true;
}

int log_add_sink(log_sink_fn sink)
{
	char line[MAX_LINE];
	uint64_t at;
	struct record r;
	unsigned i = 0;

	spin_lock(&lock);
	while (i < MAX_SINKS && sinks[i])
		i++;
	if (i < MAX_SINKS) {
		at = ring_first;
		while (next_record(&at, &r, line))
			if (r.level <= max_level)
				sink(r.level, line, r.len);
		sinks[i] = sink;
	}
	spin_unlock(&lock);
	return i < MAX_SINKS ? 0 : -ENOSPC;
}

/* The record that r stands at, or the oldest there is when that one has been overwritten. */
static bool next_for(struct log_reader *r, struct record *record, char *line)
{
	if (r->number < ring_number) {
		r->lost += ring_number - r->number;
		r->at = ring_first;
		r->number = ring_number;
	}
	if (!next_record(&r->at, record, line))
		return false;
	r->number++;
	return true;
}

bool log_next(struct log_reader *r, struct log_entry *e)
{
	char line[MAX_LINE];
	struct record record;
	bool found;

	spin_lock(&lock);
	do
		found = next_for(r, &record, line);
	while (found && record.level > max_level);
	spin_unlock(&lock);
	if (!found)
		return false;
	e->lost = r->lost;
	r->lost = 0;
	e->level = record.level;
	e->tsc = record.tsc;
	e->len = record.len - PREFIX_LEN - 2;
	memcpy(e->text, line + PREFIX_LEN, e->len);
	return true;
}

static void replay_from(uint64_t at, void (*each)(void *ctx, const char *line, size_t len), void *ctx)
{
	char line[MAX_LINE];
	struct record r;

	while (next_record(&at, &r, line))
		each(ctx, line, r.len);
}

void log_replay(void (*each)(void *ctx, const char *line, size_t len), void *ctx)
{
	replay_from(ring_first, each, ctx);
}

void log_replay_last(unsigned count, void (*each)(void *ctx, const char *line, size_t len), void *ctx)
{
	uint64_t first = ring_first, at = first;
	char line[MAX_LINE];
	struct record r;

	for (unsigned i = 0; next_record(&at, &r, line); i++)
		if (i >= count) {
			ring_read(first, &r, sizeof r);
			first += sizeof r + r.len;
		}
	replay_from(first, each, ctx);
}
