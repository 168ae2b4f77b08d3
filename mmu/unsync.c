/*
 * Marking pages unsync, the fast skip, and which pages are brought up to date when.
 */
#include "mmu/unsync.h"

#include "mmu/hugepage.h"
#include "mmu/rmap.h"
#include "mmu/seen.h"
#include "mmu/shadow_page.h"
#include "mmu/shadow_spte.h"
#include "mmu/track.h"

#define SYNC_BATCH 16
#define LIGHT_ENTRIES 8 /* of a page that is not protected again each time it is brought up to date */
#define LIGHT_SYNCS 8   /* but is after that many times */

/* ---- marking ---- */

void unsync_mark_parents(struct mmu *mmu, struct sp *sp)
{
	for (uint32_t ref = rmap_first(&sp->parents); !(ref & RMAP_END); ref = rmap_next(mmu, ref)) {
		struct sp *parent = sp_of_ref(mmu, ref);
		uint32_t index = ref % SPTES_PER_TABLE;

		if (sp_bit(sp_unsync_bits(parent), index))
			continue;
		sp_bit_set(sp_unsync_bits(parent), index);
		parent->unsync_words |= 1u << index / 64;
		if (parent->unsync_children++ == 0)
			unsync_mark_parents(mmu, parent);
	}
}

static void mark(struct mmu *mmu, struct sp *sp)
{
	INVARIANT(sp->level == LEVEL_4K && !sp->role.direct && !sp->unsync);
	sp->unsync = true;
	sp->light_syncs = 0;
	mmu->shadow->counts.unsync++;
	mmu->shadow->counts.unsyncs++;
	unsync_mark_parents(mmu, sp);
}

bool unsync_try(struct mmu_vcpu *mv, const struct slot *s, gfn_t gfn, enum unsync_caller caller)
{
	struct mmu *mmu = mv->mmu;
	struct shadow_counts *c = &mmu->shadow->counts;

	c->unsync_calls[caller]++;
	if (track_is_tracked(s, gfn))
		return false;
	/*
	 * The fast skip. A page that shadows a table in this 2M frame would forbid a large page there;
	 * nothing forbids one, so there is no such page: nothing to mark and no hash to search. After the
	 * check above, so that it never decides about a table of a higher level.
	 */
	if (mmu->shadow->skip && *hugepage_word(s, gfn, LEVEL_2M) == 0) {
		c->unsync_skips[caller]++;
		return true;
	}
	c->hash_searches++;
	for (struct sp *sp = *shadow_bucket(mmu, gfn); sp; sp = sp->hash_next) {
		c->hash_nodes++;
		if (sp->gfn != gfn || sp->role.direct || !shadow_is_live(mmu, sp))
			continue;
		if (sp->unsync)
			continue;
		if (caller == UNSYNC_PREFETCH)
			return false;
		mark(mmu, sp);
	}
	/* Before the writable entry is: whoever sees the guest's write to its table sees the mark. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return true;
}

/* Whether a page shadows gfn as a 4K table in step. */
static inline bool has_page_in_step(const struct mmu *mmu, gfn_t gfn)
{
	struct sp *sp = *shadow_bucket(mmu, gfn);

	for (; UNLIKELY(sp != NULL); sp = sp->hash_next) {
		mmu->shadow->counts.hash_nodes++;
		if (sp->gfn == gfn && !sp->role.direct && !sp->unsync && shadow_is_live(mmu, sp))
			return true;
	}
	return false;
}

struct unsync_bits unsync_try_run(struct mmu *mmu, const struct slot *s, gfn_t first, uint32_t count)
{
	struct shadow_counts *c = &mmu->shadow->counts;
	bool skip = mmu->shadow->skip && *hugepage_word(s, first, LEVEL_2M) == 0;
	struct unsync_bits may = { 0 };
	uint64_t asked = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (UNLIKELY(track_is_tracked(s, first + i)))
			continue;
		asked++;
		if (skip || LIKELY(!has_page_in_step(mmu, first + i)))
			sp_bit_set(may.word, i);
	}
	c->unsync_calls[UNSYNC_PREFETCH] += count;
	*(skip ? &c->unsync_skips[UNSYNC_PREFETCH] : &c->hash_searches) += asked;
	return may;
}

