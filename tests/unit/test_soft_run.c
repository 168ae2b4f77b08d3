/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c tests/unit/soft_guest.c */
/* The guest's side of the software TDX module: TDCALL, #VE, what passes between guest and host. */
#include "tests/unit/soft_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define NEW_GPA 0x5000ul
#define IS(code) ((uint64_t)(code) << 32)

static uint64_t rip(void) { return *guest_field(guest.vp, VMCS_GUEST_RIP); }


/* ---- VMCALL ---- */

static uint64_t vmcall_mask;

static void do_vmcall(struct soft_vp *vp)
{
	for (unsigned i = 0; i < TDX_REGS; i++)
		vp->gpr[i] = 0x1000 + i;
	vp->gpr[TDX_RCX] = vmcall_mask;
	step_tdcall(vp, TDG_VP_VMCALL);
}

static void see_rcx_refused(struct soft_vp *vp)
{
	assert_int_equal(vp->gpr[TDX_RAX], IS(0xc0000100) | 1);
	assert_int_equal(rip(), GUEST_CODE + 4);
	*guest_field(vp, VMCS_EXIT_INTR_INFO) = INTR_VALID | 0x40;
	step_exit(vp, REASON_EXTERNAL_INTERRUPT, 0);
}

static void vmcall_refuses_masks(void **state)
{
	static const unsigned never[] = { 0, 1, 4, 5, 32, 33, 63 };

	(void)state;
	guest_start(SOFT_CPU_FULL);
	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		td_tdcs(&guest.td)->config_flags = TDX_CONFIG_NO_RBP_MOD;
		*guest_field(guest.vp, VMCS_GUEST_RIP) = GUEST_CODE;
		vmcall_mask = BIT(never[i]) | BIT(TDX_R10);
		GUEST_DO(do_vmcall, see_rcx_refused);
		assert_int_equal(guest_enter(), REASON_EXTERNAL_INTERRUPT);
		assert_int_equal(guest.at, 2);
	}
	td_tdcs(&guest.td)->config_flags = 0;
	vmcall_mask = BIT(5);
	*guest_field(guest.vp, VMCS_GUEST_RIP) = GUEST_CODE;
	GUEST_DO(do_vmcall);
	assert_int_equal(guest_enter(), TDX_EXIT_TDCALL);
	world_end();
}

static uint64_t seen[TDX_REGS];

static void look(struct soft_vp *vp)
{
	memcpy(seen, vp->gpr, sizeof seen);
	*guest_field(vp, VMCS_EXIT_INTR_INFO) = INTR_VALID | 0x40;
	step_exit(vp, REASON_EXTERNAL_INTERRUPT, 0);
}

static void vmcall_passes_what_the_mask_says(void **state)
{
	uint64_t mask = BIT(TDX_RBX) | BIT(TDX_R10) | BIT(TDX_R15) | BIT(16) | BIT(31);

	(void)state;
	guest_start(SOFT_CPU_FULL);
	td_tdcs(&guest.td)->config_flags = TDX_CONFIG_NO_RBP_MOD;
	vmcall_mask = mask;
	memset(&out, 0xee, sizeof out);
	GUEST_DO(do_vmcall);
	assert_int_equal(guest_enter(), TDX_EXIT_TDCALL);
	assert_int_equal(rip(), GUEST_CODE + 4);
	assert_int_equal(world.xmm_out, 0x8001);
	for (unsigned i = 1; i < TDX_REGS; i++) {
		uint64_t expected = mask & BIT(i) ? 0x1000 + i : 0;

		if (i == TDX_RCX)
			expected = mask;
		if (i == TDX_RSP || i == TDX_RBP)
			expected = 0xeeeeeeeeeeeeeeee;
		assert_int_equal(out.gpr[i], expected);
	}
	for (unsigned i = 0; i < TDX_REGS; i++)
		out.gpr[i] = 0x2000 + i;
	GUEST_DO(look);
	assert_int_equal(guest_enter(), REASON_EXTERNAL_INTERRUPT);
	assert_int_equal(world.xmm_in, 0x8001);
	assert_int_equal(world.xmm_out, 0);
	assert_int_equal(seen[TDX_RAX], 0);
	assert_int_equal(seen[TDX_RCX], mask);
	for (unsigned i = 2; i < TDX_REGS; i++)
		assert_int_equal(seen[i], mask & BIT(i) ? 0x2000 + i : 0x1000 + i);
	/* After an exit that the guest did not ask for nothing is taken. */
	for (unsigned i = 0; i < TDX_REGS; i++)
		out.gpr[i] = 0x3000 + i;
	GUEST_DO(look);
	assert_int_equal(guest_enter(), REASON_EXTERNAL_INTERRUPT);
	assert_int_equal(seen[TDX_RBX], 0x2000 + TDX_RBX);
	world_end();
}

