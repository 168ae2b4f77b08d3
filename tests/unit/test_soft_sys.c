/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c */
/*
 * The software TDX module's start: conformance checks 1 to 9, that is versions and leafs, SYS.INIT to
 * SYS.TDMR.INIT, and the rules for TDMRs.
 */
#include "tests/unit/soft_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int start(void **state)
{
	(void)state;
	world_start();
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_end();
	return 0;
}

static uint64_t sys(uint32_t lp, uint64_t leaf) { return sc(lp, leaf, 0, 0, 0, 0); }
static uint64_t config(uint64_t n, uint64_t hkid)
{
	return sc(0, TDH_SYS_CONFIG, WORLD_TDMR_ARRAY, n, hkid, 0);
}

static void init_lps(uint32_t lps)
{
	assert_int_equal(sys(0, TDH_SYS_INIT), 0);
	for (uint32_t lp = 0; lp < lps; lp++)
		assert_int_equal(sys(lp, TDH_SYS_LP_INIT), 0);
	world_write_tdmrs();
}

static void leafs_and_versions(void **state)
{
	struct soft before;

	(void)state;
	assert_int_equal(sys(0, 200), ST(0xc0000505, 0));
	assert_int_equal(sys(0, 0x10000 | TDH_SYS_INIT), ST(0xc0000100, 0));
	world_configure();
	before = world.m;
	assert_int_equal(sys(0, 200), ST(0xc0000100, 0));
	assert_int_equal(sys(0, 0x10026), ST(0xc0000100, 0));
	assert_int_equal(sys(0, BIT(24) | TDH_MEM_TRACK), ST(0xc0000100, 0));
	assert_int_equal(sys(0, BIT(63)), ST(0xc0000100, 0));
	assert_int_equal(sys(0, 0xffff), ST(0xc0000100, 0));
	assert_int_equal(sys(0, 0x10000 | 200), ST(0xc0000100, 0));
	assert_memory_equal(&before, &world.m, sizeof(before));
}

static void states_of_the_module(void **state)
{
	(void)state;
	assert_int_equal(sys(0, TDH_MNG_CREATE), ST(0xc0000505, 0));
	assert_int_equal(sys(0, TDH_SYS_TDMR_INIT), ST(0xc0000505, 0));
	assert_int_equal(sys(0, TDH_SYS_LP_SHUTDOWN), 0);
	world_configure();
	assert_int_equal(sys(0, TDH_SYS_SHUTDOWN), 0);
	assert_int_equal(sys(0, TDH_SYS_INIT), ST(0xc0000506, 0));
	assert_int_equal(sys(0, TDH_MNG_CREATE), ST(0xc0000506, 0));
	assert_int_equal(sys(0, 200), ST(0xc0000506, 0));
	assert_int_equal(sys(0, TDH_SYS_LP_SHUTDOWN), 0);
}

static void sys_init(void **state)
{
	(void)state;
	assert_int_equal(sc(0, TDH_SYS_INIT, 1, 0, 0, 0), ST(0xc0000100, 1));
	assert_int_equal(sys(0, TDH_SYS_INIT), 0);
	assert_int_equal(sys(0, TDH_SYS_INIT), ST(0xc0000500, 0));
}

static void sys_lp_init(void **state)
{
	(void)state;
	assert_int_equal(sys(0, TDH_SYS_LP_INIT), ST(0xc000050b, 0));
	assert_int_equal(sys(0, TDH_SYS_INIT), 0);
	assert_int_equal(sys(0, TDH_SYS_LP_INIT), 0);
	assert_int_equal(sys(0, TDH_SYS_LP_INIT), ST(0xc0000503, 0));
}

static void sys_config_operands(void **state)
{
	(void)state;
	init_lps(WORLD_LPS - 1);
	assert_int_equal(config(2, WORLD_GLOBAL_HKID), ST(0xc000050c, 0));
	assert_int_equal(sys(WORLD_LPS - 1, TDH_SYS_LP_INIT), 0);
	assert_int_equal(config(0, WORLD_GLOBAL_HKID), ST(0xc0000100, 2));
	assert_int_equal(config(65, WORLD_GLOBAL_HKID), ST(0xc0000100, 2));
	assert_int_equal(config(BIT(32) + 2, WORLD_GLOBAL_HKID), ST(0xc0000100, 2));
	assert_int_equal(config(2, 0), ST(0xc0000100, 8));
	assert_int_equal(config(2, WORLD_GLOBAL_HKID - 1), ST(0xc0000100, 8));
	assert_int_equal(config(2, WORLD_GLOBAL_HKID + WORLD_HKIDS), ST(0xc0000100, 8));
	assert_int_equal(config(2, BIT(16) | WORLD_GLOBAL_HKID), ST(0xc0000100, 8));
	assert_int_equal(sc(0, TDH_SYS_CONFIG, WORLD_TDMR_ARRAY + 8, 2, WORLD_GLOBAL_HKID, 0), ST(0xc0000100, 1));
	assert_int_equal(sc(0, TDH_SYS_CONFIG, BIT(WORLD_HPA_BITS - 1), 2, WORLD_GLOBAL_HKID, 0), ST(0xc0000100, 1));
	assert_int_equal(config(2, WORLD_GLOBAL_HKID), 0);
	assert_int_equal(config(2, WORLD_GLOBAL_HKID), ST(0xc000050c, 0));
}

