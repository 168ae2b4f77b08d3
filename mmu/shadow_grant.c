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

bool shadow_may_grant(uint32_t error_code)
{
	return error_code == (PFERR_PRESENT | PFERR_WRITE);
}

/* The entry where the CPU's walk for gva ends, with its page; NULL: there is no root for it. */
static struct sp *find_end(const struct mmu_vcpu *mv, gva_t gva, uint32_t *index)
{
	struct sp *sp = shadow_root_for(mv, gva);

	while (sp) {
		*index = spte_index(gva >> PAGE_SHIFT, sp->level);
		if (!spte_is_table(sp->table[*index], sp->level))
			break;
		sp = sp_of(spte_hpa(sp->table[*index]));
	}
	return sp;
}

static bool grant(struct mmu_vcpu *mv, struct sp *sp, uint32_t index)
{
	uint64_t spte = sp->table[index];
	const struct slot *s;
	gfn_t gfn;

	if (sp->level > LEVEL_4K || !shadow_is_held_back(spte))
		return false;
	gfn = rmap_key(mv->mmu, sp, index);
	s = slot_find(mv, gfn);
	if (!unsync_try(mv, s, gfn, UNSYNC_FAULT))
		return false;
	if (UNLIKELY(s->flags & SLOT_LOGGED))
		dirty_mark(s, gfn);
	spte_write(&sp->table[index], spte | SHADOW_WRITABLE);
	return true;
}

bool shadow_grant(struct mmu_vcpu *mv, gva_t gva)
{
	bool granted = false;
	struct sp *sp;
	uint32_t index;

	mmu_exclusive_begin(mv->mmu);
	if (LIKELY(!mv->shadow.stale)) {
		sp = find_end(mv, gva, &index);
		granted = sp && grant(mv, sp, index);
	}
	mmu_exclusive_end(mv->mmu);
	return granted;
}
