/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/mmu_space.c */
/*
 * Private and shared pages by hand: what they take in memory, the mixed flag, and what a change zaps.
 */
#include "mmu/attr.h"
#include "mmu/check.h"
#include "mmu/hugepage.h"
#include "mmu/inspect.h"
#include "mmu/sp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "tests/unit/mmu_space.h"

#define PAGES_2M 512u
#define PAGES_1G 0x40000u

static int start(void **state)
{
	const struct mmu_config config = space_config(46);

	(void)state;
	space_start(&config);
	return 0;
}

/* Four gigabytes from 1G on, congruent. */
static const struct slot *add(uint32_t flags)
{
	space_add(PAGES_1G, 4ul * PAGES_1G, GIB(64), flags);
	return slot_set_find(mmu.slots, PAGES_1G);
}

static void set(gfn_t gfn, uint64_t npages, bool private)
{
	if (mmu_set_attributes(&mmu, gfn, npages, private, &why))
		fail_msg("%s", why.text);
	if (mmu_check(&mmu, &why))
		fail_msg("%s", why.text);
}

static int level_at(gfn_t gfn)
{
	hpa_t hpa;
	uint32_t rwx;
	int level = world_ept_walk(&mmu, gfn << PAGE_SHIFT, &hpa, &rwx);

	if (level > 0)
		assert_true(hpa == GIB(63) + (gfn << PAGE_SHIFT));
	return level;
}

static uint64_t metadata_frames(void)
{
	struct mmu_counts counts;

	mmu_count(&mmu, &counts);
	return counts.metadata_frames;
}

static void memory_of_attributes(void **state)
{
	const struct slot *s = add(0);
	uint64_t frames = metadata_frames();

	(void)state;
	assert_true(frames * 10000 < s->npages); /* under 0.01 % */
	set(PAGES_1G, 4ul * PAGES_1G, true);
	set(2ul * PAGES_1G, PAGES_1G, false);
	set(PAGES_1G + ATTR_CHUNK_PAGES, ATTR_CHUNK_PAGES, false);
	assert_int_equal(metadata_frames(), frames); /* whole chunks take none */
	set(PAGES_1G + 7, 1, false);
	set(PAGES_1G + 7000, 1, false);
	assert_int_equal(metadata_frames(), frames + 1);
	set(3ul * PAGES_1G + 100, 3 * ATTR_CHUNK_PAGES, false);
	assert_int_equal(metadata_frames(), frames + 3);
	set(PAGES_1G + 7, 1, true);
	set(PAGES_1G + 7000, 1, true);
	assert_int_equal(metadata_frames(), frames + 2);
	set(PAGES_1G, 4ul * PAGES_1G, false);
	assert_int_equal(metadata_frames(), frames);
	assert_int_equal(attr_find(s, PAGES_1G, 5ul * PAGES_1G, true), 5ul * PAGES_1G);
}

static void finding(void **state)
{
	const struct slot *s = add(SLOT_PRIVATE);
	gfn_t first = PAGES_1G, last = 5ul * PAGES_1G - 1;

	(void)state;
	assert_true(attr_is_private(s, first) && attr_is_private(s, last));
	assert_int_equal(attr_find(s, first, last + 1, false), last + 1);
	set(first + 70, 1, false);
	set(last, 1, false);
	assert_int_equal(attr_find(s, first, last + 1, false), first + 70);
	assert_int_equal(attr_find(s, first, first + 70, false), first + 70);
	assert_int_equal(attr_find(s, first + 70, last + 1, true), first + 71);
	assert_int_equal(attr_find(s, first + 71, last + 1, false), last);
	assert_false(attr_is_private(s, first + 70) || attr_is_private(s, last));
	assert_true(attr_is_private(s, first + 69) && attr_is_private(s, first + 71));
}

