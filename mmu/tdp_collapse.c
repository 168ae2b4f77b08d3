/*
 * The direct EPT: collapsing. Where the last reason against a large page has gone, the table that was
 * needed is replaced by one large leaf. Never below a mirror root.
 *
 * The unlinked table stays known to the CPUs' paging-structure caches, so it waits for the flush like
 * every other; the translations themselves are the same.
 */
#include "hv/base/trace.h"
#include "mmu/slot.h"
#include "mmu/spte.h"
#include "mmu/tdp.h"
#include "mmu/tdp_work.h"

struct collapse {
	struct mmu *mmu;
	struct tdp_work *work;
	struct flush_token token;
};

/* Something is mapped in the table, everything by it directly, and nothing by a right that a large leaf of
 * the slot does not have. */
static bool may_go(const struct slot *s, const struct sp *sp)
{
	uint64_t too_much = EPT_EXEC & ~s->leaf[1];
	bool some = false;

	for (uint32_t i = 0; i < SPTES_PER_TABLE; i++) {
		uint64_t spte = spte_read(&sp->table[i]);

		if (spte_is_table(spte, sp->level) || (spte_is_present(spte) && (spte & too_much)))
			return false;
		some |= spte_is_present(spte);
	}
	return some;
}

/* The CPU may set flags in the table until it is gone: the leaf has them all. */
static uint64_t large_leaf(const struct mmu *mmu, const struct slot *s, gfn_t gfn)
{
	return slot_hpa(s, gfn) | s->leaf[1] | (mmu->config.ept_ad ? EPT_ACCESSED | EPT_DIRTY : 0);
}

static void collapse_table(struct collapse *c, const struct sp *sp, uint64_t *sptep, gfn_t gfn, struct sp *child)
{
	const struct slot *s = slot_set_find(c->mmu->slots, gfn);

	if (!s || hugepage_max_level(s, gfn) < sp->level || !may_go(s, child))
		return;
	__atomic_exchange_n(sptep, large_leaf(c->mmu, s, gfn), __ATOMIC_ACQ_REL);
	tdp_doom(c->mmu, child);
	tdp_work_done(c->work, SPTES_PER_TABLE);
	flush_owe(&c->token, gfn, level_pages(sp->level));
	c->mmu->host.stats.mapped[sp->level]++;
	c->mmu->host.stats.collapses++;
	trace_mmu(TRACE_MMU_COLLAPSE, c->mmu->config.vm_id, gfn, (uint64_t)sp->level);
}

/* From the lowest tables up, so that one step never takes more than one table away. */
static void collapse_below(struct collapse *c, struct sp *sp)
{
	struct tdp_span at = tdp_span_of(sp, c->work);

	for (; at.gfn < at.end && tdp_work_left(c->work); at.gfn += at.step) {
		uint64_t *sptep = &sp->table[spte_index(at.gfn, sp->level)], spte = spte_read(sptep);

		tdp_work_done(c->work, 1);
		if (spte_is_table(spte, sp->level)) {
			struct sp *child = sp_of(spte_hpa(spte));

			if (child->level > LEVEL_4K)
				collapse_below(c, child);
			if (child->level > LEVEL_4K && !tdp_work_is_upto(c->work, at.gfn + at.step))
				return;
			collapse_table(c, sp, sptep, at.gfn, child);
		}
		tdp_work_upto(c->work, at.gfn + at.step);
	}
}

struct flush_token tdp_collapse_some(struct mmu *mmu, struct tdp_work *work)
{
	struct collapse c = { mmu, work, flush_token_new(mmu) };

	collapse_below(&c, mmu->root);
	return c.token;
}
