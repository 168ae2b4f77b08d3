/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c */
/*
 * The software TDX module's private pages: added, blocked, tracked, removed, moved, and looked at from outside.
 * Conformance checks 28, 30, 31 and 33 to 35, and the tracking of 32.
 */
#include "tests/unit/soft_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GPA GIB(5)

/* Check 28. */
static void aug_where_something_is(void **state)
{
	hpa_t page = tree_map(&tree_td, GPA, SOFT_4K), pending = tree_aug(&tree_td, GPA + PAGE_SIZE, SOFT_4K);
	hpa_t other = world_page();

	(void)state;
	mem_is(&tree_td, TDH_MEM_PAGE_AUG, GPA, SOFT_4K, other, ST(0xc0000b0d, 1), SEEN_MAPPED(page), 0x400);
	mem_is(&tree_td, TDH_MEM_PAGE_AUG, GPA + PAGE_SIZE, SOFT_4K, other, ST(0xc0000b0d, 1),
	       SEEN_NO_ACCESS(pending), 0x200);
	tree_block(&tree_td, GPA, SOFT_4K);
	mem_is(&tree_td, TDH_MEM_PAGE_AUG, GPA, SOFT_4K, other, ST(0xc0000b0d, 1), SEEN_NO_ACCESS(page), 0x100);
	tree_block(&tree_td, GPA + PAGE_SIZE, SOFT_4K);
	mem_is(&tree_td, TDH_MEM_PAGE_AUG, GPA + PAGE_SIZE, SOFT_4K, other, ST(0xc0000b0d, 1),
	       SEEN_NO_ACCESS(pending), 0x300);
	mem_is(&tree_td, TDH_MEM_PAGE_AUG, GPA, SOFT_2M, world_large_page(), ST(0xc0000b0d, 1), SEEN_TABLE, 0x8401);
	assert_int_equal(type_of(other), TDX_PT_NDA);
}

/* Check 30. */
static void aug_large(void **state)
{
	hpa_t large = world_large_page(), used = world_large_page();
	uint64_t children;

	(void)state;
	tree_to(&tree_td, GPA, SOFT_2M);
	mem_is(&tree_td, TDH_MEM_PAGE_AUG, GPA, SOFT_2M, large + PAGE_SIZE, ST(0xc0000100, 8), 0, 0);
	tree_to(&tree_td, GPA + MIB(2), SOFT_4K);
	mem_ok(&tree_td, TDH_MEM_PAGE_AUG, GPA + MIB(2), SOFT_4K, used + 511 * PAGE_SIZE);
	mem_is(&tree_td, TDH_MEM_PAGE_AUG, GPA, SOFT_2M, used, ST(0xc0000300, 8), 0, 0);
	children = td_tdr(&tree_td)->children;
	mem_ok(&tree_td, TDH_MEM_PAGE_AUG, GPA, SOFT_2M, large);
	assert_int_equal(td_tdr(&tree_td)->children, children + 512);
	assert_int_equal(type_of(large), TDX_PT_REG);
	assert_int_equal(out.gpr[TDX_R8], 1);
	mem_is(&tree_td, TDH_MEM_PAGE_AUG, GPA + MIB(2) + PAGE_SIZE, SOFT_4K, large, ST(0xc0000300, 8), 0, 0);
}

/* Check 31. */
static void remove_page(void **state)
{
	hpa_t page = tree_map(&tree_td, GPA, SOFT_4K);

	(void)state;
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_4K, 0, ST(0xc0000b06, 1), SEEN_MAPPED(page), 0x400);
	tree_block(&tree_td, GPA, SOFT_4K);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_4K, 0, ST(0xc0000b08, 1), 0, 0);
	tree_track(&tree_td);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_4K, 0, SUCCESS, page, 0);
	assert_int_equal(type_of(page), TDX_PT_NDA);
	assert_int_equal(out.gpr[TDX_RDX], 0);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_4K, 0, ST(0xc0000b0d, 1), SEEN_FREE, 0);
	page = tree_map(&tree_td, GPA + MIB(2), SOFT_2M);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA + MIB(2), SOFT_4K, 0, ST(0xc0000b00, 1), SEEN_MAPPED(page), 0x401);
	tree_block_and_track(&tree_td, GPA + MIB(2), SOFT_2M);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA + MIB(2), SOFT_2M, 0, SUCCESS, page, 0);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_2M, 0, ST(0xc0000b0d, 1), SEEN_TABLE, 0x8401);
}