static void asynchronous_exit_shows_nothing_else(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	for (unsigned i = 0; i < TDX_REGS; i++)
		guest.vp->gpr[i] = 0xdead;
	memset(&out, 0xee, sizeof out);
	GUEST_DO();
	assert_int_equal(guest_enter(), REASON_EXTERNAL_INTERRUPT);
	for (unsigned i = 1; i < TDX_REGS; i++)
		if (i != TDX_RSP && i != TDX_R9)
			assert_int_equal(out.gpr[i], i == TDX_RBP ? out.gpr[i] : 0);
	assert_int_equal(out.gpr[TDX_R9], INTR_VALID | 0x40);
	world_end();
}

/* ---- leafs ---- */

static uint64_t call_rax, call_rcx, call_rdx, call_r8, call_r9;
static uint64_t answer[TDX_REGS];

static void do_call(struct soft_vp *vp)
{
	vp->gpr[TDX_RCX] = call_rcx;
	vp->gpr[TDX_RDX] = call_rdx;
	vp->gpr[TDX_R8] = call_r8;
	vp->gpr[TDX_R9] = call_r9;
	step_tdcall(vp, call_rax);
}

static void take_answer(struct soft_vp *vp)
{
	memcpy(answer, vp->gpr, sizeof answer);
	*guest_field(vp, VMCS_EXIT_INTR_INFO) = INTR_VALID | 0x40;
	step_exit(vp, REASON_EXTERNAL_INTERRUPT, 0);
}

/* One TDCALL that is no VMCALL; RAX. */
static uint64_t tdcall(uint64_t rax, uint64_t rcx, uint64_t rdx, uint64_t r8, uint64_t r9)
{
	call_rax = rax;
	call_rcx = rcx;
	call_rdx = rdx;
	call_r8 = r8;
	call_r9 = r9;
	*guest_field(guest.vp, VMCS_GUEST_RIP) = GUEST_CODE;
	GUEST_DO(do_call, take_answer);
	assert_int_equal(guest_enter(), REASON_EXTERNAL_INTERRUPT);
	assert_int_equal(guest.at, 2);
	assert_int_equal(rip(), GUEST_CODE + 4);
	return answer[TDX_RAX];
}

static void unknown_leafs_are_refused(void **state)
{
	static const uint64_t unknown[] = {
		9, 10, 12, 13, 18, 20, 22, 23, 24, 25, 26, 27, 100, 0xffff, BIT(24) | TDG_VP_INFO, BIT(63) | TDG_VP_INFO,
		0x10000 | TDG_VP_INFO, 0x10000 | TDG_VM_WR, 0x20000 | TDG_VM_RD,
	};

	(void)state;
	guest_start(SOFT_CPU_FULL);
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		assert_int_equal(tdcall(unknown[i], 0, 0, 0, 0), IS(0xc0000100));
	world_end();
}

static void vp_info_describes_the_vcpu(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	assert_int_equal(tdcall(TDG_VP_INFO, 1, 2, 3, 4), 0);
	assert_int_equal(answer[TDX_RCX], WORLD_GPA_BITS);
	assert_int_equal(answer[TDX_RDX], td_tdcs(&guest.td)->attributes);
	assert_int_equal(answer[TDX_R8], 1 | (uint64_t)td_tdcs(&guest.td)->max_vcpus << 32);
	assert_int_equal(answer[TDX_R9], 0);
	assert_int_equal(answer[TDX_R10], 1);
	assert_int_equal(answer[TDX_R11], 0);
	world_end();
}

