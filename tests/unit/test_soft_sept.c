/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c */
/*
 * The software TDX module's secure EPT: entries bit for bit, tables, operands, and the walk's failures.
 * Conformance checks 17 to 20, 29 and 36.
 */
#include "tests/unit/soft_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GPA GIB(5)
#define NONE (~0ul)

static uint64_t raw(hpa_t table, uint32_t index) { return ((uint64_t *)world_at(table))[index]; }
static hpa_t root(void) { return tree_td.tdcx[TDCS_SEPT_ROOT]; }

/* Section "Secure EPT Entry": what is in memory, which is what CPUs walk. */
static void entries_bit_for_bit(void **state)
{
	hpa_t table = world_page(), page = world_large_page();

	(void)state;
	assert_int_equal(raw(root(), 0), 0x80e0000000000000ul); /* free */
	mem_ok(&tree_td, TDH_MEM_SEPT_ADD, 0, SOFT_512G, table);
	assert_int_equal(raw(root(), 0), BIT(63) | table | 7);
	assert_int_equal(raw(table, 511), 0x80e0000000000000ul);
	tree_to(&tree_td, GPA, SOFT_2M);
	table = raw(table, GPA / GIB(1)) & SEPT_HPA;
	mem_ok(&tree_td, TDH_MEM_PAGE_AUG, GPA, SOFT_2M, page);
	assert_int_equal(raw(table, 0), BIT(63) | BIT(56) | page | 0xf0);
	tree_block(&tree_td, GPA, SOFT_2M);
	assert_int_equal(raw(table, 0), BIT(63) | BIT(56) | BIT(55) | page | 0xf0);
	tree_track(&tree_td);
	mem_ok(&tree_td, TDH_MEM_RANGE_UNBLOCK, GPA, SOFT_2M, 0);
	assert_int_equal(guest_accept(&tree_td, GPA, SOFT_2M), SUCCESS);
	assert_int_equal(raw(table, 0), BIT(63) | page | 0xf7);
	tree_block(&tree_td, GPA, SOFT_2M);
	assert_int_equal(raw(table, 0), BIT(63) | BIT(55) | page | 0xf0);
	tree_block(&tree_td, 0, SOFT_512G);
	assert_int_equal(raw(root(), 0) & ~SEPT_HPA, BIT(63) | BIT(55));
}

/* Checks 17 and 18. */
static void tables(void **state)
{
	hpa_t page = world_page(), table = world_page();

	(void)state;
	mem_is(&tree_td, TDH_MEM_PAGE_ADD, GPA, SOFT_4K, page, ST(0xc0000b00, 1), SEEN_FREE, 3);
	tree_to(&tree_td, GPA, SOFT_2M);
	mem_is(&tree_td, TDH_MEM_PAGE_ADD, GPA, SOFT_4K, page, ST(0xc0000b00, 1), SEEN_FREE, 1);
	mem_ok(&tree_td, TDH_MEM_SEPT_ADD, GPA, SOFT_2M, page);
	assert_int_equal(type_of(page), TDX_PT_EPT);
	assert_int_equal(out.gpr[TDX_RDX], tree_td.tdr);
	mem_is(&tree_td, TDH_MEM_SEPT_ADD, GPA, SOFT_2M, table, ST(0xc0000b0d, 1), 0x7, 0x8401);
	assert_int_equal(type_of(table), TDX_PT_NDA);
	tree_is(&tree_td, GPA, SOFT_2M, SEEN_TABLE, TDX_SEPT_NL_MAPPED);
	tree_is(&tree_td, 0, SOFT_512G, SEEN_TABLE, TDX_SEPT_NL_MAPPED);
}