static hpa_t inside_page;
static void block_from_outside(struct soft_vp *vp)
{
	(void)vp;
	assert_int_equal(sc(1, TDH_MEM_RANGE_BLOCK, GPA, tree_td.tdr, 0, 0), SUCCESS);
	assert_int_equal(sc(1, TDH_MEM_TRACK, tree_td.tdr, 0, 0, 0), SUCCESS);
	assert_int_equal(sc(1, TDH_MEM_PAGE_REMOVE, GPA, tree_td.tdr, 0, 0), ST(0xc0000b08, 1));
	assert_int_equal(sc(1, TDH_MEM_RANGE_UNBLOCK, GPA, tree_td.tdr, 0, 0), ST(0xc0000b08, 0x92));
	assert_int_equal(sc(1, TDH_MEM_TRACK, tree_td.tdr, 0, 0, 0), ST(0x80000201, 0));
}

/* Check 32: what a vCPU inside may know is not taken until it has left. */
static void remove_while_inside(void **state)
{
	uint64_t flushes;

	(void)state;
	inside_page = tree_map(&tree_td, GPA, SOFT_4K);
	world.guest = block_from_outside;
	assert_int_equal(enter(0, tree_td.vp[0]), 1);
	world.guest = NULL;
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_4K, 0, SUCCESS, inside_page, 0);
	flushes = world.tlb_flushes;
	assert_int_equal(enter(0, tree_td.vp[0]), 1);
	assert_int_equal(world.tlb_flushes, flushes + 1);
	assert_int_equal(enter(0, tree_td.vp[0]), 1);
	assert_int_equal(world.tlb_flushes, flushes + 1);
}

/* Older blocks stay tracked while the epoch goes on. */
static void old_blocks(void **state)
{
	hpa_t page = tree_map(&tree_td, GPA, SOFT_4K);

	(void)state;
	tree_block_and_track(&tree_td, GPA, SOFT_4K);
	for (int i = 0; i < 5; i++)
		tree_track(&tree_td);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_4K, 0, SUCCESS, page, 0);
}

/* Check 33. */
static void block_twice(void **state)
{
	hpa_t page = tree_aug(&tree_td, GPA, SOFT_4K);

	(void)state;
	tree_block(&tree_td, GPA, SOFT_4K);
	mem_is(&tree_td, TDH_MEM_RANGE_BLOCK, GPA, SOFT_4K, 0, ST(0x00000b07, 1), SEEN_NO_ACCESS(page), 0x300);
	mem_is(&tree_td, TDH_MEM_RANGE_BLOCK, GPA + PAGE_SIZE, SOFT_4K, 0, ST(0xc0000b0d, 1), SEEN_FREE, 0);
	tree_track(&tree_td); /* of a TD that has not run */
}

/* Check 34. */
static void unblock(void **state)
{
	hpa_t page = tree_map(&tree_td, GPA, SOFT_4K), pending = tree_aug(&tree_td, GPA + PAGE_SIZE, SOFT_4K);

	(void)state;
	mem_is(&tree_td, TDH_MEM_RANGE_UNBLOCK, GPA, SOFT_4K, 0, ST(0xc0000b0d, 1), SEEN_MAPPED(page), 0x400);
	tree_block(&tree_td, GPA, SOFT_4K);
	tree_block(&tree_td, GPA + PAGE_SIZE, SOFT_4K);
	mem_is(&tree_td, TDH_MEM_RANGE_UNBLOCK, GPA, SOFT_4K, 0, ST(0xc0000b08, 0x92), 0, 0);
	tree_track(&tree_td);
	mem_ok(&tree_td, TDH_MEM_RANGE_UNBLOCK, GPA, SOFT_4K, 0);
	tree_is(&tree_td, GPA, SOFT_4K, SEEN_MAPPED(page), TDX_SEPT_MAPPED);
	mem_ok(&tree_td, TDH_MEM_RANGE_UNBLOCK, GPA + PAGE_SIZE, SOFT_4K, 0);
	tree_is(&tree_td, GPA + PAGE_SIZE, SOFT_4K, SEEN_NO_ACCESS(pending), TDX_SEPT_PENDING);
	assert_int_equal(guest_accept(&tree_td, GPA + PAGE_SIZE, SOFT_4K), SUCCESS);
	tree_block_and_track(&tree_td, GPA, SOFT_2M);
	mem_ok(&tree_td, TDH_MEM_RANGE_UNBLOCK, GPA, SOFT_2M, 0);
	tree_is(&tree_td, GPA, SOFT_2M, SEEN_TABLE, TDX_SEPT_NL_MAPPED);
}