/* The key id stays reserved: a second try takes another. */
static void sys_config_twice(void **state)
{
	(void)state;
	init_lps(WORLD_LPS);
	world_tdmr_info(1)->base += MIB(1);
	assert_int_equal(config(2, WORLD_GLOBAL_HKID), ST(0xc0000a00, 1));
	world_write_tdmrs();
	assert_int_equal(config(2, WORLD_GLOBAL_HKID), ST(0xc0000820, 0));
	assert_int_equal(config(2, WORLD_GLOBAL_HKID + 1), 0);
}

/* One wrong TDMR each: what is changed, and what comes of it. */
struct tdmr_case {
	void (*spoil)(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1);
	uint64_t status;
};

static void below_last(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	struct tdx_tdmr_info t = *t0;

	*t0 = *t1;
	*t1 = t;
}
static void same_again(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->base = GIB(1);
}
static void base_unaligned(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->base += MIB(512);
}
static void size_zero(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t1;
	t0->size = 0;
}
static void size_wraps(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->size = -GIB(1);
}
static void beyond_address_width(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->base = BIT(WORLD_HPA_BITS) - GIB(1);
}
static void outside_cmrs(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->base = GIB(3);
}
static void first_megabyte(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t1;
	t0->base = 0;
	memset(t0->reserved, 0, sizeof(t0->reserved));
}
static void pamt_in_tdmr(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t1;
	memset(t0->reserved, 0, sizeof(t0->reserved));
}
static void pamt_half_in_hole(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t1;
	t0->reserved[0].base += PAGE_SIZE;
	t0->reserved[0].size -= PAGE_SIZE;
}
static void pamts_overlap(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->pamt[TDX_PAMT_2M].base = t1->pamt[TDX_PAMT_4K].base;
}
static void pamt_of_other_tdmr(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	t1->pamt[TDX_PAMT_1G].base = t0->pamt[TDX_PAMT_4K].base;
}
static void pamt_in_other_tdmr(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	t1->pamt[TDX_PAMT_1G].base = t0->base;
}
static void pamt_too_small(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->pamt[TDX_PAMT_2M].size -= PAGE_SIZE;
}
static void pamt_unaligned(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->pamt[TDX_PAMT_4K].base += 16;
}
static void pamt_wraps(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->pamt[TDX_PAMT_4K].size = -PAGE_SIZE;
}
static void pamt_outside_cmrs(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->pamt[TDX_PAMT_1G].base = 0;
}
static void reserved_out_of_order(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->reserved[0] = (struct tdx_range){ MIB(2), MIB(2) };
	t1->reserved[1] = (struct tdx_range){ 0, MIB(1) };
}
static void reserved_overlap(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->reserved[0] = (struct tdx_range){ 0, MIB(2) };
	t1->reserved[1] = (struct tdx_range){ MIB(1), MIB(2) };
}
static void reserved_after_null(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->reserved[2] = (struct tdx_range){ MIB(1), MIB(2) };
}
static void reserved_unaligned(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->reserved[0] = (struct tdx_range){ MIB(1), 512 };
}
static void reserved_past_end(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->reserved[0] = (struct tdx_range){ GIB(2) - PAGE_SIZE, MIB(1) };
}
static void reserved_wraps(struct tdx_tdmr_info *t0, struct tdx_tdmr_info *t1)
{
	(void)t0;
	t1->reserved[0] = (struct tdx_range){ MIB(1), -PAGE_SIZE };
}

