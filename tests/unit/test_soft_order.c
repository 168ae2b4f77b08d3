/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c */
/*
 * The order in which leafs of the software TDX module check: each test begins with everything wrong at once and
 * puts one thing right after the other; what is reported is always the first that is still wrong.
 */
#include "tests/unit/soft_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct world_td td;
static uint32_t busy_operand; /* 0: nothing is busy */

static bool busy(enum soft_fault fault, uint32_t operand)
{
	return fault == SOFT_FAULT_BUSY && busy_operand && operand == busy_operand;
}

static int start(void **state)
{
	(void)state;
	world_ready();
	world.fault = busy;
	busy_operand = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_end();
	return 0;
}

/* A page outside all TDMRs, and one that is a TD's. */
#define OUTSIDE MIB(512)

static void mng_create(void **state)
{
	hpa_t page = world_page();

	(void)state;
	td_create(&td, WORLD_HKID(0));
	world.no_entropy = true;
	busy_operand = TDX_OP_KOT;
	assert_int_equal(sc(0, TDH_MNG_CREATE, OUTSIDE | 1, 0, 0, 0), ST(0xc0000100, 2));
	assert_int_equal(sc(0, TDH_MNG_CREATE, OUTSIDE | 1, WORLD_HKID(0), 0, 0), ST(0xc0000100, 1));
	assert_int_equal(sc(0, TDH_MNG_CREATE, OUTSIDE, WORLD_HKID(0), 0, 0), ST(0xc0000101, 1));
	assert_int_equal(sc(0, TDH_MNG_CREATE, td.tdr, WORLD_HKID(0), 0, 0), ST(0xc0000300, 1));
	assert_int_equal(sc(0, TDH_MNG_CREATE, page, WORLD_HKID(0), 0, 0), ST(0x80000200, 186));
	busy_operand = 0;
	assert_int_equal(sc(0, TDH_MNG_CREATE, page, WORLD_HKID(0), 0, 0), ST(0xc0000820, 0));
	assert_int_equal(sc(0, TDH_MNG_CREATE, page, WORLD_HKID(1), 0, 0), ST(0x80000203, 0));
	world.no_entropy = false;
	assert_int_equal(sc(0, TDH_MNG_CREATE, page, WORLD_HKID(1), 0, 0), 0);
}

static uint64_t key_config(hpa_t tdr) { return sc(0, TDH_MNG_KEY_CONFIG, tdr, 0, 0, 0); }

static void mng_key_config(void **state)
{
	struct soft_tdr *tdr;

	(void)state;
	td_create(&td, WORLD_HKID(0));
	tdr = td_tdr(&td);
	tdr->fatal = 1;
	world.no_entropy = true;
	assert_int_equal(key_config(td.tdr | 8), ST(0xc0000100, 1));
	assert_int_equal(key_config(OUTSIDE), ST(0xc0000101, 1));
	assert_int_equal(key_config(world_page()), ST(0xc0000300, 1));
	assert_int_equal(key_config(td.tdr), ST(0xe0000604, 0));
	tdr->fatal = 0;
	assert_int_equal(key_config(td.tdr), ST(0xc0000607, 0));
	tdr->lifecycle = TDX_HKID_ASSIGNED;
	busy_operand = TDX_OP_KET;
	assert_int_equal(key_config(td.tdr), ST(0x00000815, 0));
	tdr->packages_keyed = 2;
	assert_int_equal(key_config(td.tdr), ST(0x80000200, 187));
	busy_operand = 0;
	assert_int_equal(key_config(td.tdr), ST(0x80000800, 0));
	world.no_entropy = false;
	assert_int_equal(key_config(td.tdr), 0);
}

static uint64_t addcx(hpa_t page, hpa_t tdr) { return sc(0, TDH_MNG_ADDCX, page, tdr, 0, 0); }

static void mng_addcx(void **state)
{
	struct soft_tdr *tdr;

	(void)state;
	td_build(&td, WORLD_HKID(0));
	tdr = td_tdr(&td);
	tdr->fatal = 1;
	tdr->lifecycle = TDX_BLOCKED;
	tdr->num_tdcx = TD_MAX_TDCX;
	assert_int_equal(addcx(1, OUTSIDE), ST(0xc0000101, 2));
	assert_int_equal(addcx(1, td.tdcx[0]), ST(0xc0000300, 2));
	assert_int_equal(addcx(1, td.tdr), ST(0xe0000604, 0));
	tdr->fatal = 0;
	assert_int_equal(addcx(1, td.tdr), ST(0x80000810, 0));
	tdr->lifecycle = TDX_KEYS_CONFIGURED;
	busy_operand = TDX_OP_OP_STATE;
	assert_int_equal(addcx(1, td.tdr), ST(0x80000200, 172));
	busy_operand = 0;
	assert_int_equal(addcx(1, td.tdr), ST(0xc0000608, 0));
	td_tdcs(&td)->op_state = TDX_UNINITIALIZED;
	assert_int_equal(addcx(1, td.tdr), ST(0xc0000610, 0));
	tdr->num_tdcx = TDX_TDCS_PAGES;
	assert_int_equal(addcx(1, td.tdr), ST(0xc0000100, 1));
	assert_int_equal(addcx(OUTSIDE, td.tdr), ST(0xc0000101, 1));
	assert_int_equal(addcx(td.tdcx[1], td.tdr), ST(0xc0000300, 1));
	assert_int_equal(addcx(world_page(), td.tdr), 0);
}

