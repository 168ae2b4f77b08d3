/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c tests/unit/soft_guest.c */
/* MSRs, control registers, interrupts and exceptions of a TD's guest. */
#include "tdx/soft/td_msr.h"
#include "tests/unit/soft_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DESCRIPTOR (MIB(75) + 64)
#define VECTOR_NOTIFY 0xf0

static uint64_t field(uint32_t f) { return *guest_field(guest.vp, f); }

static void leave(struct soft_vp *vp)
{
	step_exit(vp, REASON_EXTERNAL_INTERRUPT, 0);
	*guest_field(vp, VMCS_EXIT_INTR_INFO) = INTR_VALID | 0x40;
}

/* ---- MSRs ---- */

static uint32_t msr;
static uint64_t msr_value;

static void do_rdmsr(struct soft_vp *vp)
{
	run_ve_info(&(struct run){ .m = &world.m, .vp = vp })->busy = 0;
	vp->gpr[TDX_RCX] = msr;
	vp->gpr[TDX_RAX] = vp->gpr[TDX_RDX] = ~0ul;
	step_exit(vp, REASON_RDMSR, 0);
}

static void do_wrmsr(struct soft_vp *vp)
{
	run_ve_info(&(struct run){ .m = &world.m, .vp = vp })->busy = 0;
	vp->gpr[TDX_RCX] = msr | 0xabc00000000;
	vp->gpr[TDX_RAX] = (uint32_t)msr_value | 0xabc00000000;
	vp->gpr[TDX_RDX] = msr_value >> 32;
	step_exit(vp, REASON_WRMSR, 0);
}

#define DONE (-1)
static int result;
static uint64_t got;

static void take_result(struct soft_vp *vp)
{
	result = injected_vector();
	got = vp->gpr[TDX_RDX] << 32 | vp->gpr[TDX_RAX];
	leave(vp);
}

/* DONE, or the vector. */
static int msr_read(uint32_t which)
{
	msr = which;
	*guest_field(guest.vp, VMCS_GUEST_RIP) = GUEST_CODE;
	GUEST_RUN(do_rdmsr, take_result);
	assert_int_equal(field(VMCS_GUEST_RIP), GUEST_CODE + (result == DONE ? 2 : 0));
	return result;
}

static int msr_write(uint32_t which, uint64_t value)
{
	msr = which;
	msr_value = value;
	GUEST_RUN(do_wrmsr, take_result);
	return result;
}

static void msrs_answer_by_the_table(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	assert_int_equal(msr_read(0x1a0), DONE); /* MISC_ENABLE: Linux reads it before it has a #VE handler */
	assert_int_equal(got, 0x1801);
	assert_int_equal(msr_read(0x10a), DONE);
	assert_int_equal(got, 0x20006b); /* x2APIC mode is locked ... */
	assert_int_equal(msr_read(0xbd), DONE);
	assert_int_equal(got, 1);        /* ... as this says */
	assert_int_equal(msr_write(0xbd, 1), VEC_GP);
	assert_int_equal(msr_read(0x345), DONE);
	assert_int_equal(got, 0);
	assert_int_equal(msr_read(0xda0), DONE);
	assert_int_equal(got, 0);
	assert_int_equal(msr_write(0xda0, BIT(11)), VEC_GP);
	assert_int_equal(msr_write(0xda0, 0), DONE);
	assert_int_equal(msr_write(0x1d9, 2), DONE);
	assert_int_equal(msr_read(0x1d9), DONE);
	assert_int_equal(got, 2);
	assert_int_equal(msr_write(0x1d9, BIT(7)), VEC_GP);
	assert_int_equal(msr_write(0x1a0, 1), VEC_VE);
	assert_int_equal(msr_read(0x480), VEC_GP);
	assert_int_equal(msr_read(0x8b), VEC_VE);
	assert_int_equal(msr_read(0x6e0), VEC_VE);
	assert_int_equal(msr_write(0x6e0, 5), VEC_VE);
	assert_int_equal(msr_read(0x802), VEC_VE);
	assert_int_equal(msr_write(0x830, 5), VEC_VE);
	assert_int_equal(msr_read(0x40000000), VEC_VE);
	assert_int_equal(msr_read(0xc0010000), VEC_VE);
	assert_int_equal(msr_read(0xc1), VEC_GP);
	assert_int_equal(msr_write(0x3a, 1), VEC_VE);
	world_end();
}

