/*
 * The direct EPT: walking down, installing a table or a leaf. Removal is in tdp_zap.c.
 */
#include "mmu/tdp.h"

#include "mmu/hugepage.h"
#include "mmu/slot.h"
#include "mmu/sp.h"
#include "mmu/spte.h"

static inline uint64_t look(uint64_t *table, gfn_t gfn, int level, uint64_t **sptep)
{
	*sptep = &table[spte_index(gfn, level)];
	return spte_read(*sptep);
}

static inline uint64_t *below(uint64_t spte) { return phys_to_virt(spte_hpa(spte)); }

/*
 * The entry that decides about gfn: the first from the top that is no table. One line per level, so
 * that the compiler sees constants: this is most of a fault. Inside the lock.
 */
static inline uint64_t tdp_find(const struct mmu *mmu, gfn_t gfn, uint64_t **sptep, int *level)
{
	uint64_t spte = look(mmu->root->table, gfn, *level = 4, sptep);

	if (LIKELY(spte_is_table(spte, 4)))
		spte = look(below(spte), gfn, *level = 3, sptep);
	else
		return spte;
	if (LIKELY(spte_is_table(spte, 3)))
		spte = look(below(spte), gfn, *level = 2, sptep);
	else
		return spte;
	return spte_is_table(spte, 2) ? look(below(spte), gfn, *level = 1, sptep) : spte;
}
_Static_assert(ROOT_LEVEL == 4, "tdp_find() is written for four levels");

/* Links an empty table under the entry and returns gfn's entry in it; NULL: see not_installed(). */
static uint64_t *install_table(struct mmu_vcpu *mv, uint64_t *sptep, gfn_t gfn, int level, bool for_mmio)
{
	struct sp *sp = sp_take(mv, gfn, level);

	if (UNLIKELY(!sp))
		return NULL;
	if (for_mmio)
		sp->for_mmio = true;
	if (UNLIKELY(!spte_try_change(sptep, SPTE_EMPTY, spte_make_table(sp_hpa(sp))))) {
		sp_untake(mv, sp);
		return NULL;
	}
	mv->stats.tables++;
	return &sp->table[spte_index(gfn, level)];
}

/* There was no spare, or somebody else was faster, and the spare is back. */
static enum fault_result not_installed(const struct mmu_vcpu *mv)
{
	return mv->spare_count ? FAULT_RETRY : FAULT_OUT_OF_MEMORY;
}

static enum fault_result install_leaf(struct mmu_vcpu *mv, struct fault *f, uint64_t *sptep, uint64_t old,
				      int level)
{
	gfn_t first = align_down(f->gfn, level_pages(level));
	uint64_t leaf = slot_hpa(f->slot, first) | f->slot->leaf[level > LEVEL_4K];

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

/* A leaf is there already: another vCPU was faster, this CPU's TLB was behind, or a right is lacking. */
static enum fault_result found_leaf(struct mmu_vcpu *mv, struct fault *f, uint64_t *sptep, uint64_t spte, int level)
{
	if (UNLIKELY(!spte_allows(spte, f->access)))
		return tdp_grant(mv, f, sptep, spte, level);
	f->level = level;
	mv->stats.spurious++;
	return FAULT_MAPPED;
}

enum fault_result tdp_map(struct mmu_vcpu *mv, struct fault *f)
{
	uint64_t *sptep, spte;
	int level;

	spte = tdp_find(mv->mmu, f->gfn, &sptep, &level);
	if (spte_is_present(spte))
		return found_leaf(mv, f, sptep, spte, level);
	if (UNLIKELY(spte == SPTE_FROZEN))
		return FAULT_RETRY;
	for (; level > f->goal; spte = SPTE_EMPTY) {
		sptep = install_table(mv, sptep, f->gfn, --level, false);
		if (UNLIKELY(!sptep))
			return not_installed(mv);
	}
	return install_leaf(mv, f, sptep, spte, level);
}

/* One more table for MMIO alone, if the VM may have it. */
static bool reserve_mmio_table(struct mmu *mmu)
{
	if (__atomic_fetch_add(&mmu->pool.mmio_tables, 1, __ATOMIC_RELAXED) < SP_MMIO_TABLES_MAX)
		return true;
	__atomic_fetch_sub(&mmu->pool.mmio_tables, 1, __ATOMIC_RELAXED);
	return false;
}

static uint64_t *install_mmio_table(struct mmu_vcpu *mv, uint64_t *sptep, gfn_t gfn, int level)
{
	uint64_t *inside;

	if (!reserve_mmio_table(mv->mmu))
		return NULL;
	inside = install_table(mv, sptep, gfn, level, true);
	if (!inside)
		__atomic_fetch_sub(&mv->mmu->pool.mmio_tables, 1, __ATOMIC_RELAXED);
	return inside;
}

enum fault_result tdp_map_mmio(struct mmu_vcpu *mv, const struct fault *f)
{
	uint64_t mmio = spte_make_mmio(f->gfn, slot_set_of(mv->mmu)->generation);
	uint64_t *sptep, spte;
	int level;

	if (mv->mmu->mirror)
		mmio = spte_mmio_to_ve(mmio);
	spte = tdp_find(mv->mmu, f->gfn, &sptep, &level);
	/* A leaf of a slot that is just being deleted will be gone in a moment. */
	if (spte == SPTE_FROZEN || spte_is_present(spte))
		return FAULT_RETRY;
	for (; level > LEVEL_4K; spte = SPTE_EMPTY) {
		sptep = install_mmio_table(mv, sptep, f->gfn, --level);
		if (!sptep)
			return FAULT_MMIO;
	}
	if (spte != mmio && spte_try_change(sptep, spte, mmio))
		mv->stats.installed[0]++;
	return FAULT_MMIO;
}

uint64_t tdp_lookup(const struct mmu *mmu, gfn_t gfn, int *level)
{
	uint64_t *sptep;

	return tdp_find(mmu, gfn, &sptep, level);
}
