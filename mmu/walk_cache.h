/*
 * Translations remembered with the guest entries they came from. A line is used only after all those
 * entries were read again and found unchanged, so it is never staler than a walk: no flush is needed.
 * For 4- and 5-level paging; one cache belongs to one vCPU.
 */
#ifndef MMU_WALK_CACHE_H
#define MMU_WALK_CACHE_H

#include "hv/base/x86.h"
#include "mmu/slot.h"
#include "mmu/walk.h"

#define WALK_CACHE_LINES 8

struct walk_line {
	uint64_t page;       /* gva >> 12 */
	uint64_t cr3;
	uint64_t modes;      /* CR0 and CR4 */
	uint64_t rights;     /* EFER, access, CPL, EFLAGS.AC, PKRU */
	uint64_t generation; /* of the slots: the pointers go into their memory. 0: empty line */
	gpa_t frame;
	const uint8_t *host; /* the page itself, NULL when it is no RAM */
	const uint64_t *where[WALK_MAX_LEVELS];
	uint64_t entry[WALK_MAX_LEVELS];
};

struct walk_cache {
	struct walk_line line[WALK_CACHE_LINES];
};

/* Where those levels of a line are that a walk did not have; their entry is the same, 0. */
extern const uint64_t walk_line_unused;

static inline uint64_t walk_modes(const struct guest_paging *g) { return g->cr0 << 32 | (uint32_t)g->cr4; }

static inline uint64_t walk_rights(const struct guest_paging *g, uint32_t access)
{
	return (uint64_t)g->pkru << 32 | (g->rflags & RFLAGS_AC) | access << 20 | g->cpl << 24 | (g->efer & 0xffff);
}

static inline uint64_t walk_entry_change(const struct walk_line *l, int i)
{
	return __atomic_load_n(l->where[i], __ATOMIC_RELAXED) ^ l->entry[i];
}

/* All levels there can be, without a loop's cost: those that are not used read as walk_line_unused. */
static inline bool walk_line_unchanged(const struct walk_line *l)
{
	_Static_assert(WALK_MAX_LEVELS == 5, "one term for each level");
	return !(walk_entry_change(l, 0) | walk_entry_change(l, 1) | walk_entry_change(l, 2) |
		 walk_entry_change(l, 3) | walk_entry_change(l, 4));
}

static inline struct walk_line *walk_line_of(struct walk_cache *cache, gva_t gva, uint32_t access)
{
	return &cache->line[((gva >> PAGE_SHIFT) ^ access) % WALK_CACHE_LINES];
}

/*
 * Where the entry of the top level, with which a line that is in use begins, is under another CR3; NULL unless it is
 * the same there. Then all below is the same too, as it is for a kernel that all address spaces have: with that place
 * and that CR3 the line is as good. Between mmu_enter() and mmu_leave().
 */
const uint64_t *walk_line_top_under(struct mmu_vcpu *mv, const struct walk_line *l, uint64_t cr3);

/* The line that translates gva for the access as a walk would just now, or NULL. Between mmu_enter()
 * and mmu_leave(), and good until then. */
static inline const struct walk_line *walk_line_find(struct mmu_vcpu *mv, struct walk_cache *cache,
						     const struct guest_paging *g, gva_t gva, uint32_t access)
{
	const struct walk_line *l = walk_line_of(cache, gva, access);

	if (UNLIKELY(((l->page ^ gva >> PAGE_SHIFT) | (l->cr3 ^ g->cr3) | (l->modes ^ walk_modes(g)) |
		      (l->rights ^ walk_rights(g, access)) | (l->generation ^ slot_set_of(mv->mmu)->generation))))
		return NULL;
	return LIKELY(walk_line_unchanged(l)) ? l : NULL;
}

/* As guest_walk() with *gpa for the result's, and the line filled; r is filled unless it is WALK_OK.
 * Not for WALK_PEEK. */
enum walk_status guest_walk_cached(struct mmu_vcpu *mv, struct walk_cache *cache, const struct guest_paging *g,
				   gva_t gva, uint32_t access, gpa_t *gpa, struct walk_result *r);

#endif
