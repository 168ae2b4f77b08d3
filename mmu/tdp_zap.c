/*
 * The direct EPT: removal, under the exclusive lock. No vCPU is inside, so nobody but the CPUs' page
 * walkers reads the tables meanwhile; they may set accessed and dirty flags, hence the exchanges.
 */
#include "mmu/hugepage.h"
#include "mmu/sp.h"
#include "mmu/spte.h"
#include "mmu/tdp.h"

static uint64_t spte_exchange(uint64_t *sptep, uint64_t spte)
{
	return __atomic_exchange_n(sptep, spte, __ATOMIC_ACQ_REL);
}

/*
 * An unlinked table: its entries are frozen, so that whoever should still come by backs off, its
 * children go the same way, and it waits on the doomed list for the flush.
 */
static void doom_table(struct mmu *mmu, struct sp *sp)
{
	for (uint32_t i = 0; i < SPTES_PER_TABLE; i++) {
		uint64_t old = spte_exchange(&sp->table[i], SPTE_FROZEN);

		INVARIANT(old != SPTE_FROZEN);
		if (spte_is_table(old, sp->level))
			doom_table(mmu, sp_of(spte_hpa(old)));
		else if (spte_is_present(old))
			mmu->host.stats.mapped[sp->level]--;
	}
	mmu->host.stats.tables--;
	sp->state = SP_DOOMED;
	sp->next = mmu->flush.doomed;
	mmu->flush.doomed = sp;
}

static bool table_is_empty(const struct sp *sp)
{
	for (uint32_t i = 0; i < SPTES_PER_TABLE; i++)
		if (sp->table[i] != SPTE_EMPTY)
			return false;
	return true;
}

struct zap {
	struct mmu *mmu;
	gfn_t first, end;
	struct flush_token token;
};

static void zap_table(struct zap *z, struct sp *sp);

static void zap_entry(struct zap *z, struct sp *sp, uint64_t *sptep, gfn_t gfn)
{
	uint64_t span = level_pages(sp->level), spte = spte_read(sptep);
	struct sp *child;

	if (!spte_is_present(spte)) {
		INVARIANT(spte != SPTE_FROZEN);
		spte_write(sptep, SPTE_EMPTY);
		return;
	}
	if (spte_is_leaf(spte, sp->level)) {
		spte_exchange(sptep, SPTE_EMPTY);
		z->mmu->host.stats.mapped[sp->level]--;
		flush_owe(&z->token, gfn, span);
		return;
	}
	child = sp_of(spte_hpa(spte));
	if (gfn < z->first || gfn + span > z->end) {
		zap_table(z, child);
		if (!table_is_empty(child))
			return;
	}
	spte_exchange(sptep, SPTE_EMPTY);
	doom_table(z->mmu, child);
	flush_owe(&z->token, gfn, span);
}

/* The entries of the table that touch the range. */
static void zap_table(struct zap *z, struct sp *sp)
{
	uint64_t span = level_pages(sp->level);
	gfn_t end = sp->gfn + span * SPTES_PER_TABLE;
	gfn_t gfn = align_down(max_u64(sp->gfn, z->first), span);

	for (; gfn < min_u64(end, z->end); gfn += span)
		zap_entry(z, sp, &sp->table[spte_index(gfn, sp->level)], gfn);
}

struct flush_token tdp_zap(struct mmu *mmu, gfn_t first, uint64_t npages)
{
	struct zap z = { mmu, first, first + npages, flush_token_new(mmu) };

	zap_table(&z, mmu->root);
	return z.token;
}

static void zap_mmio_in(struct sp *sp)
{
	for (uint32_t i = 0; i < SPTES_PER_TABLE; i++) {
		uint64_t spte = spte_read(&sp->table[i]);

		if (spte_is_mmio(spte))
			spte_write(&sp->table[i], SPTE_EMPTY);
		else if (spte_is_table(spte, sp->level))
			zap_mmio_in(sp_of(spte_hpa(spte)));
	}
}

void tdp_zap_mmio(struct mmu *mmu) { zap_mmio_in(mmu->root); }