static const struct tdmr_case tdmr_cases[] = {
	{ below_last, ST(0xc0000a01, 1) },
	{ same_again, ST(0xc0000a01, 1) },
	{ base_unaligned, ST(0xc0000a00, 1) },
	{ size_zero, ST(0xc0000a00, 0) },
	{ size_wraps, ST(0xc0000a00, 1) },
	{ beyond_address_width, ST(0xc0000a00, 1) },
	{ outside_cmrs, ST(0xc0000a02, 1) },
	{ first_megabyte, ST(0xc0000a02, 0) },
	{ pamt_in_tdmr, ST(0xc0000a12, 0 | 2 << 8 | 0 << 16) },
	{ pamt_half_in_hole, ST(0xc0000a12, 0 | 0 << 8 | 0 << 16) },
	{ pamts_overlap, ST(0xc0000a12, 1 | 1 << 8 | 1 << 16) },
	{ pamt_of_other_tdmr, ST(0xc0000a12, 0 | 0 << 8 | 1 << 16) },
	{ pamt_in_other_tdmr, ST(0xc0000a12, 1 | 2 << 8 | 0 << 16) },
	{ pamt_too_small, ST(0xc0000a10, 1 | 1 << 8) },
	{ pamt_unaligned, ST(0xc0000a10, 1 | 0 << 8) },
	{ pamt_wraps, ST(0xc0000a10, 1 | 0 << 8) },
	{ pamt_outside_cmrs, ST(0xc0000a11, 1 | 2 << 8) },
	{ reserved_out_of_order, ST(0xc0000a21, 1 | 1 << 8) },
	{ reserved_overlap, ST(0xc0000a21, 1 | 1 << 8) },
	{ reserved_after_null, ST(0xc0000a20, 1 | 2 << 8) },
	{ reserved_unaligned, ST(0xc0000a20, 1 | 0 << 8) },
	{ reserved_past_end, ST(0xc0000a20, 1 | 0 << 8) },
	{ reserved_wraps, ST(0xc0000a20, 1 | 0 << 8) },
};

static void rules_for_tdmrs(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < ARRAY_LEN(tdmr_cases); i++) {
		uint64_t status;

		world_start();
		init_lps(WORLD_LPS);
		tdmr_cases[i].spoil(world_tdmr_info(0), world_tdmr_info(1));
		status = config(2, WORLD_GLOBAL_HKID);
		if (status != tdmr_cases[i].status)
			fail_msg("TDMR case %u: %lx, not %lx", i, status, tdmr_cases[i].status);
		assert_int_equal(world.m.state, SOFT_SYS_INIT_DONE);
	}
}

static void tdmr_info_addresses(void **state)
{
	uint64_t *array;

	(void)state;
	init_lps(WORLD_LPS);
	array = world_at(WORLD_TDMR_ARRAY);
	array[1] += 256;
	assert_int_equal(config(2, WORLD_GLOBAL_HKID), ST(0xc0000100, 96));
	array[1] = BIT(60);
	assert_int_equal(config(2, WORLD_GLOBAL_HKID + 1), ST(0xc0000100, 96));
}

static void sys_key_config(void **state)
{
	(void)state;
	init_lps(WORLD_LPS);
	assert_int_equal(sys(0, TDH_SYS_KEY_CONFIG), ST(0xc0000507, 0));
	assert_int_equal(config(2, WORLD_GLOBAL_HKID), 0);
	world.no_entropy = true;
	assert_int_equal(sys(0, TDH_SYS_KEY_CONFIG), ST(0x80000800, 0));
	world.no_entropy = false;
	assert_int_equal(sys(0, TDH_SYS_KEY_CONFIG), 0);
	assert_int_equal(sys(1, TDH_SYS_KEY_CONFIG), ST(0x00000815, 0));
	assert_int_equal(sys(0, TDH_MNG_CREATE), ST(0xc0000505, 0));
	assert_int_equal(sys(3, TDH_SYS_KEY_CONFIG), 0);
	assert_int_equal(sys(3, TDH_SYS_KEY_CONFIG), ST(0xc0000507, 0));
}

static void tdmr_init(void **state)
{
	uint64_t calls = 0, last = WORLD_TDMR1;

	(void)state;
	world_configure();
	assert_int_equal(sc(0, TDH_SYS_TDMR_INIT, GIB(3), 0, 0, 0), ST(0xc0000100, 1));
	assert_int_equal(sc(0, TDH_SYS_TDMR_INIT, WORLD_TDMR1 + 1, 0, 0, 0), ST(0xc0000100, 1));
	while (!sc(0, TDH_SYS_TDMR_INIT, WORLD_TDMR1, 0, 0, 0)) {
		assert_true(out.gpr[TDX_RDX] >= last);
		assert_true(is_aligned(out.gpr[TDX_RDX], GIB(1)));
		last = out.gpr[TDX_RDX];
		calls++;
	}
	assert_int_equal(out.gpr[TDX_RAX], ST(0x00000a03, 0));
	assert_int_equal(calls, 512);
	assert_int_equal(last, GIB(4));
}