static uint64_t mng_init_with(uint64_t params) { return sc(0, TDH_MNG_INIT, td.tdr, params, 0, 0); }

static void mng_init(void **state)
{
	struct tdx_td_params *p = world_params(), good = *p;

	(void)state;
	td_build(&td, WORLD_HKID(0));
	memset(p, 0xff, sizeof(*p));
	p->max_vcpus = 0;
	td_tdr(&td)->fatal = 1;
	assert_int_equal(mng_init_with(1), ST(0xe0000604, 0));
	td_tdr(&td)->fatal = 0;
	assert_int_equal(mng_init_with(1), ST(0xc0000608, 0));
	td_tdcs(&td)->op_state = TDX_UNINITIALIZED;
	assert_int_equal(mng_init_with(1), ST(0xc0000100, 2));
	assert_int_equal(mng_init_with(WORLD_PARAMS), ST(0xc0000100, 64));
	p->attributes = good.attributes;
	assert_int_equal(mng_init_with(WORLD_PARAMS), ST(0xc0000100, 65));
	p->xfam = good.xfam;
	assert_int_equal(mng_init_with(WORLD_PARAMS), ST(0xc0000100, 68));
	p->max_vcpus = 1;
	assert_int_equal(mng_init_with(WORLD_PARAMS), ST(0xc0000100, 71));
	p->num_l2_vms = 0;
	assert_int_equal(mng_init_with(WORLD_PARAMS), ST(0xc0000100, 66));
	p->config_flags = TDX_CONFIG_GPAW_52;
	assert_int_equal(mng_init_with(WORLD_PARAMS), ST(0xc0000100, 67));
	p->config_flags = good.config_flags;
	assert_int_equal(mng_init_with(WORLD_PARAMS), ST(0xc0000100, 67));
	p->eptp_controls = good.eptp_controls;
	assert_int_equal(mng_init_with(WORLD_PARAMS), ST(0xc0000100, 70));
	p->tsc_frequency = good.tsc_frequency;
	assert_int_equal(mng_init_with(WORLD_PARAMS), ST(0xc0000100, 2));
	memcpy(p->cpuid, good.cpuid, sizeof(p->cpuid));
	*p = (struct tdx_td_params){ .attributes = p->attributes, .xfam = p->xfam, .max_vcpus = 1,
		.config_flags = p->config_flags, .eptp_controls = p->eptp_controls, .tsc_frequency = p->tsc_frequency,
		.cpuid[TDX_TD_PARAMS_CPUIDS - 1].eax = 1 };
	assert_int_equal(mng_init_with(WORLD_PARAMS), ST(0xc0000100, 69));
	memcpy(p->cpuid, good.cpuid, sizeof(p->cpuid));
	assert_int_equal(mng_init_with(WORLD_PARAMS), 0);
}

static void vp_leafs(void **state)
{
	hpa_t vp;

	(void)state;
	td_build(&td, WORLD_HKID(0));
	vp = td_add_pages_of_vcpu(&td);
	td_tdr(&td)->fatal = 1;
	assert_int_equal(sc(0, TDH_VP_CREATE, 1, vp, 0, 0), ST(0xc0000300, 2));
	assert_int_equal(sc(0, TDH_VP_CREATE, 1, td.tdr, 0, 0), ST(0xe0000604, 0));
	assert_int_equal(sc(0, TDH_VP_ADDCX, 1, td.tdr, 0, 0), ST(0xc0000300, 2));
	assert_int_equal(sc(0, TDH_VP_ADDCX, 1, vp, 0, 0), ST(0xe0000604, 0));
	busy_operand = TDX_OP_TDR;
	assert_int_equal(sc(0, TDH_VP_ADDCX, 1, vp, 0, 0), ST(0x80000200, 128));
	assert_int_equal(sc(0, TDH_VP_FLUSH, vp, 0, 0, 0), ST(0x80000200, 128));
	busy_operand = 0;
	assert_int_equal(sc(0, TDH_VP_FLUSH, vp, 0, 0, 0), ST(0x80000702, 0));
	td_tdr(&td)->fatal = 0;
	td_tdcs(&td)->op_state = TDX_RUNNABLE;
	assert_int_equal(sc(0, TDH_VP_CREATE, 1, td.tdr, 0, 0), ST(0xc0000608, 0));
	td_tdcs(&td)->op_state = TDX_INITIALIZED;
	assert_int_equal(sc(0, TDH_VP_CREATE, 1, td.tdr, 0, 0), ST(0xc0000100, 1));
	assert_int_equal(sc(0, TDH_VP_ADDCX, 1, vp, 0, 0), ST(0xc0000100, 1));
	td_vp(&td, 0)->num_pages = VP_MAX_PAGES;
	assert_int_equal(sc(0, TDH_VP_ADDCX, 1, vp, 0, 0), ST(0xc0000610, 0));
	td_vp(&td, 0)->state = VP_READY;
	assert_int_equal(sc(0, TDH_VP_ADDCX, 1, vp, 0, 0), ST(0xc0000700, 0));
	td_vp(&td, 0)->num_pages = 5;
	assert_int_equal(sc(0, TDH_VP_INIT, vp, 0, 0, 0), ST(0xc0000610, 0));
	td_vp(&td, 0)->num_pages = TDX_TDVPS_PAGES;
	td_tdcs(&td)->num_vcpus = td_tdcs(&td)->max_vcpus;
	assert_int_equal(sc(0, TDH_VP_INIT, vp, 0, 0, 0), ST(0xc0000700, 0));
	td_vp(&td, 0)->state = VP_UNINITIALIZED;
	assert_int_equal(sc(0, TDH_VP_INIT, vp, 0, 0, 0), ST(0xc0000705, 0));
	td_tdcs(&td)->num_vcpus = 0;
	assert_int_equal(sc(0, TDH_VP_INIT, vp, 0, 0, 0), 0);
}

