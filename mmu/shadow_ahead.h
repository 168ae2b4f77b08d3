/*
 * Entries made ahead of faults, beside the one that a fault has just mapped.
 */
#ifndef MMU_SHADOW_AHEAD_H
#define MMU_SHADOW_AHEAD_H

#include "mmu/flush.h"
#include "mmu/slot.h"
#include "mmu/sp.h"

/* The leaf of the fault. */
struct shadow_ahead {
	struct mmu_vcpu *mv;
	const struct slot *slot;
	uint32_t access;
	uint64_t pkey;
	struct flush_token *token;
};

/*
 * The leaf is entry `at` of the 4K-level page sp. Of a guest's table those entries near by are made that the
 * guest has used before; a direct page is filled as a whole with its first entry, for it stands where a large
 * leaf had to go. Marks no page unsync. Under the exclusive lock.
 */
void shadow_ahead(const struct shadow_ahead *a, struct sp *sp, uint32_t at);

#endif