static void only_sce_of_efer_is_the_guests(void **state)
{
	uint64_t efer;

	(void)state;
	guest_start(SOFT_CPU_FULL);
	efer = field(VMCS_GUEST_EFER);
	assert_int_equal(msr_write(0xc0000080, efer & ~EFER_SCE), DONE);
	assert_int_equal(field(VMCS_GUEST_EFER), efer & ~EFER_SCE);
	assert_int_equal(msr_write(0xc0000080, efer & ~EFER_LMA), DONE);
	assert_int_equal(field(VMCS_GUEST_EFER), efer);
	assert_int_equal(msr_write(0xc0000080, efer & ~EFER_NXE), VEC_VE);
	assert_int_equal(field(VMCS_GUEST_EFER), efer);
	world_end();
}

static bool exits(const uint8_t *page, uint32_t which, bool write)
{
	unsigned part = (which >= 0xc0000000 ? 1024 : 0) + (write ? 2048 : 0);

	return page[part + (which & 0x1fff) / 8] >> (which & 7) & 1;
}

static void bitmap_follows_the_table(void **state)
{
	static const uint32_t open[] = { 0x174, 0x175, 0x176, 0x277, 0x48, 0x49, 0x10b, 0x808, 0xc0000081, 0xc0000082,
					 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103 };
	static const uint32_t closed[] = { 0, 0x1b, 0x1a0, 0x6e0, 0x802, 0x830, 0x480, 0xda0, 0xc0000083, 0x1fff };
	struct soft_controls vid = { .vid = true }, plain = { 0 };
	uint8_t *page = malloc(PAGE_SIZE);

	(void)state;
	assert_non_null(page);
	td_msr_bitmap(&vid, page);
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		assert_false(exits(page, open[i], false) || exits(page, open[i], true));
	for (size_t i = 0; i < ARRAY_LEN(closed); i++)
		assert_true(exits(page, closed[i], false) && exits(page, closed[i], true));
	assert_false(exits(page, 0x10, false));
	assert_true(exits(page, 0x10, true));
	assert_false(exits(page, 0xc0000080, false));
	assert_true(exits(page, 0xc0000080, true));
	assert_false(exits(page, 0x80b, true) || exits(page, 0x83f, true) || exits(page, 0x820, false));
	td_msr_bitmap(&plain, page);
	assert_true(exits(page, 0x80b, true) && exits(page, 0x83f, true) && exits(page, 0x820, false));
	free(page);
}

/* ---- control registers ---- */

static uint64_t cr_qualification, reg_rax, reg_rdx, reg_rcx;

static void do_cr(struct soft_vp *vp) { step_exit(vp, REASON_CR_ACCESS, cr_qualification); }

static void do_xsetbv(struct soft_vp *vp)
{
	vp->gpr[TDX_RAX] = reg_rax;
	vp->gpr[TDX_RDX] = reg_rdx;
	vp->gpr[TDX_RCX] = reg_rcx;
	step_exit(vp, REASON_XSETBV, 0);
}

static void illegal_control_registers_are_gp(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	cr_qualification = 0; /* MOV to CR0 */
	GUEST_RUN(do_cr, take_result);
	assert_int_equal(result, VEC_GP);
	cr_qualification = 4;
	GUEST_RUN(do_cr, take_result);
	assert_int_equal(result, VEC_GP);
	/* LMSW: MP, EM and TS; PE stays. */
	cr_qualification = CR_LMSW << 4 | 0xfff6ul << 16;
	GUEST_RUN(do_cr, take_result);
	assert_int_equal(result, DONE);
	assert_int_equal(field(VMCS_GUEST_CR0) & 0xf, 7);
	world_end();
}