static uint64_t add_v1(gpa_t gpa, uint32_t level, uint64_t flags, hpa_t r8, uint64_t l2)
{
	struct tdx_regs r = { .gpr = {
		[TDX_RAX] = TDH_MEM_SEPT_ADD | 1 << TDX_VERSION_SHIFT, [TDX_RCX] = gpa | level,
		[TDX_RDX] = tree_td.tdr | flags, [TDX_R8] = r8, [TDX_R9] = NONE, [TDX_R10] = l2, [TDX_R11] = NONE,
	} };

	soft_seamcall(&world.m, 0, &r);
	out = r;
	return r.gpr[TDX_RAX];
}

/* Check 18, version 1: an existing table is no error when the host says so, and its page comes back marked. */
static void tables_that_exist(void **state)
{
	hpa_t table = world_page(), spare = world_page();

	(void)state;
	tree_to(&tree_td, GPA, SOFT_2M);
	assert_int_equal(add_v1(GPA, SOFT_2M, 0, NONE, NONE), ST(0xc0000b0d, 1));
	assert_int_equal(add_v1(GPA, SOFT_2M, 0, table, 0), ST(0xc0000100, 10));
	assert_int_equal(type_of(table), TDX_PT_NDA);
	assert_int_equal(add_v1(GPA, SOFT_2M, 0, table, NONE), SUCCESS);
	assert_int_equal(out.gpr[TDX_R8], NONE);
	assert_int_equal(add_v1(GPA, SOFT_2M, 0, spare, NONE), ST(0xc0000b0d, 1));
	assert_int_equal(add_v1(GPA, SOFT_2M, 1, spare, NONE), SUCCESS);
	assert_int_equal(out.gpr[TDX_R8], BIT(63) | spare);
	assert_int_equal(type_of(spare), TDX_PT_NDA);
	assert_int_equal(add_v1(GPA + MIB(2), SOFT_2M, 1, BIT(63) | spare, NONE), SUCCESS);
	assert_int_equal(type_of(spare), TDX_PT_EPT);
	assert_int_equal(add_v1(GPA, SOFT_2M, 0, NONE, NONE), SUCCESS);
	assert_int_equal(add_v1(GPA, SOFT_2M, 2, table, NONE), ST(0xc0000100, 2));
	/* Version 0 has no flag and always has a page. */
	assert_int_equal(sc(0, TDH_MEM_SEPT_ADD, GPA | SOFT_2M, tree_td.tdr | 1, spare, 0), ST(0xc0000100, 2));
	mem_is(&tree_td, TDH_MEM_SEPT_ADD, GPA + MIB(4), SOFT_2M, NONE, ST(0xc0000100, 8), 0, 0);
	/* A leaf is no table. */
	tree_aug(&tree_td, GPA + MIB(6), SOFT_2M);
	assert_int_equal(add_v1(GPA + MIB(6), SOFT_2M, 1, world_page(), NONE), ST(0xc0000b0d, 1));
}

/* Check 19. */
static void add_twice(void **state)
{
	hpa_t page = tree_add(&tree_td, GPA, 1), other = world_page();

	(void)state;
	mem_is(&tree_td, TDH_MEM_PAGE_ADD, GPA, SOFT_4K, other, ST(0xc0000b0d, 1), SEEN_MAPPED(page), 0x400);
	assert_int_equal(type_of(other), TDX_PT_NDA);
	assert_int_equal(((uint8_t *)world_at(page))[4095], 1);
}

