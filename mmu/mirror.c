/*
 * Mirror roots: faults, and what the guest says about the size of its pages.
 */
#include "mmu/mirror.h"

#include "mmu/attr.h"
#include "mmu/hugepage.h"
#include "mmu/slot.h"
#include "mmu/sp.h"
#include "mmu/spte.h"

int mirror_init(struct mmu *mmu)
{
	mmu->mirror = sp_take(&mmu->host, 0, ROOT_LEVEL);
	if (!mmu->mirror)
		return -ENOMEM;
	mmu->mirror->mirror = true;
	return 0;
}

static ALWAYS_INLINE struct transition entry_of(struct mmu *mmu, const struct sp *sp, gfn_t gfn)
{
	struct transition t = {
		.mmu = mmu,
		.sptep = &sp->table[spte_index(gfn, sp->level)],
		.gfn = align_down(gfn, level_pages(sp->level)),
		.level = sp->level,
	};

	t.old = spte_read(t.sptep);
	return t;
}

struct transition mirror_find(struct mmu *mmu, gfn_t gfn)
{
	struct transition t = entry_of(mmu, mmu->mirror, gfn);

	while (spte_is_table(t.old, t.level))
		t = entry_of(mmu, sp_of(spte_hpa(t.old)), gfn);
	return t;
}

/* Both from the vCPU's spares, or neither. */
static struct sp *table_take(struct mmu_vcpu *mv, gfn_t gfn, int level)
{
	if (mv->spare_count < 2)
		return NULL;
	return mirror_pair(sp_take(mv, gfn, level), sp_take(mv, gfn, level));
}

/* Nobody knows whose the page is after a failure: it is nobody's. */
static void table_untake(struct mmu_vcpu *mv, struct sp *sp, int err)
{
	if (err == -EIO)
		sp->external->state = SP_LOST;
	else
		sp_untake(mv, sp->external);
	sp_untake(mv, sp);
}

static enum fault_result result_of(int err)
{
	return err == -EAGAIN ? FAULT_RETRY : err == -ENOMEM ? FAULT_OUT_OF_MEMORY : FAULT_BROKEN;
}

static enum fault_result link_table(struct mmu_vcpu *mv, struct transition *t)
{
	struct sp *sp = table_take(mv, t->gfn, t->level - 1);
	int err;

	if (!sp)
		return FAULT_OUT_OF_MEMORY;
	t->new = spte_make_table(sp_hpa(sp));
	err = transition_install(t);
	if (err) {
		table_untake(mv, sp, err);
		return result_of(err);
	}
	mv->stats.mirror.tables++;
	t->old = t->new;
	return FAULT_MAPPED;
}

static enum fault_result map_leaf(struct mmu_vcpu *mv, struct fault *f, struct transition *t)
{
	int err;

	/* Somebody else's page mapped privately would be worse than none. */
	INVARIANT(f->page == slot_hpa(f->slot, t->gfn));
	t->new = spte_make_leaf(f->page, t->level, true);
	err = transition_install(t);
	if (err)
		return result_of(err);
	mv->stats.mirror.mapped[t->level]++;
	f->level = t->level;
	return FAULT_MAPPED;
}

/*
 * A table stands where the leaf was to go. Promotion would need all pages below to be in one state, a
 * BLOCK with other vCPUs still faulting, and a way back from BUSY: a mirror's table is never replaced.
 * The goal drops a level, and the page gets back the bits of gfn that tell it from its neighbours.
 * Looked at on every level on the way down: below may be another table.
 */
static void goal_lower(struct fault *f, uint64_t spte, int level)
{
	if (level != f->goal || !spte_is_table(spte, level))
		return;
	f->goal--;
	f->page |= (f->gfn & (level_pages(level) - level_pages(level - 1))) << PAGE_SHIFT;
}

/* Down to the goal, or to where no table leads further: nothing is to be decided up there. */
static inline const struct sp *table_above(const struct mmu *mmu, const struct fault *f)
{
	const uint64_t *table = mmu->mirror->table;
	uint64_t spte;

	for (int level = ROOT_LEVEL; level > f->goal; level--) {
		spte = spte_read(&table[spte_index(f->gfn, level)]);
		if (UNLIKELY(!spte_is_table(spte, level)))
			break;
		table = phys_to_virt(spte_hpa(spte));
	}
	return sp_of(virt_to_phys(table));
}

enum fault_result mirror_map(struct mmu_vcpu *mv, struct fault *f)
{
	struct mmu *mmu = mv->mmu;
	struct transition t = entry_of(mmu, table_above(mmu, f), f->gfn);

