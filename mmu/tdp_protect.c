/*
 * The direct EPT: taking rights away for the dirty log, under the exclusive lock. Entries change by
 * locked AND, as CPUs may set flags in them at any time.
 *
 * Both changes owe a flush (SDM "Guidelines for Use of the INVEPT Instruction"): a right that goes from 1
 * to 0, and a dirty flag that is cleared, because a CPU that has the page as dirty in its TLB sets it no
 * more and logs nothing.
 */
#include "mmu/slot.h"
#include "mmu/spte.h"
#include "mmu/tdp.h"
#include "mmu/tdp_work.h"

static void protect(const struct mmu *mmu, uint64_t *sptep, gfn_t gfn, int level, struct flush_token *token)
{
	/* PML tells the page only, so a large page that is to be logged must fault and be split. */
	uint64_t bit = mmu->config.pml && level == LEVEL_4K ? EPT_DIRTY : EPT_WRITE;

	if (!(spte_read(sptep) & bit))
		return;
	__atomic_fetch_and(sptep, ~bit, __ATOMIC_ACQ_REL);
	flush_owe(token, gfn, level_pages(level));
}

void tdp_protect(struct mmu *mmu, gfn_t gfn, struct flush_token *token)
{
	int level;
	uint64_t *sptep = tdp_locate(mmu, gfn, &level);

	if (spte_is_present(spte_read(sptep)))
		protect(mmu, sptep, align_down(gfn, level_pages(level)), level, token);
}

struct protect {
	struct mmu *mmu;
	struct tdp_work *work;
	struct flush_token token;
};

static void protect_below(struct protect *p, struct sp *sp)
{
	struct tdp_span at = tdp_span_of(sp, p->work);

	for (; at.gfn < at.end && tdp_work_left(p->work); at.gfn += at.step) {
		uint64_t *sptep = &sp->table[spte_index(at.gfn, sp->level)], spte = spte_read(sptep);

		tdp_work_done(p->work, 1);
		if (spte_is_table(spte, sp->level)) {
			protect_below(p, sp_of(spte_hpa(spte)));
			continue; /* the last entry below says how far this went */
		}
		if (spte_is_present(spte))
			protect(p->mmu, sptep, at.gfn, sp->level, &p->token);
		tdp_work_upto(p->work, at.gfn + at.step);
	}
}

struct flush_token tdp_protect_some(struct mmu *mmu, struct tdp_work *work)
{
	struct protect p = { mmu, work, flush_token_new(mmu) };

	protect_below(&p, mmu->root);
	return p.token;
}
