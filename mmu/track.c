/*
 * Accounting and write protection.
 */
#include "mmu/track.h"

#include "mmu/hugepage.h"
#include "mmu/rmap.h"
#include "mmu/shadow_page.h"
#include "mmu/shadow_spte.h"

static void set_tracked(const struct slot *s, gfn_t gfn, bool on)
{
	uint64_t *word = &s->tracked[(gfn >> 6) - (s->base >> 6)];

	*word = on ? *word | BIT(gfn & 63) : *word & ~BIT(gfn & 63);
}

void track_write_protect(struct mmu *mmu, const struct slot *s, gfn_t gfn, struct flush_token *token)
{
	uint32_t ref = rmap_first(rmap_head(s, gfn, LEVEL_4K));

	for (; !(ref & RMAP_END); ref = rmap_next(mmu, ref)) {
		uint64_t *sptep = rmap_spte(mmu, ref), spte = spte_read(sptep);

		if (!(spte & (PTE_RW | SHADOW_MMU_WRITABLE)))
			continue;
		spte_write(sptep, spte & ~(PTE_RW | SHADOW_MMU_WRITABLE));
		shadow_owe(token);
	}
}

void track_account(struct mmu *mmu, struct sp *sp, struct flush_token *token)
{
	struct slot *s = track_slot(mmu, sp);

	mmu->shadow->counts.indirect++;
	if (!s)
		return;
	sp->guest = phys_to_virt(slot_hpa(s, sp->gfn));
	if (sp->level > LEVEL_4K)
		set_tracked(s, sp->gfn, true);
	hugepage_forbid(s, sp->gfn);
	/* Large leafs that reach over it: there must be none as long as a large page is forbidden. */
	for (int level = LEVEL_2M; level <= s->shape_level; level++)
		shadow_drop_leafs(mmu, s, sp->gfn, level, token);
	track_write_protect(mmu, s, sp->gfn, token);
}

static bool still_tracked(const struct mmu *mmu, gfn_t gfn)
{
	for (const struct sp *sp = *shadow_bucket(mmu, gfn); sp; sp = sp->hash_next)
		if (sp->gfn == gfn && !sp->role.direct && sp->level > LEVEL_4K)
			return true;
	return false;
}

void track_unaccount(struct mmu *mmu, struct sp *sp)
{
	struct slot *s = track_slot(mmu, sp);

	mmu->shadow->counts.indirect--;
	if (!s)
		return;
	hugepage_permit(s, sp->gfn);
	if (sp->level > LEVEL_4K && !still_tracked(mmu, sp->gfn))
		set_tracked(s, sp->gfn, false);
}