/* The flag follows the kinds, the count stays what it was, and both forbid. */
static void mixed_flag(void **state)
{
	const struct slot *s = add(0);
	gfn_t frame = 2ul * PAGES_1G + 5 * PAGES_2M;

	(void)state;
	*hugepage_word(s, frame, LEVEL_2M) += 3;
	assert_int_equal(mmu_set_attributes(&mmu, frame + 1, 1, true, &why), 0);
	assert_true(*hugepage_word(s, frame, LEVEL_2M) == (HUGEPAGE_MIXED | 3));
	*hugepage_word(s, frame, LEVEL_2M) -= 3;
	assert_true(*hugepage_word(s, frame, LEVEL_2M) == HUGEPAGE_MIXED);
	assert_true(*hugepage_word(s, frame, LEVEL_1G) == HUGEPAGE_MIXED);
	assert_int_equal(hugepage_max_level(s, frame), LEVEL_4K);
	assert_int_equal(hugepage_max_level(s, frame + PAGES_2M), LEVEL_2M);
	assert_int_equal(hugepage_max_level(s, PAGES_1G), LEVEL_1G);
	set(frame, PAGES_2M, true); /* uniform by itself, not with its neighbours */
	assert_int_equal(hugepage_max_level(s, frame), LEVEL_2M);
	set(2ul * PAGES_1G, PAGES_1G, true);
	assert_int_equal(hugepage_max_level(s, frame), LEVEL_1G);
	set(3ul * PAGES_1G - 1, 2, false);
	assert_int_equal(hugepage_max_level(s, 3ul * PAGES_1G - 1), LEVEL_4K);
	assert_int_equal(hugepage_max_level(s, 3ul * PAGES_1G), LEVEL_1G); /* shared as all of it */
}

/* Frames of which the slot holds a part have a count, and never the flag. */
static void partial_frames(void **state)
{
	const struct slot *s;

	(void)state;
	assert_int_equal(mmu_slot_add(&mmu, 100, 3 * PAGES_2M, GIB(64) + (100 << PAGE_SHIFT), 0, &why), 0);
	s = slot_set_find(mmu.slots, 100);
	set(100, 50, true);
	set(100 + 3 * PAGES_2M - 7, 5, true);
	assert_int_equal(*hugepage_word(s, 100, LEVEL_2M), 1);
	assert_int_equal(*hugepage_word(s, 100 + 3 * PAGES_2M - 1, LEVEL_2M), 1);
	assert_int_equal(*hugepage_word(s, 100, LEVEL_1G), 1);
	set(100, 3 * PAGES_2M, true);
	assert_null(s->attr[0].bits);
}

/* A page out of a gigabyte: all the rest stays mapped, and is mapped no smaller than it must be. */
static void precise(void **state)
{
	gfn_t hole = 2ul * PAGES_1G + 5 * PAGES_2M + 77;

	(void)state;
	add(0);
	assert_int_equal(mmu_premap_slot(&mmu, PAGES_1G, &why), 0);
	assert_int_equal(level_at(hole), LEVEL_1G);
	set(hole, 1, true);
	assert_int_equal(flushes, 1);
	assert_true(flushed.first == 2ul * PAGES_1G && flushed.npages == PAGES_1G);
	assert_int_equal(level_at(hole), 0);
	assert_int_equal(level_at(hole - 1), LEVEL_4K);
	assert_int_equal(level_at(hole + 1), LEVEL_4K);
	assert_int_equal(level_at(hole + PAGES_2M), LEVEL_2M);
	assert_int_equal(level_at(hole + PAGES_1G), LEVEL_1G);
	assert_int_equal(mmu.host.stats.splits, 2);
	/* What is private already is left alone. */
	assert_int_equal(mmu_fault(&vcpu, hole << PAGE_SHIFT, MMU_READ), FAULT_MAPPED);
	set(hole, 1, true);
	assert_int_equal(flushes, 1);
	set(hole - 1, 3, true);
	assert_int_equal(level_at(hole), LEVEL_4K);
	assert_true(level_at(hole - 1) == 0 && level_at(hole + 1) == 0);
	assert_int_equal(mmu.host.stats.splits, 2);
}

/* Whole large pages are not split, and a range over several of them splits at its ends alone. */
static void split_at_ends(void **state)
{
	(void)state;
	add(0);
	assert_int_equal(mmu_premap_slot(&mmu, PAGES_1G, &why), 0);
	set(PAGES_1G, PAGES_1G, true);
	assert_int_equal(mmu.host.stats.splits, 0);
	set(2ul * PAGES_1G + 3, 2ul * PAGES_1G, true);
	assert_int_equal(mmu.host.stats.splits, 4);
	assert_int_equal(level_at(2ul * PAGES_1G + 2), LEVEL_4K);
	assert_int_equal(level_at(2ul * PAGES_1G + 3), 0);
	assert_int_equal(level_at(3ul * PAGES_1G), 0);
	assert_int_equal(level_at(4ul * PAGES_1G + 2), 0);
	assert_int_equal(level_at(4ul * PAGES_1G + 3), LEVEL_4K);
	assert_int_equal(level_at(4ul * PAGES_1G + PAGES_2M), LEVEL_2M);
}

