/*
 * Guest page tables for every paging mode, made at random.
 */
#include "tests/unit/shadow_build.h"

#include <string.h>

#include "hv/base/frame.h"
#include "hv/base/phys.h"

#define LEAF TABLE_KINDS

static const struct kind {
	enum table_kind below;
	uint8_t count; /* of tables in the pool */
	uint8_t large; /* one in so many entries maps a page; 0: none can */
	uint8_t bytes; /* of an entry */
	uint8_t indices;
	uint16_t index[8];
} kinds[TABLE_KINDS] = {
	[PT_32] = { LEAF, 4, 1, 4, 7, { 0, 1, 2, 8, 511, 512, 1023 } },
	[PD_32] = { PT_32, 3, 8, 4, 5, { 0, 1, 511, 512, 1023 } },
	[LEVEL_1] = { LEAF, 9, 1, 8, 7, { 0, 1, 2, 3, 8, 9, 511 } },
	[LEVEL_2] = { LEVEL_1, 5, 8, 8, 3, { 0, 1, 511 } },
	[LEVEL_3] = { LEVEL_2, 4, 12, 8, 4, { 0, 1, 2, 3 } },
	[LEVEL_4] = { LEVEL_3, 3, 0, 8, 4, { 0, 1, 256, 511 } },
	[LEVEL_5] = { LEVEL_4, 2, 0, 8, 3, { 0, 256, 511 } },
	[PDPT_PAE] = { LEVEL_2, 2, 0, 8, 8, { 0, 1, 2, 3, 4, 5, 6, 7 } },
};

/* Slots at awkward places. Offsets are into RAM, which starts at a multiple of 1 GiB. */
static const struct {
	gfn_t gfn;
	uint64_t npages, offset;
	bool readonly;
} places[] = {
	{ 0x200, 0x400, 0x200000, false },             /* two large frames */
	{ 0x10, 0x90, 0x10000, false },                /* part of one */
	{ 0x613, 0x2ed, 0x805000, false },             /* not congruent with its host frames */
	{ 0x980, 1, 0xc00000, false },
	{ 0xa05, 3, 0xc10000, true },
	{ 0x1000, 0x200, 0x200000, false },            /* the first slot's frames again, congruent */
	{ 0x1407, 0x1f0, 0x208000, false },            /* and once more, not congruent */
	{ 0x2e07, 0xa00, 0xe07000, false },            /* misaligned, but congruent */
	{ 0x40000, 0x40205, GIB(1), false },           /* a frame of 1 GiB and a bit */
	{ 0xffff0, 0x10, 0xd00000, false },            /* the end of 32-bit space */
	{ 0x100003, 0x50, GIB(3), false },             /* beyond it */
};

/* Where entries point: near these. Some are no memory. */
static const gfn_t hot[] = {
	0x20, 0x210, 0x3ff, 0x400, 0x5fc, 0x613, 0x7fe, 0x8ff, 0x980, 0xa05, 0x1010, 0x1410, 0x40000, 0x401fe,
	0x2e07, 0x3001, 0x31fe, 0x7ffff, 0x80100, 0xffff0, 0x100003, 0xb00, 0xfee00, 0xfec00,
};

struct table tables[TABLES];
static uint32_t maxphyaddr;
static bool alias_slots;

/* The slot of that place, which may have been moved; NULL: it is not there. */
static const struct mem_slot *slot_of_place(size_t place)
{
	for (uint32_t i = 0; i < mem_slot_count; i++)
		if (mem_slots[i].hpa == MEM_RAM_HPA + places[place].offset && mem_slots[i].npages == places[place].npages)
			return &mem_slots[i];
	return NULL;
}

/* No slot has any of those gfns. */
static bool is_free(gfn_t gfn, uint64_t npages)
{
	for (uint32_t i = 0; i < mem_slot_count; i++)
		if (gfn < mem_slots[i].gfn + mem_slots[i].npages && mem_slots[i].gfn < gfn + npages)
			return false;
	return true;
}

/* Of frames that a place before it has. */
static bool is_alias(size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (places[i].offset < places[k].offset + (places[k].npages << PAGE_SHIFT) &&
		    places[k].offset < places[i].offset + (places[i].npages << PAGE_SHIFT))
			return true;
	return false;
}

/* By a page, so that nothing is congruent any more, by a large page, or home. */
static void move_slot(const struct mem_slot *s, size_t place)
{
	static const gfn_t distances[] = { 1, 7, 0x200, 0x100000 };
	gfn_t by = distances[rnd(ARRAY_LEN(distances))];

	guest_slot_move(s->gfn, rnd(3) == 0 ? places[place].gfn : rnd(2) && s->gfn > by ? s->gfn - by : s->gfn + by);
}

