/*
 * The bitmap of units that are not accepted.
 */
#include "tdx/shim/lazy.h"

#include <string.h>

#define VERSION 1

static void mark(struct lazy *l, gpa_t start, gpa_t end)
{
	for (gpa_t at = start; at < end; at += LAZY_UNIT)
		l->table->bitmap[at / LAZY_UNIT / 8] |= 1 << at / LAZY_UNIT % 8;
}

static bool is_marked(const struct lazy *l, uint64_t unit)
{
	return unit / 8 < l->table->size && l->table->bitmap[unit / 8] >> unit % 8 & 1;
}

int lazy_need(struct lazy *l, gpa_t start, gpa_t end, struct failure *f)
{
	int err = 0;

	for (uint64_t unit = start / LAZY_UNIT; unit * LAZY_UNIT < end && !err; unit++) {
		if (!is_marked(l, unit))
			continue;
		err = accept_range(unit * LAZY_UNIT, (unit + 1) * LAZY_UNIT, l->counts, f);
		if (!err)
			l->table->bitmap[unit / 8] &= ~(1 << unit % 8);
	}
	return err;
}

/* The RAM's own pointer, once the memory behind it is accepted. */
static void *at(void *ctx, gpa_t gpa, uint64_t len)
{
	struct lazy *l = ctx;
	void *p = l->ram.at(l->ram.ctx, gpa, len);

	return p && !lazy_need(l, gpa, gpa + len, &l->failure) ? p : NULL;
}

int lazy_start(struct lazy *l, struct guest_mem *m, struct accept_counts *counts, gpa_t low_end, struct failure *f)
{
	gpa_t high_end = guest_high_ram_end(m->ram_size), end = high_end > GUEST_HIGH_RAM_BASE ? high_end : low_end;
	uint64_t size = align_up(end / LAZY_UNIT, 64) / 8; /* whole words, as the kernel reads it */
	void *table;

	if (size > LAZY_TABLE_END - LAZY_TABLE - sizeof(struct lazy_table))
		return fail(f, -E2BIG, "too much memory to be accepted lazily: %lu GiB", m->ram_size >> 30);
	table = m->at(m->ctx, LAZY_TABLE, sizeof(struct lazy_table) + size);
	if (!table)
		return fail(f, -ENOMEM, "no memory at %lxh", LAZY_TABLE);
	*l = (struct lazy){ .table = table, .ram = *m, .counts = counts };
	*l->table = (struct lazy_table){ .version = VERSION, .unit = LAZY_UNIT, .size = size };
	memset(l->table->bitmap, 0, size);
	mark(l, LAZY_UNIT, low_end);
	mark(l, GUEST_HIGH_RAM_BASE, align_down(high_end, LAZY_UNIT));
	m->ctx = l;
	m->at = at;
	return 0;
}
