/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c tests/unit/soft_guest.c */
/* Whatever a TD's guest does: its code, its TDCALLs and its exits as chance makes them. */
#include "tests/unit/soft_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Page tables, registers and mode as chance makes them: every #UD ends in something that is defined. */
static void random_undefined(struct soft_vp *vp)
{
	for (unsigned i = 0; i < 8; i++)
		guest.pml4[rand() % 512] = ((uint64_t)rand() << 31 ^ (uint64_t)rand()) | (rand() & 1);
	guest.pml4[rand() % 4] = (uint64_t)(rand() % 8) << 12 | 0x83;
	guest.pdpt[rand() % 4] = ((uint64_t)rand() % 0x4000) << 12 | (rand() & 0x83) | (rand() % 3 ? 1 : 0);
	*guest_field(vp, VMCS_GUEST_RIP) = (uint64_t)rand() << (rand() % 33);
	*guest_field(vp, VMCS_GUEST_CS_BASE) = (uint32_t)rand();
	*guest_field(vp, VMCS_GUEST_CR3) = (uint64_t)(rand() % 5) << 12 | (rand() % 9 ? 0 : BIT(rand() % 52));
	*guest_field(vp, VMCS_GUEST_CR0) ^= rand() % 4 ? 0 : CR0_PG;
	*guest_field(vp, VMCS_GUEST_CR4) ^= rand() % 4 ? 0 : CR4_PAE;
	*guest_field(vp, VMCS_GUEST_CR4) ^= rand() % 4 ? 0 : CR4_PSE;
	*guest_field(vp, VMCS_GUEST_EFER) ^= rand() % 4 ? 0 : EFER_LMA;
	*guest_field(vp, VMCS_GUEST_CS_AR) ^= rand() % 4 ? 0 : AR_CS_LONG;
	*guest_field(vp, VMCS_GUEST_PDPTE0) = (uint64_t)(rand() % 8) << 12 | (rand() & 1);
	step_exception(vp, VEC_UD);
}

static void any_code_is_survived(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	srand(1);
	for (int i = 0; i < 20000; i++)
		GUEST_RUN(random_undefined);
	world_end();
}

/* Any leaf with any operands. */
static void random_tdcall(struct soft_vp *vp)
{
	for (unsigned i = 1; i < TDX_REGS; i++)
		vp->gpr[i] = rand() % 3 ? (uint64_t)(rand() % 64) << (rand() % 53) : (uint64_t)rand() * (uint64_t)rand();
	vp->gpr[TDX_RAX] = (uint64_t)(rand() % 16) | (rand() % 8 ? 0 : (uint64_t)(rand() % 3) << 16);
	step_exit(vp, REASON_TDCALL, 0);
}

static void any_tdcall_is_survived(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	srand(2);
	for (int i = 0; i < 20000; i++) {
		run_ve_info(&(struct run){ .m = &world.m, .vp = guest.vp })->busy = 0;
		GUEST_DO(random_tdcall);
		assert_false(guest_enter() & TDX_NON_RECOVERABLE);
		tree_check(&guest.td);
	}
	world_end();
}

/* Any exit with any qualification: the vCPU goes on, or the host hears of it. */
static void random_exit(struct soft_vp *vp)
{
	step_exit(vp, (uint32_t)rand() % 90, (uint64_t)rand() << (rand() % 33));
	*guest_field(vp, VMCS_EXIT_INTR_INFO) = (uint32_t)rand() | (rand() & 1 ? INTR_VALID : 0);
	*guest_field(vp, VMCS_IDT_VECTORING_INFO) = rand() % 4 ? 0 : INTR_VALID | (rand() & 0xfff);
	*guest_field(vp, VMCS_GUEST_PHYSICAL) = (uint64_t)rand() << (rand() % 33);
	for (unsigned i = 0; i < TDX_REGS; i++)
		vp->gpr[i] = (uint64_t)rand() << (rand() % 33);
}

static void any_exit_is_survived(void **state)
{
	(void)state;
	guest_start(SOFT_CPU_FULL);
	srand(3);
	for (int i = 0; i < 50000; i++) {
		GUEST_DO(random_exit);
		guest_enter();
		guest.vp->state = VP_READY;
		guest.vp->shutdown = false;
		td_tdr(&guest.td)->fatal = 0;
	}
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_code_is_survived),
		cmocka_unit_test(any_tdcall_is_survived),
		cmocka_unit_test(any_exit_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
