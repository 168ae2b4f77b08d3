/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c */
/*
 * The life of a TD in the software TDX module, from MNG.CREATE to the reuse of its key id: conformance checks
 * 11 to 16 and 40.
 */
#include "tests/unit/soft_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct world_td td;

static int start(void **state)
{
	(void)state;
	world_ready();
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_end();
	return 0;
}

static uint64_t on_td(uint64_t leaf) { return sc(0, leaf, td.tdr, 0, 0, 0); }
static uint64_t create(hpa_t page, uint64_t hkid) { return sc(0, TDH_MNG_CREATE, page, hkid, 0, 0); }
static uint64_t page_type(hpa_t page)
{
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RDMD, page, 0, 0, 0), 0);
	return out.gpr[TDX_RCX];
}

static void create_key_ids(void **state)
{
	hpa_t page = world_page();

	(void)state;
	assert_int_equal(create(page, 0), ST(0xc0000100, 2));
	assert_int_equal(create(page, 0x8000), ST(0xc0000100, 2));
	assert_int_equal(create(page, BIT(16) | WORLD_HKID(0)), ST(0xc0000100, 2));
	assert_int_equal(create(page, WORLD_HKID(0) + WORLD_HKIDS), ST(0xc0000100, 2));
	assert_int_equal(create(page, WORLD_GLOBAL_HKID), ST(0xc0000820, 0));
	assert_int_equal(page_type(page), TDX_PT_NDA);
	assert_int_equal(create(page, WORLD_HKID(0)), 0);
	assert_int_equal(create(world_page(), WORLD_HKID(0)), ST(0xc0000820, 0));
	assert_int_equal(page_type(page), TDX_PT_TDR);
}

static void create_pages(void **state)
{
	hpa_t large = world_large_page();

	(void)state;
	td_build(&td, WORLD_HKID(0));
	assert_int_equal(create(td.tdr, WORLD_HKID(1)), ST(0xc0000300, 1));
	assert_int_equal(create(td.tdcx[0], WORLD_HKID(1)), ST(0xc0000300, 1));
	assert_int_equal(sc(0, TDH_MEM_SEPT_ADD, 3, td.tdr, large, 0), 0);
	assert_int_equal(create(large, WORLD_HKID(1)), ST(0xc0000300, 1));
	assert_int_equal(create(world_page() | BIT(WORLD_HPA_BITS), WORLD_HKID(1)), ST(0xc0000100, 1));
	assert_int_equal(create(world_page() | 1, WORLD_HKID(1)), ST(0xc0000100, 1));
	assert_int_equal(create(BIT(63), WORLD_HKID(1)), ST(0xc0000100, 1));
}

static void create_without_entropy(void **state)
{
	hpa_t page = world_page();

	(void)state;
	world.no_entropy = true;
	assert_int_equal(create(page, WORLD_HKID(0)), ST(0x80000203, 0));
	world.no_entropy = false;
	assert_int_equal(create(page, WORLD_HKID(0)), 0);
}

static uint64_t read_op_state(void) { return sc(0, TDH_MNG_RD, td.tdr, TDX_TD_OP_STATE, 0, 0); }

static void ladder(void **state)
{
	(void)state;
	td = (struct world_td){ .tdr = world_page() };
	assert_int_equal(read_op_state(), ST(0xc0000300, 1));
	assert_int_equal(create(td.tdr, WORLD_HKID(0)), 0);
	assert_int_equal(read_op_state(), ST(0x80000810, 0));
	assert_int_equal(on_td(TDH_MNG_KEY_CONFIG), 0);
	assert_int_equal(read_op_state(), ST(0x80000810, 0));
	assert_int_equal(sc(3, TDH_MNG_KEY_CONFIG, td.tdr, 0, 0, 0), 0);
	assert_int_equal(read_op_state(), ST(0xc0000606, 0));
	td_add_tdcs(&td);
	assert_int_equal(read_op_state(), ST(0xc0000608, 0));
	world_params();
	assert_int_equal(sc(0, TDH_MNG_INIT, td.tdr, WORLD_PARAMS, 0, 0), 0);
	assert_int_equal(read_op_state(), 0);
	assert_int_equal(out.gpr[TDX_R8], 1);
	td_tdr(&td)->fatal = 1;
	assert_int_equal(read_op_state(), ST(0xe0000604, 0));
}

