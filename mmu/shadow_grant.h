/*
 * Writes that the guest's tables allow and nothing but the shadow was against: most are a kernel's, to a
 * page table that was write-protected since its last TLB flush.
 */
#ifndef MMU_SHADOW_GRANT_H
#define MMU_SHADOW_GRANT_H

#include "mmu/mmu.h"
#include "mmu/walk.h"

/* Whether the page fault may be one that shadow_grant() ends. A user's never is as far as this goes: whoever
 * lets user code write page tables goes the long way. */
static inline bool shadow_may_grant(uint32_t error_code) { return error_code == (PFERR_PRESENT | PFERR_WRITE); }

/*
 * Gives the present leaf that maps gva the right to write, if the guest has given it: FAULT_MAPPED. Where a table of
 * a higher level lies there, the write is to be seen: FAULT_WRITE_TRACKED, with r->gva and r->gpa. FAULT_RETRY: nothing
 * was done, the guest's tables have to be asked. The leaf is as good as a TLB entry, and has been since the guest's
 * last flush, so the guest's tables are not. Outside the lock.
 */
enum fault_result shadow_grant(struct mmu_vcpu *mv, gva_t gva, struct walk_result *r);

#endif