/* Check 20, and every other operand that is not as it must be. */
static void add_operands(void **state)
{
	hpa_t page = world_page();
	uint64_t source = MIB(66);

	(void)state;
	tree_to(&tree_td, GPA, SOFT_4K);
	assert_int_equal(mem(&tree_td, TDH_MEM_PAGE_ADD, GPA | WORLD_SHARED, SOFT_4K, page), ST(0xc0000100, 1));
	assert_int_equal(mem(&tree_td, TDH_MEM_PAGE_ADD, GPA, SOFT_2M, page), ST(0xc0000100, 1));
	assert_int_equal(mem(&tree_td, TDH_MEM_PAGE_ADD, GPA | 8, SOFT_4K, page), ST(0xc0000100, 1));
	assert_int_equal(mem(&tree_td, TDH_MEM_PAGE_ADD, GPA | BIT(52), SOFT_4K, page), ST(0xc0000100, 1));
	assert_int_equal(sc(0, TDH_MEM_PAGE_ADD, GPA, tree_td.tdr, page,
		source | (uint64_t)WORLD_HKID(0) << WORLD_KEYID_SHIFT), ST(0xc0000100, 9));
	assert_int_equal(sc(0, TDH_MEM_PAGE_ADD, GPA, tree_td.tdr, page, source + 8), ST(0xc0000100, 9));
	assert_int_equal(sc(0, TDH_MEM_PAGE_ADD, GPA, tree_td.tdr, page, BIT(45)), ST(0xc0000100, 9));
	assert_int_equal(mem(&tree_td, TDH_MEM_PAGE_ADD, GPA, SOFT_4K, tree_td.vp[0]), ST(0xc0000300, 8));
	/* Locked by the call. */
	assert_int_equal(mem(&tree_td, TDH_MEM_PAGE_ADD, GPA, SOFT_4K, tree_td.tdr), ST(0x80000200, 8));
	assert_int_equal(mem(&tree_td, TDH_MEM_PAGE_ADD, GPA, SOFT_4K, page | BIT(WORLD_KEYID_SHIFT)),
		ST(0xc0000100, 8));
	assert_int_equal(mem(&tree_td, TDH_MEM_PAGE_ADD, GPA, SOFT_4K, MIB(100)), ST(0xc0000101, 8));
	assert_int_equal(sc(0, TDH_MEM_PAGE_ADD, GPA, page, page, source), ST(0xc0000300, 2));
	assert_int_equal(sc(0, TDH_MEM_PAGE_ADD, GPA, tree_td.tdr | 1, page, source), ST(0xc0000100, 2));
	assert_int_equal(out.gpr[TDX_RCX] | out.gpr[TDX_RDX], 0);
	assert_int_equal(type_of(page), TDX_PT_NDA);
	tree_is(&tree_td, GPA, SOFT_4K, SEEN_FREE, TDX_SEPT_FREE);
}

/* Each leaf's levels, and the alignment that comes with them. */
static void levels(void **state)
{
	static const struct { enum tdh_leaf leaf; uint32_t lowest, highest; } leafs[] = {
		{ TDH_MEM_SEPT_ADD, 1, 3 }, { TDH_MEM_SEPT_REMOVE, 1, 3 }, { TDH_MEM_SEPT_RD, 0, 3 },
		{ TDH_MEM_PAGE_ADD, 0, 0 }, { TDH_MEM_PAGE_AUG, 0, 1 }, { TDH_MEM_PAGE_REMOVE, 0, 2 },
		{ TDH_MEM_PAGE_RELOCATE, 0, 0 }, { TDH_MEM_PAGE_DEMOTE, 1, 2 }, { TDH_MEM_PAGE_PROMOTE, 1, 2 },
		{ TDH_MEM_RANGE_BLOCK, 0, 3 }, { TDH_MEM_RANGE_UNBLOCK, 0, 3 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(leafs); i++)
		for (uint32_t level = 0; level < 8; level++) {
			bool good = level >= leafs[i].lowest && level <= leafs[i].highest;
			uint64_t wrong = ST(0xc0000100, 1);

			if (good)
				assert_int_not_equal(mem(&tree_td, leafs[i].leaf, level_size(SOFT_512G), level, world_page()), wrong);
			else
				assert_int_equal(mem(&tree_td, leafs[i].leaf, 0, level, world_page()), wrong);
			if (good && level)
				assert_int_equal(mem(&tree_td, leafs[i].leaf, level_size(level - 1), level, 0), wrong);
			assert_int_equal(mem(&tree_td, leafs[i].leaf, WORLD_SHARED, level, 0), wrong);
		}
}

/* Check 29: below a blocked table there is nothing. */
static void below_a_blocked_table(void **state)
{
	hpa_t page = tree_aug(&tree_td, GPA, SOFT_4K), other = world_page();

	(void)state;
	tree_block(&tree_td, GPA, SOFT_2M);
	mem_is(&tree_td, TDH_MEM_PAGE_AUG, GPA + PAGE_SIZE, SOFT_4K, other, ST(0xc0000b00, 1), 0, 0x8101);
	mem_is(&tree_td, TDH_MEM_SEPT_RD, GPA, SOFT_4K, 0, ST(0xc0000b00, 1), 0, 0x8101);
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_4K, 0, ST(0xc0000b00, 1), 0, 0x8101);
	assert_int_equal(type_of(other), TDX_PT_NDA);
	assert_int_equal(type_of(page), TDX_PT_REG);
	tree_is(&tree_td, GPA, SOFT_2M, SEEN_BLOCKED_TABLE, TDX_SEPT_NL_BLOCKED);
	/* Nor below a large page. */
	page = tree_aug(&tree_td, GPA + MIB(2), SOFT_2M);
	mem_is(&tree_td, TDH_MEM_PAGE_AUG, GPA + MIB(2), SOFT_4K, other, ST(0xc0000b00, 1), SEEN_NO_ACCESS(page), 0x201);
}