static void keys_and_control_pages(void **state)
{
	hpa_t page = world_page();

	(void)state;
	td = (struct world_td){ .tdr = world_page() };
	assert_int_equal(create(td.tdr, WORLD_HKID(0)), 0);
	assert_int_equal(sc(0, TDH_MNG_ADDCX, page, td.tdr, 0, 0), ST(0x80000810, 0));
	world.no_entropy = true;
	assert_int_equal(on_td(TDH_MNG_KEY_CONFIG), ST(0x80000800, 0));
	world.no_entropy = false;
	assert_int_equal(on_td(TDH_MNG_KEY_CONFIG), 0);
	assert_int_equal(on_td(TDH_MNG_KEY_CONFIG), ST(0x00000815, 0));
	assert_int_equal(sc(2, TDH_MNG_KEY_CONFIG, td.tdr, 0, 0, 0), 0);
	assert_int_equal(on_td(TDH_MNG_KEY_CONFIG), ST(0xc0000607, 0));
	assert_int_equal(sc(0, TDH_MNG_ADDCX, td.tdr, td.tdr, 0, 0), ST(0x80000200, 1));
	td_add_tdcs(&td);
	for (int i = TDX_TDCS_PAGES; i < TD_MAX_TDCX; i++)
		assert_int_equal(sc(0, TDH_MNG_ADDCX, world_page(), td.tdr, 0, 0), 0);
	assert_int_equal(sc(0, TDH_MNG_ADDCX, page, td.tdr, 0, 0), ST(0xc0000610, 0));
	world_params();
	assert_int_equal(sc(0, TDH_MNG_INIT, td.tdr, WORLD_PARAMS, 0, 0), 0);
	assert_int_equal(sc(0, TDH_MNG_ADDCX, page, td.tdr, 0, 0), ST(0xc0000608, 0));
	assert_int_equal(page_type(page), TDX_PT_NDA);
}

/* What is wrong with TD_PARAMS, and the operand that the status names. */
static void attribute(struct tdx_td_params *p) { p->attributes |= BIT(1); }
static void migratable(struct tdx_td_params *p) { p->attributes |= TDX_ATTR_MIGRATABLE; }
static void no_sse(struct tdx_td_params *p) { p->xfam &= ~2ul; }
static void half_avx512(struct tdx_td_params *p) { p->xfam &= ~BIT(6); }
static void avx512_without_avx(struct tdx_td_params *p) { p->xfam &= ~BIT(2); }
static void amx(struct tdx_td_params *p) { p->xfam |= BIT(17) | BIT(18); }
static void no_vcpus(struct tdx_td_params *p) { p->max_vcpus = 0; }
static void l2_vms(struct tdx_td_params *p) { p->num_l2_vms = 1; }
static void config_flag(struct tdx_td_params *p) { p->config_flags |= BIT(5); }
static void gpaw_52(struct tdx_td_params *p) { p->config_flags |= TDX_CONFIG_GPAW_52; }
static void accessed_dirty(struct tdx_td_params *p) { p->eptp_controls |= BIT(6); }
static void five_levels(struct tdx_td_params *p) { p->eptp_controls = 0x26; }
static void slow(struct tdx_td_params *p) { p->tsc_frequency = 3; }
static void fast(struct tdx_td_params *p) { p->tsc_frequency = 401; }
static void reserved(struct tdx_td_params *p) { p->reserved2[23] = 1; }
static void msr_controls(struct tdx_td_params *p) { p->msr_config_ctls = 1; }
static void cpuid(struct tdx_td_params *p) { p->cpuid[TDX_TD_PARAMS_CPUIDS - 1].edx = 1; }

static const struct {
	void (*spoil)(struct tdx_td_params *p);
	uint32_t operand;
} params[] = {
	{ attribute, 64 }, { migratable, 64 }, { no_sse, 65 }, { half_avx512, 65 }, { avx512_without_avx, 65 },
	{ amx, 65 }, { no_vcpus, 68 }, { l2_vms, 71 }, { config_flag, 66 }, { gpaw_52, 67 },
	{ accessed_dirty, 67 }, { five_levels, 67 }, { slow, 70 }, { fast, 70 }, { reserved, 2 },
	{ msr_controls, 2 }, { cpuid, 69 },
};

