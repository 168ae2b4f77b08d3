/*
 * Unsync pages: a 4K-level shadow page whose table the guest may write unseen, so that its entries
 * are as stale as a TLB's. They are brought up to date when the guest flushes its TLB.
 * All under the exclusive lock; tests/model/unsync.pml has the order of marking and flushing.
 */
#ifndef MMU_UNSYNC_H
#define MMU_UNSYNC_H

#include "mmu/flush.h"
#include "mmu/slot.h"
#include "mmu/sp.h"

enum unsync_caller { UNSYNC_FAULT, UNSYNC_PREFETCH, UNSYNC_CALLERS };

/*
 * May a leaf let the guest write to gfn? Yes, once every page that shadows gfn as a 4K table has
 * been marked unsync: only a fault may do that. False: the leaf has to be read-only.
 */
bool unsync_try(struct mmu_vcpu *mv, const struct slot *s, gfn_t gfn, enum unsync_caller caller);

/* A bit per gfn from first on, for as many as one page maps. */
struct unsync_bits {
	uint64_t word[SP_BITMAP_WORDS];
};

/* The same of count gfns from first on, all in the slot and in one 2M frame, ahead of faults: bits of those for which
 * the answer is yes. */
struct unsync_bits unsync_try_run(struct mmu *mmu, const struct slot *s, gfn_t first, uint32_t count);

/* Parents of a page that is unsync, or has such below, learn of it. */
void unsync_mark_parents(struct mmu *mmu, struct sp *sp);

/* Brings the entries of an unsync page up to date; it stays unsync. */
void unsync_refresh(struct mmu_vcpu *mv, struct sp *sp, struct flush_token *token);

/*
 * Brings all unsync pages below sp up to date and makes their tables write-protected again, but for some of those
 * with few entries, which stay unsync. What is protected is so, and TLBs are flushed, before an entry is read.
 */
void unsync_sync_below(struct mmu_vcpu *mv, struct sp *sp, struct flush_token *token);

/* Brings one entry up to date if its page is unsync: INVLPG. */
void unsync_sync_entry(struct mmu_vcpu *mv, struct sp *sp, uint32_t index, struct flush_token *token);

#endif
