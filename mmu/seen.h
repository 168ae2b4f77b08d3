/*
 * Tables of the guest as they were when the shadow's leafs were last compared with them. A page that is brought up to
 * date again and again has such a copy, so that an entry which has not changed costs a comparison of two words.
 *
 * A bit per entry (sp_seen_bits) says that the leaf is there and as the copy's entry wants it. It goes with the leaf,
 * and with a change of the leaf that does not come from the copy. Copies are few, and the page that has not used its
 * own for the longest time loses it; without one all works the same, only slower.
 */
#ifndef MMU_SEEN_H
#define MMU_SEEN_H

#include "mmu/sp.h"

#define SEEN_TABLES 64
#define SEEN_TABLES_MIN 8
#define SEEN_PART 4096 /* of the guest's pages: one copy for so many, within these limits */

struct seen_tables {
	struct seen {
		uint64_t *table;
		struct sp *owner; /* NULL: nobody's */
		bool used;        /* since the hand was here */
	} copy[SEEN_TABLES];
	uint32_t count, limit; /* that there are, that there may be */
	uint32_t hand;
};

/* For a guest of so many pages. Copies that there are stay. Under the exclusive lock, as all that does not say
 * otherwise. */
void seen_limit(struct mmu *mmu, uint64_t pages);

/* A frame for the next copy, if there may be one more. Outside the lock. And the end. */
void seen_topup(struct mmu_vcpu *mv);
void seen_drain(struct mmu_vcpu *mv);

/* The 4K-level page, which has no copy, gets one if there is one to be had. */
void seen_give(struct mmu_vcpu *mv, struct sp *sp);

/* The page, none of whose bits is set any more, gives up its copy. */
void seen_put(struct mmu *mmu, struct sp *sp);

/* Frees all copies; no page has one. */
void seen_destroy(struct mmu *mmu);

#endif
