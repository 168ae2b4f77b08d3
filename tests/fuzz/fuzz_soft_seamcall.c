/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c tests/unit/soft_guest.c */
/*
 * The software TDX module with any leaf and any registers from the host, any exit of the guest, any memory that
 * the two share, and any lock busy: each call returns, leaves no lock behind, and the pages of the TD stay
 * what PAMT and tables say. Operands are made of what exists, bent a little: mostly noise would be refused at
 * the first look. In some worlds the module reaches nothing but what it has mapped just then.
 */
#include "tests/unit/soft_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz.h"

#define GPA GIB(5)
#define SHARED_TABLES MIB(80) /* pages of the host that a Shared EPTP may name */
#define CALLS_PER_WORLD 400

static hpa_t spare[8], large;

static uint64_t an_address(void)
{
	const struct world_td *td = &guest.td;
	const uint64_t known[] = {
		td->tdr, td->tdr, td->tdr, td->vp[0], td->tdcx[fuzz_random(TDX_TDCS_PAGES)], large, large + PAGE_SIZE,
		spare[0], spare[1], spare[2], spare[3 + fuzz_random(5)], WORLD_PARAMS, WORLD_TDMR_ARRAY, SHARED_TABLES,
		MIB(66), MIB(128), WORLD_TDMR0, WORLD_TDMR1 - WORLD_HOLE, WORLD_MEMORY, 0, BIT(WORLD_HPA_BITS),
		guest.pml4 ? td_vp(td, 0)->page[fuzz_random(TDX_TDVPS_PAGES)] : 0,
	};

	return known[fuzz_random(ARRAY_LEN(known))];
}

static uint64_t a_gpa(void)
{
	gpa_t gpa = fuzz_random(3) ? GPA + fuzz_random(3) * MIB(2) + fuzz_random(3) * PAGE_SIZE :
		fuzz_random(6) * PAGE_SIZE;

	return gpa | (fuzz_random(8) ? 0 : WORLD_SHARED);
}

static uint64_t a_number(void)
{
	static const uint64_t telling[] = {
		0, 1, 2, 3, 7, 64, ~0ul, WORLD_GLOBAL_HKID, WORLD_HKID(0), WORLD_HKID(1), TDX_TD_ATTRIBUTES, TDX_TD_MRTD,
		TDX_TD_OP_STATE, TDX_VP_SHARED_EPTP, TDX_VP_POSTED_DESCRIPTOR, TDX_VP_PEND_NMI, TDX_SYS_NUM_CMRS,
		TDX_TD_NOTIFY_ENABLES, SHARED_TABLES, 0x2016, 0x203c, BIT(52), BIT(53),
	};

	return fuzz_random(4) ? telling[fuzz_random(ARRAY_LEN(telling))] : fuzz_random(~0ul);
}

static uint64_t bent(uint64_t value)
{
	switch (fuzz_random(12)) {
	case 0: return value ^ BIT(fuzz_random(64));
	case 1: return value + 8 * fuzz_random(512);
	case 2: return value | (WORLD_GLOBAL_HKID + fuzz_random(9)) << WORLD_KEYID_SHIFT;
	default: return value;
	}
}

static uint64_t an_operand(void)
{
	switch (fuzz_random(4)) {
	case 0: return bent(a_gpa() | fuzz_random(4));
	case 1: return bent(a_number());
	default: return bent(an_address());
	}
}

/* ---- the guest ---- */

static void guest_does_anything(struct soft_vp *vp)
{
	static const uint32_t reasons[] = {
		REASON_EPT_VIOLATION, REASON_CPUID, REASON_RDMSR, REASON_WRMSR, REASON_IO, REASON_HLT, REASON_VMCALL,
		REASON_CR_ACCESS, REASON_EPT_MISCONFIG, REASON_INTERRUPT_WINDOW, REASON_NMI_WINDOW, REASON_EXCEPTION_NMI,
	};
	static const uint8_t tdg[] = { 0, 1, 2, 3, 4, 5, 6, 6, 6, 7, 8, 11, 18 };

	*guest_field(vp, VMCS_GUEST_RIP) = GUEST_CODE;
	if (!fuzz_random(4)) {
		step_exit(vp, REASON_EXTERNAL_INTERRUPT, 0);
		*guest_field(vp, VMCS_EXIT_INTR_INFO) = INTR_VALID | 0x40;
		return;
	}
	for (unsigned i = 0; i < TDX_REGS; i++)
		vp->gpr[i] = fuzz_random(2) ? a_gpa() | fuzz_random(3) : a_number();
	*guest_field(vp, VMCS_IDT_VECTORING_INFO) = 0;
	*guest_field(vp, VMCS_EXIT_INTR_INFO) = INTR_VALID | fuzz_random(0x800);
	*guest_field(vp, VMCS_GUEST_PHYSICAL) = a_gpa();
	vp->gpr[TDX_RAX] = bent(tdg[fuzz_random(sizeof(tdg))]);
	if (fuzz_random(2))
		step_exit(vp, TDX_EXIT_TDCALL, 0);
	else
		step_exit(vp, reasons[fuzz_random(ARRAY_LEN(reasons))], fuzz_random(1u << 13));
}

/* ---- the host ---- */

static bool sometimes(enum soft_fault fault, uint32_t operand)
{
	(void)fault;
	(void)operand;
	return !fuzz_random(150);
}

