/*
 * Looking at an address space from outside: for the monitor, reports and the audit of frame owners.
 * Every function takes the lock exclusively for its duration and changes nothing.
 */
#ifndef MMU_INSPECT_H
#define MMU_INSPECT_H

#include "mmu/hugepage.h"
#include "mmu/mmu.h"
#include "mmu/spte.h"

struct mmu_step {
	int level;     /* of the table the entry is in */
	hpa_t table;   /* that table's frame */
	uint32_t index;
	uint64_t spte;
	enum spte_kind kind;
};

/* The entries of the EPT, or of the mirror, that decide about gpa, from the top; returns how many (0: beyond
 * gpa_bits, or shadow mode, where the guest's linear addresses decide). */
int mmu_walk_gpa(struct mmu *mmu, gpa_t gpa, struct mmu_step steps[ROOT_LEVEL]);

/* The first slot that starts at *gfn or above: its start in *gfn, and its size. False: there is none. */
bool mmu_slot_next(struct mmu *mmu, gfn_t *gfn, uint64_t *npages);

struct mmu_counts {
	uint64_t slots, pages;       /* memory the guest has */
	uint64_t mapped[ROOT_LEVEL]; /* leafs by level, counted in the tables; [0] counts MMIO entries */
	uint64_t tables;             /* linked, with the root */
	uint64_t table_frames;       /* frames held for tables, spares and headers included */
	uint64_t metadata_frames;    /* frames of slot records, slot sets, attributes */
	uint64_t flushes;
	struct hugepage_census shadowed; /* shadow mode: the reasons are shadow pages of the guest's tables */
	struct { /* with the lock or for it */
		struct rw_waits readers, writers; /* for a writer */
		struct rw_waits for_readers;      /* of writers */
		struct rw_waits flushes;          /* for CPUs in the guest */
	} waits;
	struct { /* of the mirror root: private memory, not in the above */
		uint64_t mapped[ROOT_LEVEL];
		uint64_t tables;  /* with the root */
		uint64_t kept_4k; /* 2M frames that stay in 4K pages for having been split once */
		uint64_t tracks;  /* of the external table */
		uint64_t kicks;   /* of all vCPUs, because it was busy */
		uint64_t refused; /* transitions asked for that are not allowed: a bug */
	} mirror;
};
void mmu_count(struct mmu *mmu, struct mmu_counts *counts);

/* The counters of the host and of all vCPUs together. */
void mmu_stats_sum(struct mmu *mmu, struct mmu_stats *sum);
/* Adds one vCPU's counters to others. No lock. */
void mmu_stats_add(struct mmu_stats *to, const struct mmu_stats *from);

enum mmu_frame_use {
	MMU_FRAME_MAPPED,   /* the guest reaches it: owner OWNER_VM */
	MMU_FRAME_TABLE,    /* of a block of tables: owner OWNER_VM_META */
	MMU_FRAME_META,     /* slot records, attributes: owner OWNER_VM_META */
	MMU_FRAME_PRIVATE,  /* the guest reaches it by the external table: owner OWNER_TD */
	MMU_FRAME_EXTERNAL, /* a table of the external one: owner OWNER_TD */
};

/*
 * Calls fn for every run of frames that the guest's entries reach, and for every run that the
 * address space is made of. A result other than 0 ends it and is returned. fn must not call mmu.
 */
int mmu_for_each_frame(struct mmu *mmu,
		       int (*fn)(void *ctx, hpa_t first, uint64_t npages, enum mmu_frame_use use), void *ctx);

#endif