static void metadata_has_its_ladders(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	assert_int_equal(tdcall(TDG_VM_RD, 1, TDX_TD_ATTRIBUTES, 0, 0), IS(0xc0000100) | 1);
	assert_int_equal(tdcall(TDG_VM_RD, 0, TDX_TD_ATTRIBUTES, 0, 0), 0);
	assert_int_equal(answer[TDX_R8], td_tdcs(&guest.td)->attributes);
	assert_int_equal(answer[TDX_RDX], TDX_TD_ATTRIBUTES);
	assert_int_equal(tdcall(TDG_VM_RD, 0, TDX_TD_CONFIG_FLAGS, 0, 0), 0);
	assert_int_equal(tdcall(TDG_VM_RD, 0, TDX_FIELD_FIRST, 0, 0), IS(0xc0000c00));
	assert_int_equal(answer[TDX_RDX], TDX_FIELD_FIRST);
	assert_int_equal(tdcall(0x10000 | TDG_VM_RD, 0, TDX_FIELD_FIRST, 0, 0), IS(0x00000c0b));
	assert_int_equal(answer[TDX_RDX], 0x8010000300000020);
	assert_int_equal(tdcall(0x10000 | TDG_VM_RD, 0, TDX_TD_ATTRIBUTES, 0, 0), 0);
	assert_int_equal(answer[TDX_RDX], TDX_TD_XFAM);
	assert_int_equal(tdcall(TDG_VM_RD, 0, TDX_TD_OP_STATE, 0, 0), IS(0xc0000c02));
	assert_int_equal(tdcall(TDG_VM_WR, 0, TDX_TD_NOTIFY_ENABLES, 0, ~0ul), 0);
	assert_int_equal(tdcall(TDG_VM_WR, 0, TDX_TD_ATTRIBUTES, 1, ~0ul), IS(0xc0000c01));
	assert_int_equal(tdcall(TDG_VM_WR, 1, TDX_TD_NOTIFY_ENABLES, 0, 0), IS(0xc0000100) | 1);
	assert_int_equal(tdcall(TDG_SYS_RD, 0, TDX_FIELD_FIRST, 0, 0), IS(0x00000c0b));
	assert_int_equal(answer[TDX_RDX], 0x0800000200000000);
	assert_int_equal(tdcall(TDG_SYS_RD, 0, TDX_SYS_VENDOR, 0, 0), 0);
	assert_int_equal(answer[TDX_R8], 0x8086);
	world_end();
}

static void cpuidve_set_is_checked(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	assert_int_equal(tdcall(TDG_VP_CPUIDVE_SET, 4, 0, 0, 0), IS(0xc0000100) | 1);
	assert_int_equal(tdcall(TDG_VP_CPUIDVE_SET, 2, 0, 0, 0), 0);
	assert_true(guest.vp->cpuid_ve_user && !guest.vp->cpuid_ve_supervisor);
	world_end();
}

/* ---- #VE ---- */

static void do_hlt(struct soft_vp *vp) { step_exit(vp, REASON_HLT, 0); }

static void do_io(struct soft_vp *vp) { step_exit(vp, REASON_IO, 0x3f80040); }

static void see_ve(struct soft_vp *vp)
{
	assert_int_equal(injected_vector(), VEC_VE);
	assert_true(*guest_field(vp, VMCS_GUEST_RFLAGS) & RFLAGS_RF);
	look(vp);
}

static void ve_is_read_once(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	GUEST_DO(do_io, see_ve);
	assert_int_equal(guest_enter(), REASON_EXTERNAL_INTERRUPT);
	assert_int_equal(rip(), GUEST_CODE);
	assert_int_equal(tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0), 0);
	assert_int_equal(answer[TDX_RCX], REASON_IO);
	assert_int_equal(answer[TDX_RDX], 0x3f80040);
	assert_int_equal(answer[TDX_R8], 0);
	assert_int_equal(answer[TDX_R9], 0);
	assert_int_equal((uint32_t)answer[TDX_R10], 2);
	assert_int_equal(tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0), IS(0xc0000704));
	world_end();
}

static void see_df(struct soft_vp *vp)
{
	assert_int_equal(injected_vector(), VEC_DF);
	assert_true(guest.injected & INTR_ERROR_CODE);
	look(vp);
}

static void ve_inside_ve_is_a_double_fault(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	GUEST_DO(do_io, do_hlt, see_df);
	assert_int_equal(guest_enter(), REASON_EXTERNAL_INTERRUPT);
	assert_int_equal(guest.at, 3);
	world_end();
}

static void triple_fault(struct soft_vp *vp) { step_exit(vp, REASON_TRIPLE_FAULT, 0); }

static void triple_fault_disables_the_vcpu(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	GUEST_DO(triple_fault);
	assert_int_equal(guest_enter(), IS(0x40000001) | 2);
	assert_int_equal(guest_enter(), IS(0xc0000700));
	world_end();
}