static void vp_enter(void **state)
{
	struct soft_vp *vp;
	struct soft_tdr *tdr;
	hpa_t at;

	(void)state;
	td_run(&td, WORLD_HKID(0));
	vp = td_vp(&td, 0);
	tdr = td_tdr(&td);
	at = td.vp[0] | TDX_ENTER_RESUME_L1;
	vp->num_pages = 5;
	vp->state = VP_ACTIVE;
	vp->last_tsc = BIT(62);
	tdr->fatal = 1;
	tdr->lifecycle = TDX_BLOCKED;
	td_tdcs(&td)->op_state = TDX_INITIALIZED;
	assert_int_equal(enter(1, at | BIT(60)), ST(0xc0000100, 1));
	assert_int_equal(enter(1, td.tdr | TDX_ENTER_RESUME_L1), ST(0xc0000300, 1));
	busy_operand = TDX_OP_TDR;
	assert_int_equal(enter(1, at), ST(0x80000200, 128));
	busy_operand = TDX_OP_OP_STATE;
	assert_int_equal(enter(1, at), ST(0xe0000604, 0));
	tdr->fatal = 0;
	assert_int_equal(enter(1, at), ST(0x80000810, 0));
	tdr->lifecycle = TDX_KEYS_CONFIGURED;
	assert_int_equal(enter(1, at), ST(0x80000200, 172));
	busy_operand = TDX_OP_TD_EPOCH;
	assert_int_equal(enter(1, at), ST(0xc0000608, 0));
	td_tdcs(&td)->op_state = TDX_RUNNABLE;
	assert_int_equal(enter(1, at), ST(0xc0000610, 0));
	vp->num_pages = TDX_TDVPS_PAGES;
	assert_int_equal(enter(1, at), ST(0xc0000700, 0));
	vp->state = VP_READY;
	assert_int_equal(enter(1, at), ST(0x80000701, 0));
	assert_int_equal(enter(0, at), ST(0xc0000100, 1));
	assert_int_equal(enter(0, td.vp[0]), ST(0xc0000706, 0));
	vp->last_tsc = 0;
	assert_int_equal(enter(0, td.vp[0]), ST(0x80000200, 169));
	busy_operand = 0;
	assert_int_equal(enter(0, td.vp[0]), 1);
}

static void end_of_a_td(void **state)
{
	struct soft_tdr *tdr;

	(void)state;
	td_run(&td, WORLD_HKID(0));
	tdr = td_tdr(&td);
	tdr->fatal = 1;
	tdr->lifecycle = TDX_TEARDOWN;
	busy_operand = TDX_OP_KOT;
	assert_int_equal(sc(0, TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), ST(0xc0000607, 0));
	tdr->lifecycle = TDX_KEYS_CONFIGURED;
	assert_int_equal(sc(0, TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), ST(0x80000824, 0));
	assert_int_equal(sc(0, TDH_VP_FLUSH, td.vp[0], 0, 0, 0), 0);
	assert_int_equal(sc(0, TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), ST(0x80000200, 186));
	busy_operand = 0;
	assert_int_equal(sc(0, TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), 0);
	busy_operand = TDX_OP_WBCACHE;
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 7, 0, 0, 0), ST(0xc0000100, 1));
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 1, 0, 0, 0), ST(0x80000200, 188));
	busy_operand = TDX_OP_KOT;
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 1, 0, 0, 0), ST(0x80000200, 186));
	assert_int_equal(sc(0, TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0), ST(0x80000200, 186));
	busy_operand = TDX_OP_TDR;
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, world_page(), 0, 0, 0), ST(0xc0000300, 1));
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, td.tdcx[0], 0, 0, 0), ST(0x80000200, 128));
	busy_operand = 0;
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, td.tdcx[0], 0, 0, 0), ST(0xc0000607, 0));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(mng_create), TEST(mng_key_config), TEST(mng_addcx), TEST(mng_init), TEST(vp_leafs),
		TEST(vp_enter), TEST(end_of_a_td),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
