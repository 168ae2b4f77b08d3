/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c */
/*
 * VP.ENTER of the software TDX module, and what other LPs may do meanwhile: conformance checks 23, 32 and 39,
 * the registers that pass, and TLB tracking.
 */
#include "tests/unit/soft_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tdx/soft/run.h"

static struct world_td td;
static uint32_t ran; /* times that the guest did */

static int start(void **state)
{
	(void)state;
	world_ready();
	ran = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_end();
	return 0;
}

#define EXTERNAL_INTERRUPT ((uint64_t)REASON_EXTERNAL_INTERRUPT)

static uint64_t add_page(gpa_t gpa, hpa_t page)
{
	return sc(0, TDH_MEM_PAGE_ADD, gpa, td.tdr, page, MIB(4));
}

/* Tables down to level 1 for the first 2M. */
static void add_tables(void)
{
	for (uint64_t level = 3; level; level--)
		assert_int_equal(sc(0, TDH_MEM_SEPT_ADD, level, td.tdr, world_page(), 0), 0);
}

static void op_states(void **state)
{
	(void)state;
	td_build(&td, WORLD_HKID(0));
	add_tables();
	assert_int_equal(sc(0, TDH_MR_FINALIZE, td.tdr, 0, 0, 0), ST(0xc0000609, 0));
	td_add_vcpu(&td, 0);
	assert_int_equal(enter(0, td.vp[0]), ST(0xc0000608, 0));
	assert_int_equal(add_page(0, world_page()), 0);
	assert_int_equal(sc(0, TDH_MR_FINALIZE, td.tdr, 0, 0, 0), 0);
	assert_int_equal(add_page(PAGE_SIZE, world_page()), ST(0xc0000608, 0));
	assert_int_equal(enter(0, td.vp[0]), EXTERNAL_INTERRUPT);
}

static void operands_of_enter(void **state)
{
	hpa_t bare;

	(void)state;
	td_build(&td, WORLD_HKID(0));
	td_add_vcpu(&td, 0);
	bare = world_page();
	assert_int_equal(sc(0, TDH_VP_CREATE, bare, td.tdr, 0, 0), 0);
	td_add_pages_of_vcpu(&td);
	assert_int_equal(sc(0, TDH_MR_FINALIZE, td.tdr, 0, 0, 0), 0);
	assert_int_equal(enter(0, td.vp[0] | BIT(54)), ST(0xc0000100, 1));
	assert_int_equal(enter(0, td.vp[0] | 1), ST(0xc0000100, 1));
	assert_int_equal(enter(0, td.vp[0] | TDX_ENTER_RESUME_L1), ST(0xc0000100, 1));
	assert_int_equal(enter(0, td.vp[0] | TDX_ENTER_HOST_RECOVERABLE_HINT), ST(0xc0000100, 1));
	assert_int_equal(enter(0, td.tdr), ST(0xc0000300, 1));
	assert_int_equal(enter(0, world_page()), ST(0xc0000300, 1));
	assert_int_equal(enter(0, bare), ST(0xc0000610, 0));
	assert_int_equal(enter(0, td.vp[1]), ST(0xc0000700, 0));
	td_vp(&td, 0)->state = VP_DISABLED;
	assert_int_equal(enter(0, td.vp[0]), ST(0xc0000700, 0));
	td_vp(&td, 0)->state = VP_READY;
	world.tsc = 0;
	td_vp(&td, 0)->last_tsc = 100;
	assert_int_equal(enter(0, td.vp[0]), ST(0xc0000706, 0));
	td_tdr(&td)->fatal = 1;
	assert_int_equal(enter(0, td.vp[0]), ST(0xe0000604, 0));
}

static void first_registers(struct soft_vp *vp)
{
	assert_int_equal(vp->gpr[TDX_RBX], WORLD_GPA_BITS);
	assert_int_equal(vp->gpr[TDX_RCX], 0x1234);
	assert_int_equal(vp->gpr[TDX_R8], 0x1234);
	assert_int_equal(vp->gpr[TDX_RSI], 0);
	assert_int_equal(vp->gpr[TDX_R15], 0);
	ran++;
	guest_exits(vp, REASON_EXTERNAL_INTERRUPT, 0);
}

static void fill_registers(void)
{
	for (uint32_t i = 0; i < TDX_REGS; i++)
		out.gpr[i] = 0x1111111111111111ul * i;
}