	f->page = slot_hpa(f->slot, align_down(f->gfn, level_pages(f->goal)));
	for (;;) {
		if (UNLIKELY(transition_is_frozen(t.old)))
			return FAULT_RETRY;
		goal_lower(f, t.old, t.level);
		if (spte_is_present(t.old) && spte_is_leaf(t.old, t.level)) {
			f->level = t.level; /* no larger than the goal: what lowers the goal splits first */
			mv->stats.spurious++;
			return FAULT_MAPPED;
		}
		if (t.level == f->goal)
			return map_leaf(mv, f, &t);
		if (!spte_is_present(t.old)) {
			enum fault_result result = link_table(mv, &t);

			if (result != FAULT_MAPPED)
				return result;
		}
		t = entry_of(mmu, sp_of(spte_hpa(t.old)), f->gfn);
	}
}

/* ---- accept level ---- */

/* The words say so only once it is so. Exclusive lock. */
static int accept_settle(struct mmu *mmu, const struct slot *s, gfn_t gfn, int level, struct sp_reserve *tables)
{
	int err = mirror_demote(mmu, gfn, level, tables);

	for (int above = level + 1; !err && above <= LEVEL_1G; above++)
		__atomic_fetch_or(hugepage_word(s, gfn, above), HUGEPAGE_INHIBIT, __ATOMIC_RELAXED);
	return err;
}

/* The slot of private memory at gfn, or NULL. Inside the lock. */
static const struct slot *private_slot(const struct mmu *mmu, gfn_t gfn)
{
	const struct slot *s = slot_set_find(slot_set_of(mmu), gfn);

	return s && attr_is_private(s, gfn) ? s : NULL;
}

/* The first time that a frame is accepted in smaller pieces than it was, or could be, mapped. */
static int accept_smaller(struct mmu *mmu, gfn_t gfn, int level)
{
	struct sp_reserve tables;
	const struct slot *s;
	int err = 0;

	spin_lock(&mmu->changes);
	(void)sp_reserve_fill(mmu, &tables); /* there may be nothing to split */
	mmu_exclusive_begin(mmu);
	s = private_slot(mmu, gfn);
	if (s)
		err = accept_settle(mmu, s, gfn, level, &tables);
	mmu_exclusive_end(mmu);
	sp_reserve_return(mmu, &tables);
	spin_unlock(&mmu->changes);
	return err;
}

enum fault_result mmu_mirror_accept(struct mmu_vcpu *mv, gpa_t gpa, int level)
{
	struct mmu *mmu = mv->mmu;
	struct fault f = { .gfn = gpa >> PAGE_SHIFT, .access = MMU_WRITE, .accept = level };
	enum fault_result result;
	int err;

	if (!mirror_is_meant(mmu, gpa) || level < LEVEL_4K)
		return FAULT_BAD_ADDRESS;
	result = mmu_fault_in(mv, &f, true);
	if (LIKELY(!f.too_large)) {
		mv->stats.faults[result]++;
		return result;
	}
	err = accept_smaller(mmu, f.gfn, level);
	return err ? result_of(err) : mmu_fault(mv, gpa, MMU_WRITE);
}

/* ---- the first image ---- */

/* Inside the lock. */
static int build_page(struct mmu_vcpu *mv, gfn_t gfn)
{
	struct fault f = { .gfn = gfn, .access = MMU_WRITE, .goal = LEVEL_4K };
	enum fault_result result;

	f.slot = private_slot(mv->mmu, gfn);
	if (!f.slot)
		return -ENOENT;
	if (spte_is_present(mirror_find(mv->mmu, gfn).old))
		return -EEXIST;
	result = mirror_map(mv, &f);
	return result == FAULT_MAPPED ? 0 : result == FAULT_RETRY ? -EAGAIN :
	       result == FAULT_OUT_OF_MEMORY ? -ENOMEM : -EIO;
}

int mmu_mirror_build(struct mmu_vcpu *mv, gfn_t gfn, struct failure *f)
{
	int err;

	if (mv->mmu->broken)
		return fail(f, -EIO, "%s", mv->mmu->broken_why.text);
	if (mv->spare_count < MIRROR_PER_FAULT)
		sp_topup(mv, MMU_SPARES);
	mmu_enter(mv);
	err = build_page(mv, gfn);
	mmu_leave(mv);
	switch (err) {
	case 0: return 0;
	case -EEXIST: return fail(f, err, "the image has two pages at gfn %lx, or it was touched before", gfn);
	case -ENOENT: return fail(f, err, "the image has a page at gfn %lx, where no private memory is", gfn);
	case -ENOMEM: return fail(f, err, "no memory is left for the page tables of the image at gfn %lx", gfn);
	case -EAGAIN: return fail(f, err, "the secure page table was busy at gfn %lx; try again", gfn);
	default: return fail(f, err, "the secure page table failed on the image's page at gfn %lx", gfn);
	}
}
