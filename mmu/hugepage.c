/*
 * Large-page metadata: its size and its initial values.
 */
#include "mmu/hugepage.h"

#include "hv/base/panic.h"

static uint64_t level_words(gfn_t base, uint64_t npages, int level)
{
	int shift = 9 * (level - 1);

	return ((base + npages - 1) >> shift) - (base >> shift) + 1;
}

size_t hugepage_words(gfn_t base, uint64_t npages)
{
	return level_words(base, npages, LEVEL_2M) + level_words(base, npages, LEVEL_1G);
}

uint32_t hugepage_initial(const struct slot *s, uint64_t index, int level)
{
	uint64_t mask = level_pages(level) - 1;
	uint64_t last = level_words(s->base, s->npages, level) - 1;
	bool head = index == 0 && (s->base & mask) != 0;
	bool tail = index == last && (slot_end(s) & mask) != 0;
	bool congruent = ((s->offset >> PAGE_SHIFT) & mask) == 0;

	return head || tail || !congruent;
}

void hugepage_init(struct slot *s, uint32_t *words, int cpu_level)
{
	s->max_level = LEVEL_4K;
	for (int level = LEVEL_2M; level < LEVEL_2M + HUGE_LEVELS; level++) {
		uint64_t count = level_words(s->base, s->npages, level);

		s->disallow[level - LEVEL_2M] = words;
		for (uint64_t i = 0; i < count; i++) {
			words[i] = hugepage_initial(s, i, level);
			if (words[i] == 0 && level <= cpu_level)
				s->max_level = level;
		}
		words += count;
	}
}

void hugepage_count(const struct slot *s, struct hugepage_census *c)
{
	for (uint64_t i = 0; i < level_words(s->base, s->npages, LEVEL_2M); i++) {
		uint64_t count = __atomic_load_n(&s->disallow[0][i], __ATOMIC_RELAXED) & HUGEPAGE_COUNT;

		if (hugepage_initial(s, i, LEVEL_2M))
			continue;
		c->frames++;
		c->free += count == 0;
		c->reasons += count;
		c->squares += count * count;
	}
}

void hugepage_set_mixed(const struct slot *s, gfn_t gfn, int level, bool mixed)
{
	uint32_t *word = hugepage_word(s, gfn, level), rest = *word & ~HUGEPAGE_MIXED;

	__atomic_store_n(word, rest | (mixed ? HUGEPAGE_MIXED : 0), __ATOMIC_RELAXED);
}

void hugepage_uninhibit(const struct slot *s)
{
	for (int level = LEVEL_2M; level < LEVEL_2M + HUGE_LEVELS; level++) {
		uint32_t *words = s->disallow[level - LEVEL_2M];

		for (uint64_t i = 0; i < level_words(s->base, s->npages, level); i++)
			__atomic_fetch_and(&words[i], ~HUGEPAGE_INHIBIT, __ATOMIC_RELAXED);
	}
}

void hugepage_forbid(const struct slot *s, gfn_t gfn)
{
	for (int level = LEVEL_2M; level < LEVEL_2M + HUGE_LEVELS; level++) {
		uint32_t *word = hugepage_word(s, gfn, level);

		INVARIANT((*word & HUGEPAGE_COUNT) < HUGEPAGE_COUNT);
		__atomic_store_n(word, *word + 1, __ATOMIC_RELAXED);
	}
}

void hugepage_permit(const struct slot *s, gfn_t gfn)
{
	for (int level = LEVEL_2M; level < LEVEL_2M + HUGE_LEVELS; level++) {
		uint32_t *word = hugepage_word(s, gfn, level);

		INVARIANT((*word & HUGEPAGE_COUNT) > 0);
		__atomic_store_n(word, *word - 1, __ATOMIC_RELAXED);
	}
}
