/*
 * What the dirty log (mmu/dirty.h) needs of shadow pages: by write protection, page by page.
 */
#ifndef MMU_SHADOW_LOG_H
#define MMU_SHADOW_LOG_H

#include "mmu/slot.h"
#include "mmu/tdp_work.h"

/*
 * A slot is logged from now on: no leaf of the range lets the guest write any more, and none is large. A step for
 * tdp_work_run(); the range lies in one slot.
 */
struct flush_token shadow_protect_some(struct mmu *mmu, struct tdp_work *work) MUST_CHECK;

/* Whether a slot that takes no writes, or logs them, lets a leaf be writable: one that logs does once the page is in
 * the log, where a write puts it. */
bool shadow_slot_takes(const struct slot *s, gfn_t gfn, bool write);

/* The slot is logged no more: pages that stand where a large leaf may be go, a few per hold of the lock. */
void shadow_regrow(struct mmu *mmu, const struct slot *s);

#endif
