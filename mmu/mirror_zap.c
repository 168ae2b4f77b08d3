/*
 * Mirror roots under the exclusive lock: splitting, removing, and the end.
 */
#include "hv/base/panic.h"
#include "mmu/hugepage.h"
#include "mmu/mirror.h"
#include "mmu/sp.h"
#include "mmu/spte.h"

/* ---- tables ---- */

static void page_release(struct mmu *mmu, struct sp *sp)
{
	sp->state = SP_DOOMED;
	sp_release(mmu, sp);
}

/* Both from the tables set aside, or neither. */
static struct sp *table_new(struct sp_reserve *tables, gfn_t gfn, int level)
{
	if (tables->count < 2)
		return NULL;
	return mirror_pair(sp_reserve_take(tables, gfn, level), sp_reserve_take(tables, gfn, level));
}

/* Gives it back; err is what the transition that would have linked it, or has emptied its entry, ended with. */
static void table_drop(struct mmu *mmu, struct sp *sp, int err)
{
	if (err == -EIO)
		sp->external->state = SP_LOST;
	else
		page_release(mmu, sp->external);
	page_release(mmu, sp);
}

/* ---- splitting ---- */

/* Makes the transition one to a full table that maps the same. */
static int demote_prepare(struct transition *t, struct sp_reserve *tables)
{
	struct sp *sp = table_new(tables, t->gfn, t->level - 1);

	if (!sp)
		return -ENOMEM;
	for (uint32_t i = 0; i < SPTES_PER_TABLE; i++) {
		hpa_t page = spte_hpa(t->old) + i * (level_pages(t->level - 1) << PAGE_SHIFT);

		spte_write(&sp->table[i], spte_make_leaf(page, t->level - 1, true));
	}
	t->new = spte_make_table(sp_hpa(sp));
	return 0;
}

static int demote_finish(const struct transition *t)
{
	struct mmu_stats *stats = &t->mmu->host.stats;
	int err = transition_finish(t);

	if (err == -EAGAIN && transition_abandon(t))
		err = -EIO;
	if (err) {
		table_drop(t->mmu, sp_of(spte_hpa(t->new)), err);
		return err;
	}
	stats->mirror.mapped[t->level]--;
	stats->mirror.mapped[t->level - 1] += SPTES_PER_TABLE;
	stats->mirror.tables++;
	stats->mirror.demoted++;
	return 0;
}

/* All of them with one TRACK. */
static int demote_all(struct mmu *mmu, const struct transition *t, int count)
{
	struct flush_token token = flush_token_new(mmu);
	int err = 0, begun = 0;

	while (begun < count && !(err = transition_begin(&t[begun], &token)))
		begun++;
	flush_spend(mmu, token);
	for (int i = 0; i < begun; i++) {
		int e = demote_finish(&t[i]);

		err = err ? err : e;
	}
	for (int i = begun; i < count; i++)
		table_drop(mmu, sp_of(spte_hpa(t[i].new)), 0);
	return err;
}

/* Prepares them first: only then is anything changed. */
static int demote_these(struct mmu *mmu, struct transition *t, int count, struct sp_reserve *tables)
{
	for (int i = 0; i < count; i++)
		if (demote_prepare(&t[i], tables)) {
			while (i-- > 0)
				table_drop(mmu, sp_of(spte_hpa(t[i].new)), 0);
			return -ENOMEM;
		}
	return demote_all(mmu, t, count);
}

int mirror_demote(struct mmu *mmu, gfn_t gfn, int level, struct sp_reserve *tables)
{
	struct transition t = mirror_find(mmu, gfn);
	int err = 0;

	while (!err && spte_is_present(t.old) && t.level > level) {
		err = demote_these(mmu, &t, 1, tables);
		t = mirror_find(mmu, gfn);
	}
	return err;
}

/* A large leaf has gfn inside and does not start there. */
static bool leaf_is_cut(struct mmu *mmu, gfn_t gfn, struct transition *t)
{
	if (gfn >> (mmu->config.gpa_bits - PAGE_SHIFT))
		return false;
	*t = mirror_find(mmu, gfn);
	return spte_is_present(t->old) && t->gfn != gfn;
}

/* Until no leaf is cut by either edge. */
static int split_edges(struct mmu *mmu, gfn_t first, gfn_t end, struct sp_reserve *tables)
{
	int err, count;

	do {
		struct transition t[2];

		count = leaf_is_cut(mmu, first, &t[0]);
		if (leaf_is_cut(mmu, end, &t[count]) && (count == 0 || t[0].sptep != t[1].sptep))
			count++;
		err = count ? demote_these(mmu, t, count, tables) : 0;
	} while (count && !err);
	return err;
}

/* ---- removing ---- */

struct sweep {
	struct mmu *mmu;
	gfn_t first, end;
	struct flush_token token;
	int err; /* the first */
	void (*visit)(struct sweep *s, struct transition *t);
};

/* Visits every entry of the range that is no table and not empty. */
static void sweep_table(struct sweep *s, const struct sp *sp)
{
	uint64_t span = level_pages(sp->level);
	gfn_t end = min_u64(sp->gfn + span * SPTES_PER_TABLE, s->end);

	for (gfn_t gfn = align_down(max_u64(sp->gfn, s->first), span); gfn < end; gfn += span) {
		struct transition t = { s->mmu, &sp->table[spte_index(gfn, sp->level)], gfn, sp->level,
					SPTE_EMPTY, SPTE_EMPTY };

		t.old = spte_read(t.sptep);
		if (spte_is_table(t.old, t.level))
			sweep_table(s, sp_of(spte_hpa(t.old)));
		else if (t.old != SPTE_EMPTY)
			s->visit(s, &t);
	}
}

