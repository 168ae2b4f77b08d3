/* sources: tdx/tdmr.c hv/base/failure.c hv/base/format.c */
/*
 * TDMRs from awkward maps, and from random ones: what is built must be accepted by the rules that a TDX module
 * checks, written here a second time.
 */
#include "tdx/tdmr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/random.h"

#define MAXPA 46

static struct tdmr_set set;
static struct failure why;

/* ---- the rules, by TDX Module 1.5 ABI, TDH.SYS.CONFIG ---- */

static struct tdx_range merged[TDX_MAX_CMRS];
static uint32_t merged_count;

static void merge_cmrs(const struct tdx_range *cmrs, uint32_t n)
{
	merged_count = 0;
	for (uint32_t i = 0; i < n; i++)
		if (merged_count && merged[merged_count - 1].base + merged[merged_count - 1].size == cmrs[i].base)
			merged[merged_count - 1].size += cmrs[i].size;
		else
			merged[merged_count++] = cmrs[i];
}

static bool in_cmr(uint64_t base, uint64_t size)
{
	for (uint32_t i = 0; i < merged_count; i++)
		if (base >= merged[i].base && base + size <= merged[i].base + merged[i].size)
			return true;
	return false;
}

static bool overlap(uint64_t a, uint64_t an, uint64_t b, uint64_t bn) { return an && bn && a < b + bn && b < a + an; }

/* Calls fn for each part of a TDMR that is not reserved; NULL or what it finds wrong. */
static const char *each_free(const struct tdx_tdmr_info *t, const char *(*fn)(uint64_t base, uint64_t size))
{
	uint64_t at = 0;
	const char *wrong = NULL;

	for (uint32_t i = 0; !wrong && i <= TDX_MAX_RESERVED; i++) {
		bool last = i == TDX_MAX_RESERVED || !t->reserved[i].size;
		uint64_t next = last ? t->size : t->reserved[i].base;

		if (next > at)
			wrong = fn(t->base + at, next - at);
		if (last)
			break;
		at = t->reserved[i].base + t->reserved[i].size;
	}
	return wrong;
}

static const char *free_part_rules(uint64_t base, uint64_t size)
{
	if (!in_cmr(base, size))
		return "TDMR_OUTSIDE_CMRS";
	for (uint32_t i = 0; i < set.count; i++)
		for (int k = 0; k < TDX_PAMTS; k++)
			if (overlap(base, size, set.tdmr[i].pamt[k].base, set.tdmr[i].pamt[k].size))
				return "PAMT_OVERLAP with a TDMR";
	return NULL;
}

static const char *reserved_rules(const struct tdx_tdmr_info *t)
{
	uint64_t at = 0;
	bool ended = false;

	for (uint32_t i = 0; i < TDX_MAX_RESERVED; i++) {
		const struct tdx_range *r = &t->reserved[i];

		if (!r->size) {
			ended = true;
			continue;
		}
		if (ended || r->base < at)
			return "NON_ORDERED_RESERVED_IN_TDMR";
		if (r->base % PAGE_SIZE || r->size % PAGE_SIZE || r->size > t->size || r->base > t->size - r->size)
			return "INVALID_RESERVED_IN_TDMR";
		if (i >= set.limits.max_reserved)
			return "more reserved areas than there may be";
		at = r->base + r->size;
	}
	return NULL;
}

static const char *pamt_rules(uint32_t at)
{
	static const uint64_t page[TDX_PAMTS] = { GIB(1), MIB(2), 4096 };
	const struct tdx_tdmr_info *t = &set.tdmr[at];

	for (int k = 0; k < TDX_PAMTS; k++) {
		const struct tdx_range *p = &t->pamt[k];

		if (p->base % PAGE_SIZE || p->size % PAGE_SIZE || p->size < t->size / page[k] * set.limits.pamt_entry[k])
			return "INVALID_PAMT";
		if (!in_cmr(p->base, p->size))
			return "PAMT_OUTSIDE_CMRS";
		for (uint32_t i = 0; i <= at; i++)
			for (int j = 0; j < (i == at ? k : TDX_PAMTS); j++)
				if (overlap(p->base, p->size, set.tdmr[i].pamt[j].base, set.tdmr[i].pamt[j].size))
					return "PAMT_OVERLAP with a PAMT";
	}
	return NULL;
}