/* Check 10, and that the hole of TDMR 0 can be nobody's. */
static void pages_outside(void **state)
{
	(void)state;
	world_configure();
	assert_int_equal(sc(0, TDH_MNG_CREATE, WORLD_TDMR1, WORLD_HKID(0), 0, 0), ST(0xc0000101, 1));
	for (int i = 0; i < 255; i++)
		assert_int_equal(sc(0, TDH_SYS_TDMR_INIT, WORLD_TDMR1, 0, 0, 0), 0);
	assert_int_equal(sc(0, TDH_MNG_CREATE, WORLD_TDMR1, WORLD_HKID(0), 0, 0), ST(0xc0000101, 1));
	assert_int_equal(sc(0, TDH_SYS_TDMR_INIT, WORLD_TDMR1, 0, 0, 0), 0);
	assert_int_equal(sc(0, TDH_MNG_CREATE, WORLD_TDMR1, WORLD_HKID(0), 0, 0), 0);
	assert_int_equal(sc(0, TDH_MNG_CREATE, WORLD_TDMR1 + GIB(1), WORLD_HKID(1), 0, 0), ST(0xc0000101, 1));
	assert_int_equal(sc(0, TDH_MNG_CREATE, MIB(512), WORLD_HKID(1), 0, 0), ST(0xc0000101, 1));
	for (int i = 0; i < 256; i++)
		assert_int_equal(sc(0, TDH_SYS_TDMR_INIT, WORLD_TDMR0, 0, 0, 0), 0);
	assert_int_equal(sc(0, TDH_MNG_CREATE, GIB(2) - WORLD_HOLE, WORLD_HKID(1), 0, 0), ST(0xc0000300, 1));
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RDMD, GIB(2) - PAGE_SIZE, 0, 0, 0), 0);
	assert_int_equal(out.gpr[TDX_RCX], TDX_PT_RSVD);
	assert_int_equal(sc(0, TDH_MNG_CREATE, GIB(2) - WORLD_HOLE - PAGE_SIZE, WORLD_HKID(1), 0, 0), 0);
}

/* SYS.INIT, CONFIG and KEY.CONFIG have the module alone, LP.INIT shares it. */
static uint32_t busy_operand;
static bool busy(enum soft_fault fault, uint32_t operand)
{
	return fault == SOFT_FAULT_BUSY && operand == busy_operand;
}

static void busy_module(void **state)
{
	(void)state;
	world.fault = busy;
	busy_operand = TDX_OP_SYS;
	assert_int_equal(sys(0, TDH_SYS_INIT), ST(0x80000202, 0));
	assert_int_equal(sys(0, TDH_SYS_LP_INIT), ST(0x80000202, 0));
	assert_int_equal(sys(0, TDH_SYS_CONFIG), ST(0x80000202, 0));
	assert_int_equal(sys(0, TDH_SYS_KEY_CONFIG), ST(0x80000202, 0));
	world.fault = NULL;
	world_configure();
	world.fault = busy;
	busy_operand = TDX_RCX;
	assert_int_equal(sc(0, TDH_SYS_TDMR_INIT, WORLD_TDMR1, 0, 0, 0), ST(0x80000200, 1));
}

static void platforms(void **state)
{
	struct soft_platform p = world.m.platform;
	struct failure f = { "" };

	(void)state;
	p.hpa_bits = 35;
	assert_int_not_equal(soft_init(&world.m, &p, &f), 0);
	p = world.m.platform;
	p.private_hkids = 1;
	assert_int_not_equal(soft_init(&world.m, &p, &f), 0);
	p = world.m.platform;
	p.cmrs[1].base -= PAGE_SIZE;
	assert_int_not_equal(soft_init(&world.m, &p, &f), 0);
	p = world.m.platform;
	p.cmrs[1].size = -PAGE_SIZE;
	assert_int_not_equal(soft_init(&world.m, &p, &f), 0);
	p = world.m.platform;
	p.lps = SOFT_MAX_LPS + 1;
	assert_int_not_equal(soft_init(&world.m, &p, &f), 0);
	p = world.m.platform;
	p.keyid_shift = p.hpa_bits - 1;
	assert_int_not_equal(soft_init(&world.m, &p, &f), 0);
	assert_non_null(strstr(f.text, "inside the address"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(leafs_and_versions), TEST(states_of_the_module), TEST(sys_init), TEST(sys_lp_init),
		TEST(sys_config_operands), TEST(sys_config_twice), TEST(rules_for_tdmrs), TEST(tdmr_info_addresses),
		TEST(sys_key_config), TEST(tdmr_init), TEST(pages_outside), TEST(busy_module), TEST(platforms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