/* Check 36. */
static void remove_table(void **state)
{
	hpa_t table = world_page();
	uint64_t children;

	(void)state;
	tree_to(&tree_td, GPA, SOFT_2M);
	mem_ok(&tree_td, TDH_MEM_SEPT_ADD, GPA, SOFT_2M, table);
	tree_aug(&tree_td, GPA + 511 * PAGE_SIZE, SOFT_4K);
	children = td_tdr(&tree_td)->children;
	mem_is(&tree_td, TDH_MEM_SEPT_REMOVE, GPA, SOFT_2M, 0, ST(0xc0000b06, 1), SEEN_TABLE, 0x8401);
	tree_block(&tree_td, GPA, SOFT_2M);
	mem_is(&tree_td, TDH_MEM_SEPT_REMOVE, GPA, SOFT_2M, 0, ST(0xc0000b08, 1), 0, 0);
	tree_track(&tree_td);
	mem_is(&tree_td, TDH_MEM_SEPT_REMOVE, GPA, SOFT_2M, 0, ST(0xc0000b0e, 1), SEEN_BLOCKED_TABLE, 0x8101);
	mem_ok(&tree_td, TDH_MEM_RANGE_UNBLOCK, GPA, SOFT_2M, 0);
	tree_block_and_track(&tree_td, GPA + 511 * PAGE_SIZE, SOFT_4K);
	assert_int_equal(mem(&tree_td, TDH_MEM_PAGE_REMOVE, GPA + 511 * PAGE_SIZE, SOFT_4K, 0), SUCCESS);
	tree_block_and_track(&tree_td, GPA, SOFT_2M);
	mem_is(&tree_td, TDH_MEM_SEPT_REMOVE, GPA, SOFT_2M, 0, SUCCESS, table, 0);
	assert_int_equal(type_of(table), TDX_PT_NDA);
	assert_int_equal(td_tdr(&tree_td)->children, children - 2);
	tree_is(&tree_td, GPA, SOFT_2M, SEEN_FREE, TDX_SEPT_FREE);
	mem_is(&tree_td, TDH_MEM_SEPT_REMOVE, GPA, SOFT_2M, 0, ST(0xc0000b0d, 1), SEEN_FREE, 1);
	tree_aug(&tree_td, GPA, SOFT_2M);
	assert_int_equal(mem(&tree_td, TDH_MEM_SEPT_REMOVE, GPA, SOFT_2M, 0), ST(0xc0000b0d, 1));
}

