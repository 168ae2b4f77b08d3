/*
 * Accounting of shadow pages against the guest memory they shadow. A live indirect shadow page
 * forbids large pages over its table; one of level 2 and above makes its table write-tracked: no
 * entry lets the guest write there, so every change is emulated and seen. A 4K-level one is only
 * write-protected when made, and may become unsync (mmu/unsync.h).
 * All under the exclusive lock.
 */
#ifndef MMU_TRACK_H
#define MMU_TRACK_H

#include "mmu/flush.h"
#include "mmu/slot.h"
#include "mmu/sp.h"

static inline bool track_is_tracked(const struct slot *s, gfn_t gfn)
{
	return s->tracked[(gfn >> 6) - (s->base >> 6)] >> (gfn & 63) & 1;
}

/* Slot of the table that sp shadows; NULL when the guest has its table where no memory is. */
static inline struct slot *track_slot(const struct mmu *mmu, const struct sp *sp)
{
	return slot_set_find(mmu->slots, sp->gfn);
}

/* The page is new and on the hash: counts it, and takes away what its table must not have. */
void track_account(struct mmu *mmu, struct sp *sp, struct flush_token *token);
/* The page has left the hash. */
void track_unaccount(struct mmu *mmu, struct sp *sp);
/* No entry lets the guest write to gfn any more. */
void track_write_protect(struct mmu *mmu, const struct slot *s, gfn_t gfn, struct flush_token *token);

#endif
