/*
 * The direct EPT: entries that follow from the slots alone. Installing is concurrent, one
 * compare-and-exchange per entry under the shared lock; removing is exclusive.
 * Model of both: tests/model/tdp_zap.pml.
 */
#ifndef MMU_TDP_H
#define MMU_TDP_H

#include "mmu/flush.h"
#include "mmu/mmu.h"

struct sp_reserve;

/* One fault on its way. */
struct fault {
	gfn_t gfn;
	const struct slot *slot; /* NULL: MMIO */
	uint32_t access;         /* MMU_*; 0 maps ahead of any access */
	int goal;                /* the level to map at, unless a table is there already */
	int level;               /* out, when FAULT_MAPPED: the level of the leaf */
};

/* Maps f->gfn as its slot says. Between mmu_enter() and mmu_leave(), with a slot. */
enum fault_result tdp_map(struct mmu_vcpu *mv, struct fault *f);

/*
 * Installs an MMIO entry of the current generation for f->gfn, which no slot covers. FAULT_MMIO
 * whether or not there was room for it, or somebody else was faster. Between mmu_enter() and mmu_leave().
 */
enum fault_result tdp_map_mmio(struct mmu_vcpu *mv, const struct fault *f);

/* The entry that decides about gfn as things stand: not a table. Inside the lock. */
uint64_t tdp_lookup(const struct mmu *mmu, gfn_t gfn, int *level);

/*
 * Empties every entry that maps a gfn of the range, MMIO included, and unlinks the tables that hold
 * nothing else. A leaf that reaches beyond the range goes whole: tdp_split_at() has been there before.
 * The lock is held exclusively.
 */
struct flush_token tdp_zap(struct mmu *mmu, gfn_t first, uint64_t npages) MUST_CHECK;
/*
 * Replaces a large leaf by the table sp, which holds its parts; sp is one level below and not linked. False
 * when the entry is no longer leaf: sp is to be tried again or cleared. Inside the lock, shared or exclusive;
 * stats are the caller's to change.
 */
bool tdp_split(struct mmu_stats *stats, uint64_t *sptep, uint64_t leaf, struct sp *sp);
/*
 * Splits until no leaf reaches over the line before gfn, so that a zap up to there or from there on is
 * precise. False: the tables were used up. Two are enough. The lock is held exclusively.
 */
bool tdp_split_at(struct mmu *mmu, gfn_t gfn, struct sp_reserve *tables, struct flush_token *token);

/* Empties every MMIO entry; the CPU caches none of them. The lock is held exclusively. */
void tdp_zap_mmio(struct mmu *mmu);

#endif
