/*
 * Every change of a mirror root is a transition (gfn, level, old, new) of one entry, carried out on
 * the external table. Nothing else writes entries of a mirror.
 *
 *   empty -> table, empty -> leaf   one step, under the shared lock: transition_install()
 *   leaf -> empty, leaf -> table    two phases, under the exclusive lock: transition_begin() for each,
 *                                   the flush token spent once, transition_finish() or _abandon() for each
 *   table -> leaf (promotion), table -> empty, anything else: refused, whoever asks for it
 *
 * While the external table is at it the entry is frozen, and nobody sees another value than old,
 * frozen and new. Model: tests/model/mirror.pml.
 */
#ifndef MMU_TRANSITION_H
#define MMU_TRANSITION_H

#include "mmu/flush.h"
#include "mmu/mmu.h"
#include "mmu/spte.h"

struct transition {
	struct mmu *mmu;
	uint64_t *sptep;
	gfn_t gfn; /* the first that the entry covers */
	int level;
	uint64_t old, new;
};

/*
 * 0: new is published. Else old is in place again: -EAGAIN: somebody was faster or the external table
 * is busy, leave the lock and try again; -EPERM: refused; -EIO: the guest is broken (mmu_break()).
 * Inside the lock.
 */
int transition_install(const struct transition *t) MUST_CHECK;

/* Freezes and blocks, and makes the token owe a TRACK. 0, -EPERM or -EIO as above. Exclusive lock. */
int transition_begin(const struct transition *t, struct flush_token *token) MUST_CHECK;
/* The token has been spent. 0, -EIO, or -EAGAIN: DEMOTE was interrupted, abandon. Exclusive lock. */
int transition_finish(const struct transition *t) MUST_CHECK;
/* Instead of finishing: unblocks and publishes old. 0 or -EIO. Exclusive lock, token spent. */
int transition_abandon(const struct transition *t) MUST_CHECK;

/*
 * The guest is no more and nothing will be installed again (mmu_break()): the entry is emptied and its
 * page, a leaf's or the one that the external table made its table of, taken back. -EIO: the page is
 * lost, nobody may use it. Exclusive lock.
 */
int transition_reclaim(const struct transition *t, hpa_t page) MUST_CHECK;

/* One TRACK and one kick for everything begun since the last: what spending a token amounts to. */
void transition_track(struct mmu *mmu);

/*
 * What is frozen keeps the address and the size of its leaf, so that the second phase finds them. No
 * CPU walks a mirror: nothing is said here about what a CPU would make of it.
 */
uint64_t transition_frozen(uint64_t leaf);
static inline bool transition_is_frozen(uint64_t spte)
{
	return !spte_is_present(spte) && (spte & ~SPTE_ADDR) == SPTE_FROZEN;
}
/* The leaf that was frozen. */
uint64_t transition_thawed(uint64_t spte, int level);

/* The external table is in a state that nobody knows: stops all further work on it. */
void mmu_break(struct mmu *mmu, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
