/*
 * mmu/unsync.c with an eye on the fast skip: every call that it answers, and every one that it does not,
 * is compared with a search of all shadow pages.
 */
#define unsync_try unsync_try_really
#define unsync_try_run unsync_try_run_really
#include "mmu/unsync.c"
#undef unsync_try
#undef unsync_try_run

#include "tests/unit/shadow_world.h"

bool unsync_try(struct mmu_vcpu *mv, const struct slot *s, gfn_t gfn, enum unsync_caller caller);
struct unsync_bits unsync_try_run(struct mmu *mmu, const struct slot *s, gfn_t first, uint32_t count);

/* A reason that the slot's shape gives against a large page, told from the test's own record of it. */
static bool frame_is_whole(gfn_t gfn)
{
	const struct mem_slot *m = mem_slot_of(gfn << PAGE_SHIFT);
	gfn_t first = gfn & ~511ul;

	return first >= m->gfn && first + 512 <= m->gfn + m->npages &&
	       (((m->gfn << PAGE_SHIFT) ^ m->hpa) & (MIB(2) - 1)) == 0;
}

struct found {
	bool in_frame, high, synced;
};

static struct found search_all(const struct mmu *mmu, gfn_t gfn)
{
	struct found f = { false, false, false };

	for (const struct sp *sp = mmu->shadow->newest; sp; sp = sp->older) {
		if (sp->role.direct)
			continue;
		f.in_frame |= sp->gfn >> 9 == gfn >> 9;
		if (sp->gfn != gfn || !shadow_is_live(mmu, sp))
			continue;
		f.high |= sp->level > LEVEL_4K;
		f.synced |= !sp->unsync;
	}
	return f;
}

bool unsync_try(struct mmu_vcpu *mv, const struct slot *s, gfn_t gfn, enum unsync_caller caller)
{
	const struct shadow_counts *c = &mv->mmu->shadow->counts;
	struct found before = search_all(mv->mmu, gfn), after;
	uint64_t skips = c->unsync_skips[caller];
	bool may_skip = !before.in_frame && frame_is_whole(gfn), result;

	result = unsync_try_really(mv, s, gfn, caller);
	after = search_all(mv->mmu, gfn);
	if ((c->unsync_skips[caller] != skips) != (may_skip && mv->mmu->shadow->skip))
		world_fail("gfn %lx: the search for shadow pages was %sskipped", gfn, may_skip ? "not " : "");
	if (result != !(before.high || (before.synced && caller != UNSYNC_FAULT)))
		world_fail("gfn %lx may%s be writable, it is said", gfn, result ? "" : " not");
	if (result ? after.synced : after.synced != before.synced)
		world_fail("gfn %lx is writable with a page in step, or pages were marked for nothing", gfn);
	return result;
}

struct unsync_bits unsync_try_run(struct mmu *mmu, const struct slot *s, gfn_t first, uint32_t count)
{
	const struct shadow_counts *c = &mmu->shadow->counts;
	uint64_t skips = c->unsync_skips[UNSYNC_PREFETCH];
	struct unsync_bits may = unsync_try_run_really(mmu, s, first, count);
	bool may_skip = mmu->shadow->skip && frame_is_whole(first);

	for (uint32_t i = 0; i < count; i++) {
		struct found f = search_all(mmu, first + i);

		may_skip = may_skip && !f.in_frame;
		if (sp_bit(may.word, i) != !(f.high || f.synced))
			world_fail("gfn %lx of a run may%s be writable, it is said", first + i,
				   sp_bit(may.word, i) ? "" : " not");
	}
	if (c->unsync_skips[UNSYNC_PREFETCH] - skips != (may_skip ? count : 0))
		world_fail("the run at gfn %lx: the search for shadow pages was %sskipped", first, may_skip ? "not " : "");
	return may;
}
