/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c */
/*
 * One large page or 512 small ones in the software TDX module: DEMOTE and PROMOTE, 2M and 1G. Conformance
 * checks 37 and 38.
 */
#include "tests/unit/soft_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GPA GIB(5)

/* 512 mapped 4K pages in a row at gpa, the first one at hpa; page i's first word is i. The table. */
static hpa_t map_row(gpa_t gpa, hpa_t hpa)
{
	hpa_t table = world_page();

	tree_to(&tree_td, gpa, SOFT_2M);
	mem_ok(&tree_td, TDH_MEM_SEPT_ADD, gpa, SOFT_2M, table);
	for (uint32_t i = 0; i < SEPT_ENTRIES; i++) {
		mem_ok(&tree_td, TDH_MEM_PAGE_AUG, gpa + i * PAGE_SIZE, SOFT_4K, hpa + i * PAGE_SIZE);
		assert_int_equal(guest_accept(&tree_td, gpa + i * PAGE_SIZE, SOFT_4K), SUCCESS);
		*(uint64_t *)world_at(hpa + i * PAGE_SIZE) = i;
	}
	return table;
}

static void row_is(hpa_t hpa)
{
	for (uint32_t i = 0; i < SEPT_ENTRIES; i++)
		assert_int_equal(*(uint64_t *)world_at(hpa + i * PAGE_SIZE), i);
}

/* A child of the blocked table is changed by hand: what is called for is a state the calls do not lead to easily. */
static uint64_t *child(hpa_t table, uint32_t i) { return (uint64_t *)world_at(table) + i; }

static void promote_refuses(void)
{
	mem_is(&tree_td, TDH_MEM_PAGE_PROMOTE, GPA, SOFT_2M, 0, ST(0xc0000b09, 1), 0, 0x8101);
}

/* Check 37. */
static void promote(void **state)
{
	hpa_t large = world_large_page(), table = map_row(GPA, large);
	uint64_t keep, children;

	(void)state;
	mem_is(&tree_td, TDH_MEM_PAGE_PROMOTE, GPA, SOFT_2M, 0, ST(0xc0000b06, 1), SEEN_TABLE, 0x8401);
	tree_block(&tree_td, GPA, SOFT_2M);
	mem_is(&tree_td, TDH_MEM_PAGE_PROMOTE, GPA, SOFT_2M, 0, ST(0xc0000b08, 1), 0, 0);
	tree_track(&tree_td);
	keep = *child(table, 77);
	*child(table, 77) = sept_pending(sept_hpa(keep, SOFT_4K));
	promote_refuses();
	*child(table, 77) = sept_block(keep);
	promote_refuses();
	*child(table, 77) = keep + PAGE_SIZE;
	promote_refuses();
	*child(table, 77) = keep;
	keep = *child(table, 511);
	*child(table, 511) = SEPT_ENTRY_FREE;
	promote_refuses();
	*child(table, 511) = keep | SEPT_LOCK;
	mem_is(&tree_td, TDH_MEM_PAGE_PROMOTE, GPA, SOFT_2M, 0, ST(0x80000200, 1), 0, 0x8101);
	*child(table, 511) = keep;
	world.interrupt[0] = true;
	mem_is(&tree_td, TDH_MEM_PAGE_PROMOTE, GPA, SOFT_2M, 0, ST(0x80000004, 0), GPA | SOFT_2M, tree_td.tdr);
	world.interrupt[0] = false;
	tree_check(&tree_td);
	children = td_tdr(&tree_td)->children;
	mem_is(&tree_td, TDH_MEM_PAGE_PROMOTE, GPA, SOFT_2M, 0, SUCCESS, table, 0);
	tree_is(&tree_td, GPA, SOFT_2M, SEEN_MAPPED(large), TDX_SEPT_MAPPED);
	assert_int_equal(td_tdr(&tree_td)->children, children - 1);
	assert_int_equal(type_of(table), TDX_PT_NDA);
	assert_int_equal(type_of(large + PAGE_SIZE), TDX_PT_REG);
	assert_int_equal(out.gpr[TDX_R8], 1);
	row_is(large);
	mem_is(&tree_td, TDH_MEM_PAGE_PROMOTE, GPA, SOFT_2M, 0, ST(0xc0000b0d, 1), SEEN_MAPPED(large), 0x401);
}

