/*
 * The dirty log under shadow paging. A logged slot has no large leafs, and a leaf of it lets the guest write only
 * once its page is in the log (mmu/shadow_fault.c), which check_shadow proves.
 */
#include "mmu/shadow_log.h"

#include "mmu/dirty.h"
#include "mmu/hugepage.h"
#include "mmu/rmap.h"
#include "mmu/shadow_page.h"
#include "mmu/slot.h"
#include "mmu/track.h"

#define ZAP_BATCH 16 /* pages dropped per hold of the lock */

bool shadow_slot_takes(const struct slot *s, gfn_t gfn, bool write)
{
	return !(s->flags & SLOT_READONLY) && (write || dirty_is_marked(s, gfn));
}

static void drop_large(struct mmu *mmu, const struct slot *s, gfn_t first, gfn_t end, struct flush_token *token)
{
	for (int level = LEVEL_2M; level <= s->shape_level; level++)
		for (gfn_t g = align_down(first, level_pages(level)); g < end; g += level_pages(level))
			shadow_drop_leafs(mmu, s, max_u64(g, s->base), level, token);
}

struct flush_token shadow_protect_some(struct mmu *mmu, struct tdp_work *work)
{
	const struct slot *s = slot_set_find(mmu->slots, work->next);
	gfn_t end = min_u64(work->end, work->next + TDP_WORK_ENTRIES);
	struct flush_token token = flush_token_new(mmu);

	drop_large(mmu, s, work->next, end, &token);
	for (gfn_t g = work->next; g < end; g++) {
		if (!rmap_head(s, g, LEVEL_4K)) /* nor has any other of the frame of heads */
			g |= BIT(RMAP_CHUNK_SHIFT) - 1;
		else
			track_write_protect(mmu, s, g, &token);
	}
	tdp_work_upto(work, end);
	return token;
}

/* The page holds the parts of what could be one leaf in its parent. */
static bool is_in_place_of_leaf(const struct slot *s, const struct sp *sp)
{
	return sp->role.direct && sp->parents && slot_covers(s, sp->gfn) && hugepage_max_level(s, sp->gfn) > sp->level;
}

static bool regrow_some(struct mmu *mmu, const struct slot *s, struct flush_token *token)
{
	struct sp *sp = mmu->shadow->oldest;
	uint32_t count = 0;

	while (sp && count < ZAP_BATCH) {
		if (is_in_place_of_leaf(s, sp)) {
			shadow_zap(mmu, sp, token);
			sp = mmu->shadow->oldest; /* its neighbours may have gone with it */
			count++;
		} else {
			sp = sp->newer;
		}
	}
	return sp;
}

void shadow_regrow(struct mmu *mmu, const struct slot *s)
{
	bool more = true;

	while (more) {
		struct flush_token token;

		mmu_exclusive_begin(mmu);
		token = flush_token_new(mmu);
		more = regrow_some(mmu, s, &token);
		flush_spend(mmu, token);
		mmu_exclusive_end(mmu);
		mmu_let_in();
	}
}