static int set_xcr(uint64_t value, uint32_t index)
{
	reg_rax = (uint32_t)value;
	reg_rdx = value >> 32;
	reg_rcx = index;
	GUEST_RUN(do_xsetbv, take_result);
	return result;
}

static void xcr0_stays_inside_xfam(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	assert_int_equal(set_xcr(7, 0), DONE);
	assert_int_equal(guest.vp->xcr0, 7);
	assert_int_equal(world.applied[SOFT_XCR0], 1);
	assert_int_equal(set_xcr(0x2e7, 0), DONE);
	assert_int_equal(set_xcr(0, 0), VEC_GP);
	assert_int_equal(set_xcr(5, 0), VEC_GP);    /* AVX without SSE */
	assert_int_equal(set_xcr(0x27, 0), VEC_GP); /* a part of AVX-512 */
	assert_int_equal(set_xcr(0x1f, 0), VEC_GP); /* MPX */
	assert_int_equal(set_xcr(7, 1), VEC_GP);
	assert_int_equal(guest.vp->xcr0, 0x2e7);
	*guest_field(guest.vp, VMCS_GUEST_SS_AR) = 0xc0f3;
	assert_int_equal(set_xcr(7, 0), VEC_GP);
	world_end();
}

/* ---- interrupts ---- */

static uint64_t *descriptor(void) { return world_at(DESCRIPTOR); }

static void post(unsigned vector)
{
	descriptor()[vector / 64] |= BIT(vector % 64);
	descriptor()[4] |= 1;
}

static uint32_t *apic(uint32_t offset)
{
	return (uint32_t *)(void *)((uint8_t *)world_at(guest.vp->page[TDVPS_VAPIC]) + offset);
}

static bool in_set(uint32_t set, unsigned vector) { return *apic(set + vector / 32 * 16) >> vector % 32 & 1; }

static void start_with_posting(enum soft_cpu_kind kind)
{
	hpa_t vp;

	guest_start(kind);
	vp = guest.td.vp[0];
	memset(descriptor(), 0, 64);
	assert_int_equal(sc(0, TDH_VP_WR, vp, TDX_VP_POSTED_DESCRIPTOR, DESCRIPTOR, ~0ul), 0);
	assert_int_equal(sc(0, TDH_VP_WR, vp, TDX_VP_POSTED_VECTOR, VECTOR_NOTIFY, 0xffff), 0);
	assert_int_equal(sc(0, TDH_VP_WR, vp, TDX_VP_PIN_CONTROLS, BIT(7), BIT(7)), 0);
	*guest_field(guest.vp, VMCS_GUEST_RFLAGS) |= RFLAGS_IF;
}

static void posted_interrupts_reach_rvi(void **state)
{
	(void)state;
	start_with_posting(SOFT_CPU_FULL);
	post(0x31);
	post(0x85);
	GUEST_RUN(leave);
	assert_int_equal(field(VMCS_GUEST_INTR_STATUS), 0x85);
	assert_true(in_set(0x200, 0x31) && in_set(0x200, 0x85));
	assert_int_equal(descriptor()[0] | descriptor()[1] | descriptor()[2] | descriptor()[4], 0);
	/* Without a notification nothing is looked at. */
	descriptor()[3] = BIT(63);
	GUEST_RUN(leave);
	assert_int_equal(field(VMCS_GUEST_INTR_STATUS), 0x85);
	assert_int_equal(sc(0, TDH_VP_RD, guest.td.vp[0], TDX_VP_STATE_DETAILS, 0, 0), 0);
	assert_int_equal(out.gpr[TDX_R8], 1);
	world_end();
}

