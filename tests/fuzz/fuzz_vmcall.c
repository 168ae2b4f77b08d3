/* sources: mmu/ tdx/vp.c tdx/vp_life.c tdx/exits.c tdx/vmcall.c tdx/vmcall_map.c tdx/vmcall_fatal.c tdx/shared_root.c tdx/seamcall.c tdx/status.c hv/exits.c hv/exits_msr.c hv/bus.c hv/devices/vlapic.c hv/devices/vlapic_regs.c hv/devices/vlapic_post.c hv/devices/vlapic_ipi.c hv/devices/vlapic_timer.c hv/devices/vlapic_remote.c hv/guest/cpuid.c hv/guest/cpuid_features.c hv/guest/msr.c hv/guest/msr_table.c hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/external_fake.c tests/unit/mirror_world.c tests/unit/td_world.c */
/*
 * TDG.VP.VMCALL with any registers: each call is answered, or the guest gave up by itself; no other vCPU's
 * entry follows from it, and memory stays what both tables say.
 */
#include "tests/unit/td_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz.h"


static unsigned rounds;

static void begin(const uint8_t *data, size_t len, struct tdx_regs *r)
{
	memset(r, 0, sizeof *r);
	memcpy(r->gpr, data, len < sizeof r->gpr ? len : sizeof r->gpr);
	r->gpr[TDX_RAX] = TDX_EXIT_TDCALL;
}

static void call(const uint8_t *data, size_t len)
{
	enum exit_result result;

	if (rounds++ % 200 == 0) {
		if (rounds > 1)
			td_world_end();
		td_world_start();
		mirror_run();
	}
	td_vm.state = VM_RUNNING;
	td_vcpu.v.state = VCPU_RUNNING;
	td_vcpu.v.requests = (uint32_t)fuzz_random(4) ? 0 : REQUEST_APIC;
	begin(data, len, &td_vcpu.regs);
	assert_true(tdx_exit_reason(&td_vcpu.regs) < EXIT_REASONS);
	result = tdx_vmcall(&td_vcpu);
	assert_true(result == EXIT_RESUME || (result == EXIT_YIELD && td_vm.state == VM_STOPPED));
	if (result == EXIT_RESUME)
		assert_true(td_vm.state == VM_RUNNING && td_answer(TDX_R10) <= GHCI_SUBFUNC_UNSUPPORTED);
	if (rounds % 50 == 0)
		mirror_agrees();
}

/* One seed for each function, with operands that are right. */
static const uint64_t seeds[][6] = { /* R10 to R15 */
	{ 0, GHCI_CPUID, 0x40000000, 0, 0, 0 },
	{ 0, GHCI_HLT, 0, 0, 0, 0 },
	{ 0, GHCI_IO, 1, 1, TD_PORT, 0x41 },
	{ 0, GHCI_RDMSR, 0x1b, 0, 0, 0 },
	{ 0, GHCI_WRMSR, 0x830, 0x4040, 0, 0 },
	{ 0, GHCI_WRMSR, 0x6e0, 0x4040, 0, 0 },
	{ 0, GHCI_MMIO, 4, 1, SHARED(TD_MMIO), 7 },
	{ 0, GHCI_MAP_GPA, SHARED(0x5000), 0x3000, 0, 0 },
	{ 0, GHCI_MAP_GPA, 0x5000, 0x3000, 0, 0 },
	{ 0, GHCI_REPORT_FATAL_ERROR, 1, 0, 0x4142434445464748, 0 },
	{ 0, GHCI_GET_TD_VMCALL_INFO, 0, 0, 0, 0 },
	{ 0, GHCI_GET_QUOTE, SHARED(0x5000), 0x1000, 0, 0 },
};

static void test_calls(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
		struct tdx_regs r = { .gpr = { [TDX_RCX] = 0xfc00 } };

		memcpy(&r.gpr[TDX_R10], seeds[i], sizeof seeds[i]);
		fuzz_run(&r, sizeof r, 3000, call);
	}
	td_world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_calls) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
