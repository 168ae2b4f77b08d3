/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/mmu_space.c */
/*
 * Slots that move or change their flags, and large pages that must not be executable, by hand.
 */
#include "mmu/attr.h"
#include "mmu/check.h"
#include "mmu/dirty.h"
#include "mmu/hugepage.h"
#include "mmu/inspect.h"
#include "mmu/nx.h"
#include "mmu/sp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "tests/unit/mmu_space.h"

#define PAGES_2M 512u
#define SLOT 0x40000u


static int start_with(bool nx)
{
	struct mmu_config config = space_config(46);

	config.nx_huge = nx;
	space_start(&config);
	space_add(SLOT, 2 * PAGES_2M, GIB(64), 0);
	space_add(0, 16, GIB(32), 0);
	return 0;
}

static int start(void **state)
{
	(void)state;
	return start_with(false);
}

static int start_nx(void **state)
{
	(void)state;
	return start_with(true);
}

/* Level of the leaf, 0: none. */
static int leaf_at(gfn_t gfn, hpa_t *hpa, uint32_t *rwx) { return world_ept_walk(&mmu, gfn << PAGE_SHIFT, hpa, rwx); }

static int level_at(gfn_t gfn)
{
	hpa_t hpa;
	uint32_t rwx;

	return leaf_at(gfn, &hpa, &rwx);
}

