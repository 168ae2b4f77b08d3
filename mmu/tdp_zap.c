/*
 * The direct EPT: removal, under the exclusive lock. No vCPU is inside, so nobody but the CPUs' page
 * walkers reads the tables meanwhile; they may set accessed and dirty flags, hence the exchanges.
 */
#include "hv/base/trace.h"
#include "mmu/hugepage.h"
#include "mmu/sp.h"
#include "mmu/spte.h"
#include "mmu/tdp.h"
#include "mmu/tdp_work.h"

static uint64_t spte_exchange(uint64_t *sptep, uint64_t spte)
{
	return __atomic_exchange_n(sptep, spte, __ATOMIC_ACQ_REL);
}

void tdp_doom(struct mmu *mmu, struct sp *sp)
{
	for (uint32_t i = 0; i < SPTES_PER_TABLE; i++) {
		uint64_t old = spte_exchange(&sp->table[i], SPTE_FROZEN);

		INVARIANT(old != SPTE_FROZEN);
		if (spte_is_table(old, sp->level))
			tdp_doom(mmu, sp_of(spte_hpa(old)));
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
	struct tdp_work *work;
	struct flush_token token;
};

static void zap_table(struct zap *z, struct sp *sp);

/* The range starts or ends in the middle of that span. */
static bool is_cut(const struct tdp_work *w, gfn_t gfn, uint64_t span)
{
	return gfn < w->next || gfn + span > w->end;
}

static void zap_link(struct zap *z, const struct sp *sp, uint64_t *sptep, gfn_t gfn, struct sp *child)
{
	uint64_t span = level_pages(sp->level);

	/* Only the lowest tables go as a whole: what is done at one stretch stays bounded. */
	if (child->level > LEVEL_4K || is_cut(z->work, gfn, span)) {
		zap_table(z, child);
		if (!tdp_work_is_upto(z->work, gfn + span) || !table_is_empty(child))
			return;
	}
	spte_exchange(sptep, SPTE_EMPTY);
	tdp_doom(z->mmu, child);
	flush_owe(&z->token, gfn, span);
	tdp_work_done(z->work, SPTES_PER_TABLE);
	tdp_work_upto(z->work, gfn + span);
}

/* The part of a large leaf that is outside the range stays mapped, by smaller ones. */
static void zap_part(struct zap *z, const struct sp *sp, uint64_t *sptep, gfn_t gfn)
{
	struct sp *parts = sp_reserve_take(z->work->tables, gfn, sp->level - 1);

	INVARIANT(parts);
	while (!tdp_split(&z->mmu->host.stats, sptep, spte_read(sptep), parts))
		; /* a CPU has set a flag in it */
	trace_mmu(TRACE_MMU_SPLIT, z->mmu->config.vm_id, gfn, (uint64_t)sp->level);
	flush_owe(&z->token, gfn, level_pages(sp->level));
	zap_link(z, sp, sptep, gfn, parts);
}

static void zap_leaf(struct zap *z, const struct sp *sp, uint64_t *sptep, gfn_t gfn)
{
	uint64_t span = level_pages(sp->level);

	if (z->work->tables && is_cut(z->work, gfn, span)) {
		zap_part(z, sp, sptep, gfn);
		return;
	}
	spte_exchange(sptep, SPTE_EMPTY);
	z->mmu->host.stats.mapped[sp->level]--;
	flush_owe(&z->token, gfn, span);
	tdp_work_upto(z->work, gfn + span);
}

static void zap_entry(struct zap *z, const struct sp *sp, uint64_t *sptep, gfn_t gfn)
{
	uint64_t spte = spte_read(sptep);

	INVARIANT(spte != SPTE_FROZEN);
	tdp_work_done(z->work, 1);
	if (spte_is_table(spte, sp->level)) {
		zap_link(z, sp, sptep, gfn, sp_of(spte_hpa(spte)));
	} else if (spte_is_present(spte)) {
		zap_leaf(z, sp, sptep, gfn);
	} else {
		spte_write(sptep, SPTE_EMPTY);
		tdp_work_upto(z->work, gfn + level_pages(sp->level));
	}
}

/* The entries of the table that touch what is left of the range, as far as the hold goes. */
static void zap_table(struct zap *z, struct sp *sp)
{
	struct tdp_span at = tdp_span_of(sp, z->work);

	for (; at.gfn < at.end && tdp_work_left(z->work); at.gfn += at.step)
		zap_entry(z, sp, &sp->table[spte_index(at.gfn, sp->level)], at.gfn);
}

struct flush_token tdp_zap_some(struct mmu *mmu, struct tdp_work *work)
{
	struct zap z = { mmu, work, flush_token_new(mmu) };

	zap_table(&z, mmu->root);
	return z.token;
}

struct flush_token tdp_zap(struct mmu *mmu, gfn_t first, uint64_t npages, struct sp_reserve *tables)
{
	struct tdp_work all = tdp_work_of(first, npages, tables);

	return tdp_zap_some(mmu, &all);
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
