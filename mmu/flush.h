/*
 * Flush tokens. Whatever removes a present entry returns a token; it must be spent, which flushes
 * every TLB that may know the entry and only then frees the tables that were unlinked with it.
 * Dropping a token does not compile (unused result) or panics at mmu_exclusive_end().
 */
#ifndef MMU_FLUSH_H
#define MMU_FLUSH_H

#include "hv/base/panic.h"
#include "mmu/mmu.h"

struct flush_token {
	gfn_t first, end; /* the gfns whose translations are owed a flush; empty when first >= end */
	bool track;       /* the external table is owed a TRACK: mmu/transition.h */
};

/* The exclusive lock. Leaving it panics while a token is outstanding. */
void mmu_exclusive_begin(struct mmu *mmu);
void mmu_exclusive_end(struct mmu *mmu);

/*
 * Between two holds of one long piece of work: long enough that a vCPU which waits for the lock gets in.
 * The lock is not held.
 */
void mmu_let_in(void);

/* A token that owes nothing yet. The lock is held exclusively, as for all below. */
static inline MUST_CHECK struct flush_token flush_token_new(struct mmu *mmu)
{
	mmu->flush.tokens++;
	return (struct flush_token){ ~(gfn_t)0, 0, false };
}

/* Makes the token owe a flush of npages from gfn on. */
void flush_owe(struct flush_token *token, gfn_t gfn, uint64_t npages);
/* One token for two. */
struct flush_token flush_merge(struct mmu *mmu, struct flush_token a, struct flush_token b) MUST_CHECK;
/* For flush_spend(). */
void flush_carry_out(struct mmu *mmu, const struct flush_token *token);
void flush_free_doomed(struct mmu *mmu);

/* Carries out the flush when one is owed; with the last token the doomed tables are freed. */
static inline void flush_spend(struct mmu *mmu, struct flush_token token)
{
	INVARIANT(mmu->flush.tokens > 0);
	if (token.first < token.end || token.track)
		flush_carry_out(mmu, &token);
	/* Another token may stand for some of the doomed tables: they wait for the last. */
	if (--mmu->flush.tokens == 0 && mmu->flush.doomed)
		flush_free_doomed(mmu);
}

#endif