/* Rows that start off their place, of pending pages, and before the TD runs. */
static void promote_rows(void **state)
{
	hpa_t odd = world_large_page() + PAGE_SIZE, large, table;

	(void)state;
	world_large_page(); /* the end of the odd row */
	large = world_large_page();
	tree_to(&tree_td, GPA, SOFT_4K);
	for (uint32_t i = 0; i < SEPT_ENTRIES; i++)
		mem_ok(&tree_td, TDH_MEM_PAGE_AUG, GPA + i * PAGE_SIZE, SOFT_4K, odd + i * PAGE_SIZE);
	mem_is(&tree_td, TDH_MEM_PAGE_PROMOTE, GPA, SOFT_2M, 0, ST(0xc0000b09, 1), SEEN_TABLE, 0x8401);
	table = world_page();
	mem_ok(&tree_td, TDH_MEM_SEPT_ADD, GPA + MIB(2), SOFT_2M, table);
	for (uint32_t i = 0; i < SEPT_ENTRIES; i++)
		mem_ok(&tree_td, TDH_MEM_PAGE_AUG, GPA + MIB(2) + i * PAGE_SIZE, SOFT_4K, large + i * PAGE_SIZE);
	mem_is(&tree_td, TDH_MEM_PAGE_PROMOTE, GPA + MIB(2), SOFT_2M, 0, SUCCESS, table, 0);
	tree_is(&tree_td, GPA + MIB(2), SOFT_2M, SEEN_NO_ACCESS(large), TDX_SEPT_PENDING);
}

/* Check 38. */
static void demote(void **state)
{
	hpa_t large = tree_map(&tree_td, GPA, SOFT_2M), table = world_page();
	uint64_t children = td_tdr(&tree_td)->children;

	(void)state;
	for (uint32_t i = 0; i < SEPT_ENTRIES; i++)
		*(uint64_t *)world_at(large + i * PAGE_SIZE) = i;
	mem_is(&tree_td, TDH_MEM_PAGE_DEMOTE, GPA, SOFT_2M, table, ST(0xc0000b06, 1), SEEN_MAPPED(large), 0x401);
	tree_block(&tree_td, GPA, SOFT_2M);
	mem_is(&tree_td, TDH_MEM_PAGE_DEMOTE, GPA, SOFT_2M, table, ST(0xc0000b08, 1), 0, 0);
	tree_track(&tree_td);
	mem_is(&tree_td, TDH_MEM_PAGE_DEMOTE, GPA, SOFT_2M, large, ST(0xc0000300, 8), 0, 0);
	mem_is(&tree_td, TDH_MEM_PAGE_DEMOTE, GPA, SOFT_2M, tree_td.vp[0], ST(0xc0000300, 8), 0, 0);
	world.interrupt[0] = true;
	mem_is(&tree_td, TDH_MEM_PAGE_DEMOTE, GPA, SOFT_2M, table, ST(0x80000004, 0), GPA | SOFT_2M, tree_td.tdr);
	world.interrupt[0] = false;
	tree_is(&tree_td, GPA, SOFT_2M, SEEN_NO_ACCESS(large), TDX_SEPT_BLOCKED);
	mem_ok(&tree_td, TDH_MEM_PAGE_DEMOTE, GPA, SOFT_2M, table);
	assert_int_equal(td_tdr(&tree_td)->children, children + 1);
	tree_is(&tree_td, GPA, SOFT_2M, SEEN_TABLE, TDX_SEPT_NL_MAPPED);
	tree_is(&tree_td, GPA + 511 * PAGE_SIZE, SOFT_4K, SEEN_MAPPED(large + 511 * PAGE_SIZE), TDX_SEPT_MAPPED);
	row_is(large);
	tree_check(&tree_td);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA + PAGE_SIZE, SOFT_4K, 0, ST(0xc0000b06, 1),
		SEEN_MAPPED(large + PAGE_SIZE), 0x400);
	tree_block_and_track(&tree_td, GPA + PAGE_SIZE, SOFT_4K);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA + PAGE_SIZE, SOFT_4K, 0, SUCCESS, large + PAGE_SIZE, 0);
	assert_int_equal(type_of(large + PAGE_SIZE), TDX_PT_NDA);
	assert_int_equal(type_of(large), TDX_PT_REG);
	mem_is(&tree_td, TDH_MEM_PAGE_DEMOTE, GPA, SOFT_2M, table, ST(0xc0000b0d, 1), SEEN_TABLE, 0x8401);
}

