/*
 * Building TDMRs.
 */
#include "tdx/tdmr.h"

#include <string.h>

static uint64_t end_of(const struct tdx_range *r) { return r->base + r->size; }

static const uint64_t page_bytes[TDX_PAMTS] = {
	[TDX_PAMT_1G] = GIB(1), [TDX_PAMT_2M] = MIB(2), [TDX_PAMT_4K] = PAGE_SIZE,
};

static uint64_t pamt_size(const struct tdmr_limits *limits, uint64_t size, int kind)
{
	return align_up(size / page_bytes[kind] * limits->pamt_entry[kind], PAGE_SIZE);
}

uint64_t tdmr_pamt_bytes(const struct tdmr_limits *limits, uint64_t size)
{
	uint64_t bytes = 0;

	for (int kind = 0; kind < TDX_PAMTS; kind++)
		bytes += pamt_size(limits, size, kind);
	return bytes;
}

/* ---- the list of memory: ascending and disjoint ---- */

static void memory_insert(struct tdmr_set *set, uint32_t at, uint64_t base, uint64_t end)
{
	memmove(&set->memory[at + 1], &set->memory[at], (set->memory_count - at) * sizeof(set->memory[0]));
	set->memory[at] = (struct tdx_range){ base, end - base };
	set->memory_count++;
}

static void memory_delete(struct tdmr_set *set, uint32_t at)
{
	set->memory_count--;
	memmove(&set->memory[at], &set->memory[at + 1], (set->memory_count - at) * sizeof(set->memory[0]));
}

/* With one that touches the last it becomes one. */
static void memory_append(struct tdmr_set *set, uint64_t base, uint64_t end)
{
	struct tdx_range *last = set->memory_count ? &set->memory[set->memory_count - 1] : NULL;

	if (base >= end)
		return;
	if (last && end_of(last) == base)
		last->size = end - last->base;
	else
		memory_insert(set, set->memory_count, base, end);
}

/* Takes [base, end) out. */
static void memory_cut(struct tdmr_set *set, uint64_t base, uint64_t end)
{
	for (uint32_t i = set->memory_count; i-- > 0;) {
		struct tdx_range r = set->memory[i];

		if (r.base >= end || end_of(&r) <= base)
			continue;
		memory_delete(set, i);
		if (end < end_of(&r))
			memory_insert(set, i, end, end_of(&r));
		if (r.base < base)
			memory_insert(set, i, r.base, base);
	}
}

/* What is memory of ours and convertible. CMRs that touch make one piece. */
static void memory_start(struct tdmr_set *set, const struct tdx_range *memory, uint32_t count,
			 const struct tdx_range *cmrs, uint32_t cmr_count)
{
	for (uint32_t m = 0; m < count; m++)
		for (uint32_t c = 0; c < cmr_count; c++)
			memory_append(set, align_up(max_u64(memory[m].base, cmrs[c].base), PAGE_SIZE),
				      align_down(min_u64(end_of(&memory[m]), end_of(&cmrs[c])), PAGE_SIZE));
}

static uint64_t memory_in(const struct tdmr_set *set, uint64_t base, uint64_t end)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < set->memory_count; i++) {
		uint64_t from = max_u64(set->memory[i].base, base), to = min_u64(end_of(&set->memory[i]), end);

		bytes += from < to ? to - from : 0;
	}
	return bytes;
}

/* Puts what lies between the memory in [base, end) into areas, if there is room; returns how many there are. */
static uint32_t holes_in(const struct tdmr_set *set, uint64_t base, uint64_t end, struct tdx_range *areas,
			 uint32_t room)
{
	uint64_t at = base;
	uint32_t n = 0;

	for (uint32_t i = 0; i <= set->memory_count && at < end; i++) {
		const struct tdx_range *r = i < set->memory_count ? &set->memory[i] : NULL;
		uint64_t next = r ? min_u64(r->base, end) : end;

		if (r && end_of(r) <= at)
			continue;
		if (next > at) {
			if (n < room)
				areas[n] = (struct tdx_range){ at - base, next - at };
			n++;
		}
		at = r ? end_of(r) : end;
	}
	return n;
}

/* ---- regions ---- */

static void give_up(struct tdmr_set *set, uint64_t base, uint64_t end)
{
	set->given_up += memory_in(set, base, end);
	memory_cut(set, base, end);
}

static void tdmr_delete(struct tdmr_set *set, uint32_t at)
{
	set->count--;
	memmove(&set->tdmr[at], &set->tdmr[at + 1], (set->count - at) * sizeof(set->tdmr[0]));
}

static void drop_poorest(struct tdmr_set *set)
{
	uint64_t least = ~(uint64_t)0;
	uint32_t poorest = 0;

	for (uint32_t i = 0; i < set->count; i++) {
		uint64_t bytes = memory_in(set, set->tdmr[i].base, set->tdmr[i].base + set->tdmr[i].size);

		if (bytes < least) {
			least = bytes;
			poorest = i;
		}
	}
	give_up(set, set->tdmr[poorest].base, set->tdmr[poorest].base + set->tdmr[poorest].size);
	tdmr_delete(set, poorest);
}

