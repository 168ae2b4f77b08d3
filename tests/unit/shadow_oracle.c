/*
 * What the guest's own tables say, now or at any time since a given one.
 * Bits are numbers here, as in the SDM's tables, so that no name is shared with the code under test.
 */
#include "tests/unit/shadow_oracle.h"

#include "hv/base/frame.h"

static bool bit(uint64_t v, uint32_t n) { return v >> n & 1; }

static uint64_t mask(uint32_t high, uint32_t low)
{
	return high < low ? 0 : (~0ul >> (63 - high)) & (~0ul << low);
}

enum guest_mode guest_mode(const struct guest_paging *g)
{
	if (!bit(g->cr0, 31))
		return MODE_NONE;
	if (!bit(g->cr4, 5))
		return MODE_32;
	if (!bit(g->efer, 10))
		return MODE_PAE;
	return bit(g->cr4, 12) ? MODE_5 : MODE_4;
}

bool guest_canonical(const struct guest_paging *g, gva_t gva)
{
	enum guest_mode mode = guest_mode(g);
	uint32_t unused = mode == MODE_5 ? 7 : 16;

	return mode < MODE_4 || (uint64_t)((int64_t)(gva << unused) >> unused) == gva;
}

gva_t guest_linear(const struct guest_paging *g, gva_t gva)
{
	return guest_mode(g) < MODE_4 ? gva & 0xffffffff : gva;
}

/* Protection keys belong to user pages of 4- and 5-level paging and never stop a fetch. */
static bool key_refuses(const struct guest_paging *g, uint32_t access, const struct rights *r, bool user)
{
	if (guest_mode(g) < MODE_4 || !bit(g->cr4, 22) || !r->user || (access & WALK_FETCH))
		return false;
	if (bit(g->pkru, 2 * r->pkey))
		return true;
	return (access & WALK_WRITE) && bit(g->pkru, 2 * r->pkey + 1) && (user || bit(g->cr0, 16));
}

static bool rights_suffice(const struct guest_paging *g, uint32_t access, const struct rights *r, bool user)
{
	bool no_exec = r->no_exec && bit(g->efer, 11) && guest_mode(g) >= MODE_PAE;

	if (user && !r->user)
		return false;
	if (access & WALK_FETCH)
		return !no_exec && (user || !r->user || !bit(g->cr4, 20));
	if (!user && r->user && bit(g->cr4, 21) && !bit(g->rflags, 18))
		return false;
	if (access & WALK_WRITE)
		return r->writable || (!user && !bit(g->cr0, 16));
	return true;
}

uint32_t rights_refuse(const struct guest_paging *g, uint32_t access, const struct rights *r)
{
	bool user = g->cpl == 3;

	if (guest_mode(g) == MODE_NONE)
		return 0;
	if (key_refuses(g, access, r, user))
		return 1 | 32;
	return rights_suffice(g, access, r, user) ? 0 : 1;
}

/* One mode's tables: level 1 is the lowest. */
struct shape {
	uint32_t levels, index_bits, bytes;
};
static const struct shape shapes[GUEST_MODES] = {
	[MODE_32] = { 2, 10, 4 }, [MODE_PAE] = { 2, 9, 8 }, [MODE_4] = { 4, 9, 8 }, [MODE_5] = { 5, 9, 8 },
};

static uint32_t shift_of(const struct shape *s, uint32_t level) { return 12 + s->index_bits * (level - 1); }

static bool maps_page(const struct guest_paging *g, uint32_t level, uint64_t e)
{
	if (level == 1)
		return true;
	if (!bit(e, 7))
		return false;
	if (level == 2)
		return guest_mode(g) != MODE_32 || bit(g->cr4, 4);
	return level == 3 && g->page_1g;
}

static bool breaks_format(const struct guest_paging *g, uint32_t level, uint64_t e)
{
	enum guest_mode mode = guest_mode(g);
	bool page = maps_page(g, level, e);

	if (mode == MODE_32) {
		uint32_t width = g->maxphyaddr < 40 ? g->maxphyaddr : 40;

		return level == 2 && page && (e & mask(21, width - 19));
	}
	if (e & mask(mode == MODE_PAE ? 62 : 51, g->maxphyaddr))
		return true;
	if (bit(e, 63) && !bit(g->efer, 11))
		return true;
	if (level >= 3 && bit(e, 7) && !page)
		return true;
	return page && level > 1 && (e & mask(12 + 9 * (level - 1) - 1, 13));
}

/* The address of the page or table, and of the byte when it is a page. */
static gpa_t address_in(const struct guest_paging *g, uint32_t level, uint64_t e, gva_t gva)
{
	const struct shape *s = &shapes[guest_mode(g)];
	uint64_t frame = e & mask(51, 12), low;

	if (!maps_page(g, level, e))
		return frame;
	low = mask(shift_of(s, level) - 1, 0);
	if (s->bytes == 4 && level == 2)
		return (e & 0xffc00000) | (e >> 13 & 0xff) << 32 | (gva & low);
	return (frame & ~low) | (gva & low);
}