static void start(void)
{
	world_confined = !fuzz_random(4);
	guest_start(fuzz_random(2) ? SOFT_CPU_FULL : SOFT_CPU_PLAIN);
	td_tdcs(&guest.td)->attributes |= TDX_ATTR_DEBUG; /* else MEM.RD and WR are refused at once */
	for (uint32_t i = 0; i < ARRAY_LEN(spare); i++)
		spare[i] = world_page();
	large = world_large_page();
	tree_map(&guest.td, GPA, SOFT_4K);
	tree_aug(&guest.td, GPA + MIB(2), SOFT_2M);
	for (uint64_t *at = world_at(SHARED_TABLES); at < (uint64_t *)world_at(SHARED_TABLES + 4 * PAGE_SIZE); at++)
		*at = fuzz_random(3) ? (SHARED_TABLES + fuzz_random(5) * PAGE_SIZE) | fuzz_random(0x100) :
			bent(an_address() | 7);
	world.guest = guest_does_anything;
	world.fault = sometimes;
}

static void no_lock_is_held(void)
{
	const struct soft *m = &world.m;

	for (hpa_t page = WORLD_TDMR1; page < world.next_page; page += PAGE_SIZE)
		for (uint32_t level = SOFT_4K; level <= SOFT_1G; level++)
			assert_int_equal(pamt_entry(&world.m, page, level)->lock.word, 0);
	assert_int_equal(m->sys_lock.word | m->kot_lock.word | m->ket_lock.word, 0);
}

/* As long as there is a TD that was not taken apart: its pages. */
static void td_is_whole(void)
{
	const struct world_td *td = &guest.td;
	uint64_t children = td->vcpus * TDX_TDVPS_PAGES + TDX_TDCS_PAGES;

	if (pamt_entry(&world.m, td->tdr, SOFT_4K)->type == TDX_PT_TDR && td_tdr(td)->num_tdcx == TDX_TDCS_PAGES &&
		td_tdr(td)->lifecycle == TDX_KEYS_CONFIGURED && td_vp(td, 0)->num_pages == TDX_TDVPS_PAGES &&
		td_tdr(td)->children >= children)
		tree_check(td);
}

/* Most of it as the leafs on memory and vCPUs want it. */
static void make_sense(struct tdx_regs *r)
{
	static const uint8_t leafs[] = {
		TDH_MEM_SEPT_ADD, TDH_MEM_PAGE_AUG, TDH_MEM_RANGE_BLOCK, TDH_MEM_RANGE_UNBLOCK, TDH_MEM_PAGE_REMOVE,
		TDH_MEM_PAGE_DEMOTE, TDH_MEM_PAGE_PROMOTE, TDH_MEM_PAGE_RELOCATE, TDH_MEM_SEPT_REMOVE, TDH_MEM_SEPT_RD,
		TDH_MEM_RD, TDH_MEM_WR, TDH_VP_WR, TDH_VP_RD, TDH_MNG_RD, TDH_MNG_WR, TDH_MEM_TRACK, TDH_VP_ENTER,
	};
	uint8_t leaf = leafs[fuzz_random(sizeof(leafs))];
	uint32_t level = (uint32_t)fuzz_random(2);
	bool on_vcpu = leaf == TDH_VP_WR || leaf == TDH_VP_RD || leaf == TDH_VP_ENTER;
	bool on_td = leaf == TDH_MNG_RD || leaf == TDH_MNG_WR || leaf == TDH_MEM_TRACK;

	r->gpr[TDX_RAX] = leaf;
	r->gpr[TDX_RCX] = on_vcpu ? guest.td.vp[0] : on_td ? guest.td.tdr : align_down(a_gpa(), level_size(level)) | level;
	r->gpr[TDX_RDX] = on_vcpu || on_td ? a_number() : guest.td.tdr;
	r->gpr[TDX_R8] = level && leaf == TDH_MEM_PAGE_AUG ? large : spare[fuzz_random(ARRAY_LEN(spare))];
}

static unsigned calls;

static void call(const uint8_t *data, size_t len)
{
	struct tdx_regs r;

	(void)data;
	(void)len;
	if (calls++ % CALLS_PER_WORLD == 0)
		start();
	for (unsigned i = 0; i < TDX_REGS; i++)
		r.gpr[i] = an_operand();
	r.gpr[TDX_RAX] = fuzz_random(10) ? fuzz_random(TDH_LEAF_COUNT) : an_operand();
	if (fuzz_random(4))
		make_sense(&r);
	/* What ends the module or the TD for good does so now and then only. */
	if ((r.gpr[TDX_RAX] == TDH_SYS_SHUTDOWN || r.gpr[TDX_RAX] == TDH_MNG_VPFLUSHDONE) && fuzz_random(20))
		r.gpr[TDX_RAX] = TDH_MEM_TRACK;
	soft_seamcall(&world.m, (uint32_t)fuzz_random(8) ? 0 : (uint32_t)fuzz_random(WORLD_LPS), &r);
	if (calls % 16 == 0)
		no_lock_is_held();
	if (calls % 16 == 8)
		td_is_whole();
}

static void any_registers(void **state)
{
	const uint8_t nothing = 0;

	(void)state;
	fuzz_run(&nothing, 1, 30000, call);
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(any_registers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
