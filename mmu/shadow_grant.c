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

/* The page of the shadow where the CPU's walk for gva ends. */
static bool grant(struct mmu_vcpu *mv, struct sp *sp, gva_t gva)
{
	uint64_t *sptep = &sp->table[spte_index(gva >> PAGE_SHIFT, sp->level)], spte = *sptep;
	const struct slot *s;
	gfn_t gfn;

	if (sp->level > LEVEL_4K || !shadow_is_held_back(spte))
		return false;
	gfn = rmap_key(mv->mmu, sp, spte_index(gva >> PAGE_SHIFT, LEVEL_4K));
	s = slot_find(mv, gfn);
	if (!unsync_try(mv, s, gfn, UNSYNC_FAULT))
		return false;
	if (UNLIKELY(s->flags & SLOT_LOGGED))
		dirty_mark(s, gfn);
	spte_write(sptep, spte | SHADOW_WRITABLE);
	return true;
}

bool shadow_grant(struct mmu_vcpu *mv, gva_t gva)
{
	bool granted = false;
	struct sp *root;

	mmu_exclusive_begin(mv->mmu);
	if (LIKELY(!mv->shadow.stale)) {
		root = shadow_root_for(mv, gva);
		granted = root && grant(mv, shadow_lowest(root, gva, SHADOW_ALL), gva);
	}
	mmu_exclusive_end(mv->mmu);
	return granted;
}