/* What was split for a page of the other kind is one page again when that has changed back. */
static void grow_back(void **state)
{
	gfn_t hole = 2ul * PAGES_1G + 5 * PAGES_2M + 77;
	struct mmu_counts counts;

	(void)state;
	add(0);
	assert_int_equal(mmu_premap_slot(&mmu, PAGES_1G, &why), 0);
	set(hole, 1, true);
	set(hole + PAGES_2M, 1, true);
	assert_int_equal(mmu.host.stats.splits, 3);
	flushes = 0;
	set(hole, 1, false);
	assert_int_equal(flushes, 1); /* the table that went is in paging-structure caches */
	assert_int_equal(level_at(hole), LEVEL_2M);
	assert_int_equal(level_at(hole + PAGES_2M - 1), LEVEL_4K);
	assert_int_equal(mmu.host.stats.collapses, 1);
	set(hole + PAGES_2M, 1, false);
	assert_int_equal(level_at(hole), LEVEL_1G);
	assert_int_equal(mmu.host.stats.collapses, 3);
	mmu_count(&mmu, &counts);
	assert_true(counts.mapped[LEVEL_1G] == 4 && counts.mapped[LEVEL_2M] == 0 && counts.mapped[LEVEL_4K] == 0);
	assert_int_equal(counts.tables, 2);
	/* Where nothing is mapped any more there is nothing to grow. */
	set(hole, 1, true);
	mmu_zap_range(&mmu, 2ul * PAGES_1G, PAGES_1G);
	set(hole, 1, false);
	assert_int_equal(level_at(hole), 0);
}

/* A range is worked through in many holds of the lock, each with a flush of its own. */
static void hold_by_hold(void **state)
{
	struct mmu_counts counts;

	(void)state;
	assert_int_equal(mmu_slot_add(&mmu, PAGES_1G, 64 * PAGES_2M, GIB(64) + PAGE_SIZE, 0, &why), 0);
	assert_int_equal(mmu_premap_slot(&mmu, PAGES_1G, &why), 0);
	assert_int_equal(mmu_slot_add(&mmu, 5ul * PAGES_1G, 5, GIB(96), 0, &why), 0);
	assert_int_equal(mmu_fault(&vcpu, GIB(5), MMU_READ), FAULT_MAPPED);
	flushes = 0;
	assert_int_equal(mmu_slot_delete(&mmu, PAGES_1G, &why), 0);
	assert_in_range(flushes, 8, 10);
	mmu_count(&mmu, &counts);
	assert_true(counts.mapped[LEVEL_4K] == 1 && counts.tables == 4);
	assert_int_equal(mmu_check(&mmu, &why), 0);
}

