/*
 * Large pages that were split because something was executed in them: the way back.
 */
#include "mmu/nx.h"

#include "mmu/slot.h"
#include "mmu/spte.h"
#include "mmu/tdp.h"
#include "mmu/tdp_work.h"

struct revoke {
	struct mmu *mmu;
	struct tdp_work *work;
	struct flush_token token;
};

static bool could_be_large(const struct mmu *mmu, gfn_t gfn)
{
	const struct slot *s = slot_set_find(mmu->slots, gfn);

	return s && hugepage_max_level(s, gfn) > LEVEL_4K;
}

/* All leafs of one lowest table. */
static void revoke_table(struct revoke *r, struct sp *sp)
{
	for (uint32_t i = 0; i < SPTES_PER_TABLE; i++) {
		uint64_t spte = spte_read(&sp->table[i]);

		if (!spte_is_present(spte) || !(spte & EPT_EXEC))
			continue;
		__atomic_fetch_and(&sp->table[i], ~EPT_EXEC, __ATOMIC_ACQ_REL);
		flush_owe(&r->token, sp->gfn + i, 1);
	}
	tdp_work_done(r->work, SPTES_PER_TABLE);
}

static void revoke_below(struct revoke *r, struct sp *sp)
{
	struct tdp_span at = tdp_span_of(sp, r->work);

	for (; at.gfn < at.end && tdp_work_left(r->work); at.gfn += at.step) {
		uint64_t spte = spte_read(&sp->table[spte_index(at.gfn, sp->level)]);

		tdp_work_done(r->work, 1);
		if (spte_is_table(spte, sp->level) && sp->level > LEVEL_2M) {
			revoke_below(r, sp_of(spte_hpa(spte)));
			continue; /* the last entry below says how far this went */
		}
		if (spte_is_table(spte, sp->level) && could_be_large(r->mmu, at.gfn))
			revoke_table(r, sp_of(spte_hpa(spte)));
		tdp_work_upto(r->work, at.gfn + at.step);
	}
}

static struct flush_token revoke_some(struct mmu *mmu, struct tdp_work *work)
{
	struct revoke r = { mmu, work, flush_token_new(mmu) };

	revoke_below(&r, mmu->root);
	return r.token;
}

/* The first slot that reaches beyond gfn, or NULL. */
static const struct slot *slot_from(const struct mmu *mmu, gfn_t gfn)
{
	for (uint32_t i = 0; i < mmu->slots->count; i++)
		if (slot_end(mmu->slots->entry[i].slot) > gfn)
			return mmu->slots->entry[i].slot;
	return NULL;
}

/* As much of the slot as npages come to, in whole large frames. */
static uint64_t part_of(const struct slot *s, gfn_t first, uint64_t npages)
{
	uint64_t left = slot_end(s) - first;

	return npages < left ? min_u64(align_up(first + npages, level_pages(LEVEL_2M)) - first, left) : left;
}

void mmu_nx_recover(struct mmu *mmu, uint64_t npages)
{
	const struct slot *s;

	if (mmu->config.kind != MMU_EPT || !mmu->config.nx_huge)
		return;
	spin_lock(&mmu->changes);
	while (npages && (s = slot_from(mmu, mmu->nx_next))) {
		gfn_t first = max_u64(mmu->nx_next, s->base);
		uint64_t count = part_of(s, first, npages);

		tdp_work_run(mmu, tdp_work_of(first, count, NULL), tdp_collapse_some);
		tdp_work_run(mmu, tdp_work_of(first, count, NULL), revoke_some);
		mmu->nx_next = first + count;
		npages -= min_u64(npages, count);
	}
	if (!slot_from(mmu, mmu->nx_next))
		mmu->nx_next = 0;
	spin_unlock(&mmu->changes);
}