void build_change_slots(void)
{
	size_t i = rnd(ARRAY_LEN(places));
	const struct mem_slot *s = slot_of_place(i);
	uint32_t how = (uint32_t)rnd(5);

	if (s && how == 0)
		move_slot(s, i);
	else if (s && how == 1)
		guest_slot_flags(s->gfn, !s->readonly);
	else if (s && how == 2)
		guest_attributes(s->gfn, s->npages, true);
	else if (s)
		guest_slot_delete(s->gfn);
	else if ((alias_slots || !is_alias(i)) && is_free(places[i].gfn, places[i].npages))
		guest_slot_add(places[i].gfn, places[i].npages, places[i].offset, places[i].readonly);
}

static bool taken(gfn_t gfn, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (tables[i].gfn == gfn)
			return true;
	return false;
}

/* Near the one before, so that tables cluster, or anywhere in writable memory that an entry can name. */
static gfn_t place_table(enum table_kind kind, uint32_t n, bool aliased)
{
	gfn_t limit = kinds[kind].bytes == 4 || kind == PDPT_PAE ? BIT(20) : BIT(40);

	for (;;) {
		const struct mem_slot *s = &mem_slots[rnd(mem_slot_count)];
		gfn_t any = s->gfn + rnd(s->npages), near = n ? tables[n - 1].gfn + 1 : any;
		gfn_t gfn = rnd(2) ? near : rnd(3) ? any : align_down(any, 512); /* where a large page can be too */
		const struct mem_slot *in = mem_slot_of(gfn << PAGE_SHIFT);

		if (in && !in->readonly && gfn < limit && !taken(gfn, n) &&
		    (aliased || !mem_aliased(mem_hpa(gfn << PAGE_SHIFT))))
			return gfn;
	}
}

uint32_t table_entry_bytes(const struct table *t) { return kinds[t->kind].bytes; }

uint32_t table_index(const struct table *t) { return kinds[t->kind].index[rnd(kinds[t->kind].indices)]; }

gpa_t table_gpa(const struct table *t, uint32_t index)
{
	return (t->gfn << PAGE_SHIFT) + index * table_entry_bytes(t);
}

const struct table *table_random(void) { return &tables[rnd(TABLES)]; }

const struct table *table_at(gpa_t gpa)
{
	for (uint32_t i = 0; i < TABLES; i++)
		if (tables[i].gfn == gpa >> PAGE_SHIFT)
			return &tables[i];
	return NULL;
}

const struct table *table_of_kind(enum table_kind kind)
{
	for (;;) {
		const struct table *t = table_random();

		if (t->kind == kind)
			return t;
	}
}

static bool often(uint32_t percent) { return rnd(100) < percent; }

gfn_t build_gfn(void)
{
	if (often(4))
		return rnd(BIT(maxphyaddr - PAGE_SHIFT));
	return often(25) ? table_random()->gfn : hot[rnd(ARRAY_LEN(hot))] + rnd(3);
}

gfn_t build_alias(gfn_t gfn)
{
	const struct mem_slot *other = &mem_slots[rnd(mem_slot_count)];
	uint64_t offset = mem_hpa(gfn << PAGE_SHIFT) - other->hpa;

	if (mem_hpa(gfn << PAGE_SHIFT) == HPA_NONE || offset >= other->npages << PAGE_SHIFT)
		return gfn;
	return other->gfn + (offset >> PAGE_SHIFT);
}

static uint64_t keys_and_nx(void)
{
	static const uint64_t keys[] = { 0, 0, 0, 0, 1, 2, 15 };

	return keys[rnd(ARRAY_LEN(keys))] << 59 | (often(15) ? BIT(63) : 0);
}

static uint64_t surprise(uint32_t bytes)
{
	uint64_t bit = often(50) ? 12 + rnd(20) : maxphyaddr - 1 + rnd(14);

	return bytes == 4 ? BIT(12 + rnd(20)) : BIT(bit % 63);
}

static uint64_t leaf_entry(enum table_kind kind)
{
	uint32_t level = kind == LEVEL_3 ? 3 : kind == LEVEL_2 || kind == PD_32 ? 2 : 1;
	uint32_t shift = kind == PD_32 ? 10 : 9 * (level - 1);
	uint64_t e = build_gfn() >> shift << (shift + PAGE_SHIFT);

	e |= (often(92) ? 1 : 0) | (often(75) ? 2 : 0) | (often(70) ? 4 : 0) | (often(90) ? 0x20 : 0);
	e |= (often(75) ? 0x40 : 0) | (level > 1 ? 0x80 : 0) | (often(20) ? 0x100 : 0);
	if (often(10))
		e |= rnd(4) << 3 | rnd(8) << 9;
	return kinds[kind].bytes == 8 ? e | keys_and_nx() : (uint32_t)e;
}