/* ---- bringing up to date ---- */

struct sync {
	struct mmu_vcpu *mv;
	struct flush_token *token;
	uint32_t count;
	struct sp *page[SYNC_BATCH];
};

/* A page of some size will be brought up to date again: it keeps a copy of its table. */
static void sync_page(struct sync *b, struct sp *sp)
{
	if (LIKELY(sp->seen))
		seen_entry(b->mv->mmu, sp)->used = true;
	else if (!sp_has_at_most(sp, LIGHT_ENTRIES))
		seen_give(b->mv, sp);
	unsync_refresh(b->mv, sp, b->token);
}

/* Protects all tables of the batch, flushes once, then reads them. */
static void sync_batch(struct sync *b)
{
	struct mmu *mmu = b->mv->mmu;
	struct flush_token before = flush_token_new(mmu);

	for (uint32_t i = 0; i < b->count; i++) {
		const struct slot *s = slot_find(b->mv, b->page[i]->gfn);

		if (s)
			track_write_protect(mmu, s, b->page[i]->gfn, &before);
		mmu->shadow->counts.unsync -= b->page[i]->unsync; /* reached by two parents, it is there twice */
		b->page[i]->unsync = false;
	}
	flush_spend(mmu, before);
	for (uint32_t i = 0; i < b->count; i++)
		sync_page(b, b->page[i]);
	b->count = 0;
}

/*
 * A table with few entries in the shadow is only read again: the guest may go on writing to it, without the fault that
 * a protected table costs, which is more than this. One that is left alone is protected in the end. Linux writes one
 * entry of such a table for every instruction that it patches.
 */
static bool sync_lightly(struct sync *b, struct sp *sp)
{
	if (sp->seen || sp->light_syncs == LIGHT_SYNCS || !sp_has_at_most(sp, LIGHT_ENTRIES))
		return false;
	sp->light_syncs++;
	unsync_refresh(b->mv, sp, b->token);
	return true;
}

/*
 * Gathers the unsync pages below sp, whose bits are cleared as they are met unless they stay unsync: other parents'
 * bits may be left set for nothing, never clear for something.
 */
/* Sees to a page that may be unsync. Whether its parent may forget it. */
static inline bool gather_page(struct sync *b, struct sp *sp)
{
	if (!sp->unsync)
		return true;
	if (sync_lightly(b, sp))
		return false;
	b->page[b->count++] = sp;
	if (b->count == SYNC_BATCH)
		sync_batch(b);
	return true;
}

static bool gather(struct sync *b, struct sp *sp)
{
	uint64_t *bits = sp_unsync_bits(sp);

	for (uint32_t words = sp->unsync_words; words; words &= words - 1) {
		uint32_t w = (uint32_t)__builtin_ctz(words);
		const uint64_t *sptes = &sp->table[w * 64];

		for (uint64_t left = bits[w]; left; left &= left - 1) {
			struct sp *child = sp_of(spte_hpa(sptes[__builtin_ctzl(left)]));

			if (child->level == LEVEL_4K ? gather_page(b, child) : gather(b, child)) {
				bits[w] &= ~(left & -left);
				sp->unsync_children--;
			}
		}
		if (!bits[w])
			sp->unsync_words &= ~(1u << w);
	}
	return !sp->unsync_children;
}

void unsync_sync_below(struct mmu_vcpu *mv, struct sp *sp, struct flush_token *token)
{
	struct sync b;

	if (!sp->unsync_children)
		return;
	b.mv = mv;
	b.token = token;
	b.count = 0;
	(void)gather(&b, sp);
	if (b.count)
		sync_batch(&b);
}