static const char *tdmr_rules(uint32_t at)
{
	const struct tdx_tdmr_info *t = &set.tdmr[at];
	const char *wrong;

	if (t->base % GIB(1) || t->size % GIB(1) || !t->size || t->base + t->size > BIT(MAXPA))
		return "INVALID_TDMR";
	if (at && t->base < set.tdmr[at - 1].base + set.tdmr[at - 1].size)
		return "NON_ORDERED_TDMR";
	wrong = reserved_rules(t);
	if (!wrong)
		wrong = pamt_rules(at);
	return wrong ? wrong : each_free(t, free_part_rules);
}

static const char *rules(void)
{
	const char *wrong = NULL;

	if (!set.count || set.count > set.limits.max_tdmrs)
		return "the number of TDMRs";
	for (uint32_t i = 0; !wrong && i < set.count; i++)
		wrong = tdmr_rules(i);
	return wrong;
}

/* ---- what the set says of itself ---- */

static const char *is_covered(uint64_t base, uint64_t size)
{
	return tdmr_covers(&set, base, size) ? NULL : "a free part that the set does not know";
}

static uint64_t pamt_part(uint64_t base, uint64_t end)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < set.count; i++)
		for (int k = 0; k < TDX_PAMTS; k++) {
			uint64_t from = max_u64(base, set.tdmr[i].pamt[k].base);
			uint64_t to = min_u64(end, set.tdmr[i].pamt[k].base + set.tdmr[i].pamt[k].size);

			bytes += from < to ? to - from : 0;
		}
	return bytes;
}

/* All memory in CMRs is usable, a PAMT, or given up. Memory given up may have had a PAMT put into it. */
static void accounts(const struct tdx_range *memory, uint32_t n)
{
	uint64_t all = 0, usable = 0, pamts = 0;

	for (uint32_t i = 0; i < set.count; i++)
		assert_null(each_free(&set.tdmr[i], is_covered));
	for (uint32_t i = 0; i < set.memory_count; i++) {
		usable += set.memory[i].size;
		assert_true(i == 0 || set.memory[i].base > set.memory[i - 1].base + set.memory[i - 1].size);
	}
	for (uint32_t m = 0; m < n; m++)
		for (uint32_t c = 0; c < merged_count; c++) {
			uint64_t from = max_u64(memory[m].base, merged[c].base);
			uint64_t to = min_u64(memory[m].base + memory[m].size, merged[c].base + merged[c].size);

			all += from < to ? to - from : 0;
			pamts += from < to ? pamt_part(from, to) : 0;
		}
	assert_true(usable + set.given_up <= all);
	assert_true(usable + set.given_up + pamts >= all);
}

/* ---- places ---- */

static struct tdx_range ram[TDMR_MAX_INPUT + 1];
static uint32_t ram_count;
static struct tdx_range cmrs[TDX_MAX_CMRS + 1];
static uint32_t cmr_count;
static uint64_t cursor;  /* places go upwards from here */
static uint64_t scatter; /* seed of a random distance between them; 0: none */

static uint64_t below(uint64_t n) { return test_random(&scatter) % n; }

static hpa_t place(void *ctx, uint64_t bytes)
{
	(void)ctx;
	for (uint32_t m = 0; m < ram_count; m++)
		for (uint32_t c = 0; c < merged_count; c++) {
			uint64_t from = max_u64(max_u64(ram[m].base, merged[c].base), cursor);
			uint64_t to = min_u64(ram[m].base + ram[m].size, merged[c].base + merged[c].size);

			from = max_u64(from, PAGE_SIZE); /* frame 0 is never handed out */
			if (from >= to || to - from < bytes)
				continue;
			if (scatter)
				from += below(min_u64((to - from - bytes) / PAGE_SIZE + 1, 3000)) * PAGE_SIZE;
			cursor = from + bytes;
			return from;
		}
	return 0;
}

static const struct tdmr_limits module_limits = { TDX_MAX_TDMRS, TDX_MAX_RESERVED, { 16, 16, 16 } };

static void add_ram(uint64_t base, uint64_t end) { ram[ram_count++] = (struct tdx_range){ base, end - base }; }
static void add_cmr(uint64_t base, uint64_t end) { cmrs[cmr_count++] = (struct tdx_range){ base, end - base }; }