/* Reserved areas that a region may have before PAMTs are put into it. */
static uint32_t hole_budget(const struct tdmr_set *set)
{
	return set->limits.max_reserved > 4 ? set->limits.max_reserved - 4 : 1;
}

/* From a gigabyte with memory on as far as every gigabyte has some and the holes are not too many. */
static uint64_t region_end(const struct tdmr_set *set, uint64_t base)
{
	uint64_t end = base + TDX_TDMR_ALIGN;

	while (memory_in(set, end, end + TDX_TDMR_ALIGN) &&
	       holes_in(set, base, end + TDX_TDMR_ALIGN, NULL, 0) <= hole_budget(set))
		end += TDX_TDMR_ALIGN;
	return end;
}

/* The first gigabyte from `from` on that has memory; ~0: none. */
static uint64_t next_gigabyte(const struct tdmr_set *set, uint64_t from)
{
	for (uint32_t i = 0; i < set->memory_count; i++)
		if (end_of(&set->memory[i]) > from)
			return align_down(max_u64(set->memory[i].base, from), TDX_TDMR_ALIGN);
	return ~(uint64_t)0;
}

static void regions_start(struct tdmr_set *set)
{
	uint64_t base = next_gigabyte(set, 0);

	while (base != ~(uint64_t)0) {
		uint64_t end = region_end(set, base);

		set->tdmr[set->count++] = (struct tdx_tdmr_info){ .base = base, .size = end - base };
		if (set->count > set->limits.max_tdmrs)
			drop_poorest(set);
		base = next_gigabyte(set, end);
	}
}

/* All three in one run; none of it is memory for TDs. */
static int place_pamts(struct tdmr_set *set, struct tdx_tdmr_info *t, tdmr_place_fn place, void *ctx, struct failure *f)
{
	uint64_t bytes = tdmr_pamt_bytes(&set->limits, t->size);
	hpa_t at = place(ctx, bytes);

	if (!at)
		return fail(f, -ENOMEM, "there is no run of %lu KiB for the TDX module's record of the memory from "
			    "%lx to %lx", bytes >> 10, t->base, t->base + t->size);
	memory_cut(set, at, at + bytes);
	for (int kind = TDX_PAMTS - 1; kind >= 0; kind--) {
		t->pamt[kind] = (struct tdx_range){ at, pamt_size(&set->limits, t->size, kind) };
		at += t->pamt[kind].size;
	}
	return 0;
}

/* The smallest piece that starts inside; false: there is none. One that reaches in from before makes no hole. */
static bool give_up_smallest(struct tdmr_set *set, uint64_t base, uint64_t end)
{
	const struct tdx_range *least = NULL;

	for (uint32_t i = 0; i < set->memory_count; i++) {
		const struct tdx_range *r = &set->memory[i];

		if (r->base >= base && r->base < end && (!least || r->size < least->size))
			least = r;
	}
	if (least)
		give_up(set, least->base, end_of(least));
	return least != NULL;
}

static void reserve(struct tdmr_set *set, struct tdx_tdmr_info *t)
{
	uint64_t end = t->base + t->size;

	while (holes_in(set, t->base, end, t->reserved, set->limits.max_reserved) > set->limits.max_reserved)
		if (!give_up_smallest(set, t->base, end))
			break;
	memset(t->reserved, 0, sizeof(t->reserved));
	holes_in(set, t->base, end, t->reserved, set->limits.max_reserved);
}

static int place_all(struct tdmr_set *set, tdmr_place_fn place, void *ctx, struct failure *f)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < set->count; i++)
		err = place_pamts(set, &set->tdmr[i], place, ctx, f);
	return err;
}

int tdmr_build(struct tdmr_set *set, const struct tdmr_limits *limits, const struct tdx_range *memory, uint32_t count,
	       const struct tdx_range *cmrs, uint32_t cmr_count, tdmr_place_fn place, void *ctx, struct failure *f)
{
	int err;

	memset(set, 0, sizeof(*set));
	set->limits = *limits;
	if (count > TDMR_MAX_INPUT || cmr_count > TDX_MAX_CMRS)
		return fail(f, -ENOSPC, "the machine's memory is in %u pieces and %u convertible regions; Gnomon gives "
			    "at most %u and %u to a TDX module", count, cmr_count, TDMR_MAX_INPUT, TDX_MAX_CMRS);
	memory_start(set, memory, count, cmrs, cmr_count);
	if (!set->memory_count)
		return fail(f, -ENOENT, "none of the machine's memory is convertible: the firmware has set up no "
			    "convertible memory regions");
	regions_start(set);
	err = place_all(set, place, ctx, f);
	if (err)
		return err;
	for (uint32_t i = 0; i < set->count; i++)
		reserve(set, &set->tdmr[i]);
	return 0;
}

bool tdmr_covers(const struct tdmr_set *set, hpa_t base, uint64_t size)
{
	for (uint32_t i = 0; i < set->memory_count; i++)
		if (base >= set->memory[i].base && base < end_of(&set->memory[i]))
			return size <= end_of(&set->memory[i]) - base;
	return false;
}