static void moves(void **state)
{
	const gfn_t overlapping = SLOT + PAGES_2M / 2;
	hpa_t hpa;
	uint32_t rwx;

	(void)state;
	assert_int_equal(touch(SLOT, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(touch(0, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(mmu_slot_move(&mmu, SLOT, 2 * SLOT, &why), 0);
	space_is_good();
	assert_int_equal(level_at(SLOT), 0);
	assert_int_equal(level_at(0), LEVEL_4K); /* another slot's */
	assert_int_equal(touch(SLOT, MMU_READ), FAULT_MMIO);
	assert_int_equal(touch(2 * SLOT + 5, MMU_READ), FAULT_MAPPED);
	assert_int_equal(leaf_at(2 * SLOT + 5, &hpa, &rwx), LEVEL_2M);
	assert_true(hpa == GIB(64) + 5 * PAGE_SIZE);
	/* Back, and on to where it overlaps itself: what was an MMIO entry is memory, of small pages now. */
	assert_int_equal(mmu_slot_move(&mmu, 2 * SLOT, SLOT, &why), 0);
	assert_int_equal(touch(SLOT, MMU_READ), FAULT_MAPPED);
	assert_int_equal(mmu_slot_move(&mmu, SLOT, overlapping, &why), 0);
	space_is_good();
	assert_int_equal(touch(overlapping, MMU_READ), FAULT_MAPPED);
	assert_int_equal(leaf_at(overlapping, &hpa, &rwx), LEVEL_4K);
	assert_true(hpa == GIB(64));
}

static void refused_moves(void **state)
{
	uint64_t frames;

	(void)state;
	sp_drain(&vcpu); /* a move needs tables: with these it allocates none */
	frames = frame_count(OWNER_VM_META(WORLD_VM));
	assert_int_equal(mmu_slot_move(&mmu, SLOT + 1, 0x80000, &why), -ENOENT);
	assert_int_equal(mmu_slot_move(&mmu, SLOT, 8, &why), -EEXIST);
	assert_int_equal(mmu_slot_move(&mmu, SLOT, BIT(34) - 1, &why), -EINVAL);
	assert_int_equal(frame_count(OWNER_VM_META(WORLD_VM)), frames);
	assert_int_equal(mmu_dirty_start(&mmu, SLOT, &why), 0);
	assert_int_equal(mmu_slot_move(&mmu, SLOT, 0x80000, &why), -EBUSY);
	assert_int_equal(mmu_dirty_stop(&mmu, SLOT, &why), 0);
	assert_int_equal(mmu_set_attributes(&mmu, SLOT + 1, 1, true, &why), 0);
	assert_int_equal(mmu_slot_move(&mmu, SLOT, 0x80000, &why), -EBUSY);
	assert_int_equal(mmu_set_attributes(&mmu, SLOT, 2 * PAGES_2M, true, &why), 0);
	for (uint64_t n = 0; n < 3; n++) {
		world_allocs_left = n;
		assert_int_equal(mmu_slot_move(&mmu, SLOT, 0x80000, &why), -ENOMEM);
		assert_int_equal(frame_count(OWNER_VM_META(WORLD_VM)), frames);
	}
	world_allocs_left = ~(uint64_t)0;
	assert_int_equal(mmu_slot_move(&mmu, SLOT, 0x80000, &why), 0);
	assert_true(attr_is_private(slot_set_find(mmu.slots, 0x80000), 0x80000)); /* its kind has come along */
	space_is_good();
}

static void flags_change(void **state)
{
	(void)state;
	assert_int_equal(touch(SLOT, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(touch(0, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(mmu_slot_set_flags(&mmu, SLOT, SLOT_READONLY, &why), 0);
	assert_int_equal(flushes, 1);
	assert_int_equal(level_at(SLOT), 0);
	assert_int_equal(level_at(0), LEVEL_4K);
	space_is_good();
	assert_int_equal(touch(SLOT, MMU_WRITE), FAULT_READONLY_WRITE);
	assert_int_equal(touch(SLOT, MMU_READ), FAULT_MAPPED);
	assert_int_equal(mmu_slot_set_flags(&mmu, SLOT, SLOT_READONLY, &why), 0); /* as it is */
	assert_int_equal(level_at(SLOT), LEVEL_2M);
	assert_int_equal(mmu_slot_set_flags(&mmu, SLOT, 0, &why), 0);
	assert_int_equal(touch(SLOT, MMU_WRITE), FAULT_MAPPED);
	space_is_good();
	assert_int_equal(mmu_slot_set_flags(&mmu, SLOT, SLOT_PRIVATE, &why), -EINVAL);
	assert_int_equal(mmu_slot_set_flags(&mmu, SLOT + 1, 0, &why), -ENOENT);
}

static uint32_t rights_at(gfn_t gfn, int level)
{
	hpa_t hpa;
	uint32_t rwx;

	assert_int_equal(leaf_at(gfn, &hpa, &rwx), level);
	return rwx;
}

/* Nothing large is executable; what is executed gets small, and large again when it is executed no more. */
static void not_executable(void **state)
{
	(void)state;
	assert_int_equal(mmu_premap_slot(&mmu, SLOT, &why), 0);
	assert_int_equal(rights_at(SLOT, LEVEL_2M), MMU_READ | MMU_WRITE);
	assert_int_equal(touch(SLOT + 7, MMU_FETCH), FAULT_MAPPED);
	assert_int_equal(rights_at(SLOT + 7, LEVEL_4K), MMU_READ | MMU_WRITE | MMU_FETCH);
	assert_int_equal(rights_at(SLOT + 8, LEVEL_4K), MMU_READ | MMU_WRITE);
	assert_int_equal(rights_at(SLOT + PAGES_2M, LEVEL_2M), MMU_READ | MMU_WRITE);
	assert_int_equal(hugepage_max_level(slot_set_find(mmu.slots, SLOT), SLOT), LEVEL_2M); /* no count, no flag */
	space_is_good();
	flushes = 0;
	mmu_nx_recover(&mmu, UINT64_MAX); /* has been executed: takes the right, to see */
	assert_int_equal(flushes, 1);
	assert_int_equal(rights_at(SLOT + 7, LEVEL_4K), MMU_READ | MMU_WRITE);
	assert_int_equal(touch(SLOT + 9, MMU_FETCH), FAULT_MAPPED);
	mmu_nx_recover(&mmu, UINT64_MAX); /* again */
	assert_int_equal(rights_at(SLOT + 9, LEVEL_4K), MMU_READ | MMU_WRITE);
	mmu_nx_recover(&mmu, UINT64_MAX); /* not since */
	assert_int_equal(rights_at(SLOT + 9, LEVEL_2M), MMU_READ | MMU_WRITE);
	space_is_good();
	/* Memory that cannot be large keeps its rights. */
	assert_int_equal(touch(3, MMU_FETCH), FAULT_MAPPED);
	assert_int_equal(touch(3, MMU_FETCH), FAULT_MAPPED);
	mmu_nx_recover(&mmu, UINT64_MAX);
	assert_int_equal(rights_at(3, LEVEL_4K), MMU_READ | MMU_WRITE | MMU_FETCH);
}

/* A part of memory at a time, in whole large frames, round and round. */
static void recovers_in_parts(void **state)
{
	(void)state;
	assert_int_equal(touch(3, MMU_FETCH), FAULT_MAPPED);
	assert_int_equal(touch(SLOT, MMU_FETCH), FAULT_MAPPED);
	assert_int_equal(touch(SLOT + PAGES_2M + 1, MMU_FETCH), FAULT_MAPPED);
	mmu_nx_recover(&mmu, 17); /* the small slot, and of the large one a frame */
	assert_int_equal(rights_at(SLOT, LEVEL_4K), MMU_READ | MMU_WRITE);
	assert_int_equal(rights_at(SLOT + PAGES_2M + 1, LEVEL_4K), MMU_READ | MMU_WRITE | MMU_FETCH);
	mmu_nx_recover(&mmu, 1);
	assert_int_equal(rights_at(SLOT + PAGES_2M + 1, LEVEL_4K), MMU_READ | MMU_WRITE);
	assert_int_equal(touch(SLOT + PAGES_2M + 1, MMU_FETCH), FAULT_MAPPED);
	mmu_nx_recover(&mmu, 1); /* from the beginning */
	assert_int_equal(level_at(SLOT), LEVEL_4K);
	mmu_nx_recover(&mmu, 1);
	assert_int_equal(level_at(SLOT), LEVEL_2M);
	assert_int_equal(rights_at(SLOT + PAGES_2M + 1, LEVEL_4K), MMU_READ | MMU_WRITE | MMU_FETCH);
	/* What it stood at is gone, then everything. */
	assert_int_equal(mmu_slot_delete(&mmu, SLOT, &why), 0);
	mmu_nx_recover(&mmu, 1);
	mmu_nx_recover(&mmu, UINT64_MAX);
	assert_int_equal(mmu_slot_delete(&mmu, 0, &why), 0);
	mmu_nx_recover(&mmu, 0);
	mmu_nx_recover(&mmu, UINT64_MAX);
	space_is_good();
}

static void broken_nx(void **state)
{
	struct mmu_step steps[ROOT_LEVEL];
	uint64_t *sptep;

	(void)state;
	assert_int_equal(touch(SLOT, MMU_READ), FAULT_MAPPED);
	assert_int_equal(mmu_walk_gpa(&mmu, (gpa_t)SLOT << PAGE_SHIFT, steps), 3);
	sptep = (uint64_t *)phys_to_virt(steps[2].table) + steps[2].index;
	*sptep |= EPT_EXEC;
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	assert_non_null(strstr(why.text, "is large and executable"));
	*sptep &= ~EPT_EXEC;
	space_is_good();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, space_end)
#define TEST_NX(name) cmocka_unit_test_setup_teardown(name, start_nx, space_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(moves), TEST(refused_moves), TEST(flags_change), TEST_NX(not_executable), TEST_NX(recovers_in_parts),
		TEST_NX(broken_nx),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
