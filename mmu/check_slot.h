/*
 * The parts of mmu_check() that look at one slot by itself. The lock is held exclusively.
 */
#ifndef MMU_CHECK_SLOT_H
#define MMU_CHECK_SLOT_H

#include "hv/base/failure.h"
#include "mmu/slot.h"

/* The records of private and shared pages agree with their bits. -EFAULT: broken. */
int check_attributes(const struct slot *s, struct failure *f);

/* What follows from the flags is as it should be. */
int check_derived(const struct slot *s, struct failure *f);
/* A write through the leaf, if it is in a slot that is logged, is in the log or will be. */
int check_logged(const struct mmu *mmu, const struct slot *s, gfn_t gfn, int level, uint64_t spte,
		 struct failure *f);

/* Whether the large frame is wholly inside the slot and has pages of both kinds, page by page. */
bool check_mixed(const struct slot *s, gfn_t frame, int level);

#endif