/* An asynchronous exit shows nothing of the guest, and nothing of what the host had there. */
static void registers_of_exit(void **state)
{
	(void)state;
	td_run(&td, WORLD_HKID(0));
	world.guest = first_registers;
	fill_registers();
	assert_int_equal(enter(0, td.vp[0]), EXTERNAL_INTERRUPT);
	assert_int_equal(ran, 1);
	for (uint32_t i = TDX_RCX; i < TDX_REGS; i++)
		if (i != TDX_RSP && i != TDX_RBP)
			assert_int_equal(out.gpr[i], 0);
	assert_int_equal(out.gpr[TDX_RBP], 0x1111111111111111ul * TDX_RBP);
	assert_int_equal(out.gpr[TDX_RSP], 0x1111111111111111ul * TDX_RSP);
}

static void rbp_of_older_hosts(void **state)
{
	(void)state;
	td_run(&td, WORLD_HKID(0));
	td_tdcs(&td)->config_flags = 0;
	fill_registers();
	assert_int_equal(enter(0, td.vp[0]), EXTERNAL_INTERRUPT);
	assert_int_equal(out.gpr[TDX_RBP], 0);
}

#define VMCALL_MASK (BIT(TDX_RBX) | BIT(TDX_R10) | BIT(TDX_R11))

/* First a VMCALL, then a look at the answer. */
static void vmcalls(struct soft_vp *vp)
{
	if (ran++) {
		assert_int_equal(vp->gpr[TDX_RAX], 0);
		assert_int_equal(vp->gpr[TDX_RCX], VMCALL_MASK);
		assert_int_equal(vp->gpr[TDX_RBX], 0xb);
		assert_int_equal(vp->gpr[TDX_R10], 0xa);
		assert_int_equal(vp->gpr[TDX_R11], 0);
		assert_int_equal(vp->gpr[TDX_R12], 0xcc);
		guest_exits(vp, REASON_EXTERNAL_INTERRUPT, 0);
		return;
	}
	*guest_field(vp, VMCS_GUEST_EFER) |= EFER_LMA; /* TDCALL is of 64-bit mode */
	*guest_field(vp, VMCS_GUEST_CS_AR) |= AR_CS_LONG;
	vp->gpr[TDX_RAX] = 0;
	vp->gpr[TDX_RCX] = VMCALL_MASK;
	vp->gpr[TDX_RBX] = 1;
	vp->gpr[TDX_R10] = 2;
	vp->gpr[TDX_R11] = 3;
	vp->gpr[TDX_R12] = 0xcc;
	guest_exits(vp, TDX_EXIT_TDCALL, 0);
}

static void registers_of_vmcall(void **state)
{
	(void)state;
	td_run(&td, WORLD_HKID(0));
	world.guest = vmcalls;
	fill_registers();
	assert_int_equal(enter(0, td.vp[0]), TDX_EXIT_TDCALL);
	assert_int_equal(out.gpr[TDX_RCX], VMCALL_MASK);
	assert_int_equal(out.gpr[TDX_RBX], 1);
	assert_int_equal(out.gpr[TDX_R10], 2);
	assert_int_equal(out.gpr[TDX_R11], 3);
	assert_int_equal(out.gpr[TDX_R12], 0);
	assert_int_equal(out.gpr[TDX_R8], 0);
	out.gpr[TDX_RBX] = 0xb;
	out.gpr[TDX_R10] = 0xa;
	out.gpr[TDX_R11] = 0;
	out.gpr[TDX_R12] = 0xffff;
	assert_int_equal(enter(0, td.vp[0]), EXTERNAL_INTERRUPT);
	assert_int_equal(ran, 2);
	/* What the host leaves behind after another exit is not the guest's. */
	out.gpr[TDX_RBX] = 0xbad;
	ran = 1;
	td_vp(&td, 0)->gpr[TDX_RAX] = 0;
	td_vp(&td, 0)->gpr[TDX_RCX] = VMCALL_MASK;
	assert_int_equal(enter(0, td.vp[0]), EXTERNAL_INTERRUPT);
}

/* ---- other LPs, while a vCPU is inside ---- */