/* Check 35: no tracking before FINALIZE, which a vCPU cannot have run before. */
static void remove_before_run(void **state)
{
	hpa_t page = tree_aug(&tree_td, GPA, SOFT_4K);

	(void)state;
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_4K, 0, SUCCESS, page, 0);
	page = tree_add(&tree_td, GPA, 3);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_4K, 0, SUCCESS, page, 0);
	page = tree_aug(&tree_td, GPA, SOFT_4K);
	assert_int_equal(sc(0, TDH_MR_FINALIZE, tree_td.tdr, 0, 0, 0), SUCCESS);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_4K, 0, ST(0xc0000b06, 1), SEEN_NO_ACCESS(page), 0x200);
}

static void relocate(void **state)
{
	hpa_t page = tree_map(&tree_td, GPA, SOFT_4K), pending = tree_aug(&tree_td, GPA + PAGE_SIZE, SOFT_4K);
	hpa_t to = world_page(), to_pending = world_page();

	(void)state;
	memset(world_at(page), 0x5a, PAGE_SIZE);
	memset(world_at(to_pending), 0x33, PAGE_SIZE);
	mem_is(&tree_td, TDH_MEM_PAGE_RELOCATE, GPA, SOFT_4K, page, ST(0xc0000100, 8), 0, 0);
	mem_is(&tree_td, TDH_MEM_PAGE_RELOCATE, GPA, SOFT_4K, to, ST(0xc0000b06, 1), SEEN_MAPPED(page), 0x400);
	tree_block(&tree_td, GPA, SOFT_4K);
	tree_block(&tree_td, GPA + PAGE_SIZE, SOFT_4K);
	mem_is(&tree_td, TDH_MEM_PAGE_RELOCATE, GPA, SOFT_4K, to, ST(0xc0000b08, 1), 0, 0);
	tree_track(&tree_td);
	mem_is(&tree_td, TDH_MEM_PAGE_RELOCATE, GPA, SOFT_4K, pending, ST(0xc0000300, 8), 0, 0);
	mem_is(&tree_td, TDH_MEM_PAGE_RELOCATE, GPA, SOFT_4K, to, SUCCESS, page, 0);
	tree_is(&tree_td, GPA, SOFT_4K, SEEN_MAPPED(to), TDX_SEPT_MAPPED);
	assert_memory_equal(world_at(page), world_at(to), PAGE_SIZE);
	assert_int_equal(type_of(page), TDX_PT_NDA);
	assert_int_equal(type_of(to), TDX_PT_REG);
	mem_is(&tree_td, TDH_MEM_PAGE_RELOCATE, GPA + PAGE_SIZE, SOFT_4K, to_pending, SUCCESS, pending, 0);
	tree_is(&tree_td, GPA + PAGE_SIZE, SOFT_4K, SEEN_NO_ACCESS(to_pending), TDX_SEPT_PENDING);
	assert_int_equal(*(uint8_t *)world_at(to_pending), 0x33);
	mem_is(&tree_td, TDH_MEM_PAGE_RELOCATE, GPA + 2 * PAGE_SIZE, SOFT_4K, page, ST(0xc0000b0d, 1), SEEN_FREE, 0);
}

