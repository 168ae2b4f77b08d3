/*
 * The direct EPT: splitting. A large leaf becomes a table that holds all its parts, linked in one step,
 * so that no CPU ever finds the memory missing.
 *
 * What that owes the TLBs. SDM "Guidelines for Use of the INVEPT Instruction" asks for INVEPT after
 * bit 7 of an entry that maps a page, or its address, has changed: until then a CPU may go on using the
 * large translation. That does no harm as such, for every part maps the same frames with the same
 * rights, memory type and, copied, accessed and dirty flags, and the leaf was in no paging-structure
 * cache. But whoever narrows or removes a part must flush the whole large page: hence a zap that splits
 * makes its token owe that.
 */
#include "hv/base/phys.h"
#include "mmu/hugepage.h"
#include "mmu/sp.h"
#include "mmu/spte.h"
#include "mmu/tdp.h"

static void fill(struct sp *sp, uint64_t leaf)
{
	uint64_t part = sp->level == LEVEL_4K ? leaf & ~EPT_LARGE : leaf;

	for (uint64_t i = 0; i < SPTES_PER_TABLE; i++)
		sp->table[i] = part + i * (level_pages(sp->level) << PAGE_SHIFT);
}

bool tdp_split(struct mmu_stats *stats, uint64_t *sptep, uint64_t leaf, struct sp *sp)
{
	fill(sp, leaf);
	if (!spte_try_change(sptep, leaf, spte_make_table(sp_hpa(sp))))
		return false;
	stats->mapped[sp->level + 1]--;
	stats->mapped[sp->level] += SPTES_PER_TABLE;
	stats->tables++;
	stats->splits++;
	return true;
}

uint64_t *tdp_locate(const struct mmu *mmu, gfn_t gfn, int *level)
{
	const struct sp *sp = mmu->root;
	uint64_t *sptep = &sp->table[spte_index(gfn, sp->level)], spte;

	while (spte_is_table(spte = spte_read(sptep), sp->level)) {
		sp = sp_of(spte_hpa(spte));
		sptep = &sp->table[spte_index(gfn, sp->level)];
	}
	*level = sp->level;
	return sptep;
}

/* The leaf over gfn becomes a table if it is large. Returns where to go on: at gfn again when that is not done yet. */
static gfn_t split_at(struct mmu_vcpu *mv, gfn_t gfn)
{
	int level;
	uint64_t *sptep = tdp_locate(mv->mmu, gfn, &level), spte = spte_read(sptep);
	uint64_t span = level_pages(level > LEVEL_2M ? level : LEVEL_2M);
	struct sp *sp;

	if (level == LEVEL_4K || !spte_is_present(spte))
		return align_down(gfn, span) + span;
	sp = sp_take(mv, gfn, level - 1);
	if (tdp_split(&mv->stats, sptep, spte, sp))
		return level == LEVEL_2M ? align_down(gfn, span) + span : gfn;
	sp_clear(sp);
	sp_untake(mv, sp);
	return gfn;
}

void tdp_split_all(struct mmu *mmu, gfn_t first, uint64_t npages)
{
	struct mmu_vcpu *mv = &mmu->host;

	for (gfn_t gfn = first; gfn < first + npages;) {
		if (mv->spare_count == 0)
			sp_topup(mv, 1);
		if (mv->spare_count == 0)
			break;
		mmu_enter(mv);
		gfn = split_at(mv, gfn);
		mmu_leave(mv);
	}
	sp_drain(mv); /* the vCPUs have more use for them */
}
