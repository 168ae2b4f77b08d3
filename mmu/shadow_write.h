/*
 * What a write by the hypervisor to guest memory does to the shadow of it.
 */
#ifndef MMU_SHADOW_WRITE_H
#define MMU_SHADOW_WRITE_H

#include "mmu/flush.h"
#include "mmu/slot.h"

/* A change of len bytes, at most a page, that lie in one slot. */
struct gpa_change {
	void (*apply)(struct gpa_change *c, void *hva);
	uint64_t len;
};

/*
 * Carries out the change at gpa, which was found to be RAM; where a slot has gone meanwhile, nothing.
 * When it returns, nothing derived from the bytes as they were is left in the shadow or in a TLB.
 * Outside the lock.
 */
void shadow_change(struct mmu_vcpu *mv, gpa_t gpa, struct gpa_change *c);

/*
 * A walk has set a flag in the 4-byte entry at gpa, of that level. To entries of 8 bytes in the same table, where
 * another vCPU has one, that is an address bit: inside the lock it is noted, outside it is told, and pages that shadow
 * such a table are dropped.
 */
void shadow_note_flag(struct mmu_vcpu *mv, gpa_t gpa, int level);
void shadow_drop_noted(struct mmu_vcpu *mv);

static inline void shadow_tell_flags(struct mmu_vcpu *mv)
{
	if (UNLIKELY(mv->shadow.flagged[0] | mv->shadow.flagged[1]))
		shadow_drop_noted(mv);
}

#endif