static int build_with(const struct tdmr_limits *limits)
{
	merge_cmrs(cmrs, cmr_count < TDX_MAX_CMRS ? cmr_count : TDX_MAX_CMRS);
	cursor = 0;
	return tdmr_build(&set, limits, ram, ram_count, cmrs, cmr_count, place, NULL, &why);
}

static void build_good(const struct tdmr_limits *limits)
{
	const char *wrong;

	if (build_with(limits))
		fail_msg("%s", why.text);
	wrong = rules();
	if (wrong)
		fail_msg("the module would say %s", wrong);
	accounts(ram, ram_count);
}

static int start(void **state)
{
	(void)state;
	ram_count = cmr_count = 0;
	scatter = 0;
	return 0;
}

/* ---- awkward maps ---- */

/* A PC of 2 GiB: a hole below 1 MiB, firmware's memory at the end. */
static void small_pc(void **state)
{
	(void)state;
	add_ram(0x1000, 0x9f000);
	add_ram(MIB(1), GIB(2) - MIB(40));
	add_cmr(0, GIB(2));
	build_good(&module_limits);
	assert_int_equal(set.count, 1);
	assert_true(set.tdmr[0].base == 0 && set.tdmr[0].size == GIB(2));
	assert_true(set.given_up == 0);
	assert_true(tdmr_covers(&set, MIB(64), MIB(512)));
	assert_false(tdmr_covers(&set, 0xa0000, PAGE_SIZE));
	assert_false(tdmr_covers(&set, GIB(2) - MIB(41), MIB(2)));
	assert_true(tdmr_pamt_bytes(&module_limits, GIB(2)) == MIB(8) + KIB(16) + KIB(4));
}

/* Less than a gigabyte, from the middle of one to the middle of the next. */
static void across_a_gigabyte(void **state)
{
	(void)state;
	add_ram(GIB(4) + MIB(900), GIB(5) + MIB(300));
	add_cmr(GIB(4) + MIB(800), GIB(5) + MIB(200));
	build_good(&module_limits);
	assert_int_equal(set.count, 1);
	assert_true(set.tdmr[0].base == GIB(4) && set.tdmr[0].size == GIB(2));
	assert_false(tdmr_covers(&set, GIB(5) + MIB(200) - PAGE_SIZE, 2 * PAGE_SIZE));
}

/* The hole for devices below 4 GiB, and memory far up: no PAMT is spent on what lies between. */
static void device_hole(void **state)
{
	(void)state;
	add_ram(MIB(1), GIB(2));
	add_ram(GIB(4), GIB(66));
	add_ram(GIB(1024), GIB(1026));
	add_cmr(0, GIB(2));
	add_cmr(GIB(4), GIB(2048));
	build_good(&module_limits);
	assert_int_equal(set.count, 3);
	assert_true(set.tdmr[1].size == GIB(62));
}

/* CMRs that touch are one for the module, and so are pieces of memory. */
static void touching(void **state)
{
	(void)state;
	add_ram(MIB(1), MIB(600));
	add_ram(MIB(600), GIB(1));
	add_cmr(0, MIB(512));
	add_cmr(MIB(512), MIB(700));
	add_cmr(MIB(700), GIB(1));
	build_good(&module_limits);
	assert_int_equal(set.tdmr[0].reserved[1].size, 0); /* the first MiB and the PAMT above it are one */
	assert_int_equal(set.memory_count, 1);
}

/* More holes in one gigabyte than there may be: the smallest pieces go. */
static void sieve(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		add_ram(GIB(1) + i * MIB(10), GIB(1) + i * MIB(10) + PAGE_SIZE * (i + 1));
	add_ram(GIB(2), GIB(3));
	add_cmr(0, GIB(4));
	build_good(&module_limits);
	assert_true(set.given_up != 0);
	assert_true(tdmr_covers(&set, GIB(1) + MIB(990), PAGE_SIZE * 100)); /* the largest stay */
	assert_false(tdmr_covers(&set, GIB(1), PAGE_SIZE));
}

/* Holes all over, but not too many in any gigabyte: several regions, and nothing is given up. */
static void many_holes(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 200; i++)
		add_ram(GIB(4) + i * MIB(200), GIB(4) + i * MIB(200) + MIB(190));
	add_cmr(0, GIB(64));
	build_good(&module_limits);
	assert_true(set.count > 10 && set.count < 40);
	assert_true(set.given_up == 0);
}

