/*
 * The dirty log: per slot, which pages were written to since somebody last looked. A bitmap exists only
 * while a slot is logged, and there its pages are mapped by 4K leafs as soon as they are written.
 *
 * Large leafs are split when the log starts, while the vCPUs run on; where memory for tables is out, one loses the
 * right to write and is split by the first write to it.
 *
 * The guest's writes are noticed in one of two ways.
 *   write protection  leafs lack EPT_WRITE; the first write to a page is an EPT violation, which marks the
 *                     page and gives the right back (mmu/tdp_grant.c); under shadow paging they lack R/W, and it is
 *                     a page fault (mmu/shadow_log.h)
 *   PML               where the CPU has it (mmu_config.pml): leafs lack the dirty flag instead, and the CPU
 *                     writes the address of a page whose flag it sets to a buffer of the vCPU, which the back
 *                     end hands over. SDM "Page-Modification Logging"
 * The hypervisor's writes are noticed where it gets its pointer: mmu/gpa.h.
 */
#ifndef MMU_DIRTY_H
#define MMU_DIRTY_H

#include "mmu/bitmap.h"
#include "mmu/slot.h"

/*
 * Logs writes to the slot that starts at gfn: every one after this has returned. -ENOENT: none starts there;
 * -EALREADY: it is logged; -ENOMEM. Private memory is logged by nobody. Outside all locks, and so for the
 * others.
 */
int mmu_dirty_start(struct mmu *mmu, gfn_t gfn, struct failure *f);
/* Ends that. Large pages come back. -ENOENT; -EALREADY: it is not logged. */
int mmu_dirty_stop(struct mmu *mmu, gfn_t gfn, struct failure *f);

/*
 * Fetches and clears words 64-page words of the log from page first of the slot on, first a multiple of 64;
 * NULL for bitmap: only counts. A page that is written to while this runs is in this result or in the next,
 * with all of its new content to be seen by who looks at it after that result; each word is fetched and
 * cleared in one step. Returns the number of pages, -ENOENT, -EALREADY (not logged) or -EINVAL (beyond).
 */
int64_t mmu_dirty_fetch(struct mmu *mmu, gfn_t gfn, uint64_t first, uint64_t words, uint64_t *bitmap);

/* Takes over what a vCPU's CPU has logged: count guest-physical addresses. On any CPU, outside the lock. */
void mmu_pml_drain(struct mmu_vcpu *mv, const uint64_t *gpas, uint32_t count);

/* Notes a write to a page of a slot that is logged. Inside the lock. */
static inline void dirty_mark(const struct slot *s, gfn_t gfn)
{
	uint64_t at = gfn - s->base, bit = BIT(at % WORD_BITS), *word = &s->dirty[at / WORD_BITS];

	if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
}

static inline bool dirty_is_marked(const struct slot *s, gfn_t gfn)
{
	uint64_t at = gfn - s->base;

	return __atomic_load_n(&s->dirty[at / WORD_BITS], __ATOMIC_RELAXED) >> (at % WORD_BITS) & 1;
}

static inline uint64_t dirty_frames(const struct slot *s)
{
	return s->dirty ? align_up(s->npages, PAGE_SIZE * 8) / (PAGE_SIZE * 8) : 0;
}

/* A slot, perhaps logged, is no longer one. changes is held. */
void dirty_slot_deleted(struct mmu *mmu, const struct slot *s);
/* Frees the log of a slot that goes. */
void dirty_destroy(struct mmu *mmu, struct slot *s);

#endif