static void while_inside(struct soft_vp *vp)
{
	ran++;
	assert_int_equal(enter(0, td.vp[0]), ST(0xc0000700, 0));
	assert_int_equal(sc(0, TDH_VP_WR, td.vp[0], TDX_VP_PEND_NMI, 1, 1), ST(0xc0000700, 0));
	assert_int_equal(sc(0, TDH_VP_RD, td.vp[0], TDX_VP_PEND_NMI, 1, 1), ST(0xc0000700, 0));
	assert_int_equal(sc(0, TDH_VP_FLUSH, td.vp[0], 0, 0, 0), ST(0x80000200, 1));
	assert_int_equal(sc(0, TDH_MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), ST(0x80000200, 1));
	assert_int_equal(sc(0, TDH_MNG_KEY_FREEID, td.tdr, 0, 0, 0), ST(0x80000200, 1));
	assert_int_equal(sc(0, TDH_MNG_ADDCX, world_page(), td.tdr, 0, 0), ST(0x80000200, 2));
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0), ST(0x80000200, 1));
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, td.vp[0], 0, 0, 0), ST(0x80000200, 1));
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, td.tdcx[0], 0, 0, 0), ST(0xc0000607, 0));
	assert_int_equal(sc(0, TDH_MNG_RD, td.tdr, TDX_TD_OP_STATE, 0, 0), 0);
	assert_int_equal(td_tdcs(&td)->refcount[0] + td_tdcs(&td)->refcount[1], 1);
	guest_exits(vp, REASON_EXTERNAL_INTERRUPT, 0);
}

static void one_vcpu_two_lps(void **state)
{
	(void)state;
	td_build(&td, WORLD_HKID(0));
	td_add_vcpu(&td, 1);
	assert_int_equal(sc(0, TDH_MR_FINALIZE, td.tdr, 0, 0, 0), 0);
	world.guest = while_inside;
	assert_int_equal(enter(1, td.vp[0]), EXTERNAL_INTERRUPT);
	assert_int_equal(ran, 1);
	assert_int_equal(enter(0, td.vp[0]), ST(0x80000701, 0));
	assert_int_equal(sc(0, TDH_VP_WR, td.vp[0], TDX_VP_PEND_NMI, 1, 1), ST(0x80000701, 0));
	assert_int_equal(sc(0, TDH_VP_FLUSH, td.vp[0], 0, 0, 0), ST(0x80000702, 0));
	assert_int_equal(sc(1, TDH_VP_FLUSH, td.vp[0], 0, 0, 0), 0);
	assert_int_equal(sc(1, TDH_VP_FLUSH, td.vp[0], 0, 0, 0), ST(0x80000702, 0));
	world.guest = NULL;
	assert_int_equal(enter(0, td.vp[0]), EXTERNAL_INTERRUPT);
	assert_int_equal(td_tdcs(&td)->num_associated, 1);
}

/* A second call, made once, at the moment that the first asks for that lock. */
static enum soft_fault at_fault;
static uint32_t at_operand;
static uint64_t (*meanwhile)(void);
static uint64_t meanwhile_status;

static bool during(enum soft_fault fault, uint32_t operand)
{
	if (fault != at_fault || operand != at_operand || !meanwhile)
		return false;
	world.fault = NULL;
	meanwhile_status = meanwhile();
	return false;
}

static void call_during(enum soft_fault fault, uint32_t operand, uint64_t (*call)(void))
{
	at_fault = fault;
	at_operand = operand;
	meanwhile = call;
	world.fault = during;
}

static uint64_t add_another(void) { return add_page(PAGE_SIZE, world_page()); }
static uint64_t read_op_state(void) { return sc(1, TDH_MNG_RD, td.tdr, TDX_TD_OP_STATE, 0, 0); }
static uint64_t block_page(void) { return sc(1, TDH_MEM_RANGE_BLOCK, 0, td.tdr, 0, 0); }
static uint64_t track(void) { return sc(1, TDH_MEM_TRACK, td.tdr, 0, 0, 0); }

