/*
 * Large-page metadata: for every slot and level above 4K, one word per large frame that the slot
 * touches. The word counts the reasons against a large page there; a large page is allowed only
 * where the whole word is zero, so a flag beside the count would forbid it as well.
 */
#ifndef MMU_HUGEPAGE_H
#define MMU_HUGEPAGE_H

#include "mmu/slot.h"

#define HUGEPAGE_COUNT BITS(30, 0) /* of a word: the number of reasons */

static inline uint64_t level_pages(int level) { return BIT(9 * (level - 1)); }

/* Number of the large frame within the slot. gfn is covered by it or by one of its edge frames. */
static inline uint64_t hugepage_index(const struct slot *s, gfn_t gfn, int level)
{
	int shift = 9 * (level - 1);

	return (gfn >> shift) - (s->base >> shift);
}

static inline uint32_t *hugepage_word(const struct slot *s, gfn_t gfn, int level)
{
	return &s->disallow[level - LEVEL_2M][hugepage_index(s, gfn, level)];
}

/* Words that hugepage_init() needs for a slot of that shape, all levels together. */
size_t hugepage_words(gfn_t base, uint64_t npages);
/* Sets up the slot's words and max_level, at most cpu_level: base, npages and offset are in place. */
void hugepage_init(struct slot *s, uint32_t *words, int cpu_level);

/*
 * What a word starts with: 1 for a large frame of which the slot holds only a part, and for every
 * frame when guest and host address differ modulo the page size; else 0.
 */
uint32_t hugepage_initial(const struct slot *s, uint64_t index, int level);

/*
 * Of a word, too: the guest accepts this frame, as private memory, in smaller pieces. Set by
 * mmu_mirror_accept() for the life of the guest. It says nothing about the frame as shared memory.
 */
#define HUGEPAGE_INHIBIT ((uint32_t)1 << 30)

/* Forgets it all over the slot: another guest comes. The lock is held exclusively. */
void hugepage_uninhibit(const struct slot *s);

#define HUGEPAGE_MIXED ((uint32_t)1 << 31) /* of a word, beside the count: the frame has private and shared pages */

/* Sets or clears the flag, never the count. The lock is held exclusively. */
void hugepage_set_mixed(const struct slot *s, gfn_t gfn, int level, bool mixed);

/* What the words of a slot's 2M frames say, of frames that hugepage_initial() gives none. */
struct hugepage_census {
	uint64_t frames, free;    /* all of them, and those without a reason */
	uint64_t reasons, squares; /* the sum of their counts, and of the squares */
};
/* Adds a slot to the sums. Inside the lock. */
void hugepage_count(const struct slot *s, struct hugepage_census *c);

/* One reason more, and one less, against large pages over gfn, at both levels. The lock is held exclusively. */
void hugepage_forbid(const struct slot *s, gfn_t gfn);
void hugepage_permit(const struct slot *s, gfn_t gfn);

/* The largest level up to that one at whose word only bits outside of reasons are set. */
static inline int hugepage_level(const struct slot *s, gfn_t gfn, int level, uint32_t reasons)
{
	while (level > LEVEL_4K && (__atomic_load_n(hugepage_word(s, gfn, level), __ATOMIC_RELAXED) & reasons))
		level--;
	return level;
}

/*
 * The largest level that gfn may be mapped at, in the ordinary root and in a mirror: the one place where
 * every reason against a large page is weighed. Inside the lock.
 */
static inline int hugepage_max_level(const struct slot *s, gfn_t gfn)
{
	return hugepage_level(s, gfn, s->max_level, ~HUGEPAGE_INHIBIT);
}

static inline int hugepage_private_level(const struct slot *s, gfn_t gfn)
{
	return hugepage_level(s, gfn, s->shape_level, ~(uint32_t)0);
}

/* The same for the ordinary root, were no slot logged: what a leaf that the guest cannot write may have. */
static inline int hugepage_shape_level(const struct slot *s, gfn_t gfn)
{
	return hugepage_level(s, gfn, s->shape_level, ~HUGEPAGE_INHIBIT);
}

#endif
