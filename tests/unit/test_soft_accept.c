/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c */
/*
 * The guest's side of a page's way into a TD of the software TDX module: TDG.MEM.PAGE.ACCEPT. Conformance checks
 * 24 to 26.
 */
#include "tests/unit/soft_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmx/core/reasons.h"

#define GPA GIB(5)

static bool all_zero(hpa_t page, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += 8)
		if (*(uint64_t *)world_at(page + i))
			return false;
	return true;
}

/* Check 24. */
static void accept_twice(void **state)
{
	hpa_t page = tree_aug(&tree_td, GPA, SOFT_4K);

	(void)state;
	memset(world_at(page), 0xee, PAGE_SIZE);
	tree_is(&tree_td, GPA, SOFT_4K, SEEN_NO_ACCESS(page), TDX_SEPT_PENDING);
	assert_int_equal(guest_accept(&tree_td, GPA, SOFT_4K), SUCCESS);
	assert_true(all_zero(page, PAGE_SIZE));
	tree_is(&tree_td, GPA, SOFT_4K, SEEN_MAPPED(page), TDX_SEPT_MAPPED);
	memset(world_at(page), 0x11, PAGE_SIZE);
	assert_int_equal(guest_accept(&tree_td, GPA, SOFT_4K), ST(0x00000b0a, 0));
	assert_int_equal(*(uint8_t *)world_at(page), 0x11);
}

/* The exit that asks the host for the page: 48, a write, type 1, with what was wanted and found. */
static void exits(gpa_t gpa, uint32_t level, uint32_t stopped, uint32_t state, bool leaf)
{
	struct tdg_call t;
	uint64_t info = level | stopped << 3 | state << 6 | (leaf ? BIT(14) : 0);

	assert_int_equal(guest_call(&tree_td, tdg_mem_page_accept, gpa | level, 0, 0, &t), TDG_EXIT);
	assert_int_equal(t.exit.status, 0);
	assert_int_equal(t.exit.reason, REASON_EPT_VIOLATION);
	assert_int_equal(t.exit.qualification, 2);
	assert_int_equal(t.exit.extended, 1 | info << 32);
	assert_int_equal(t.exit.gpa, gpa);
	assert_false(t.exit.trap);
}

/* Check 25. */
static void accept_what_is_not_there(void **state)
{
	hpa_t page;

	(void)state;
	exits(GPA, SOFT_4K, SOFT_512G, TDX_SEPT_FREE, false);
	tree_to(&tree_td, GPA, SOFT_4K);
	exits(GPA, SOFT_4K, SOFT_4K, TDX_SEPT_FREE, false);
	exits(GPA + MIB(2), SOFT_2M, SOFT_2M, TDX_SEPT_FREE, false);
	page = world_page();
	mem_ok(&tree_td, TDH_MEM_PAGE_AUG, GPA, SOFT_4K, page);
	assert_int_equal(guest_accept(&tree_td, GPA, SOFT_4K), SUCCESS);
	tree_block(&tree_td, GPA, SOFT_4K);
	exits(GPA, SOFT_4K, SOFT_4K, TDX_SEPT_BLOCKED, true);
	tree_block(&tree_td, GPA, SOFT_2M);
	exits(GPA, SOFT_4K, SOFT_2M, TDX_SEPT_NL_BLOCKED, false);
	tree_aug(&tree_td, GPA + MIB(2), SOFT_2M);
	/* The host must split it, or the guest ask for 2M. */
	exits(GPA + MIB(2), SOFT_4K, SOFT_2M, TDX_SEPT_PENDING, true);
	tree_block(&tree_td, GPA + MIB(2), SOFT_2M);
	exits(GPA + MIB(2), SOFT_2M, SOFT_2M, TDX_SEPT_PENDING_BLOCKED, true);
}

/* Check 26, and operands. */
static void accept_other_sizes(void **state)
{
	(void)state;
	tree_to(&tree_td, GPA, SOFT_4K);
	assert_int_equal(guest_accept(&tree_td, GPA, SOFT_2M), ST(0xc0000b0b, 1));
	assert_int_equal(guest_accept(&tree_td, GPA, SOFT_1G), ST(0xc0000100, 1));
	tree_map(&tree_td, GPA + MIB(2), SOFT_2M);
	assert_int_equal(guest_accept(&tree_td, GPA + MIB(2), SOFT_4K), ST(0x00000b0a, 1));
	assert_int_equal(guest_accept(&tree_td, GPA + MIB(2), SOFT_2M), ST(0x00000b0a, 1));
	assert_int_equal(guest_accept(&tree_td, GPA | WORLD_SHARED, SOFT_4K), ST(0xc0000100, 1));
	assert_int_equal(guest_accept(&tree_td, GPA + PAGE_SIZE, SOFT_2M), ST(0xc0000100, 1));
	assert_int_equal(guest_accept(&tree_td, GPA | 8, SOFT_4K), ST(0xc0000100, 1));
	assert_int_equal(guest_accept(&tree_td, GPA | BIT(52), SOFT_4K), ST(0xc0000100, 1));
}