static void memory_calls_at_once(void **state)
{
	(void)state;
	td_build(&td, WORLD_HKID(0));
	add_tables();
	assert_int_equal(add_page(0, world_page()), 0);
	call_during(SOFT_FAULT_BUSY, TDX_OP_SEPT_TREE, add_another);
	assert_int_equal(sc(0, TDH_MEM_SEPT_ADD, MIB(2) | 1, td.tdr, world_page(), 0), 0);
	assert_int_equal(meanwhile_status, ST(0x80000200, 2));
	call_during(SOFT_FAULT_BUSY, TDX_R8, read_op_state);
	assert_int_equal(add_page(PAGE_SIZE, world_page()), 0);
	assert_int_equal(meanwhile_status, ST(0x80000200, 1));
	call_during(SOFT_FAULT_ENTRY_BUSY, 0, block_page);
	assert_int_equal(sc(0, TDH_MEM_PAGE_AUG, MIB(2), td.tdr, world_page(), 0), 0);
	assert_int_equal(meanwhile_status, ST(0x80000200, 0x92));
}

static void track_while_entering(struct soft_vp *vp)
{
	(void)vp;
	meanwhile_status = track();
}

static void epoch_while_entering(void **state)
{
	(void)state;
	td_run(&td, WORLD_HKID(0));
	world.on_tlb_flush = track_while_entering;
	assert_int_equal(enter(0, td.vp[0]), EXTERNAL_INTERRUPT);
	assert_int_equal(meanwhile_status, ST(0x80000200, 0xa9));
}

/* ---- TLB tracking ---- */

static uint64_t on_page(uint64_t leaf) { return sc(1, leaf, 0, td.tdr, 0, 0); }

static void remove_while_inside(struct soft_vp *vp)
{
	ran++;
	assert_int_equal(on_page(TDH_MEM_RANGE_BLOCK), 0);
	assert_int_equal(track(), 0);
	assert_int_equal(on_page(TDH_MEM_PAGE_REMOVE), ST(0xc0000b08, 1));
	assert_int_equal(track(), ST(0x80000201, 0));
	guest_exits(vp, REASON_EXTERNAL_INTERRUPT, 0);
}

static void tracking(void **state)
{
	hpa_t page;

	(void)state;
	td_build(&td, WORLD_HKID(0));
	add_tables();
	page = world_page();
	assert_int_equal(add_page(0, page), 0);
	td_add_vcpu(&td, 0);
	assert_int_equal(track(), 0);
	assert_int_equal(sc(0, TDH_MR_FINALIZE, td.tdr, 0, 0, 0), 0);
	world.guest = remove_while_inside;
	assert_int_equal(enter(0, td.vp[0]), EXTERNAL_INTERRUPT);
	assert_int_equal(ran, 1);
	assert_int_equal(on_page(TDH_MEM_PAGE_REMOVE), 0);
	assert_int_equal(out.gpr[TDX_RCX], page);
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RDMD, page, 0, 0, 0), 0);
	assert_int_equal(out.gpr[TDX_RCX], TDX_PT_NDA);
}

/* One flush when the epoch is new to the vCPU, and one after VP.FLUSH; none in between. */
static void flushes(void **state)
{
	(void)state;
	td_run(&td, WORLD_HKID(0));
	assert_int_equal(enter(0, td.vp[0]), EXTERNAL_INTERRUPT);
	assert_int_equal(world.tlb_flushes, 1);
	assert_int_equal(enter(0, td.vp[0]), EXTERNAL_INTERRUPT);
	assert_int_equal(world.tlb_flushes, 1);
	assert_int_equal(track(), 0);
	assert_int_equal(enter(0, td.vp[0]), EXTERNAL_INTERRUPT);
	assert_int_equal(world.tlb_flushes, 2);
	assert_int_equal(sc(0, TDH_VP_FLUSH, td.vp[0], 0, 0, 0), 0);
	assert_int_equal(enter(2, td.vp[0]), EXTERNAL_INTERRUPT);
	assert_int_equal(world.tlb_flushes, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

/* By it the platform tells whose branches a CPU has learnt. */
static void names_of_tds(void **state)
{
	struct world_td one, two;

	(void)state;
	td_run(&one, WORLD_HKID(0));
	td_run(&two, WORLD_HKID(1));
	assert_int_not_equal(td_vp(&one, 0)->td, td_vp(&two, 0)->td);
	assert_true(td_vp(&one, 0)->td >> 63 && td_vp(&two, 0)->td >> 63);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(op_states), TEST(operands_of_enter), TEST(registers_of_exit), TEST(rbp_of_older_hosts),
		TEST(registers_of_vmcall), TEST(one_vcpu_two_lps), TEST(memory_calls_at_once),
		TEST(epoch_while_entering), TEST(tracking), TEST(flushes), TEST(names_of_tds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