/* Islands, more than there are regions: the small ones go. */
static void islands(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		add_ram(GIB(4 * i + 4), GIB(4 * i + 4) + MIB(16) + MIB(i));
	add_cmr(0, GIB(1024));
	build_good(&module_limits);
	assert_int_equal(set.count, TDX_MAX_TDMRS);
	assert_true(set.given_up > 0);
	assert_true(tdmr_covers(&set, GIB(400) + MIB(50), MIB(1)));
	assert_false(tdmr_covers(&set, GIB(4) + MIB(10), MIB(1)));
}

/* A module that takes next to nothing. */
static void narrow_limits(void **state)
{
	static const struct tdmr_limits narrow = { 1, 1, { 16, 16, 16 } };

	(void)state;
	add_ram(MIB(1), GIB(1) - MIB(1));
	add_ram(GIB(2), GIB(3));
	add_cmr(0, GIB(3));
	build_good(&narrow);
	assert_int_equal(set.count, 1);
	assert_true(set.tdmr[0].base == GIB(2));
}

static void refusals(void **state)
{
	(void)state;
	add_ram(GIB(1), GIB(2));
	assert_int_equal(build_with(&module_limits), -ENOENT); /* no CMR */
	add_cmr(GIB(2), GIB(3));
	assert_int_equal(build_with(&module_limits), -ENOENT); /* elsewhere */
	assert_non_null(strstr(why.text, "convertible"));
	cmr_count = 0;
	add_cmr(GIB(1), GIB(1) + MIB(2));
	assert_int_equal(build_with(&module_limits), -ENOMEM); /* too little for its own PAMT */
	ram_count = TDMR_MAX_INPUT + 1;
	assert_int_equal(build_with(&module_limits), -ENOSPC);
	ram_count = 1;
	cmr_count = TDX_MAX_CMRS + 1;
	assert_int_equal(build_with(&module_limits), -ENOSPC);
}

/* ---- whatever map ---- */

static uint64_t random_pages(uint64_t *seed, uint64_t most) { return (1 + test_random(seed) % most) * PAGE_SIZE; }

/* Ascending, disjoint ranges; sizes of all orders, now and then touching, now and then at a whole gigabyte. */
static uint32_t random_ranges(uint64_t *seed, struct tdx_range *r, uint32_t most)
{
	uint32_t n = 1 + test_random(seed) % most;
	uint64_t at = test_random(seed) % 2 ? 0 : random_pages(seed, 100000);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t order = 1ul << test_random(seed) % 22, gap = 1ul << test_random(seed) % 20;

		if (test_random(seed) % 8)
			at += random_pages(seed, gap);
		if (test_random(seed) % 16 == 0)
			at = align_up(at, GIB(1));
		r[i] = (struct tdx_range){ at, random_pages(seed, order) };
		at += r[i].size;
	}
	return n;
}

static void any_map(void **state)
{
	uint64_t seed = 0x7d5eed;
	int good = 0, runs = 3000;

	(void)state;
	for (int i = 0; i < runs; i++) {
		struct tdmr_limits limits = { 1 + (uint32_t)(test_random(&seed) % TDX_MAX_TDMRS),
					      1 + (uint32_t)(test_random(&seed) % TDX_MAX_RESERVED), { 16, 16, 16 } };
		const char *wrong;

		ram_count = random_ranges(&seed, ram, 1u << test_random(&seed) % 8);
		cmr_count = random_ranges(&seed, cmrs, TDX_MAX_CMRS);
		scatter = test_random(&seed) | 1;
		if (build_with(&limits)) {
			assert_true(why.text[0]);
			continue;
		}
		good++;
		wrong = rules();
		if (wrong)
			fail_msg("map %d: the module would say %s", i, wrong);
		accounts(ram, ram_count);
	}
	assert_true(good > runs / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(small_pc, start),       cmocka_unit_test_setup(across_a_gigabyte, start),
		cmocka_unit_test_setup(device_hole, start),    cmocka_unit_test_setup(touching, start),
		cmocka_unit_test_setup(sieve, start),          cmocka_unit_test_setup(many_holes, start),
		cmocka_unit_test_setup(islands, start),        cmocka_unit_test_setup(narrow_limits, start),
		cmocka_unit_test_setup(refusals, start),       cmocka_unit_test_setup(any_map, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
