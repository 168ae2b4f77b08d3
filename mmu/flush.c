/*
 * Flush tokens: counted from their making to their spending.
 */
#include "mmu/flush.h"

#include "hv/base/trace.h"
#include "mmu/sp.h"
#include "mmu/transition.h"

void mmu_exclusive_begin(struct mmu *mmu) { rw_lock(&mmu->lock); }

void mmu_exclusive_end(struct mmu *mmu)
{
	INVARIANT(mmu->flush.tokens == 0);
	INVARIANT(mmu->flush.doomed == NULL);
	rw_unlock(&mmu->lock);
}

/* A waiting reader looks once per PAUSE (SDM "PAUSE-Spin Loop Hint": up to 140 cycles), then needs its exchange. */
void mmu_let_in(void)
{
	for (int i = 0; i < 32; i++)
		cpu_pause();
}

void flush_owe(struct flush_token *token, gfn_t gfn, uint64_t npages)
{
	token->first = min_u64(token->first, gfn);
	token->end = max_u64(token->end, gfn + npages);
}

struct flush_token flush_merge(struct mmu *mmu, struct flush_token a, struct flush_token b)
{
	INVARIANT(mmu->flush.tokens >= 2);
	mmu->flush.tokens--;
	return (struct flush_token){ min_u64(a.first, b.first), max_u64(a.end, b.end), a.track || b.track };
}

void flush_free_doomed(struct mmu *mmu)
{
	struct sp *sp = mmu->flush.doomed, *next;

	mmu->flush.doomed = NULL;
	for (; sp; sp = next) {
		next = sp->next;
		sp_release(mmu, sp);
	}
}

void flush_carry_out(struct mmu *mmu, const struct flush_token *token)
{
	if (token->first < token->end) {
		struct flush_range range = { token->first, token->end - token->first };

		mmu->config.flush(mmu->config.flush_ctx, &range);
		mmu->flush.count++;
		trace_mmu(TRACE_MMU_FLUSH, mmu->config.vm_id, range.first, range.npages);
	}
	if (token->track)
		transition_track(mmu);
}
