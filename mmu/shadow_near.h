/*
 * Page faults near by: the shadow has the guest's 4K table already, and one entry of it decides. Nearly all faults are
 * such, and most of those entries say plainly what they allow.
 */
#ifndef MMU_SHADOW_NEAR_H
#define MMU_SHADOW_NEAR_H

#include "mmu/mmu.h"
#include "mmu/walk.h"

/*
 * FAULT_MAPPED and FAULT_WRITE_TRACKED with gva and gpa in *r; FAULT_GUEST with gva and error_code.
 * FAULT_RETRY: nothing was done, and the guest's tables have to be walked: there is a flag to be set, an entry in the
 * way, memory of a special kind, or no such table. Outside the lock.
 */
enum fault_result shadow_near(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva, uint32_t error_code,
			      struct walk_result *r);

#endif
