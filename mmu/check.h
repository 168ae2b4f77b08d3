/*
 * The invariants of the address space, recomputed from scratch: after every step of the tests, and
 * on the machine when the operator asks.
 */
#ifndef MMU_CHECK_H
#define MMU_CHECK_H

#include "mmu/mmu.h"

/*
 * 0, or -EFAULT with the first broken invariant in words. Takes the lock exclusively; changes
 * nothing. Takes time with every table and every slot record: not for a fault path.
 */
int mmu_check(struct mmu *mmu, struct failure *f);

#endif