static void machine_check(struct soft_vp *vp) { step_exception(vp, VEC_MC); }

static void machine_check_ends_the_td(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	GUEST_DO(machine_check);
	assert_int_equal(guest_enter(), IS(0x60000005));
	assert_int_equal(guest_enter(), IS(0xe0000604));
	world_end();
}

/* ---- instructions ---- */

static struct {
	uint32_t reason;
	int vector;
	uint64_t rax;
} instruction;

static void do_instruction(struct soft_vp *vp)
{
	run_ve_info(&(struct run){ .m = &world.m, .vp = vp })->busy = 0;
	vp->gpr[TDX_RAX] = instruction.rax;
	step_exit(vp, instruction.reason, 0);
}

static void see_vector(struct soft_vp *vp)
{
	assert_int_equal(injected_vector(), instruction.vector);
	look(vp);
}

static void instructions_fault_as_the_policy_says(void **state)
{
	static const struct {
		uint32_t reason;
		int vector;
	} policy[] = {
		{ REASON_IO, VEC_VE }, { REASON_HLT, VEC_VE }, { REASON_INVD, VEC_VE }, { REASON_WBINVD, VEC_VE },
		{ REASON_VMCALL, VEC_VE }, { REASON_MONITOR, VEC_VE }, { REASON_MWAIT, VEC_VE },
		{ REASON_PCONFIG, VEC_VE }, { REASON_APIC_WRITE, VEC_VE }, { REASON_GETSEC, VEC_UD },
		{ REASON_RSM, VEC_UD }, { REASON_VMXON, VEC_UD }, { REASON_VMXOFF, VEC_UD }, { REASON_VMREAD, VEC_UD },
		{ REASON_VMWRITE, VEC_UD }, { REASON_VMLAUNCH, VEC_UD }, { REASON_INVEPT, VEC_UD },
		{ REASON_ENCLS, VEC_UD }, { REASON_VMFUNC, VEC_UD }, { REASON_SEAMCALL, VEC_UD }, { REASON_RDPMC, VEC_GP },
		{ REASON_CR_ACCESS, VEC_GP }, { REASON_XSETBV, VEC_GP },
	};

	(void)state;
	guest_start(SOFT_CPU_FULL);
	for (size_t i = 0; i < ARRAY_LEN(policy); i++) {
		instruction.reason = policy[i].reason;
		instruction.vector = policy[i].vector;
		GUEST_DO(do_instruction, see_vector);
		assert_int_equal(guest_enter(), REASON_EXTERNAL_INTERRUPT);
		assert_int_equal(guest.at, 2);
		assert_int_equal(rip(), GUEST_CODE);
	}
	instruction.reason = REASON_CPUID;
	instruction.rax = 0x40000000;
	instruction.vector = VEC_VE;
	GUEST_RUN(do_instruction, see_vector);
	world_end();
}

static void exits_of_the_host(void **state)
{
	static const uint32_t reasons[] = {
		REASON_INIT, REASON_OTHER_SMI, REASON_TASK_SWITCH, REASON_BUS_LOCK, REASON_EXTERNAL_INTERRUPT,
	};

	(void)state;
	guest_start(SOFT_CPU_FULL);
	instruction.rax = 0;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		instruction.reason = reasons[i];
		GUEST_DO(do_instruction);
		assert_int_equal(guest_enter(), reasons[i]);
		assert_int_equal(guest.entries, 1);
	}
	instruction.reason = REASON_PREEMPTION_TIMER; /* ruled out by the controls */
	GUEST_DO(do_instruction);
	assert_int_equal(guest_enter(), IS(0x40000001) | REASON_PREEMPTION_TIMER);
	world_end();
}

/* ---- #UD ---- */

static void do_ud2(struct soft_vp *vp) { step_undefined(vp, (const uint8_t[]){ 0x0f, 0x0b, 0, 0 }); }
static void do_seamcall(struct soft_vp *vp) { step_undefined(vp, (const uint8_t[]){ 0x66, 0x0f, 0x01, 0xcf }); }
static void do_tdcall(struct soft_vp *vp) { step_tdcall(vp, TDG_VP_INFO); }

static void see_ud(struct soft_vp *vp)
{
	assert_int_equal(injected_vector(), VEC_UD);
	assert_int_equal(rip(), GUEST_CODE);
	look(vp);
}

static void see_gp(struct soft_vp *vp)
{
	assert_int_equal(injected_vector(), VEC_GP);
	assert_int_equal(guest.injected_error, 0);
	look(vp);
}

