/*
 * Long walks over the direct EPT, or guest memory, under the exclusive lock, done in pieces: a walk stops once it has
 * looked at so many entries and goes on from there in the next hold, so that vCPUs get in between.
 */
#ifndef MMU_TDP_WORK_H
#define MMU_TDP_WORK_H

#include "mmu/flush.h"
#include "mmu/hugepage.h"
#include "mmu/sp.h"

/* Entries per hold of the lock, give or take a table: tens of microseconds. */
#define TDP_WORK_ENTRIES 4096

struct tdp_work {
	gfn_t next, end; /* what is left to do */
	struct sp_reserve *tables; /* zap: full when it starts, to split large leafs at the ends; NULL: they go whole */
	int64_t entries; /* that may still be looked at in this hold */
};

static inline struct tdp_work tdp_work_of(gfn_t first, uint64_t npages, struct sp_reserve *tables)
{
	return (struct tdp_work){ first, first + npages, tables, INT64_MAX };
}

static inline bool tdp_work_left(const struct tdp_work *w) { return w->entries > 0 && w->next < w->end; }
static inline void tdp_work_done(struct tdp_work *w, uint64_t entries) { w->entries -= (int64_t)entries; }

/* The part of a table that touches what is left of the range, entry by entry. */
struct tdp_span {
	gfn_t gfn, end;
	uint64_t step;
};

static inline struct tdp_span tdp_span_of(const struct sp *sp, const struct tdp_work *w)
{
	uint64_t step = level_pages(sp->level);
	gfn_t end = sp->gfn + step * SPTES_PER_TABLE;

	return (struct tdp_span){ align_down(max_u64(sp->gfn, w->next), step), min_u64(end, w->end), step };
}

/* Everything before gfn is done. */
static inline void tdp_work_upto(struct tdp_work *w, gfn_t gfn) { w->next = max_u64(w->next, min_u64(w->end, gfn)); }

/* Whether everything before gfn is done, as far as it was asked for. */
static inline bool tdp_work_is_upto(const struct tdp_work *w, gfn_t gfn) { return w->next >= min_u64(w->end, gfn); }

/*
 * Carries out step on all of the work, hold by hold, and spends each hold's token. Takes the lock itself;
 * mmu->changes is held.
 */
void tdp_work_run(struct mmu *mmu, struct tdp_work work,
		  struct flush_token (*step)(struct mmu *mmu, struct tdp_work *work));

#endif