static void notify_inside(struct soft_vp *vp)
{
	post(0x51);
	step_exit(vp, REASON_EXTERNAL_INTERRUPT, 0);
	*guest_field(vp, VMCS_EXIT_INTR_INFO) = INTR_VALID | VECTOR_NOTIFY;
}

static void notification_is_the_modules(void **state)
{
	(void)state;
	start_with_posting(SOFT_CPU_FULL);
	GUEST_RUN(notify_inside, leave);
	assert_int_equal(world.ends_of_interrupt, 1);
	assert_int_equal(field(VMCS_GUEST_INTR_STATUS), 0x51);
	assert_int_equal(out.gpr[TDX_R9], INTR_VALID | 0x40);
	world_end();
}

static void see_51(struct soft_vp *vp)
{
	assert_int_equal(guest.injected, INTR_VALID | 0x51);
	leave(vp);
}

static void see_nothing(struct soft_vp *vp)
{
	assert_int_equal(guest.injected, 0);
	leave(vp);
}

static void window(struct soft_vp *vp)
{
	assert_int_equal(guest.injected, 0);
	assert_true(*guest_field(vp, VMCS_PRIMARY_CONTROLS) & PRIMARY_INTERRUPT_WINDOW);
	*guest_field(vp, VMCS_GUEST_RFLAGS) |= RFLAGS_IF;
	step_exit(vp, REASON_INTERRUPT_WINDOW, 0);
}

static void module_delivers_where_the_cpu_does_not(void **state)
{
	(void)state;
	start_with_posting(SOFT_CPU_PLAIN);
	post(0x51);
	GUEST_RUN(see_51);
	assert_true(in_set(0x100, 0x51) && !in_set(0x200, 0x51));
	/* In service: the same class waits. */
	post(0x52);
	GUEST_RUN(see_nothing);
	assert_int_equal(msr_read(0x80a), DONE);
	assert_int_equal(got, 0x50);
	assert_int_equal(msr_read(0x822), DONE);
	assert_int_equal(got, 1u << 0x12);
	assert_int_equal(msr_write(0x80b, 1), VEC_GP);
	assert_int_equal(msr_write(0x80b, 0), 0x52); /* EOI lets the next one in */
	assert_int_equal(msr_write(0x80b, 0), DONE);
	/* SELF IPI, and interrupts off: a window. */
	*guest_field(guest.vp, VMCS_GUEST_RFLAGS) &= ~RFLAGS_IF;
	assert_int_equal(msr_write(0x83f, 0x100), VEC_GP);
	assert_int_equal(msr_write(0x83f, 0x51), DONE);
	GUEST_RUN(window, see_51);
	assert_false(field(VMCS_PRIMARY_CONTROLS) & PRIMARY_INTERRUPT_WINDOW);
	world_end();
}

static void lower_tpr(struct soft_vp *vp)
{
	assert_int_equal(guest.injected, 0);
	assert_int_equal(*guest_field(vp, VMCS_TPR_THRESHOLD), 5);
	*apic(0x80) = 0;
	step_exit(vp, REASON_TPR_BELOW_THRESHOLD, 0);
}

static void tpr_holds_interrupts_back(void **state)
{
	(void)state;
	start_with_posting(SOFT_CPU_PLAIN);
	*apic(0x80) = 0x50;
	post(0x51);
	GUEST_RUN(lower_tpr, see_51);
	world_end();
}

static void see_nmi(struct soft_vp *vp)
{
	assert_int_equal(guest.injected, INTR_VALID | INTR_TYPE_BITS(INTR_NMI) | VEC_NMI);
	leave(vp);
}

static void nmi_window(struct soft_vp *vp)
{
	assert_int_equal(guest.injected, 0);
	assert_true(*guest_field(vp, VMCS_PRIMARY_CONTROLS) & PRIMARY_NMI_WINDOW);
	*guest_field(vp, VMCS_GUEST_INTERRUPTIBILITY) = 0;
	step_exit(vp, REASON_NMI_WINDOW, 0);
}