/* Before the TD runs a table goes as it is. */
static void remove_table_before_run(void **state)
{
	hpa_t table = world_page();

	(void)state;
	tree_to(&tree_td, GPA, SOFT_2M);
	mem_ok(&tree_td, TDH_MEM_SEPT_ADD, GPA, SOFT_2M, table);
	mem_is(&tree_td, TDH_MEM_SEPT_REMOVE, GPA, SOFT_2M, 0, SUCCESS, table, 0);
	assert_int_equal(mem(&tree_td, TDH_MEM_SEPT_REMOVE, GPA, SOFT_2M, 0), ST(0xc0000b0d, 1));
}

static uint32_t busy_operand, entry_level;
static bool busy(enum soft_fault fault, uint32_t operand)
{
	return fault == SOFT_FAULT_BUSY && operand == busy_operand;
}
static bool entry_busy(enum soft_fault fault, uint32_t operand)
{
	return fault == SOFT_FAULT_ENTRY_BUSY && operand == entry_level;
}

/* Each lock in turn: BUSY with its operand, and nothing changed. */
static void busy_locks(void **state)
{
	static const uint32_t operands[] = { TDX_RDX, TDX_OP_OP_STATE, TDX_OP_SEPT_TREE, TDX_R8 };
	hpa_t page = world_page(), mapped = tree_map(&tree_td, GPA, SOFT_4K);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(operands); i++) {
		busy_operand = operands[i];
		world.fault = busy;
		assert_int_equal(mem(&tree_td, TDH_MEM_PAGE_AUG, GPA + PAGE_SIZE, SOFT_4K, page),
				 ST(0x80000200, busy_operand));
		assert_int_equal(out.gpr[TDX_RCX] | out.gpr[TDX_RDX], 0);
	}
	world.fault = entry_busy;
	entry_level = SOFT_4K;
	mem_is(&tree_td, TDH_MEM_RANGE_BLOCK, GPA, SOFT_4K, 0, ST(0x80000200, 1), SEEN_MAPPED(mapped), 0x400);
	world.fault = NULL;
	tree_is(&tree_td, GPA, SOFT_4K, SEEN_MAPPED(mapped), TDX_SEPT_MAPPED);
	tree_is(&tree_td, GPA + PAGE_SIZE, SOFT_4K, SEEN_FREE, TDX_SEPT_FREE);
	tree_block_and_track(&tree_td, GPA, SOFT_4K);
	busy_operand = TDX_RCX; /* the page's own PAMT entry */
	world.fault = busy;
	assert_int_equal(mem(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_4K, 0), ST(0x80000200, 1));
	world.fault = NULL;
	mem_is(&tree_td, TDH_MEM_PAGE_REMOVE, GPA, SOFT_4K, 0, SUCCESS, mapped, 0);
}

/* The entry's own lock, and what the host leaves there for the guest. */
static void entry_locks(void **state)
{
	uint64_t entry = SEPT_ENTRY_FREE;

	(void)state;
	assert_int_equal(sept_lock_guest(&entry), SUCCESS);
	assert_false(sept_lock_host(&entry));
	assert_int_equal(entry, SEPT_ENTRY_FREE | BIT(11) | BIT(52));
	assert_int_equal(sept_lock_guest(&entry), TDX_OPERAND_BUSY);
	sept_unlock(&entry);
	assert_int_equal(sept_lock_guest(&entry), TDX_OPERAND_BUSY_HOST_PRIORITY);
	assert_int_equal(sept_load(&entry), SEPT_ENTRY_FREE);
	assert_true(sept_lock_host(&entry));
	assert_int_equal(entry, SEPT_ENTRY_FREE | BIT(11));
	sept_unlock(&entry);
	assert_int_equal(sept_lock_guest(&entry), SUCCESS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(entries_bit_for_bit, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(tables, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(tables_that_exist, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(add_twice, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(add_operands, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(levels, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(below_a_blocked_table, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(remove_table, tree_run, tree_end),
		cmocka_unit_test_setup_teardown(remove_table_before_run, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(busy_locks, tree_run, tree_end),
		cmocka_unit_test(entry_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