static void what_is_undefined_stays_so(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	GUEST_RUN(do_ud2, see_ud);
	GUEST_RUN(do_seamcall, see_ud);
	world_end();
}

static void tdcall_is_for_kernels_in_64bit_mode(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	*guest_field(guest.vp, VMCS_GUEST_SS_AR) = 0xc0f3;
	GUEST_RUN(do_tdcall, see_gp);
	*guest_field(guest.vp, VMCS_GUEST_SS_AR) = 0xc093;
	*guest_field(guest.vp, VMCS_GUEST_CS_AR) = 0xc09b;
	GUEST_RUN(do_tdcall, see_gp);
	assert_int_equal(rip(), GUEST_CODE);
	world_end();
}

static void do_reason_77(struct soft_vp *vp)
{
	vp->gpr[TDX_RAX] = TDG_VP_INFO;
	step_exit(vp, REASON_TDCALL, 0);
}

static void tdcall_may_exit_by_a_reason_of_its_own(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	GUEST_RUN(do_reason_77, look);
	assert_int_equal(rip(), GUEST_CODE + 4);
	assert_int_equal(seen[TDX_RCX], WORLD_GPA_BITS);
	world_end();
}

static void tdcall_ends_shadows_and_traps(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	*guest_field(guest.vp, VMCS_GUEST_INTERRUPTIBILITY) = BLOCKING_STI | BLOCKING_NMI;
	*guest_field(guest.vp, VMCS_GUEST_RFLAGS) |= RFLAGS_TF | RFLAGS_RF;
	GUEST_RUN(do_tdcall);
	assert_int_equal(*guest_field(guest.vp, VMCS_GUEST_INTERRUPTIBILITY), BLOCKING_NMI);
	assert_int_equal(*guest_field(guest.vp, VMCS_GUEST_RFLAGS) & (RFLAGS_TF | RFLAGS_RF), RFLAGS_TF);
	assert_true(*guest_field(guest.vp, VMCS_GUEST_PENDING_DB) & PENDING_DB_BS);
	world_end();
}

/* Its page tables change after the CPU has read the code: the guest runs on, and sees its own fault. */
static void code_that_is_gone_is_run_again(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	guest.pdpt[0] = 0;
	GUEST_RUN(do_ud2, look);
	assert_int_equal(guest.injected, 0);
	guest.pdpt[0] = WORLD_SHARED | 0x83; /* out of private memory */
	GUEST_RUN(do_tdcall, see_ud);
	world_end();
}

/* Paging off, 32-bit, PAE and 4K pages: all find the code. */
static void code_is_found_in_every_paging_mode(void **state)
{
	uint32_t *pde, *pte;
	uint64_t *t;

	(void)state;
	guest_start(SOFT_CPU_FULL);
	pde = world_at(tree_map(&guest.td, 0x6000, SOFT_4K));
	pte = world_at(tree_map(&guest.td, 0x7000, SOFT_4K));
	t = (uint64_t *)(void *)pte;
	*guest_field(guest.vp, VMCS_GUEST_CS_AR) = 0xc09b;
	*guest_field(guest.vp, VMCS_GUEST_EFER) &= ~EFER_LMA;
	*guest_field(guest.vp, VMCS_GUEST_CR0) &= ~CR0_PG;
	GUEST_RUN(do_tdcall, see_gp);

	*guest_field(guest.vp, VMCS_GUEST_CR0) |= CR0_PG;
	*guest_field(guest.vp, VMCS_GUEST_CR4) &= ~CR4_PAE;
	*guest_field(guest.vp, VMCS_GUEST_CR3) = 0x6000;
	pde[0] = 0x7001;
	pte[3] = GUEST_CODE | 1;
	GUEST_RUN(do_tdcall, see_gp);
	*guest_field(guest.vp, VMCS_GUEST_CR4) |= CR4_PSE;
	pde[0] = 0x81;
	GUEST_RUN(do_tdcall, see_gp);

	*guest_field(guest.vp, VMCS_GUEST_CR4) |= CR4_PAE;
	*guest_field(guest.vp, VMCS_GUEST_PDPTE0) = 0x7001;
	t[0] = 0x83;
	GUEST_RUN(do_tdcall, see_gp);
	*guest_field(guest.vp, VMCS_GUEST_PDPTE0) = 0;
	GUEST_RUN(do_tdcall, look);
	assert_int_equal(guest.injected, 0);
	world_end();
}