static void td_params(void **state)
{
	struct soft_tdcs before;

	(void)state;
	td_create(&td, WORLD_HKID(0));
	td_add_tdcs(&td);
	before = *td_tdcs(&td);
	for (uint32_t i = 0; i < ARRAY_LEN(params); i++) {
		uint64_t status;

		params[i].spoil(world_params());
		status = sc(0, TDH_MNG_INIT, td.tdr, WORLD_PARAMS, 0, 0);
		if (status != ST(0xc0000100, params[i].operand))
			fail_msg("parameter case %u: %lx", i, status);
		assert_memory_equal(&before, td_tdcs(&td), sizeof(before));
	}
	world_params();
	assert_int_equal(sc(0, TDH_MNG_INIT, td.tdr, WORLD_PARAMS + 512, 0, 0), ST(0xc0000100, 2));
	assert_int_equal(sc(0, TDH_MNG_INIT, td.tdr, td.tdr, 0, 0), ST(0xc0000100, 2));
	assert_int_equal(sc(0, TDH_MNG_INIT, td.tdr, WORLD_PARAMS, 0, 0), 0);
	assert_int_equal(sc(0, TDH_MNG_INIT, td.tdr, WORLD_PARAMS, 0, 0), ST(0xc0000608, 0));
}

/* A value outside the mask of a leaf that can be configured: RCX names it. */
static void td_params_cpuid(void **state)
{
	uint64_t leaf, mask;

	(void)state;
	td_create(&td, WORLD_HKID(0));
	td_add_tdcs(&td);
	assert_int_equal(sc(0, TDH_SYS_RD, 0, TDX_SYS_CPUID_CONFIG_LEAVES, 0, 0), 0);
	leaf = out.gpr[TDX_R8];
	assert_int_equal(sc(0, TDH_SYS_RD, 0, TDX_SYS_CPUID_CONFIG_VALUES, 0, 0), 0);
	mask = out.gpr[TDX_R8] & UINT32_MAX;
	assert_true(mask != UINT32_MAX);
	world_params()->cpuid[0].eax = ~(uint32_t)mask;
	assert_int_equal(sc(0, TDH_MNG_INIT, td.tdr, WORLD_PARAMS, 0, 0), ST(0xc0000100, 69));
	assert_int_equal(out.gpr[TDX_RCX], leaf);
	world_params()->cpuid[0].eax = (uint32_t)mask;
	assert_int_equal(sc(0, TDH_MNG_INIT, td.tdr, WORLD_PARAMS, 0, 0), 0);
}

static void vcpus(void **state)
{
	hpa_t vp = world_page(), last;

	(void)state;
	td_build(&td, WORLD_HKID(0));
	assert_int_equal(sc(0, TDH_VP_CREATE, vp, td.tdr, 0, 0), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(sc(0, TDH_VP_ADDCX, world_page(), vp, 0, 0), 0);
	assert_int_equal(sc(0, TDH_VP_INIT, vp, 0, 0, 0), ST(0xc0000610, 0));
	assert_int_equal(sc(0, TDH_VP_ADDCX, vp, vp, 0, 0), ST(0x80000200, 1));
	assert_int_equal(sc(0, TDH_VP_ADDCX, td.tdr, vp, 0, 0), ST(0x80000200, 1));
	assert_int_equal(sc(0, TDH_VP_ADDCX, td.tdcx[0], vp, 0, 0), ST(0xc0000300, 1));
	assert_int_equal(sc(0, TDH_VP_ADDCX, world_page(), vp, 0, 0), 0);
	assert_int_equal(sc(0, TDH_VP_INIT, vp, 0x77, 0, 0), 0);
	assert_int_equal(sc(0, TDH_VP_ADDCX, world_page(), vp, 0, 0), ST(0xc0000700, 0));
	assert_int_equal(sc(0, TDH_VP_INIT, vp, 0, 0, 0), ST(0xc0000700, 0));
	for (int i = 1; i < 4; i++)
		td_add_vcpu(&td, 0);
	assert_int_equal(td_vp(&td, 2)->index, 3);
	last = td_add_pages_of_vcpu(&td);
	assert_int_equal(sc(0, TDH_VP_INIT, last, 0, 0, 0), ST(0xc0000705, 0));
	assert_int_equal(((struct soft_vp *)world_at(last))->index, 0);
	for (int i = TDX_TDVPS_PAGES; i < VP_MAX_PAGES; i++)
		assert_int_equal(sc(0, TDH_VP_ADDCX, world_page(), last, 0, 0), 0);
	assert_int_equal(sc(0, TDH_VP_ADDCX, world_page(), last, 0, 0), ST(0xc0000610, 0));
	assert_int_equal(sc(0, TDH_VP_INIT, td.tdr, 0, 0, 0), ST(0xc0000300, 1));
}

static void reclaim(hpa_t page, uint64_t type)
{
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, page, 0, 0, 0), 0);
	assert_int_equal(out.gpr[TDX_RCX], type);
	assert_int_equal(out.gpr[TDX_RDX], type == TDX_PT_TDR ? 0 : td.tdr);
	assert_int_equal(out.gpr[TDX_R8], 0);
	assert_int_equal(page_type(page), TDX_PT_NDA);
}