static uint64_t link_entry(enum table_kind kind)
{
	const struct table *t = often(93) ? table_of_kind(kinds[kind].below) : table_random();
	uint64_t e = t->gfn << PAGE_SHIFT;

	if (kind == PDPT_PAE)
		return e | (often(90) ? 1 : 0) | (often(3) ? 1ul << rnd(9) : 0);
	e |= (often(97) ? 1 : 0) | (often(95) ? 2 : 0) | (often(92) ? 4 : 0) | (often(90) ? 0x20 : 0);
	e |= often(5) ? rnd(16) << 8 : 0;
	return kinds[kind].bytes == 8 && often(6) ? e | BIT(63) : e;
}

/* A mapping of table number n by a level-1 table: mostly one that a kernel can write through. */
static uint64_t window_entry(uint32_t n)
{
	return tables[n].gfn << PAGE_SHIFT | 0x61 | (often(95) ? 2 : 0) | (often(30) ? 4 : 0);
}

uint64_t table_entry(const struct table *t, uint32_t index)
{
	const struct kind *k = &kinds[t->kind];
	uint64_t e;

	if (k->below == LEAF && index - BUILD_WINDOW < TABLES)
		return window_entry(index - BUILD_WINDOW);
	e = k->large && rnd(k->large) == 0 ? leaf_entry(t->kind) : link_entry(t->kind);
	return often(2) ? e ^ surprise(k->bytes) : e;
}

static void fill_table(const struct table *t)
{
	const struct kind *k = &kinds[t->kind];
	uint32_t windows = k->below == LEAF ? TABLES : 0;

	for (uint32_t i = 0; i < k->indices + windows; i++) {
		uint32_t index = i < k->indices ? k->index[i] : BUILD_WINDOW + i - k->indices;
		uint64_t e = table_entry(t, index);

		memcpy(phys_to_virt(mem_hpa(table_gpa(t, index))), &e, k->bytes);
	}
}

void build_guest(const struct build_options *o)
{
	uint32_t n = 0;

	maxphyaddr = o->maxphyaddr;
	alias_slots = o->alias_slots;
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if ((i == 0 || often(80)) && (alias_slots || !is_alias(i)))
			guest_slot_add(places[i].gfn, places[i].npages, places[i].offset, places[i].readonly);
	for (enum table_kind kind = 0; kind < TABLE_KINDS; kind++)
		for (uint32_t i = 0; i < kinds[kind].count; i++, n++)
			tables[n] = (struct table){ kind, place_table(kind, n, o->alias_tables) };
	INVARIANT(n == TABLES);
	for (n = 0; n < TABLES; n++)
		fill_table(&tables[n]);
}

uint64_t build_root(enum guest_mode mode)
{
	static const enum table_kind roots[GUEST_MODES] = { [MODE_32] = PD_32, [MODE_PAE] = PDPT_PAE,
							    [MODE_4] = LEVEL_4, [MODE_5] = LEVEL_5 };

	if (mode == MODE_NONE)
		return 0;
	return (table_of_kind(roots[mode])->gfn << PAGE_SHIFT) + (mode == MODE_PAE ? rnd(2) * 32 : 0);
}

static gva_t address(enum guest_mode mode, uint64_t lowest)
{
	gva_t gva = lowest << PAGE_SHIFT;

	if (mode == MODE_NONE)
		return build_gfn() << PAGE_SHIFT & 0xffffffff;
	if (mode == MODE_32)
		return gva | (gva_t)table_index(&(struct table){ .kind = PD_32 }) << 22;
	for (int level = 2; level <= (mode == MODE_PAE ? 3 : mode == MODE_4 ? 4 : 5); level++) {
		struct table t = { .kind = LEVEL_1 + (enum table_kind)level - 1 };

		gva |= (gva_t)table_index(&t) << (12 + 9 * (level - 1));
	}
	if (mode == MODE_PAE)
		return gva;
	return mode == MODE_4 ? (gva_t)((int64_t)(gva << 16) >> 16) : (gva_t)((int64_t)(gva << 7) >> 7);
}

gva_t build_gva(enum guest_mode mode)
{
	struct table t = { .kind = mode == MODE_32 ? PT_32 : LEVEL_1 };

	if (often(3))
		return rnd(BIT(52)) << 12;
	return address(mode, table_index(&t)) + rnd(512) * 8;
}

gva_t build_window(enum guest_mode mode, uint32_t n) { return address(mode, BUILD_WINDOW + n); }
