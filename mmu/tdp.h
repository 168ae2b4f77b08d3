/*
 * The direct EPT: entries that follow from the slots alone. Installing is concurrent, one
 * compare-and-exchange per entry under the shared lock; removing is exclusive.
 * Model of both: tests/model/tdp_zap.pml.
 */
#ifndef MMU_TDP_H
#define MMU_TDP_H

#include "mmu/flush.h"
#include "mmu/mmu.h"

struct sp;
struct sp_reserve;
struct tdp_work;

/* One fault on its way. */
struct fault {
	gfn_t gfn;
	const struct slot *slot; /* NULL: MMIO */
	uint32_t access;         /* MMU_*; 0 maps ahead of any access */
	int goal;                /* the level to map at, unless a table is there already */
	hpa_t page;              /* in a mirror: the frame of the leaf at the goal */
	int accept;              /* in a mirror: the largest level that the guest takes; 0: any */
	bool too_large;          /* out: the entry is larger than that, or would become so: nothing was done */
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
 * nothing else. A large leaf that reaches beyond the range is split, with tables (full when it starts);
 * NULL: it goes whole. The lock is held exclusively.
 */
struct flush_token tdp_zap(struct mmu *mmu, gfn_t first, uint64_t npages, struct sp_reserve *tables) MUST_CHECK;
/* The same for a part of the range, from where the work stands, as much as one hold may do: mmu/tdp_work.h. */
struct flush_token tdp_zap_some(struct mmu *mmu, struct tdp_work *work) MUST_CHECK;

/*
 * An unlinked table: its entries are frozen, so that whoever should still come by backs off, its
 * children go the same way, and it waits on the doomed list for the flush. The lock is held exclusively.
 */
void tdp_doom(struct mmu *mmu, struct sp *sp);

/*
 * Replaces tables that map something by large leafs, wherever their frames touch the range and
 * hugepage_max_level() says so. Hold by hold as tdp_zap_some().
 */
struct flush_token tdp_collapse_some(struct mmu *mmu, struct tdp_work *work) MUST_CHECK;

/* The entry that decides about gfn: not a table. Inside the lock. */
uint64_t *tdp_locate(const struct mmu *mmu, gfn_t gfn, int *level);

/*
 * Takes from a leaf what would let the guest write unnoticed: the right, or under PML the dirty flag. For one
 * gfn, and hold by hold for a range as tdp_zap_some(). The lock is held exclusively.
 */
void tdp_protect(struct mmu *mmu, gfn_t gfn, struct flush_token *token);
struct flush_token tdp_protect_some(struct mmu *mmu, struct tdp_work *work) MUST_CHECK;

/*
 * f's access is not let through by spte, the present leaf of that level at sptep: gives it the right, splitting
 * it first where a large leaf may not have it. FAULT_READONLY_WRITE: there is no such right. Between
 * mmu_enter() and mmu_leave(), with a slot.
 */
enum fault_result tdp_grant(struct mmu_vcpu *mv, struct fault *f, uint64_t *sptep, uint64_t spte, int level);

/*
 * Replaces a large leaf by the table sp, which holds its parts; sp is one level below and not linked. False
 * when the entry is no longer leaf: sp is to be tried again or cleared. Inside the lock, shared or exclusive;
 * stats are the caller's to change.
 */
bool tdp_split(struct mmu_stats *stats, uint64_t *sptep, uint64_t leaf, struct sp *sp);
/*
 * Splits every large leaf that reaches into the range down to 4K, one per hold of the shared lock, until memory for
 * tables is out. Outside the lock; the caller may use mmu->host.
 */
void tdp_split_all(struct mmu *mmu, gfn_t first, uint64_t npages);
/* Empties every MMIO entry; the CPU caches none of them. The lock is held exclusively. */
void tdp_zap_mmio(struct mmu *mmu);

#endif