/* Whose pages the TD got, in the order of world_page(). */
static void reclaim_all(void)
{
	for (hpa_t page = WORLD_TDMR1; page < world.next_page; page += PAGE_SIZE) {
		uint64_t type = page_type(page);

		if (type != TDX_PT_NDA && type != TDX_PT_TDR)
			reclaim(page, type);
	}
	reclaim(td.tdr, TDX_PT_TDR);
}

static void teardown(void **state)
{
	(void)state;
	td_run(&td, WORLD_HKID(0));
	assert_int_equal(sc(0, TDH_MEM_SEPT_ADD, 3, td.tdr, world_page(), 0), 0);
	assert_int_equal(on_td(TDH_MNG_KEY_FREEID), ST(0xc0000607, 0));
	assert_int_equal(on_td(TDH_MNG_VPFLUSHDONE), ST(0x80000824, 0));
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), ST(0x00000821, 0));
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 2, 0, 0, 0), ST(0xc0000100, 1));
	assert_int_equal(sc(1, TDH_VP_FLUSH, td.vp[0], 0, 0, 0), ST(0x80000702, 0));
	assert_int_equal(sc(0, TDH_VP_FLUSH, td.vp[0], 0, 0, 0), 0);
	assert_int_equal(world.flushes, 1);
	assert_int_equal(on_td(TDH_MNG_VPFLUSHDONE), 0);
	assert_int_equal(on_td(TDH_MNG_VPFLUSHDONE), ST(0xc0000607, 0));
	assert_int_equal(sc(0, TDH_VP_FLUSH, td.vp[0], 0, 0, 0), ST(0x80000810, 0));
	assert_int_equal(on_td(TDH_MNG_KEY_FREEID), ST(0x80000817, 0));
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), 0);
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), ST(0x00000821, 0));
	assert_int_equal(on_td(TDH_MNG_KEY_FREEID), ST(0x80000817, 0));
	assert_int_equal(sc(3, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), 0);
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, td.tdcx[1], 0, 9, 0), ST(0xc0000607, 0));
	assert_int_equal(out.gpr[TDX_RCX], TDX_PT_TDCX);
	assert_int_equal(out.gpr[TDX_RDX], td.tdr);
	assert_int_equal(out.gpr[TDX_R8], 0);
	assert_int_equal(create(world_page(), WORLD_HKID(0)), ST(0xc0000820, 0));
	assert_int_equal(on_td(TDH_MNG_KEY_FREEID), 0);
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0), ST(0xc0000400, 0));
	assert_int_equal(out.gpr[TDX_RCX], TDX_PT_TDR);
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_WBINVD, td.tdr | (uint64_t)WORLD_GLOBAL_HKID << WORLD_KEYID_SHIFT,
		0, 0, 0), ST(0xc0000300, 1));
	reclaim_all();
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_WBINVD, td.tdr | (uint64_t)WORLD_GLOBAL_HKID << WORLD_KEYID_SHIFT,
		0, 0, 0), 0);
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_WBINVD, td.tdr, 0, 0, 0), ST(0xc0000100, 1));
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0), ST(0xc0000300, 1));
	assert_int_equal(create(td.tdr, WORLD_HKID(0)), 0);
}

/* A TD of which not even the key is configured everywhere. */
static void teardown_of_a_beginning(void **state)
{
	(void)state;
	td = (struct world_td){ .tdr = world_page() };
	assert_int_equal(create(td.tdr, WORLD_HKID(0)), 0);
	assert_int_equal(on_td(TDH_MNG_KEY_CONFIG), 0);
	assert_int_equal(on_td(TDH_MNG_VPFLUSHDONE), 0);
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), 0);
	assert_int_equal(sc(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), 0);
	assert_int_equal(on_td(TDH_MNG_KEY_FREEID), 0);
	reclaim(td.tdr, TDX_PT_TDR);
}