static void pend_nmi(void)
{
	assert_int_equal(sc(0, TDH_VP_WR, guest.td.vp[0], TDX_VP_PEND_NMI, 1, 1), 0);
}

static void nmi_waits_until_it_is_taken(void **state)
{
	(void)state;
	start_with_posting(SOFT_CPU_FULL);
	pend_nmi();
	GUEST_RUN(see_nmi);
	GUEST_RUN(see_nothing);
	pend_nmi();
	*guest_field(guest.vp, VMCS_GUEST_INTERRUPTIBILITY) = BLOCKING_NMI;
	GUEST_RUN(nmi_window, see_nmi);
	assert_false(field(VMCS_PRIMARY_CONTROLS) & PRIMARY_NMI_WINDOW);
	/* A #VE that was not read comes first. */
	pend_nmi();
	run_ve_info(&(struct run){ .m = &world.m, .vp = guest.vp })->busy = VE_BUSY;
	GUEST_RUN(see_nothing);
	run_ve_info(&(struct run){ .m = &world.m, .vp = guest.vp })->busy = 0;
	GUEST_RUN(see_nmi);
	world_end();
}

/* ---- exceptions ---- */

static void do_ac(struct soft_vp *vp)
{
	step_exception(vp, VEC_AC);
	*guest_field(vp, VMCS_EXIT_INTR_INFO) |= INTR_ERROR_CODE;
	*guest_field(vp, VMCS_EXIT_ERROR_CODE) = 0;
}

static void do_db(struct soft_vp *vp)
{
	step_exception(vp, VEC_DB);
	*guest_field(vp, VMCS_EXIT_QUALIFICATION) = BIT(14) | BIT(0);
}

static void do_int1(struct soft_vp *vp)
{
	step_exception(vp, VEC_DB);
	*guest_field(vp, VMCS_EXIT_INTR_INFO) = INTR_VALID | INTR_TYPE_BITS(INTR_PRIV_SOFT_EXCEPTION) | VEC_DB;
	*guest_field(vp, VMCS_EXIT_INSN_LENGTH) = 1;
}

static void exceptions_that_are_watched_go_to_the_guest(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	GUEST_RUN(do_ac, take_result);
	assert_int_equal(result, VEC_AC);
	GUEST_RUN(do_db, take_result);
	assert_int_equal(result, VEC_DB);
	assert_int_equal(guest.vp->dr6, 0xffff4ff1);
	GUEST_RUN(do_int1, take_result);
	assert_int_equal(result, VEC_DB);
	assert_int_equal(INTR_TYPE(guest.injected), INTR_PRIV_SOFT_EXCEPTION);
	assert_int_equal(field(VMCS_ENTRY_INSN_LENGTH), 1);
	world_end();
}

static uint32_t cut_short;

static void ac_while_delivering(struct soft_vp *vp)
{
	do_ac(vp);
	*guest_field(vp, VMCS_IDT_VECTORING_INFO) = cut_short;
}

static void faults_during_delivery_combine(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	cut_short = INTR_VALID | INTR_TYPE_BITS(INTR_HARD_EXCEPTION) | VEC_PF;
	GUEST_RUN(ac_while_delivering, take_result);
	assert_int_equal(result, VEC_AC); /* benign after #PF: one after the other */
	world_end();
}

static void double_fault_faults(struct soft_vp *vp)
{
	step_exception(vp, VEC_GP);
	*guest_field(vp, VMCS_EXIT_INTR_INFO) |= INTR_ERROR_CODE;
	*guest_field(vp, VMCS_IDT_VECTORING_INFO) = INTR_VALID | INTR_TYPE_BITS(INTR_HARD_EXCEPTION) |
						    INTR_ERROR_CODE | VEC_DF;
}

static void third_fault_shuts_down(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	GUEST_DO(double_fault_faults);
	assert_int_equal(guest_enter(), TDX_NON_RECOVERABLE_VCPU | REASON_TRIPLE_FAULT);
	assert_int_equal(guest_enter(), TDX_VCPU_STATE_INCORRECT);
	world_end();
}

