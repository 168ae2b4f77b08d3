/*
 * Entries made ahead of faults. What holds for all entries of a page is looked up once: slot, format, rights.
 */
#include "mmu/shadow_ahead.h"

#include "mmu/bitmap.h"
#include "mmu/rmap.h"
#include "mmu/shadow_leaf.h"
#include "mmu/shadow_page.h"

/* ---- a guest's table ---- */

/* The leaf for an entry that the guest has used before. */
static inline uint64_t leaf_for(struct mmu_vcpu *mv, const struct slot *s, gfn_t gfn, uint64_t gpte,
				const struct gpte_format *format)
{
	bool allowed = gpte_is_written(format, gpte);
	bool writable = allowed && shadow_may_write(mv, s, gfn, UNSYNC_PREFETCH, false);

	return shadow_with_writing(s, gpte_leaf(format, gpte, slot_hpa(s, gfn)), allowed, writable);
}

void shadow_make_window(struct mmu_vcpu *mv, const struct slot *s, struct sp *sp, const struct gpte_format *format,
			uint32_t first, uint32_t which, struct flush_token *token)
{
	struct mmu *mmu = mv->mmu;
	struct shadow_run run = shadow_run_of(sp);
	uint32_t made = 0;

	for (; which; which &= which - 1) {
		uint32_t i = first + (uint32_t)__builtin_ctz(which), *head;
		uint64_t gpte = gpte_load(sp, i);
		gfn_t gfn = gpte_gfn(gpte);

		if (UNLIKELY(!gpte_is_usable(format, gpte)))
			continue;
		if (UNLIKELY(!slot_covers(s, gfn)) && !(s = slot_find(mv, gfn)))
			break;
		head = rmap_head(s, gfn, LEVEL_4K);
		if (UNLIKELY(!head))
			continue;
		shadow_run_leaf(mmu, run, i, head, gfn, leaf_for(mv, s, gfn, gpte, format), token);
		made++;
	}
	shadow_count_leafs(mmu, LEVEL_4K, made);
	mmu->shadow->counts.prefetched += made;
}

static void make_window(const struct shadow_ahead *a, struct sp *sp, uint32_t at)
{
	uint32_t first, used = shadow_window_used(sp, at, &first);

	if (used)
		shadow_make_window(a->mv, a->slot, sp, gpte_format_of(a->mv->mmu, sp), first, used, a->token);
}

/* ---- a part of a guest's large page, or of memory without paging ---- */

/* Those from first on that may be writable. */
static struct unsync_bits writable_in(const struct shadow_ahead *a, gfn_t first, uint32_t count)
{
	struct unsync_bits may = { 0 };

	if (!(a->access & ACCESS_WRITE))
		return may;
	if (LIKELY(!(a->slot->flags & (SLOT_READONLY | SLOT_LOGGED))))
		return unsync_try_run(a->mv->mmu, a->slot, first, count);
	for (uint32_t i = 0; i < count; i++)
		if (shadow_may_write(a->mv, a->slot, first + i, UNSYNC_PREFETCH, false))
			sp_bit_set(may.word, i);
	return may;
}

/* What the leafs of a page that is filled have in common. */
struct filling {
	const struct shadow_ahead *a;
	struct shadow_run run;
	uint32_t begin;            /* the entry of the first gfn */
	gfn_t first;
	uint32_t *head;            /* of the first gfn; of all, one after the other */
	struct unsync_bits may;
	uint64_t held_back, added; /* the first leaf, and the bits that make one writable */
};

/* Few gfns are mapped anywhere else: their lists are begun here, without a look at any. */
static void fill_part(const struct filling *f, uint32_t from, uint32_t end)
{
	for (uint32_t i = from; i < end; i++) {
		uint64_t writing = f->added & -(uint64_t)sp_bit(f->may.word, i);
		uint64_t spte = (f->held_back | writing) + i * PAGE_SIZE;
		uint32_t index = f->begin + i;

		if (UNLIKELY(f->head[i])) {
			shadow_run_leaf(f->a->mv->mmu, f->run, index, &f->head[i], f->first + i, spte, f->a->token);
			continue;
		}
		f->head[i] = f->run.ref | index;
		f->run.links[index] = (uint32_t)(RMAP_END | (f->first + i));
		spte_write(&f->run.table[index], spte);
	}
}

/* The bits of count entries from first on. */
static void set_present(uint64_t *present, uint32_t first, uint32_t count)
{
	for (uint32_t w = first / WORD_BITS; w * WORD_BITS < first + count; w++)
		present[w] |= bitmap_mask(w, first, first + count);
}

/* All heads of the reverse map that the page needs are in one frame of them. */
static void fill(const struct shadow_ahead *a, struct sp *sp, uint32_t at)
{
	gfn_t first = max_u64(sp->gfn, a->slot->base), end = min_u64(sp->gfn + SPTES_PER_TABLE, slot_end(a->slot));
	uint64_t spte = shadow_leaf_make(slot_hpa(a->slot, first), LEVEL_4K, a->access, a->pkey);
	uint32_t begin = (uint32_t)(first - sp->gfn), count = (uint32_t)(end - first);
	bool allowed = a->access & ACCESS_WRITE;
	struct filling f = { .a = a, .run = shadow_run_of(sp), .begin = begin, .first = first,
			     .head = rmap_head(a->slot, first, LEVEL_4K), /* the fault's is there */
			     .may = writable_in(a, first, count),
			     .held_back = shadow_with_writing(a->slot, spte, allowed, false) };

	f.added = shadow_with_writing(a->slot, spte, allowed, true) ^ f.held_back;
	if (UNLIKELY(sp->mmios))
		shadow_mmio_drop_page(a->mv->mmu, sp);
	fill_part(&f, 0, at - begin);
	fill_part(&f, at - begin + 1, count);
	set_present(sp_present_bits(sp), begin, count);
	shadow_count_leafs(a->mv->mmu, LEVEL_4K, count - 1);
	a->mv->mmu->shadow->counts.prefetched += count - 1;
}
_Static_assert(RMAP_CHUNK_SHIFT >= 9, "the gfns of a page have their heads in one frame");

static bool is_only_entry(const struct sp *sp, uint32_t index)
{
	const uint64_t *present = sp_present_bits(sp);

	for (uint32_t w = 0; w < SP_BITMAP_WORDS; w++)
		if (present[w] != (w == index / 64 ? BIT(index % 64) : 0))
			return false;
	return true;
}

void shadow_ahead(const struct shadow_ahead *a, struct sp *sp, uint32_t at)
{
	if (!sp->role.direct)
		make_window(a, sp, at);
	else if (is_only_entry(sp, at))
		fill(a, sp, at);
}