static void write_back_in_pieces(void **state)
{
	struct world_td more[3];

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		td_create(&more[i], WORLD_HKID(i));
		assert_int_equal(sc(0, TDH_MNG_VPFLUSHDONE, more[i].tdr, 0, 0, 0), 0);
	}
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 1, 0, 0, 0), ST(0xc0000823, 0));
	world.interrupt[0] = true;
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), ST(0x80000003, 0));
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 1, 0, 0, 0), ST(0x80000003, 0));
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 1, 0, 0, 0), ST(0x80000003, 0));
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 1, 0, 0, 0), 0);
	assert_int_equal(sc(0, TDH_PHYMEM_CACHE_WB, 1, 0, 0, 0), ST(0xc0000823, 0));
	assert_int_equal(sc(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(sc(0, TDH_MNG_KEY_FREEID, more[i].tdr, 0, 0, 0), 0);
	assert_int_equal(sc(0, TDH_MNG_KEY_RECLAIMID, more[0].tdr, 0, 0, 0), 0);
}

/* Every lock of every leaf, one after the other, busy: the status names its operand, and nothing has changed. */
static uint32_t locks_seen, busy_at;
static uint32_t busy_operand;
static bool nth_busy(enum soft_fault fault, uint32_t operand)
{
	if (fault != SOFT_FAULT_BUSY || locks_seen++ != busy_at)
		return false;
	busy_operand = operand;
	return true;
}

static uint64_t try_busy(uint64_t leaf, uint64_t rcx, uint64_t rdx, uint32_t at)
{
	uint64_t status;

	locks_seen = 0;
	busy_at = at;
	busy_operand = UINT32_MAX;
	world.fault = nth_busy;
	status = sc(0, leaf, rcx, rdx, 0, 0);
	world.fault = NULL;
	return status;
}

static void all_busy(uint64_t leaf, uint64_t rcx, uint64_t rdx)
{
	uint32_t at = 0;
	uint64_t status;

	for (;; at++) {
		struct soft before = world.m;

		status = try_busy(leaf, rcx, rdx, at);
		if (busy_operand == UINT32_MAX)
			break;
		assert_int_equal(status, TDX_OPERAND_BUSY | busy_operand);
		assert_memory_equal(&before, &world.m, sizeof(before));
	}
	assert_int_equal(status, 0);
	assert_true(at);
}

static void busy_everywhere(void **state)
{
	hpa_t vp = world_page();

	(void)state;
	td = (struct world_td){ .tdr = world_page() };
	all_busy(TDH_MNG_CREATE, td.tdr, WORLD_HKID(0));
	all_busy(TDH_MNG_KEY_CONFIG, td.tdr, 0);
	assert_int_equal(sc(2, TDH_MNG_KEY_CONFIG, td.tdr, 0, 0, 0), 0);
	for (int i = 0; i < TDX_TDCS_PAGES; i++)
		all_busy(TDH_MNG_ADDCX, td.tdcx[i] = world_page(), td.tdr);
	world_params();
	all_busy(TDH_MNG_INIT, td.tdr, WORLD_PARAMS);
	all_busy(TDH_VP_CREATE, vp, td.tdr);
	for (int i = 1; i < TDX_TDVPS_PAGES; i++)
		all_busy(TDH_VP_ADDCX, world_page(), vp);
	all_busy(TDH_VP_INIT, vp, 0);
	all_busy(TDH_MR_FINALIZE, td.tdr, 0);
	all_busy(TDH_MEM_TRACK, td.tdr, 0);
	all_busy(TDH_VP_RD, vp, TDX_VP_PEND_NMI);
	all_busy(TDH_VP_FLUSH, vp, 0);
	all_busy(TDH_MNG_VPFLUSHDONE, td.tdr, 0);
	all_busy(TDH_PHYMEM_CACHE_WB, 0, 0);
	assert_int_equal(sc(2, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), 0);
	all_busy(TDH_MNG_KEY_FREEID, td.tdr, 0);
	all_busy(TDH_PHYMEM_PAGE_RDMD, td.tdcx[0], 0);
	all_busy(TDH_PHYMEM_PAGE_RECLAIM, td.tdcx[0], 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(create_key_ids), TEST(create_pages), TEST(create_without_entropy), TEST(ladder),
		TEST(keys_and_control_pages), TEST(td_params), TEST(td_params_cpuid), TEST(vcpus), TEST(teardown),
		TEST(teardown_of_a_beginning), TEST(write_back_in_pieces), TEST(busy_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