static void entry_fails(struct soft_vp *vp) { step_exit(vp, REASON_ENTRY_FAILED | REASON_ENTRY_GUEST_STATE, 0); }

static void refused_entry_disables_the_vcpu(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	GUEST_DO(entry_fails);
	assert_int_equal(guest_enter(), TDX_NON_RECOVERABLE_VCPU | REASON_ENTRY_GUEST_STATE);
	world_end();
}

#define PENDING_GPA 0x9000ul

static void touch_pending_while_delivering(struct soft_vp *vp)
{
	step_violation(vp, PENDING_GPA);
	*guest_field(vp, VMCS_IDT_VECTORING_INFO) = INTR_VALID | 0x61;
}

static void see_61(struct soft_vp *vp)
{
	assert_int_equal(guest.injected, INTR_VALID | 0x61);
	leave(vp);
}

/* A #VE cannot take the place of an event: the host hears of it, and the event comes again. */
static void event_on_a_pending_page_is_the_hosts(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	tree_aug(&guest.td, PENDING_GPA, SOFT_4K);
	td_tdcs(&guest.td)->td_ctls = 0;
	GUEST_DO(touch_pending_while_delivering);
	assert_int_equal(guest_enter(), REASON_EPT_VIOLATION);
	assert_int_equal(out.gpr[TDX_RDX], TDX_EEQ_PENDING_EPT_VIOLATION);
	GUEST_RUN(see_61);
	world_end();
}

/* IRET took NMI blocking off, then faulted: it runs again, so NMIs are blocked again. */
static void iret_violation(struct soft_vp *vp)
{
	step_violation(vp, 0x9000);
	*guest_field(vp, VMCS_EXIT_QUALIFICATION) |= EPT_VIOLATION_NMI_UNBLOCK;
}

static void wide_violation(struct soft_vp *vp)
{
	step_violation(vp, BIT(WORLD_GPA_BITS) | 0x9123);
	*guest_field(vp, VMCS_EXIT_QUALIFICATION) |= BIT(1);
	*guest_field(vp, VMCS_GUEST_LINEAR) = 0x7777;
}

static void violations_keep_the_guests_rules(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	GUEST_DO(iret_violation);
	assert_int_equal(guest_enter(), REASON_EPT_VIOLATION);
	assert_true(field(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_NMI);
	assert_int_equal(out.gpr[TDX_RCX] & BITS(12, 7), 0);
	GUEST_RUN(wide_violation, take_result);
	assert_int_equal(result, VEC_PF);
	assert_int_equal(guest.injected_error, 0xb); /* present, write, reserved */
	assert_int_equal(guest.vp->cr2, 0x7777);
	assert_int_equal(world.applied[SOFT_CR2], 1);
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(msrs_answer_by_the_table),
		cmocka_unit_test(only_sce_of_efer_is_the_guests),
		cmocka_unit_test(bitmap_follows_the_table),
		cmocka_unit_test(illegal_control_registers_are_gp),
		cmocka_unit_test(xcr0_stays_inside_xfam),
		cmocka_unit_test(posted_interrupts_reach_rvi),
		cmocka_unit_test(notification_is_the_modules),
		cmocka_unit_test(module_delivers_where_the_cpu_does_not),
		cmocka_unit_test(tpr_holds_interrupts_back),
		cmocka_unit_test(nmi_waits_until_it_is_taken),
		cmocka_unit_test(exceptions_that_are_watched_go_to_the_guest),
		cmocka_unit_test(faults_during_delivery_combine),
		cmocka_unit_test(third_fault_shuts_down),
		cmocka_unit_test(refused_entry_disables_the_vcpu),
		cmocka_unit_test(event_on_a_pending_page_is_the_hosts),
		cmocka_unit_test(violations_keep_the_guests_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
