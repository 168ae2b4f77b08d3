/*
 * The direct EPT: an access that a present leaf does not let through, although the slot does. The right
 * is given back in one compare-and-exchange under the shared lock, on a part of the leaf where it may
 * not be given to all of it.
 *
 * A split on the way owes no flush: see mmu/tdp_split.c. Neither does the right (SDM "Guidelines for Use
 * of the INVEPT Instruction": the EPT violation itself has invalidated what this CPU had for the address;
 * another CPU faults once more at worst).
 */
#include "hv/base/trace.h"
#include "mmu/dirty.h"
#include "mmu/spte.h"
#include "mmu/tdp.h"
#include "mmu/tdp_work.h"

/* Rights that a large leaf of the slot does not get, only its parts. */
static uint64_t parts_only(const struct mmu *mmu, const struct fault *f)
{
	return (f->slot->flags & SLOT_LOGGED ? EPT_WRITE : 0) | (mmu->config.nx_huge ? EPT_EXEC : 0);
}

/* The leaf at *sptep becomes a table; *sptep and *level are gfn's entry in it. */
static enum fault_result go_smaller(struct mmu_vcpu *mv, const struct fault *f, uint64_t **sptep, uint64_t spte,
				    int *level)
{
	struct sp *sp = sp_take(mv, f->gfn, *level - 1);

	if (!sp)
		return FAULT_OUT_OF_MEMORY;
	if (!tdp_split(&mv->stats, *sptep, spte, sp)) {
		sp_clear(sp);
		sp_untake(mv, sp);
		return FAULT_RETRY;
	}
	trace_mmu(TRACE_MMU_SPLIT, mv->mmu->config.vm_id, f->gfn, (uint64_t)*level);
	*sptep = &sp->table[spte_index(f->gfn, --*level)];
	return FAULT_MAPPED;
}

enum fault_result tdp_grant(struct mmu_vcpu *mv, struct fault *f, uint64_t *sptep, uint64_t spte, int level)
{
	uint64_t lacks = f->access & ~spte & EPT_RWX, flags = mv->mmu->config.ept_ad ? EPT_ACCESSED : 0;
	enum fault_result result = FAULT_MAPPED;

	if ((lacks & EPT_WRITE) && !(spte & SPTE_MMU_WRITABLE))
		return FAULT_READONLY_WRITE;
	while (result == FAULT_MAPPED && level > LEVEL_4K && (lacks & parts_only(mv->mmu, f))) {
		result = go_smaller(mv, f, &sptep, spte, &level);
		spte = spte_read(sptep);
	}
	if (result != FAULT_MAPPED)
		return result;
	if ((lacks & EPT_WRITE) && mv->mmu->config.ept_ad)
		flags |= EPT_DIRTY;
	if (!spte_try_change(sptep, spte, spte | lacks | flags))
		return FAULT_RETRY;
	mv->stats.granted++;
	f->level = level;
	return FAULT_MAPPED;
}
