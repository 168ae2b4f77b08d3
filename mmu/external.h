/*
 * What a mirror root asks of the table that it mirrors: the operations on one entry of it, as a TDX
 * module offers them for the secure EPT. mmu/ knows no more of that table than this.
 */
#ifndef MMU_EXTERNAL_H
#define MMU_EXTERNAL_H

#include "mmu/mmu.h"

enum external_op {
	EXTERNAL_LINK,    /* free entry -> empty table, which is put into page */
	EXTERNAL_MAP,     /* free entry -> leaf of page */
	EXTERNAL_BLOCK,   /* leaf -> blocked leaf: CPUs get no new translation of it */
	EXTERNAL_TRACK,   /* starts the epoch after which what was blocked before is in no TLB; no gfn */
	EXTERNAL_UNBLOCK, /* blocked leaf, tracked -> leaf as it was */
	EXTERNAL_REMOVE,  /* blocked leaf, tracked -> free entry; page is clean and ours */
	EXTERNAL_DEMOTE,  /* blocked leaf, tracked -> table of 512 leafs, which is put into page; not blocked */
	EXTERNAL_RECLAIM, /* the guest is dismantled: page, a leaf's or a table's, is ours again */
	EXTERNAL_OPS
};

extern const char *const external_op_names[EXTERNAL_OPS];

struct mmu_external {
	int max_level; /* the largest leaf that EXTERNAL_MAP takes */
	/*
	 * Carries out op on the entry of that level for gfn, which is aligned to it. page is the leaf's
	 * frame for MAP, REMOVE and RECLAIM (level says its size), the table's for LINK, DEMOTE and
	 * RECLAIM (level 0); else 0.
	 *   0       done
	 *   -EBUSY  nothing was changed: somebody else holds what it needs
	 *   -EINTR  DEMOTE only: nothing was changed, an interrupt is pending
	 *   other   nobody knows what was changed: the guest must be stopped
	 * LINK and MAP come from several vCPUs at once, the others from one CPU at a time and never
	 * beside LINK or MAP.
	 */
	int (*act)(void *ctx, enum external_op op, gfn_t gfn, int level, hpa_t page);
	/* While barred, no vCPU enters the guest. */
	void (*bar)(void *ctx, bool barred);
	/* Returns once every vCPU that was in the guest has left it. As with mmu_config.flush, CPUs in root
	 * mode may be spinning on the lock. */
	void (*kick)(void *ctx);
	void *ctx;
};

#endif