static bool epoch_busy(enum soft_fault fault, uint32_t operand)
{
	(void)operand;
	return fault == SOFT_FAULT_EPOCH_BUSY;
}

static void track_refusals(void **state)
{
	uint64_t epoch = td_tdcs(&tree_td)->epoch;

	(void)state;
	world.fault = epoch_busy;
	assert_int_equal(sc(0, TDH_MEM_TRACK, tree_td.tdr, 0, 0, 0), ST(0x80000201, 0));
	world.fault = NULL;
	assert_true(sharex_try(&td_tdcs(&tree_td)->epoch_lock, LOCK_SHARED));
	assert_int_equal(sc(0, TDH_MEM_TRACK, tree_td.tdr, 0, 0, 0), ST(0x80000200, 0xa9));
	sharex_release(&td_tdcs(&tree_td)->epoch_lock, LOCK_SHARED);
	assert_int_equal(td_tdcs(&tree_td)->epoch, epoch);
	tree_track(&tree_td);
	assert_int_equal(td_tdcs(&tree_td)->epoch, epoch + 1);
}

static uint64_t access_is(enum tdh_leaf leaf, gpa_t gpa, uint64_t r8)
{
	return sc(0, leaf, gpa, tree_td.tdr, r8, 0);
}

static void access_of_production_td(void **state)
{
	tree_map(&tree_td, GPA, SOFT_4K);
	(void)state;
	assert_int_equal(access_is(TDH_MEM_RD, GPA, 0), ST(0xc0000605, 0));
	assert_int_equal(access_is(TDH_MEM_WR, GPA, 1), ST(0xc0000605, 0));
	assert_int_equal(out.gpr[TDX_RCX] | out.gpr[TDX_RDX] | out.gpr[TDX_R8], 0);
}

static void access_of_debug_td(void **state)
{
	struct world_td *t = &tree_td;
	hpa_t page;

	(void)state;
	td_create(t, WORLD_HKID(0));
	td_add_tdcs(t);
	world_params()->attributes |= TDX_ATTR_DEBUG;
	assert_int_equal(sc(0, TDH_MNG_INIT, t->tdr, WORLD_PARAMS, 0, 0), 0);
	td_add_vcpu(t, 0);
	assert_int_equal(sc(0, TDH_MR_FINALIZE, t->tdr, 0, 0, 0), SUCCESS);
	page = tree_map(t, GPA, SOFT_2M);
	((uint64_t *)world_at(page + MIB(1)))[3] = 0x1234;
	assert_int_equal(access_is(TDH_MEM_RD, GPA + MIB(1) + 24, 0), SUCCESS);
	assert_int_equal(out.gpr[TDX_R8], 0x1234);
	assert_int_equal(access_is(TDH_MEM_WR, GPA + MIB(1) + 24, 0x5678), SUCCESS);
	assert_int_equal(out.gpr[TDX_R8], 0x1234);
	assert_int_equal(((uint64_t *)world_at(page + MIB(1)))[3], 0x5678);
	assert_int_equal(access_is(TDH_MEM_RD, GPA + 4, 0), ST(0xc0000100, 1));
	assert_int_equal(access_is(TDH_MEM_RD, GPA | WORLD_SHARED, 0), ST(0xc0000100, 1));
	assert_int_equal(access_is(TDH_MEM_RD, GPA + MIB(2), 0), ST(0xc0000b03, 1));
	assert_int_equal(out.gpr[TDX_RCX], SEEN_FREE);
	assert_int_equal(out.gpr[TDX_RDX], 1);
	tree_aug(t, GPA + MIB(4), SOFT_4K);
	assert_int_equal(access_is(TDH_MEM_WR, GPA + MIB(4), 0), ST(0xc0000b03, 1));
	assert_int_equal(out.gpr[TDX_RDX], 0x200);
}

static int ready(void **state)
{
	(void)state;
	world_ready();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(aug_where_something_is, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(aug_large, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(remove_page, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(remove_while_inside, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(old_blocks, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(block_twice, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(unblock, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(remove_before_run, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(relocate, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(track_refusals, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(access_of_production_td, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(access_of_debug_td, ready, tree_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