static gpa_t first_table(const struct guest_paging *g, gva_t gva, bool *absent)
{
	*absent = false;
	switch (guest_mode(g)) {
	case MODE_32:
		return g->cr3 & mask(31, 12);
	case MODE_PAE:
		*absent = !bit(g->pdpte[gva >> 30 & 3], 0);
		return g->pdpte[gva >> 30 & 3] & mask(51, 12);
	default:
		return g->cr3 & mask(51, 12);
	}
}

static gpa_t entry_at(const struct shape *s, gpa_t table, uint32_t level, gva_t gva)
{
	return table + (gva >> shift_of(s, level) & mask(s->index_bits - 1, 0)) * s->bytes;
}

/* What the guest cannot write, the walk cannot either: it goes on without the flags. */
static bool is_rom(gpa_t gpa)
{
	const struct mem_slot *m = mem_slot_of(gpa);

	return m && m->readonly;
}

static struct rights rights_below(struct rights above, const struct shape *s, gpa_t at, uint64_t e)
{
	bool rom = is_rom(at);

	above.user = above.user && bit(e, 2);
	above.writable = above.writable && bit(e, 1);
	above.no_exec = above.no_exec || (s->bytes == 8 && bit(e, 63));
	above.flags_set = above.flags_set && (rom || bit(e, 5));
	above.dirty = rom || bit(e, 6);
	above.pkey = s->bytes == 8 ? e >> 59 & 15 : 0;
	return above;
}

static const struct rights all_rights = { .user = true, .writable = true, .flags_set = true, .dirty = true };

static void refuse(const struct guest_paging *g, uint32_t access, uint32_t why, struct oracle_walk *w)
{
	bool tells_fetch = bit(g->cr4, 20) || (bit(g->cr4, 5) && bit(g->efer, 11));

	w->ok = false;
	w->error = why | (access & WALK_WRITE ? 2 : 0) | (g->cpl == 3 ? 4 : 0) |
		   ((access & WALK_FETCH) && tells_fetch ? 16 : 0);
}

static uint64_t entry_now(const struct shape *s, gpa_t gpa, struct oracle_walk *w)
{
	hpa_t at = mem_hpa(gpa);

	w->entry[w->count] = gpa;
	w->word[w->count++] = at == HPA_NONE ? HPA_NONE : align_down(at, 8);
	return at == HPA_NONE ? mask(8 * s->bytes - 1, 0) : mem_read(at, s->bytes);
}

/* False when the tables end in a fault. */
static bool walk_tables(const struct guest_paging *g, gva_t gva, uint32_t access, struct oracle_walk *w)
{
	const struct shape *s = &shapes[guest_mode(g)];
	bool absent;
	gpa_t table = first_table(g, gva, &absent);

	for (uint32_t level = s->levels; !absent; level--) {
		uint64_t e = entry_now(s, entry_at(s, table, level, gva), w);

		if (!bit(e, 0))
			break;
		if (breaks_format(g, level, e)) {
			refuse(g, access, 1 | 8, w);
			return false;
		}
		w->rights = rights_below(w->rights, s, entry_at(s, table, level, gva), e);
		table = address_in(g, level, e, gva);
		w->shift = shift_of(s, level);
		if (maps_page(g, level, e)) {
			w->gpa = table;
			return true;
		}
	}
	refuse(g, access, 0, w);
	return false;
}

void oracle_walk(const struct guest_paging *g, gva_t gva, uint32_t access, struct oracle_walk *w)
{
	uint32_t why;

	*w = (struct oracle_walk){ .ok = true, .rights = all_rights, .shift = 12 };
	gva = guest_linear(g, gva);
	if (guest_mode(g) == MODE_NONE) {
		w->gpa = gva;
		return;
	}
	if (!walk_tables(g, gva, access, w))
		return;
	why = rights_refuse(g, access, &w->rights);
	if (why)
		refuse(g, access, why, w);
}

struct search {
	const struct guest_paging *g;
	const struct shape *s;
	gva_t gva;
	oracle_fn *good;
	void *ctx;
};

static bool search_table(const struct search *q, gpa_t table, uint32_t level, uint64_t since, struct rights above)
{
	struct mem_value values[MEM_VALUES] = { { .value = mask(8 * q->s->bytes - 1, 0), .from = since } };
	gpa_t entry = entry_at(q->s, table, level, q->gva);
	hpa_t at = mem_hpa(entry);
	uint32_t n = at == HPA_NONE ? 1 : mem_values(at, q->s->bytes, since, values);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t e = values[i].value, from = values[i].from > since ? values[i].from : since;
		struct rights r = rights_below(above, q->s, entry, e);
		gpa_t next;

		if (!bit(e, 0) || breaks_format(q->g, level, e))
			continue;
		next = address_in(q->g, level, e, q->gva);
		if (maps_page(q->g, level, e) ? q->good(q->ctx, next, &r)
					      : search_table(q, next, level - 1, from, r))
			return true;
	}
	return false;
}

bool oracle_since(const struct guest_paging *g, gva_t gva, uint64_t since, oracle_fn *good, void *ctx)
{
	struct search q = { g, &shapes[guest_mode(g)], guest_linear(g, gva), good, ctx };
	bool absent;
	gpa_t table;

	if (guest_mode(g) == MODE_NONE)
		return good(ctx, q.gva, &all_rights);
	table = first_table(g, q.gva, &absent);
	return !absent && search_table(&q, table, q.s->levels, since, all_rights);
}
