/*
 * The invariants of shadow mode, for mmu_check().
 */
#ifndef MMU_CHECK_SHADOW_H
#define MMU_CHECK_SHADOW_H

#include "mmu/mmu.h"
#include "mmu/slot.h"

/* Reasons that shadow pages are against a large page: live indirect pages of tables in that frame of the slot. */
uint32_t shadow_reasons(const struct mmu *mmu, const struct slot *s, uint64_t index, int level);

/* 0, or -EFAULT with the first broken invariant in words. The lock is held exclusively. */
int shadow_check(struct mmu *mmu, struct failure *f);

#endif
