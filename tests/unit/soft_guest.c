/* A TD's guest in steps; see the header. */
#include "tests/unit/soft_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define AR_CODE_64 0xa09bu
#define PRESENT_WRITABLE 3ul
#define LARGE BIT(7)

struct guest guest;

/* What a VM exit does to the VMCS by itself. */
static void leave_vmcs_clean(struct soft_vp *vp)
{
	guest.injected = (uint32_t)*guest_field(vp, VMCS_ENTRY_INTR_INFO);
	guest.injected_error = (uint32_t)*guest_field(vp, VMCS_ENTRY_ERROR_CODE);
	if (!(guest.injected & INTR_VALID))
		guest.injected = 0;
	*guest_field(vp, VMCS_ENTRY_INTR_INFO) &= ~(uint64_t)INTR_VALID;
	*guest_field(vp, VMCS_IDT_VECTORING_INFO) = 0;
	*guest_field(vp, VMCS_EXIT_INTR_INFO) = 0;
	*guest_field(vp, VMCS_EXIT_INSN_LENGTH) = 2;
}

static void one_step(struct soft_vp *vp)
{
	leave_vmcs_clean(vp);
	guest.entries++;
	if (guest.at < guest.steps)
		guest.step[guest.at++](vp);
	else
		*guest_field(vp, VMCS_EXIT_INTR_INFO) = INTR_VALID | 0x40;
}

static void *private_page(gpa_t gpa) { return world_at(tree_map(&guest.td, gpa, SOFT_4K)); }

static void go_to_64bit(struct soft_vp *vp)
{
	*guest_field(vp, VMCS_GUEST_CR0) |= CR0_PG;
	*guest_field(vp, VMCS_GUEST_CR4) |= CR4_PAE;
	*guest_field(vp, VMCS_GUEST_CR3) = GUEST_PML4;
	*guest_field(vp, VMCS_GUEST_EFER) |= EFER_LMA;
	*guest_field(vp, VMCS_ENTRY_CONTROLS) |= ENTRY_IA32E;
	*guest_field(vp, VMCS_GUEST_CS_AR) = AR_CODE_64;
	*guest_field(vp, VMCS_GUEST_RIP) = GUEST_CODE;
}

void guest_start_on_world(void)
{
	memset(&guest, 0, sizeof guest);
	td_run(&guest.td, WORLD_HKID(0));
	guest.vp = td_vp(&guest.td, 0);
	guest.pml4 = private_page(GUEST_PML4);
	guest.pdpt = private_page(GUEST_PDPT);
	guest.code = private_page(GUEST_CODE);
	guest.pml4[0] = GUEST_PDPT | PRESENT_WRITABLE;
	guest.pdpt[0] = PRESENT_WRITABLE | LARGE;
	go_to_64bit(guest.vp);
	world.guest = one_step;
}

void guest_choose_cpu(enum soft_cpu_kind kind)
{
	world.m.platform.cpu = soft_cpu_fake(kind);
	assert_int_equal(soft_controls_compute(&world.m.platform.cpu.caps, &world.m.controls, NULL), 0);
}

void guest_start(enum soft_cpu_kind kind)
{
	world_ready();
	guest_choose_cpu(kind);
	guest_start_on_world();
}

void guest_do(const guest_step *steps, unsigned n)
{
	assert_true(n <= GUEST_STEPS);
	memcpy(guest.step, steps, n * sizeof *steps);
	guest.steps = n;
	guest.at = 0;
}

uint64_t guest_enter(void)
{
	guest.entries = 0;
	return enter(0, guest.td.vp[0]);
}

void guest_runs_through(void)
{
	assert_int_equal(guest_enter(), REASON_EXTERNAL_INTERRUPT);
	assert_int_equal(guest.at, guest.steps);
	assert_in_range(guest.entries, guest.steps, guest.steps + 1); /* the last step may have been the interrupt */
}

void step_exit(struct soft_vp *vp, uint32_t reason, uint64_t qualification)
{
	guest_exits(vp, reason, qualification);
}

void step_exception(struct soft_vp *vp, unsigned vector)
{
	step_exit(vp, REASON_EXCEPTION_NMI, 0);
	*guest_field(vp, VMCS_EXIT_INTR_INFO) = INTR_VALID | INTR_TYPE_BITS(INTR_HARD_EXCEPTION) | vector;
}

void step_undefined(struct soft_vp *vp, const uint8_t bytes[4])
{
	memcpy(guest.code + (*guest_field(vp, VMCS_GUEST_RIP) & PAGE_MASK), bytes, 4);
	step_exception(vp, VEC_UD);
}

void step_tdcall(struct soft_vp *vp, uint64_t rax)
{
	static const uint8_t tdcall[4] = { 0x66, 0x0f, 0x01, 0xcc };

	vp->gpr[TDX_RAX] = rax;
	step_undefined(vp, tdcall);
}

void step_violation(struct soft_vp *vp, gpa_t gpa)
{
	step_exit(vp, REASON_EPT_VIOLATION, 1 | EPT_VIOLATION_LINEAR_VALID | EPT_VIOLATION_FINAL);
	*guest_field(vp, VMCS_GUEST_PHYSICAL) = gpa;
	*guest_field(vp, VMCS_GUEST_LINEAR) = gpa;
}

int injected_vector(void) { return guest.injected ? (int)INTR_VECTOR(guest.injected) : -1; }