static void sweep(struct sweep *s, void (*visit)(struct sweep *s, struct transition *t))
{
	s->visit = visit;
	sweep_table(s, s->mmu->mirror);
}

static void visit_begin(struct sweep *s, struct transition *t)
{
	if (!s->err)
		s->err = transition_begin(t, &s->token);
}

/* What was begun is frozen. After a failure it gets its old value back, each of them. */
static void visit_finish(struct sweep *s, struct transition *t)
{
	struct mmu_stats *stats = &s->mmu->host.stats;
	int err;

	if (!transition_is_frozen(t->old))
		return;
	t->old = transition_thawed(t->old, t->level);
	err = transition_finish(t);
	s->err = s->err ? s->err : err;
	if (!err) {
		stats->mirror.mapped[t->level]--;
		stats->mirror.removed++;
	}
}

int mirror_remove(struct mmu *mmu, gfn_t first, uint64_t npages, struct sp_reserve *tables)
{
	struct sweep s = { .mmu = mmu, .first = first, .end = first + npages };

	s.err = split_edges(mmu, s.first, s.end, tables);
	if (s.err)
		return s.err;
	s.token = flush_token_new(mmu);
	sweep(&s, visit_begin);
	flush_spend(mmu, s.token);
	sweep(&s, visit_finish);
	return s.err;
}

/* ---- the end ---- */

/* Returns how many 4K pages of the guest's memory are lost. */
static uint64_t reclaim_table(struct mmu *mmu, struct sp *sp);

static uint64_t reclaim_entry(struct mmu *mmu, struct transition *t)
{
	struct mmu_stats *stats = &mmu->host.stats;
	struct sp *child;
	uint64_t lost;

	if (spte_is_leaf(t->old, t->level)) {
		stats->mirror.mapped[t->level]--;
		return transition_reclaim(t, spte_hpa(t->old)) ? level_pages(t->level) : 0;
	}
	child = sp_of(spte_hpa(t->old));
	lost = reclaim_table(mmu, child);
	stats->mirror.tables--;
	table_drop(mmu, child, transition_reclaim(t, sp_hpa(child->external)));
	return lost;
}

static uint64_t reclaim_table(struct mmu *mmu, struct sp *sp)
{
	uint64_t lost = 0;

	for (uint32_t i = 0; i < SPTES_PER_TABLE; i++) {
		struct transition t = { mmu, &sp->table[i], sp->gfn + i * level_pages(sp->level), sp->level,
					spte_read(&sp->table[i]), SPTE_EMPTY };

		if (spte_is_present(t.old))
			lost += reclaim_entry(mmu, &t);
	}
	return lost;
}

/* A table that was given away, and of which nobody knew whether it had been taken, may come back now. */
static void reclaim_lost(struct mmu *mmu)
{
	const struct mmu_external *x = mmu->config.external;

	for (struct sp *block = mmu->pool.blocks; block; block = block->next)
		for (uint32_t i = 1; i < SP_BLOCK_FRAMES; i++)
			if (block[i].state == SP_LOST &&
			    !x->act(x->ctx, EXTERNAL_RECLAIM, block[i].gfn, 0, sp_hpa(&block[i])))
				page_release(mmu, &block[i]);
}

int mmu_mirror_reclaim(struct mmu *mmu, struct failure *f)
{
	uint64_t lost;

	mmu_exclusive_begin(mmu);
	mmu_break(mmu, "the guest is being dismantled");
	lost = reclaim_table(mmu, mmu->mirror);
	reclaim_lost(mmu);
	mmu_exclusive_end(mmu);
	if (lost)
		return fail(f, -EIO,
			    "the secure page table kept %lu pages of the guest's memory; they are lost until "
			    "the machine restarts", lost);
	return 0;
}

void mmu_mirror_renew(struct mmu *mmu)
{
	mmu_exclusive_begin(mmu);
	for (uint32_t i = 0; i < SPTES_PER_TABLE; i++) {
		INVARIANT(!spte_is_present(spte_read(&mmu->mirror->table[i])));
		spte_write(&mmu->mirror->table[i], SPTE_EMPTY);
	}
	for (uint32_t i = 0; i < mmu->slots->count; i++)
		hugepage_uninhibit(mmu->slots->entry[i].slot);
	mmu->broken = 0;
	mmu->broken_why = (struct failure){ 0 };
	mmu_exclusive_end(mmu);
}

void mirror_destroy(struct mmu *mmu)
{
	if (!mmu->mirror)
		return;
	(void)mmu_mirror_reclaim(mmu, NULL);
	page_release(mmu, mmu->mirror);
	mmu->mirror = NULL;
}

bool mmu_is_broken(struct mmu *mmu, struct failure *why)
{
	bool broken;

	mmu_exclusive_begin(mmu);
	broken = mmu->broken;
	if (broken)
		*why = mmu->broken_why;
	mmu_exclusive_end(mmu);
	return broken;
}