/* The parts keep what the CPU has noted in the large leaf. */
static void parts_keep_flags(void **state)
{
	struct mmu_step steps[ROOT_LEVEL];

	(void)state;
	add(0);
	assert_int_equal(mmu_fault(&vcpu, GIB(1), MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(mmu_fault(&vcpu, GIB(2), MMU_READ), FAULT_MAPPED);
	mmu_zap_range(&mmu, PAGES_1G + 1, 1);
	mmu_zap_range(&mmu, 2ul * PAGES_1G + 1, 1);
	assert_int_equal(mmu_walk_gpa(&mmu, GIB(1), steps), 4);
	assert_true((steps[3].spte & (EPT_ACCESSED | EPT_DIRTY)) == (EPT_ACCESSED | EPT_DIRTY));
	assert_int_equal(mmu_walk_gpa(&mmu, GIB(2), steps), 4);
	assert_true((steps[3].spte & (EPT_ACCESSED | EPT_DIRTY)) == EPT_ACCESSED);
	assert_int_equal(mmu_check(&mmu, &why), 0);
}

static void refusals(void **state)
{
	(void)state;
	add(0);
	assert_int_equal(mmu_set_attributes(&mmu, PAGES_1G, 0, true, &why), -EINVAL);
	assert_int_equal(mmu_set_attributes(&mmu, BIT(34) - 1, 2, true, &why), -EINVAL);
	assert_int_equal(mmu_set_attributes(&mmu, ~(gfn_t)0, 2, true, &why), -EINVAL);
	assert_int_equal(mmu_set_attributes(&mmu, PAGES_1G - 1, 2, true, &why), -ENOENT);
	assert_int_equal(mmu_set_attributes(&mmu, 5ul * PAGES_1G - 1, 2, true, &why), -ENOENT);
	assert_int_equal(attr_frames(slot_set_find(mmu.slots, PAGES_1G)), 0);
}

/* All free tables, so that whoever needs one has to allocate. */
static struct sp *hidden;

static void hide_tables(void)
{
	while (mmu.pool.free) {
		struct sp *sp = mmu.pool.free;

		mmu.pool.free = sp->next;
		mmu.pool.free_count--;
		sp->next = hidden;
		hidden = sp;
	}
}

static void bring_tables_back(void)
{
	while (hidden) {
		struct sp *sp = hidden;

		hidden = sp->next;
		sp->next = mmu.pool.free;
		mmu.pool.free = sp;
		mmu.pool.free_count++;
	}
}

/* Whatever allocation fails: nothing is changed, zapped or split. */
static void out_of_memory(void **state)
{
	const struct slot *s = add(0);
	gfn_t first = PAGES_1G + 1, npages = 2ul * PAGES_1G;
	int err = -ENOMEM;

	(void)state;
	assert_int_equal(mmu_premap_slot(&mmu, PAGES_1G, &why), 0);
	hide_tables();
	for (uint64_t n = 0; err; n++) {
		assert_true(n < 4);
		world_allocs_left = n;
		err = mmu_set_attributes(&mmu, first, npages, true, &why);
		assert_true(err == 0 || err == -ENOMEM);
		if (err) {
			assert_int_equal(attr_find(s, PAGES_1G, 5ul * PAGES_1G, true), 5ul * PAGES_1G);
			assert_int_equal(level_at(first), LEVEL_1G);
			assert_int_equal(flushes, 0);
		}
	}
	world_allocs_left = ~(uint64_t)0;
	assert_int_equal(level_at(first), 0);
	/* A zap goes on without: the large page goes whole. */
	assert_int_equal(level_at(4ul * PAGES_1G), LEVEL_1G);
	hide_tables();
	world_allocs_left = 0;
	mmu_zap_range(&mmu, 4ul * PAGES_1G + 5, 1);
	assert_int_equal(level_at(4ul * PAGES_1G), 0);
	world_allocs_left = ~(uint64_t)0;
	bring_tables_back();
	assert_int_equal(mmu_check(&mmu, &why), 0);
}

static void two_slots(void **state)
{
	(void)state;
	add(0);
	assert_int_equal(mmu_slot_add(&mmu, PAGES_1G - 10, 10, GIB(16), 0, &why), 0);
	set(PAGES_1G - 5, 10, true);
	assert_true(attr_is_private(slot_set_find(mmu.slots, PAGES_1G - 1), PAGES_1G - 5));
	assert_false(attr_is_private(slot_set_find(mmu.slots, PAGES_1G - 1), PAGES_1G - 6));
	assert_true(attr_is_private(slot_set_find(mmu.slots, PAGES_1G), PAGES_1G + 4));
	assert_false(attr_is_private(slot_set_find(mmu.slots, PAGES_1G), PAGES_1G + 5));
}

static void expect_broken(const char *text)
{
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	if (!strstr(why.text, text))
		fail_msg("expected \"%s\" in \"%s\"", text, why.text);
}

/* Whether the check finds wrong records. */
static void broken_attributes(void **state)
{
	struct slot *s = (struct slot *)add(0);
	uint32_t *word = hugepage_word(s, PAGES_1G, LEVEL_2M);

	(void)state;
	set(PAGES_1G + 3, 1, true);
	*word &= ~HUGEPAGE_MIXED;
	expect_broken("large-page word 0 of level 2 is 0, should be 80000000");
	*word |= HUGEPAGE_MIXED;
	word = hugepage_word(s, PAGES_1G, LEVEL_1G);
	*word = 0;
	expect_broken("large-page word 0 of level 3 is 0, should be 80000000");
	*word = HUGEPAGE_MIXED;
	s->attr[0].private_pages++;
	expect_broken("1 pages from gfn 40000 on are private, 2 are counted");
	s->attr[0].private_pages--;
	s->attr[0].bits[0] = 0;
	s->attr[0].private_pages = 0;
	expect_broken("are of one kind, but have bits");
	s->attr[0].bits[0] = BIT(3);
	s->attr[0].private_pages = 1;
	s->attr[1].private_pages = 5;
	expect_broken("are private, 5 are counted");
	s->attr[1].private_pages = 0;
	assert_int_equal(mmu_check(&mmu, &why), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, space_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(memory_of_attributes), TEST(finding), TEST(mixed_flag), TEST(partial_frames), TEST(precise),
		TEST(split_at_ends), TEST(parts_keep_flags), TEST(refusals), TEST(out_of_memory), TEST(two_slots),
		TEST(broken_attributes), TEST(grow_back), TEST(hold_by_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
