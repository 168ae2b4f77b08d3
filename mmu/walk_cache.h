/*
 * Translations remembered with the guest entries they came from. A line is used only after all those
 * entries were read again and found unchanged, so it is never staler than a walk: no flush is needed.
 * For 4- and 5-level paging; one cache belongs to one vCPU.
 */
#ifndef MMU_WALK_CACHE_H
#define MMU_WALK_CACHE_H

#include "mmu/slot.h"
#include "mmu/walk.h"

#define WALK_CACHE_LINES 8

struct walk_line {
	uint64_t page;       /* gva >> 12 */
	uint64_t cr3;
	uint64_t modes;      /* CR0 and CR4 */
	uint64_t rights;     /* EFER, access, CPL, EFLAGS.AC, PKRU */
	uint64_t generation; /* of the slots: `where` points into their memory. 0: empty line */
	gpa_t frame;
	uint32_t count;
	const uint64_t *where[WALK_MAX_LEVELS];
	uint64_t entry[WALK_MAX_LEVELS];
};

struct walk_cache {
	struct walk_line line[WALK_CACHE_LINES];
};

/* As guest_walk() with *gpa for the result's; r is filled unless it is WALK_OK. Not for WALK_PEEK. */
enum walk_status guest_walk_cached(struct mmu_vcpu *mv, struct walk_cache *cache, const struct guest_paging *g,
				   gva_t gva, uint32_t access, gpa_t *gpa, struct walk_result *r);

#endif
