/*
 * Slots: which gfns are memory, and which contiguous run of host frames is behind them.
 * A set of slots is immutable and published as a whole, with a generation that grows by one each
 * time; a vCPU reads it between mmu_enter() and mmu_leave() and remembers the slot it found last.
 */
#ifndef MMU_SLOT_H
#define MMU_SLOT_H

#include "mmu/mmu.h"

#define HUGE_LEVELS 2 /* levels above 4K that a leaf can have: 2M and 1G */

struct attr_chunk;

struct slot {
	gfn_t base;
	uint64_t npages;
	uint64_t offset;    /* host physical address = guest-physical address + offset, modulo 2^64 */
	uint32_t flags;     /* SLOT_*, SLOT_LOGGED */
	uint32_t run_pages; /* frames of the run that holds this record and its counts */
	int max_level;      /* no gfn of the slot can have a larger page, for its shape and the CPU */
	uint32_t *disallow[HUGE_LEVELS]; /* mmu/hugepage.h; [0] is 2M */
	struct attr_chunk *attr;         /* mmu/attr.h */
	uint64_t leaf[2];   /* what a leaf is made of besides its address: [0] at 4K, [1] a large one */
	uint64_t *dirty;    /* mmu/dirty.h: while the slot is logged, a bit per page from base on */
	int shape_level;    /* what max_level is unless the slot is logged; leafs of that size may still be there */
	/* Shadow mode only. */
	uint32_t **rmap;                   /* mmu/rmap.h: heads of 4K leafs, by frame of heads */
	uint32_t *rmap_large[HUGE_LEVELS]; /* heads of large leafs */
	uint64_t *tracked;                 /* mmu/track.h: a bit per gfn, from base rounded down to 64 on */
};

#define SLOT_LOGGED ((uint32_t)1 << 31) /* in flags: writes are logged */

/* Brings what follows from the flags up to date: leaf and max_level. The lock is held exclusively, or the slot
 * is not published yet. */
void slot_derive(const struct mmu *mmu, struct slot *s);

struct slot_entry {
	gfn_t base; /* = slot->base, here so that a search stays within the set */
	struct slot *slot;
};

#define SLOTS_MAX 240

struct slot_set {
	uint64_t generation; /* from 1; 0 is what no hint has */
	uint32_t count;
	bool aliased; /* some host frame is behind more than one gfn */
	struct slot_entry entry[SLOTS_MAX]; /* sorted by base, disjoint */
};
_Static_assert(sizeof(struct slot_set) <= PAGE_SIZE, "a slot set is one frame");

static inline gfn_t slot_end(const struct slot *s) { return s->base + s->npages; }
static inline bool slot_covers(const struct slot *s, gfn_t gfn) { return gfn - s->base < s->npages; }
static inline hpa_t slot_hpa(const struct slot *s, gfn_t gfn) { return (gfn << PAGE_SHIFT) + s->offset; }

/* The slot of the set that covers gfn, or NULL. The caller is inside the lock, shared or exclusive. */
struct slot *slot_set_find(const struct slot_set *set, gfn_t gfn);

/* The slot that starts at gfn, or NULL with a sentence for -ENOENT. The caller is inside the lock, or holds
 * mmu->changes. */
struct slot *slot_set_at(const struct slot_set *set, gfn_t gfn, struct failure *f);

/* The set to read now. Inside the lock. */
static inline const struct slot_set *slot_set_of(const struct mmu *mmu)
{
	return __atomic_load_n(&mmu->slots, __ATOMIC_ACQUIRE);
}

/* The same by a search of the set; what it finds becomes the vCPU's last one. */
const struct slot *slot_find_slow(struct mmu_vcpu *mv, const struct slot_set *set, gfn_t gfn);

/* The slot that covers gfn, or NULL; tries the vCPU's last one first. Between mmu_enter() and mmu_leave(). */
static inline const struct slot *slot_find(struct mmu_vcpu *mv, gfn_t gfn)
{
	const struct slot_set *set = slot_set_of(mv->mmu);
	const struct slot *hint = mv->hint;

	if (LIKELY(mv->hint_generation == set->generation) && LIKELY(slot_covers(hint, gfn)))
		return hint;
	return slot_find_slow(mv, set, gfn);
}

/* The empty first set; -ENOMEM. And the end: frees the set with all its slots. */
int slot_sets_init(struct mmu *mmu);
void slot_sets_destroy(struct mmu *mmu);

#endif
