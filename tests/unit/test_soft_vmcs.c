/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c vmx/check.c vmx/check_controls.c vmx/check_guest_regs.c vmx/check_guest_segs.c vmx/check_host.c vmx/check_nonreg.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c tests/unit/soft_guest.c */
/* The VMCS of a TD's vCPU against the checks that a CPU makes at VM entry, and the state it starts in. */
#include "tests/unit/soft_guest.h"

#include "vmx/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static uint64_t read_field(void *ctx, uint32_t field)
{
	(void)ctx;
	return *guest_field(guest.vp, field);
}

/* As tdx/soft_vp.c writes it. */
static void write_host_state(void)
{
	static const struct {
		uint32_t field;
		uint64_t value;
	} host[] = {
		{ VMCS_HOST_CS_SEL, 8 }, { VMCS_HOST_SS_SEL, 16 }, { VMCS_HOST_DS_SEL, 16 }, { VMCS_HOST_ES_SEL, 16 },
		{ VMCS_HOST_TR_SEL, 24 }, { VMCS_HOST_CR0, 0x80050033 }, { VMCS_HOST_CR4, 0x2020 },
		{ VMCS_HOST_CR3, 0x1000 }, { VMCS_HOST_EFER, 0xd01 }, { VMCS_HOST_PAT, 0x0007040600070406 },
		{ VMCS_HOST_RIP, 0xffffffff80000000 },
	};

	for (size_t i = 0; i < ARRAY_LEN(host); i++)
		*guest_field(guest.vp, host[i].field) = host[i].value;
}

static void print_rule(void *ctx, const struct check_result *r)
{
	(void)ctx;
	print_error("%s\n", r->text);
}

static int broken_rules(void)
{
	struct check_env env = {
		.read = read_field, .caps = &world.m.platform.cpu.caps, .physical_bits = WORLD_HPA_BITS,
		.long_mode = true, .vmcs = 0x5000,
	};

	write_host_state();
	return vmx_check_each(&env, print_rule, NULL);
}

static void entry_takes_a_new_vcpu(void **state)
{
	static const enum soft_cpu_kind kinds[] = { SOFT_CPU_FULL, SOFT_CPU_PLAIN };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		world_ready();
		guest_choose_cpu(kinds[i]);
		td_build(&guest.td, WORLD_HKID(0));
		td_add_vcpu(&guest.td, 0);
		guest.vp = td_vp(&guest.td, 0);
		assert_int_equal(broken_rules(), 0);
		world_end();
	}
}

static void vcpus_start_as_the_abi_says(void **state)
{
	struct world_td td;
	struct soft_vp *vp;
	hpa_t second;

	(void)state;
	world_ready();
	td_build(&td, WORLD_HKID(0));
	td_add_vcpu(&td, 0);
	second = td_add_vcpu(&td, 1);
	vp = world_at(second);
	assert_int_equal(*guest_field(vp, VMCS_GUEST_RIP), 0xfffffff0);
	assert_int_equal(*guest_field(vp, VMCS_GUEST_CR0) & ~BIT(4), 0x21);
	assert_int_equal(*guest_field(vp, VMCS_GUEST_CR4), 0x2040);
	assert_int_equal(*guest_field(vp, VMCS_CR4_SHADOW), 0x40);
	assert_true(*guest_field(vp, VMCS_CR4_MASK) & BIT(13) && *guest_field(vp, VMCS_CR4_MASK) & BIT(6));
	assert_int_equal(*guest_field(vp, VMCS_GUEST_EFER), 0x901);
	assert_int_equal(*guest_field(vp, VMCS_GUEST_PAT), 0x0007040600070406);
	assert_int_equal(*guest_field(vp, VMCS_GUEST_RFLAGS), 2);
	assert_int_equal(*guest_field(vp, VMCS_GUEST_CS_BASE), 0);
	assert_int_equal(*guest_field(vp, VMCS_GUEST_CS_AR), 0xc09b);
	assert_int_equal(*guest_field(vp, VMCS_GUEST_SS_AR), 0xc093);
	assert_int_equal(*guest_field(vp, VMCS_GUEST_DS_LIMIT), UINT32_MAX);
	assert_int_equal(vp->gpr[TDX_RBX], WORLD_GPA_BITS);
	assert_int_equal(vp->gpr[TDX_RCX], vp->initial_rcx);
	assert_int_equal(vp->gpr[TDX_R8], vp->initial_rcx);
	assert_int_equal(vp->gpr[TDX_RDX], 0x706e5);
	assert_int_equal(vp->gpr[TDX_RSI], 1);
	assert_int_equal(vp->gpr[TDX_RDI], 0);
	assert_int_equal(*guest_field(vp, VMCS_VPID), 2);
	assert_int_equal(*guest_field(vp, VMCS_EXCEPTION_BITMAP), BIT(18) | BIT(6) | BIT(1) | BIT(17));
	assert_int_equal(*guest_field(vp, VMCS_EPTP), td.tdcx[TDCS_MERGED_ROOT] | 0x1e);
	assert_int_equal(*guest_field(vp, VMCS_MSR_BITMAP), td.tdcx[TDCS_MSR_BITMAP]);
	assert_int_equal(*guest_field(vp, VMCS_VIRTUAL_APIC), vp->page[TDVPS_VAPIC]);
	world_end();
}

/* The TD's TSC is 0 at MNG.INIT and runs at its own rate. */
static void tsc_begins_at_zero(void **state)
{
	uint64_t start, offset;

	(void)state;
	world_ready();
	world.tsc = 1000000;
	guest_start_on_world();
	start = -td_tdcs(&guest.td)->tsc_offset;
	offset = *guest_field(guest.vp, VMCS_TSC_OFFSET);
	assert_true(start >= 1000000);
	assert_int_equal(soft_tsc_scale(start, *guest_field(guest.vp, VMCS_TSC_MULTIPLIER)) + offset, 0);
	world_end();
}

/* ---- what entries deliver keeps to the checks as well ---- */

static void do_io(struct soft_vp *vp) { step_exit(vp, REASON_IO, 0); }
static void do_gp(struct soft_vp *vp) { step_exit(vp, REASON_RDPMC, 0); }
static void touch(struct soft_vp *vp) { step_violation(vp, BIT(WORLD_GPA_BITS) | 0x1000); }

static void entries_with_events_pass(void **state)
{
	static const guest_step first[] = { do_io, do_gp, touch };

	(void)state;
	guest_start(SOFT_CPU_FULL);
	for (size_t i = 0; i < ARRAY_LEN(first); i++) {
		run_ve_info(&(struct run){ .m = &world.m, .vp = guest.vp })->busy = 0;
		GUEST_RUN(first[i]);
		*guest_field(guest.vp, VMCS_ENTRY_INTR_INFO) = guest.injected;
		*guest_field(guest.vp, VMCS_ENTRY_ERROR_CODE) = guest.injected_error;
		assert_true(guest.injected != 0);
		assert_int_equal(broken_rules(), 0);
		*guest_field(guest.vp, VMCS_ENTRY_INTR_INFO) = 0;
	}
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entry_takes_a_new_vcpu),
		cmocka_unit_test(vcpus_start_as_the_abi_says),
		cmocka_unit_test(tsc_begins_at_zero),
		cmocka_unit_test(entries_with_events_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
