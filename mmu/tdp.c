/*
 * The direct EPT: walking down, installing a table or a leaf. Removal is in tdp_zap.c.
 */
#include "mmu/tdp.h"

#include "mmu/hugepage.h"
#include "mmu/slot.h"
#include "mmu/sp.h"
#include "mmu/spte.h"

/* Links an empty table under the entry unless somebody else does; false when there is no spare. */
static bool install_table(struct mmu_vcpu *mv, uint64_t *sptep, gfn_t gfn, int level, bool for_mmio)
{
	struct sp *sp = sp_take(mv, gfn, level);

	if (UNLIKELY(!sp))
		return false;
	sp->for_mmio = for_mmio;
	if (LIKELY(spte_try_change(sptep, SPTE_EMPTY, spte_make_table(sp_hpa(sp))))) {
		mv->stats.tables++;
		return true;
	}
	if (for_mmio)
		__atomic_fetch_sub(&mv->mmu->pool.mmio_tables, 1, __ATOMIC_RELAXED);
	sp_untake(mv, sp);
	return true;
}

static enum fault_result install_leaf(struct mmu_vcpu *mv, struct fault *f, uint64_t *sptep, uint64_t old,
				      int level)
{
	gfn_t first = align_down(f->gfn, level_pages(level));
	uint64_t leaf = spte_make_leaf(slot_hpa(f->slot, first), level, !(f->slot->flags & SLOT_READONLY));

	/* The access at hand will set them: save the CPU the trouble. */
	if (mv->mmu->config.ept_ad && f->access)
		leaf |= EPT_ACCESSED | ((f->access & MMU_WRITE) ? EPT_DIRTY : 0);
	if (UNLIKELY(!spte_try_change(sptep, old, leaf)))
		return FAULT_RETRY;
	mv->stats.installed[level]++;
	mv->stats.mapped[level]++;
	f->level = level;
	return FAULT_MAPPED;
}

/* A leaf is there already: another vCPU was faster, or this CPU's TLB was behind. */
static enum fault_result found_leaf(struct mmu_vcpu *mv, struct fault *f, uint64_t spte, int level)
{
	f->level = level;
	mv->stats.spurious++;
	return spte_allows(spte, f->access) ? FAULT_MAPPED : FAULT_READONLY_WRITE;
}

enum fault_result tdp_map(struct mmu_vcpu *mv, struct fault *f)
{
	const gfn_t gfn = f->gfn;
	uint64_t *table = mv->mmu->root->table;
	int level = ROOT_LEVEL;

	for (;;) {
		uint64_t *sptep = &table[spte_index(gfn, level)];
		uint64_t old = spte_read(sptep);

		if (LIKELY(spte_is_table(old, level))) {
			table = phys_to_virt(spte_hpa(old));
			level--;
		} else if (spte_is_present(old)) {
			return found_leaf(mv, f, old, level);
		} else if (UNLIKELY(old == SPTE_FROZEN)) {
			return FAULT_RETRY;
		} else if (level <= f->goal) {
			return install_leaf(mv, f, sptep, old, level);
		} else if (!install_table(mv, sptep, gfn, level - 1, false)) {
			return FAULT_OUT_OF_MEMORY;
		}
	}
}

/* One more table for MMIO alone, if the VM may have it. */
static bool reserve_mmio_table(struct mmu *mmu)
{
	if (__atomic_fetch_add(&mmu->pool.mmio_tables, 1, __ATOMIC_RELAXED) < SP_MMIO_TABLES_MAX)
		return true;
	__atomic_fetch_sub(&mmu->pool.mmio_tables, 1, __ATOMIC_RELAXED);
	return false;
}

static bool install_mmio_table(struct mmu_vcpu *mv, uint64_t *sptep, gfn_t gfn, int level)
{
	if (!reserve_mmio_table(mv->mmu))
		return false;
	if (install_table(mv, sptep, gfn, level, true))
		return true;
	__atomic_fetch_sub(&mv->mmu->pool.mmio_tables, 1, __ATOMIC_RELAXED);
	return false;
}

enum fault_result tdp_map_mmio(struct mmu_vcpu *mv, const struct fault *f)
{
	uint64_t mmio = spte_make_mmio(f->gfn, slot_set_of(mv->mmu)->generation);
	uint64_t *table = mv->mmu->root->table;
	int level = ROOT_LEVEL;

	for (;;) {
		uint64_t *sptep = &table[spte_index(f->gfn, level)];
		uint64_t old = spte_read(sptep);

		if (spte_is_present(old)) {
			INVARIANT(!spte_is_leaf(old, level)); /* deleting a slot has left no leaf */
			table = phys_to_virt(spte_hpa(old));
			level--;
		} else if (old == SPTE_FROZEN) {
			return FAULT_RETRY;
		} else if (level == LEVEL_4K) {
			if (old != mmio && spte_try_change(sptep, old, mmio))
				mv->stats.installed[0]++;
			return FAULT_MMIO;
		} else if (!install_mmio_table(mv, sptep, f->gfn, level - 1)) {
			return FAULT_MMIO;
		}
	}
}

uint64_t tdp_lookup(const struct mmu *mmu, gfn_t gfn, int *level)
{
	const uint64_t *table = mmu->root->table;
	uint64_t spte;

	for (*level = ROOT_LEVEL;; (*level)--) {
		spte = spte_read(&table[spte_index(gfn, *level)]);
		if (!spte_is_table(spte, *level))
			return spte;
		table = phys_to_virt(spte_hpa(spte));
	}
}