/* 2M, with an interrupt due all the time: one 4K page a call, and nothing is zeroed twice or left out. */
static void accept_interrupted(void **state)
{
	hpa_t page = tree_aug(&tree_td, GPA, SOFT_2M);
	struct tdg_call t;

	(void)state;
	memset(world_at(page), 0xee, MIB(2));
	world.interrupt[0] = true;
	for (uint32_t i = 1; i < 512; i++) {
		assert_int_equal(guest_call(&tree_td, tdg_mem_page_accept, GPA | SOFT_2M, 0, 0, &t), TDG_AGAIN);
		assert_true(all_zero(page + (i - 1) * PAGE_SIZE, PAGE_SIZE));
		assert_int_equal(*(uint8_t *)world_at(page + i * PAGE_SIZE), 0xee);
		*(uint8_t *)world_at(page) = (uint8_t)i;
		tree_is(&tree_td, GPA, SOFT_2M, SEEN_NO_ACCESS(page), TDX_SEPT_PENDING);
	}
	assert_int_equal(guest_accept(&tree_td, GPA, SOFT_2M), SUCCESS);
	assert_int_equal(*(uint8_t *)world_at(page), 511 & 0xff);
	tree_is(&tree_td, GPA, SOFT_2M, SEEN_MAPPED(page), TDX_SEPT_MAPPED);
}

/* While half of it is accepted the host may take it, and find the whole page. */
static void remove_half_accepted(void **state)
{
	hpa_t page = tree_aug(&tree_td, GPA, SOFT_2M);
	struct tdg_call t;

	(void)state;
	world.interrupt[0] = true;
	for (int i = 0; i < 100; i++)
		assert_int_equal(guest_call(&tree_td, tdg_mem_page_accept, GPA | SOFT_2M, 0, 0, &t), TDG_AGAIN);
	world.interrupt[0] = false;
	tree_check(&tree_td);
	tree_block_and_track(&tree_td, GPA, SOFT_2M);
	mem_ok(&tree_td, TDH_MEM_RANGE_UNBLOCK, GPA, SOFT_2M, 0);
	tree_block_and_track(&tree_td, GPA, SOFT_2M);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_2M, 0, SUCCESS, page, 0);
	assert_int_equal(type_of(page), TDX_PT_NDA);
}

static uint64_t *entry_of_gpa;
static void host_comes_second(struct soft_vp *vp)
{
	(void)vp;
	assert_int_equal(sc(1, TDH_MEM_RANGE_BLOCK, GPA, tree_td.tdr, 0, 0), ST(0x80000200, 1));
}

/* Host and guest at one entry: the guest's next try gives way, and says so to its caller. */
static void host_priority(void **state)
{
	hpa_t page = tree_aug(&tree_td, GPA, SOFT_4K);
	struct sept_walk at;

	(void)state;
	assert_true(sept_walk(&world.m, tree_td.tdcx[TDCS_SEPT_ROOT], SOFT_512G, GPA, SOFT_4K, &at));
	entry_of_gpa = at.entry;
	assert_int_equal(sept_lock_guest(entry_of_gpa), SUCCESS);
	assert_int_equal(guest_accept(&tree_td, GPA, SOFT_4K), ST(0x80000200, 1));
	world.guest = host_comes_second;
	assert_int_equal(enter(0, tree_td.vp[0]), REASON_EXTERNAL_INTERRUPT);
	world.guest = NULL;
	sept_unlock(entry_of_gpa);
	assert_int_equal(guest_accept(&tree_td, GPA, SOFT_4K), ST(0x80000204, 1));
	tree_block(&tree_td, GPA, SOFT_4K);
	tree_track(&tree_td);
	mem_ok(&tree_td, TDH_MEM_RANGE_UNBLOCK, GPA, SOFT_4K, 0);
	assert_int_equal(guest_accept(&tree_td, GPA, SOFT_4K), SUCCESS);
	tree_is(&tree_td, GPA, SOFT_4K, SEEN_MAPPED(page), TDX_SEPT_MAPPED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(accept_twice, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(accept_what_is_not_there, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(accept_other_sizes, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(accept_interrupted, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(remove_half_accepted, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(host_priority, tree_run, tree_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