/* A pending page is split into pending ones, and what was accepted of it is accepted again. */
static void demote_pending(void **state)
{
	hpa_t large = tree_aug(&tree_td, GPA, SOFT_2M), table = world_page();
	uint64_t *entry;

	(void)state;
	tree_is(&tree_td, GPA, SOFT_2M, SEEN_NO_ACCESS(large), TDX_SEPT_PENDING);
	entry = child(*child(*child(tree_td.tdcx[TDCS_SEPT_ROOT], 0) & SEPT_HPA, GPA / GIB(1)) & SEPT_HPA, 0);
	*entry += 99 * PAGE_SIZE; /* so many are accepted */
	tree_is(&tree_td, GPA, SOFT_2M, SEEN_NO_ACCESS(large), TDX_SEPT_PENDING);
	tree_block_and_track(&tree_td, GPA, SOFT_2M);
	mem_ok(&tree_td, TDH_MEM_PAGE_DEMOTE, GPA, SOFT_2M, table);
	tree_is(&tree_td, GPA, SOFT_4K, SEEN_NO_ACCESS(large), TDX_SEPT_PENDING);
	tree_is(&tree_td, GPA + 5 * PAGE_SIZE, SOFT_4K, SEEN_NO_ACCESS(large + 5 * PAGE_SIZE), TDX_SEPT_PENDING);
	assert_int_equal(guest_accept(&tree_td, GPA + 5 * PAGE_SIZE, SOFT_4K), SUCCESS);
}

/* Before the TD runs, and 1G pages, which only PROMOTE makes. */
static void one_gigabyte(void **state)
{
	hpa_t large = GIB(3), table, low = world_page();

	(void)state;
	tree_to(&tree_td, GPA, SOFT_1G);
	table = world_page();
	mem_ok(&tree_td, TDH_MEM_SEPT_ADD, GPA, SOFT_1G, table);
	for (uint32_t i = 0; i < SEPT_ENTRIES; i++)
		mem_ok(&tree_td, TDH_MEM_PAGE_AUG, GPA + i * MIB(2), SOFT_2M, large + i * MIB(2));
	mem_is(&tree_td, TDH_MEM_PAGE_PROMOTE, GPA, SOFT_1G, 0, SUCCESS, table, 0);
	tree_is(&tree_td, GPA, SOFT_1G, SEEN_NO_ACCESS(large), TDX_SEPT_PENDING);
	assert_int_equal(type_of(large + MIB(2) + PAGE_SIZE), TDX_PT_REG);
	assert_int_equal(out.gpr[TDX_R8], 2);
	tree_check(&tree_td);
	mem_ok(&tree_td, TDH_MEM_PAGE_DEMOTE, GPA, SOFT_1G, table);
	tree_is(&tree_td, GPA + MIB(2), SOFT_2M, SEEN_NO_ACCESS(large + MIB(2)), TDX_SEPT_PENDING);
	mem_ok(&tree_td, TDH_MEM_PAGE_DEMOTE, GPA, SOFT_2M, low);
	tree_is(&tree_td, GPA + PAGE_SIZE, SOFT_4K, SEEN_NO_ACCESS(large + PAGE_SIZE), TDX_SEPT_PENDING);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA + MIB(2), SOFT_2M, 0, SUCCESS, large + MIB(2), 0);
	mem_is(&tree_td, TDH_MEM_PAGE_PROMOTE, GPA, SOFT_1G, 0, ST(0xc0000b09, 1), SEEN_TABLE, 0x8402);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(promote, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(promote_rows, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(demote, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(demote_pending, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(one_gigabyte, tree_build, tree_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
