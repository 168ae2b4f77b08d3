/*
 * A write-protected leaf gets the right to write back: see the header.
 */
#include "mmu/shadow_grant.h"

#include "mmu/dirty.h"
#include "mmu/flush.h"
#include "mmu/rmap.h"
#include "mmu/shadow_page.h"
#include "mmu/shadow_spte.h"
#include "mmu/slot.h"
#include "mmu/unsync.h"
#include "mmu/walk.h"

/* Of a page of the supervisor's, to which neither SMAP nor protection keys apply. */
static enum fault_result tracked(uint64_t spte, gfn_t gfn, gva_t gva, struct walk_result *r)
{
	if (spte & PTE_US)
		return FAULT_RETRY;
	r->gva = gva;
	r->gpa = gfn << PAGE_SHIFT | (gva & PAGE_MASK);
	return FAULT_WRITE_TRACKED;
}

/* sp: the page of the shadow where the CPU's walk for gva ends. */
static enum fault_result grant(struct mmu_vcpu *mv, struct sp *sp, gva_t gva, struct walk_result *r)
{
	uint64_t *sptep = &sp->table[spte_index(gva >> PAGE_SHIFT, sp->level)], spte = *sptep;
	const struct slot *s;
	gfn_t gfn;

	if (sp->level > LEVEL_4K || !shadow_is_held_back(spte))
		return FAULT_RETRY;
	gfn = rmap_key(mv->mmu, sp, spte_index(gva >> PAGE_SHIFT, LEVEL_4K));
	s = slot_find(mv, gfn);
	if (!unsync_try(mv, s, gfn, UNSYNC_FAULT))
		return tracked(spte, gfn, gva, r);
	if (UNLIKELY(s->flags & SLOT_LOGGED))
		dirty_mark(s, gfn);
	spte_write(sptep, spte | SHADOW_WRITABLE);
	return FAULT_MAPPED;
}

enum fault_result shadow_grant(struct mmu_vcpu *mv, gva_t gva, struct walk_result *r)
{
	enum fault_result result = FAULT_RETRY;
	struct sp *root;

	mmu_exclusive_begin(mv->mmu);
	root = shadow_root_for(mv, gva);
	if (LIKELY(root && !mv->shadow.stale))
		result = grant(mv, shadow_lowest(root, gva, SHADOW_ALL), gva, r);
	mmu_exclusive_end(mv->mmu);
	return result;
}