/* ---- pages (checks 24 to 27 with the guest inside) ---- */

static void do_accept(struct soft_vp *vp)
{
	vp->gpr[TDX_RCX] = NEW_GPA;
	step_tdcall(vp, TDG_MEM_PAGE_ACCEPT);
}

static void accept_of_nothing_waits_for_the_host(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	GUEST_DO(do_accept);
	assert_int_equal(guest_enter(), REASON_EPT_VIOLATION);
	assert_int_equal(out.gpr[TDX_RCX], 2);
	assert_int_equal(out.gpr[TDX_RDX] & 0xf, TDX_EEQ_ACCEPT);
	assert_int_equal(out.gpr[TDX_RDX] >> 32, 0); /* level 0 asked for and reached, FREE */
	assert_int_equal(out.gpr[TDX_R8], NEW_GPA);
	assert_int_equal(rip(), GUEST_CODE);
	tree_aug(&guest.td, NEW_GPA, SOFT_4K);
	GUEST_RUN(do_accept, look);
	assert_int_equal(seen[TDX_RAX], 0);
	assert_int_equal(rip(), GUEST_CODE + 4);
	world_end();
}

static void touch_new(struct soft_vp *vp) { step_violation(vp, NEW_GPA + 8); }

static void pending_page_is_a_ve_or_the_hosts(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	tree_aug(&guest.td, NEW_GPA, SOFT_4K);
	td_tdcs(&guest.td)->td_ctls = 0;
	GUEST_RUN(touch_new, see_ve);
	assert_int_equal(tdcall(TDG_VP_VEINFO_GET, 0, 0, 0, 0), 0);
	assert_int_equal(answer[TDX_RCX], REASON_EPT_VIOLATION);
	assert_int_equal(answer[TDX_R8], NEW_GPA + 8);
	assert_int_equal(answer[TDX_R9], NEW_GPA + 8);
	td_tdcs(&guest.td)->td_ctls = TDX_TD_CTLS_PENDING_VE_DISABLE;
	GUEST_DO(touch_new);
	assert_int_equal(guest_enter(), REASON_EPT_VIOLATION);
	assert_int_equal(out.gpr[TDX_RCX], 1); /* bits 12:7 are hidden */
	assert_int_equal(out.gpr[TDX_RDX] & 0xf, TDX_EEQ_PENDING_EPT_VIOLATION);
	assert_int_equal(out.gpr[TDX_R8], NEW_GPA);
	world_end();
}

static void free_page_is_the_hosts(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	td_tdcs(&guest.td)->td_ctls = 0;
	GUEST_DO(touch_new);
	assert_int_equal(guest_enter(), REASON_EPT_VIOLATION);
	assert_int_equal(out.gpr[TDX_RDX] & 0xf, TDX_EEQ_NONE);
	tree_map(&guest.td, NEW_GPA, SOFT_4K);
	GUEST_RUN(touch_new); /* it is there by now */
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vmcall_refuses_masks),
		cmocka_unit_test(vmcall_passes_what_the_mask_says),
		cmocka_unit_test(asynchronous_exit_shows_nothing_else),
		cmocka_unit_test(unknown_leafs_are_refused),
		cmocka_unit_test(vp_info_describes_the_vcpu),
		cmocka_unit_test(metadata_has_its_ladders),
		cmocka_unit_test(cpuidve_set_is_checked),
		cmocka_unit_test(ve_is_read_once),
		cmocka_unit_test(ve_inside_ve_is_a_double_fault),
		cmocka_unit_test(triple_fault_disables_the_vcpu),
		cmocka_unit_test(machine_check_ends_the_td),
		cmocka_unit_test(instructions_fault_as_the_policy_says),
		cmocka_unit_test(exits_of_the_host),
		cmocka_unit_test(what_is_undefined_stays_so),
		cmocka_unit_test(tdcall_is_for_kernels_in_64bit_mode),
		cmocka_unit_test(tdcall_may_exit_by_a_reason_of_its_own),
		cmocka_unit_test(tdcall_ends_shadows_and_traps),
		cmocka_unit_test(code_that_is_gone_is_run_again),
		cmocka_unit_test(code_is_found_in_every_paging_mode),
		cmocka_unit_test(accept_of_nothing_waits_for_the_host),
		cmocka_unit_test(pending_page_is_a_ve_or_the_hosts),
		cmocka_unit_test(free_page_is_the_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
