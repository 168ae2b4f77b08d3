/*
 * Whether a leaf of the shadow may let the guest write, and the bits that say so. Under the exclusive lock.
 */
#ifndef MMU_SHADOW_LEAF_H
#define MMU_SHADOW_LEAF_H

#include "mmu/dirty.h"
#include "mmu/shadow_log.h"
#include "mmu/shadow_page.h"
#include "mmu/shadow_spte.h"
#include "mmu/slot.h"
#include "mmu/unsync.h"

/*
 * Whether the leaf may be writable as far as the hypervisor is concerned. write: the access at hand is one.
 * True puts the page of a logged slot into the log.
 */
static inline bool shadow_may_write(struct mmu_vcpu *mv, const struct slot *s, gfn_t gfn, enum unsync_caller caller,
				    bool write)
{
	if (UNLIKELY(s->flags & (SLOT_READONLY | SLOT_LOGGED)) && !shadow_slot_takes(s, gfn, write))
		return false;
	if (!unsync_try(mv, s, gfn, caller))
		return false;
	if (UNLIKELY(s->flags & SLOT_LOGGED))
		dirty_mark(s, gfn);
	return true;
}

/* allowed: by the guest; writable: nothing else is against it. */
static inline uint64_t shadow_with_writing(const struct slot *s, uint64_t spte, bool allowed, bool writable)
{
	if (UNLIKELY(s->flags & SLOT_READONLY))
		return spte;
	if (!allowed)
		return spte | SHADOW_HOST_WRITABLE;
	return spte | (writable ? SHADOW_WRITABLE : SHADOW_HOST_WRITABLE | PTE_D);
}

/* The leaf becomes another one of the same page, filed under the same gfn. */
static inline void shadow_change_leaf(struct mmu_vcpu *mv, struct sp *sp, uint32_t index, uint64_t spte,
				      struct flush_token *token)
{
	uint64_t old = sp->table[index];

	if (sp->level == LEVEL_4K)
		sp_bit_clear(sp_seen_bits(sp), index); /* mmu/seen.h */
	spte_write(&sp->table[index], spte);
	mv->shadow.widened = true;
	if ((old & ~spte & (PTE_RW | PTE_US)) || ((old ^ spte) & (PTE_XD | PTE_PKEY)))
		shadow_owe(token);
}

#endif
