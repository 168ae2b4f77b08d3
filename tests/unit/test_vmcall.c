/* sources: mmu/ tdx/vp.c tdx/vp_life.c tdx/exits.c tdx/vmcall.c tdx/vmcall_map.c tdx/vmcall_fatal.c tdx/shared_root.c tdx/seamcall.c tdx/status.c hv/exits.c hv/exits_msr.c hv/bus.c hv/devices/vlapic.c hv/devices/vlapic_regs.c hv/devices/vlapic_post.c hv/devices/vlapic_ipi.c hv/devices/vlapic_timer.c hv/devices/vlapic_remote.c hv/guest/cpuid.c hv/guest/cpuid_features.c hv/guest/msr.c hv/guest/msr_table.c hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/external_fake.c tests/unit/mirror_world.c tests/unit/td_world.c */
/*
 * TDG.VP.VMCALL: every function of the GHCI with good and with hostile registers. The guest chooses which
 * registers it passes; what it does not pass is 0, which every function must bear too.
 */
#include "tests/unit/td_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/clock.h"
#include "hv/guest/msr.h"

#define OK GHCI_OK
#define BAD GHCI_INVALID_OPERAND

static const uint64_t telling[] = {
	0, 1, 2, 3, 4, 8, 0x7f, 0xff, 0x100, 0xfff, 0x1000, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000,
	0xffffffff, 0x100000000, BIT(39), BIT(40), BIT(46), BIT(47), BIT(47) | 0x1000, BIT(48), BIT(51), BIT(52),
	BIT(63), BIT(63) | BIT(47), ~0ul, ~0ul - 0xfff, TD_RAM, TD_RAM - 0x1000, TD_MMIO, TD_MMIO | BIT(47),
};

static int start(void **state)
{
	(void)state;
	td_world_start();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	td_world_end();
	return 0;
}

/* The call is answered so, and the guest goes on. */
static void answers(uint64_t function, uint64_t r12, uint64_t r13, uint64_t r14, uint64_t r15, uint64_t status)
{
	assert_int_equal(td_call(function, r12, r13, r14, r15), EXIT_RESUME);
	assert_int_equal(td_answer(TDX_R10), status);
	assert_int_equal(td_seen.stops, 0);
}

static void cpuid_of_policy(void **state)
{
	(void)state;
	answers(GHCI_CPUID, 0x40000000, 0, 0, 0, OK);
	assert_int_equal(td_answer(TDX_R12), 0x40000000);
	assert_memory_equal(&td_vcpu.answer.gpr[TDX_R13], "Gnom\0\0\0\0", 8);
	answers(GHCI_CPUID, ~0ul, ~0ul, ~0ul, ~0ul, OK);
	assert_int_equal(td_answer(TDX_R12) >> 32, 0);
	for (size_t i = 0; i < ARRAY_LEN(telling); i++)
		answers(GHCI_CPUID, telling[i], telling[i], 0, 0, OK);
}

/* With interrupts on it sleeps until one comes; one that waits, anywhere, keeps it awake. */
static void hlt(void **state)
{
	(void)state;
	answers(GHCI_HLT, 0, 0, 0, 0, OK);
	assert_true(td_vcpu.v.state == VCPU_HALTED && (td_seen.requests & REQUEST_LEAVE));
	td_vcpu.v.state = VCPU_RUNNING;
	td_details = 1;
	answers(GHCI_HLT, 0, 0, 0, 0, OK);
	assert_int_equal(td_vcpu.v.state, VCPU_RUNNING);
	td_details = 0;
	vlapic_post(&td_vcpu.v.lapic, &(struct apic_msg){ .mode = APIC_FIXED, .vector = 0x50 });
	answers(GHCI_HLT, 0, 0, 0, 0, OK);
	assert_int_equal(td_vcpu.v.state, VCPU_RUNNING);
	assert_int_equal(td_seen.blocks, 0);
}

/* A parked vCPU looks again after a while. */
static void hlt_with_interrupts_off(void **state)
{
	uint64_t before = __builtin_ia32_rdtsc();

	(void)state;
	answers(GHCI_HLT, 1, 0, 0, 0, OK);
	assert_true(td_vcpu.v.state == VCPU_RUNNING && td_seen.blocks == 1);
	assert_true(td_seen.blocked_until > before && td_seen.blocked_until < __builtin_ia32_rdtsc() + 2 * tsc_khz);
	answers(GHCI_HLT, ~0ul, 0, 0, 0, OK);
	assert_int_equal(td_seen.blocks, 2);
}

static void ports(void **state)
{
	static const unsigned sizes[] = { 1, 2, 4 };
	static const uint64_t masks[] = { 0xff, 0xffff, 0xffffffff };

	(void)state;
	td_port_value = 0x89abcdef;
	for (unsigned i = 0; i < 3; i++) {
		answers(GHCI_IO, sizes[i], 0, TD_PORT + 4, 0, OK);
		assert_int_equal(td_answer(TDX_R11), td_port_value & masks[i]);
		assert_true(td_seen.out.port == TD_PORT + 4 && td_seen.out.size == sizes[i]);
		answers(GHCI_IO, sizes[i], 1, TD_PORT, ~0ul, OK);
		assert_int_equal(td_seen.out.value, masks[i]);
		answers(GHCI_IO, sizes[i], 0, 0x5000, 0, OK); /* nobody there */
		assert_int_equal(td_answer(TDX_R11), masks[i]);
		answers(GHCI_IO, sizes[i], 0, 0xffff, 0, OK); /* and beyond the end */
	}
}

static void hostile_ports(void **state)
{
	(void)state;
	answers(GHCI_IO, 0, 0, TD_PORT, 0, BAD);
	answers(GHCI_IO, 3, 0, TD_PORT, 0, BAD);
	answers(GHCI_IO, 8, 1, TD_PORT, 0, BAD);
	answers(GHCI_IO, BIT(32) | 1, 1, TD_PORT, 0, BAD);
	answers(GHCI_IO, 1, 2, TD_PORT, 0, BAD);
	answers(GHCI_IO, 1, BIT(63), TD_PORT, 0, BAD);
	answers(GHCI_IO, 1, 0, 0x10000, 0, BAD);
	answers(GHCI_IO, 1, 0, BIT(40) | TD_PORT, 0, BAD);
	assert_int_equal(td_seen.out.size, 0); /* the device has seen none of it */
}

static void msrs(void **state)
{
	(void)state;
	answers(GHCI_RDMSR, MSR_APIC_BASE, 0, 0, 0, OK);
	assert_int_equal(td_answer(TDX_R11), 0xfee00d00);
	answers(GHCI_WRMSR, MSR_APIC_BASE, 0xfee00d00, 0, 0, OK);
	answers(GHCI_WRMSR, MSR_APIC_BASE, 0xfee00900, 0, 0, BAD); /* x2APIC mode stays */
	answers(GHCI_WRMSR, 0x832, 2u << 17 | 0x40, 0, 0, OK);     /* LVT timer, deadline mode */
	answers(GHCI_WRMSR, MSR_TSC_DEADLINE, 12345, 0, 0, OK);
	assert_int_equal(td_vcpu.v.lapic.timer_deadline, 12345);
	answers(GHCI_RDMSR, MSR_TSC_DEADLINE, 0, 0, 0, OK);
	assert_int_equal(td_answer(TDX_R11), 12345);
	answers(GHCI_WRMSR, 0x830, 1u << 18 | 0x61, 0, 0, OK); /* an IPI to itself */
	assert_true(vlapic_remote_pending(&td_vcpu.v.lapic));
	answers(GHCI_RDMSR, MSR_MTRRCAP, 0, 0, 0, OK);
	assert_int_equal(td_answer(TDX_R11), 0);
}

/* What is the module's, what is none, and numbers that are too wide. */
static void hostile_msrs(void **state)
{
	static const uint32_t refused[] = { 0x808, 0x80a, 0x810, 0x820, MSR_EFER, MSR_PAT, MSR_TSC, MSR_LSTAR,
					    MSR_FS_BASE, 0x200, 0xdead, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		answers(GHCI_RDMSR, refused[i], 0, 0, 0, BAD);
		answers(GHCI_WRMSR, refused[i], 0, 0, 0, BAD);
	}
	answers(GHCI_WRMSR, 0x80b, 0, 0, 0, BAD); /* EOI and SELF IPI never come here */
	answers(GHCI_WRMSR, 0x83f, 0x40, 0, 0, BAD);
	answers(GHCI_RDMSR, BIT(32) | MSR_APIC_BASE, 0, 0, 0, BAD);
	answers(GHCI_WRMSR, BIT(63) | MSR_APIC_BASE, 0xfee00d00, 0, 0, BAD);
	answers(GHCI_RDMSR, BIT(32) | 0x830, 0, 0, 0, BAD);
}

static void mmio(void **state)
{
	(void)state;
	td_mmio_value = 0x0123456789abcdef;
	for (unsigned size = 1; size <= 8; size *= 2) {
		uint64_t mask = size == 8 ? ~0ul : BIT(8 * size) - 1;

		answers(GHCI_MMIO, size, 0, SHARED(TD_MMIO + 0x10), 0, OK);
		assert_int_equal(td_answer(TDX_R11), td_mmio_value & mask);
		answers(GHCI_MMIO, size, 1, SHARED(TD_MMIO + 0x20), ~0ul, OK);
		assert_true(td_seen.out.offset == 0x20 && td_seen.out.mmio_value == mask);
		answers(GHCI_MMIO, size, 0, SHARED(GIB(3)), 0, OK); /* nobody there */
		assert_int_equal(td_answer(TDX_R11), mask);
	}
}

static void hostile_mmio(void **state)
{
	(void)state;
	answers(GHCI_MMIO, 0, 0, SHARED(TD_MMIO), 0, BAD);
	answers(GHCI_MMIO, 3, 0, SHARED(TD_MMIO), 0, BAD);
	answers(GHCI_MMIO, 16, 0, SHARED(TD_MMIO), 0, BAD);
	answers(GHCI_MMIO, 4, 2, SHARED(TD_MMIO), 0, BAD);
	answers(GHCI_MMIO, 4, 0, TD_MMIO, 0, BAD);                  /* private */
	answers(GHCI_MMIO, 4, 0, SHARED(TD_MMIO + 0xffd), 0, BAD);  /* into the next page */
	answers(GHCI_MMIO, 4, 0, SHARED(0x1000), 0, BAD);           /* RAM */
	answers(GHCI_MMIO, 4, 0, SHARED(BIT(40)), 0, BAD);
	answers(GHCI_MMIO, 4, 0, SHARED(BIT(52)), 0, BAD);
	answers(GHCI_MMIO, 4, 0, ~0ul, 0, BAD);
	assert_int_equal(td_seen.out.size, 0);
}

static bool is_shared(gfn_t gfn)
{
	return mmu_fault(&mirror_vcpus[0], SHARED(gfn << PAGE_SHIFT), MMU_READ) == FAULT_MAPPED;
}

static void map_gpa(void **state)
{
	(void)state;
	answers(GHCI_MAP_GPA, SHARED(0x5000), 0x3000, 0, 0, OK);
	for (gfn_t gfn = 4; gfn < 9; gfn++)
		assert_int_equal(is_shared(gfn), gfn >= 5 && gfn < 8);
	answers(GHCI_MAP_GPA, 0x6000, 0x1000, 0, 0, OK);
	assert_true(is_shared(5) && !is_shared(6) && is_shared(7));
	answers(GHCI_MAP_GPA, SHARED(0x6000), 0x1000, 0, 0, OK);
	answers(GHCI_MAP_GPA, SHARED(0), TD_RAM / 4, 0, 0, OK);
	assert_true(is_shared(0) && is_shared((TD_RAM / 4 >> PAGE_SHIFT) - 1) && !is_shared(TD_RAM / 4 >> PAGE_SHIFT));
}

static void hostile_map_gpa(void **state)
{
	(void)state;
	answers(GHCI_MAP_GPA, SHARED(0x5800), 0x1000, 0, 0, GHCI_ALIGN_ERROR);
	answers(GHCI_MAP_GPA, SHARED(0x5000), 0x1001, 0, 0, GHCI_ALIGN_ERROR);
	answers(GHCI_MAP_GPA, SHARED(0x5000), 0, 0, 0, BAD);
	answers(GHCI_MAP_GPA, SHARED(TD_RAM), 0x1000, 0, 0, BAD);
	answers(GHCI_MAP_GPA, SHARED(TD_MMIO), 0x1000, 0, 0, BAD);
	answers(GHCI_MAP_GPA, SHARED(0x1000), BIT(47), 0, 0, BAD);
	answers(GHCI_MAP_GPA, SHARED(0x1000), ~0xffful, 0, 0, BAD);
	answers(GHCI_MAP_GPA, BIT(52), 0x1000, 0, 0, BAD);
	answers(GHCI_MAP_GPA, ~0xffful, 0x1000, 0, 0, BAD);
	assert_false(is_shared(1));
	/* Its end is no memory: what lies before is done, and the answer says how far. */
	answers(GHCI_MAP_GPA, SHARED(TD_RAM - MIB(4)), MIB(6), 0, 0, BAD);
	assert_int_equal(td_answer(TDX_R11), SHARED(TD_RAM));
	assert_true(is_shared((TD_RAM >> PAGE_SHIFT) - 1));
}

/* Somebody wants the CPU: the guest is told where to go on, which is ahead each time, and it comes to an end. */
static void map_gpa_gives_way(void **state)
{
	gpa_t at = SHARED(0x3000), end = SHARED(MIB(9));
	unsigned calls = 0;

	(void)state;
	td_vcpu.v.requests = REQUEST_APIC;
	do {
		gpa_t before = at;

		assert_int_equal(td_call(GHCI_MAP_GPA, at, end - at, 0, 0), EXIT_RESUME);
		at = td_answer(TDX_R11);
		assert_true(td_answer(TDX_R10) == GHCI_RETRY ? at > before && at < end : td_answer(TDX_R10) == OK);
		calls++;
	} while (td_answer(TDX_R10) == GHCI_RETRY);
	assert_int_equal(calls, 5); /* 0..2..4..6..8..9 MiB */
	assert_true(is_shared(3) && is_shared((MIB(9) >> PAGE_SHIFT) - 1) && !is_shared(MIB(9) >> PAGE_SHIFT));
	td_vcpu.v.requests = 0;
	assert_int_equal(td_call(GHCI_MAP_GPA, 0, TD_RAM, 0, 0), EXIT_RESUME); /* more than one call does */
	assert_true(td_answer(TDX_R10) == GHCI_RETRY && td_answer(TDX_R11) == MIB(64));
}

/* A split that interrupts cut short is tried again, the interrupt being taken; the guest notices nothing. */
static void map_gpa_interrupted(void **state)
{
	(void)state;
	mirror_run();
	assert_int_equal(mirror_accept(0, LEVEL_2M), LEVEL_2M);
	fake.interrupt_percent = 60;
	for (gpa_t gpa = 0; gpa < MIB(1); gpa += 0x5000)
		answers(GHCI_MAP_GPA, SHARED(gpa), 0x1000, 0, 0, OK);
	fake.interrupt_percent = 100;
	assert_int_equal(mirror_accept(512, LEVEL_2M), LEVEL_2M);
	answers(GHCI_MAP_GPA, SHARED(MIB(2)), 0x1000, 0, 0, GHCI_RETRY);
	assert_int_equal(td_answer(TDX_R11), SHARED(MIB(2)));
	assert_false(is_shared(512));
	assert_in_range(td_seen.ticks, 1000, 1100);
	td_yield = true; /* another context's turn */
	td_seen.ticks = 0;
	answers(GHCI_MAP_GPA, SHARED(MIB(2)), 0x1000, 0, 0, GHCI_RETRY);
	assert_int_equal(td_seen.ticks, 1);
	fake.interrupt_percent = 0;
	mirror_agrees();
}

static void fatal(const uint64_t text[8], uint64_t r12, uint64_t r13, const char *sentence)
{
	static const enum tdx_reg order[] = { TDX_R14, TDX_R15, TDX_RBX, TDX_RDI, TDX_RSI, TDX_R8, TDX_R9, TDX_RDX };

	td_vm.state = VM_RUNNING;
	for (unsigned i = 2; i < 8; i++)
		td_vcpu.regs.gpr[order[i]] = text[i];
	assert_int_equal(td_call(GHCI_REPORT_FATAL_ERROR, r12, r13, text[0], text[1]), EXIT_YIELD);
	assert_string_equal(td_seen.stop, sentence);
}

static void last_words(void **state)
{
	uint64_t text[8] = { 0 };

	(void)state;
	fatal(text, 0, 0, "the guest gave up: error 0");
	memcpy(text, "TD misconfiguration: SEPT_VE_DISABLE attribute must be set.", 60);
	fatal(text, 1, 0, "the guest gave up: error 1, TD misconfiguration: SEPT_VE_DISABLE attribute must be set.");
	memset(text, 'x', sizeof text);
	memcpy(text, "\033[2J\x80\xff%s\n", 9);
	fatal(text, BIT(63) | 0x7fffffff, 0x1234000,
	      "the guest gave up: error 7fffffff, ?[2J??%s?xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	      " (it says more at guest-physical 1234000)");
}

static void unsupported_and_unknown(void **state)
{
	static const uint64_t functions[] = { GHCI_GET_QUOTE, GHCI_SETUP_EVENT_NOTIFY, GHCI_SERVICE, 0, 1, 11, 13, 29,
					      47, 49, 0xffff, 0x10006, 0x10007, BIT(32) | GHCI_IO, ~0ul };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(functions); i++)
		answers(functions[i], 0x40, 0x1000, 0x2000, 0, GHCI_SUBFUNC_UNSUPPORTED);
	answers(GHCI_GET_TD_VMCALL_INFO, 0, ~0ul, ~0ul, ~0ul, OK);
	for (enum tdx_reg r = TDX_R11; r <= TDX_R14; r++)
		assert_int_equal(td_answer(r), 0);
	answers(GHCI_GET_TD_VMCALL_INFO, 1, 0, 0, 0, OK);
	answers(GHCI_GET_TD_VMCALL_INFO, 2, 0, 0, 0, BAD);
}

/* R10 on entry is a number of another host's: refused whatever R11 says. Registers that an answer does not
 * speak of come back as the guest passed them. */
static void vendor_space(void **state)
{
	uint64_t *g = td_vcpu.regs.gpr;

	(void)state;
	for (size_t i = 1; i < ARRAY_LEN(telling); i++) {
		memset(&td_vcpu.regs, 0x77, sizeof td_vcpu.regs);
		g[TDX_R10] = telling[i];
		g[TDX_R11] = i % 2 ? GHCI_REPORT_FATAL_ERROR : GHCI_IO;
		assert_int_equal(tdx_vmcall(&td_vcpu), EXIT_RESUME);
		assert_true(td_answer(TDX_R10) == BAD);
		for (unsigned r = TDX_RBX; r < TDX_REGS; r++)
			if (r != TDX_R10)
				assert_true(td_vcpu.answer.gpr[r] == g[r]);
	}
	assert_int_equal(td_seen.stops, 0);
}

/* All functions with all telling values in all places: an answer, or a guest that gave up by itself. */
static void every_function_bears_all(void **state)
{
	static const uint64_t functions[] = { GHCI_CPUID, GHCI_HLT, GHCI_IO, GHCI_RDMSR, GHCI_WRMSR, GHCI_MMIO,
					      GHCI_GET_TD_VMCALL_INFO, GHCI_GET_QUOTE, GHCI_SETUP_EVENT_NOTIFY };

	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(functions); f++)
		for (size_t i = 0; i < ARRAY_LEN(telling); i++)
			for (size_t j = 0; j < ARRAY_LEN(telling); j++) {
				td_vcpu.v.state = VCPU_RUNNING;
				assert_int_equal(td_call(functions[f], telling[i], telling[j % 4], telling[j],
							 telling[(i + j) % ARRAY_LEN(telling)]), EXIT_RESUME);
			}
	assert_int_equal(td_seen.stops, 0);
}

/* What an exit is counted as. */
static void reasons(void **state)
{
	struct tdx_regs r = { .gpr = { [TDX_RAX] = TDX_EXIT_TDCALL, [TDX_R11] = GHCI_IO } };

	(void)state;
	assert_string_equal(tdx_reason_name(tdx_exit_reason(&r)), "I/O (called)");
	r.gpr[TDX_R11] = GHCI_MMIO;
	assert_string_equal(tdx_reason_name(tdx_exit_reason(&r)), "MMIO (called)");
	r.gpr[TDX_R11] = GHCI_MAP_GPA;
	assert_string_equal(tdx_reason_name(tdx_exit_reason(&r)), "MapGPA (called)");
	r.gpr[TDX_R10] = 1;
	assert_string_equal(tdx_reason_name(tdx_exit_reason(&r)), "TDG.VP.VMCALL");
	for (uint64_t reason = 0; reason < 70000; reason++) {
		r.gpr[TDX_RAX] = reason;
		assert_true(tdx_exit_reason(&r) < EXIT_REASONS);
		assert_non_null(tdx_reason_name(tdx_exit_reason(&r)));
	}
	assert_null(tdx_reason_name(EXIT_REASONS));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cpuid_of_policy), TEST(hlt), TEST(hlt_with_interrupts_off), TEST(ports), TEST(hostile_ports),
		TEST(msrs), TEST(hostile_msrs), TEST(mmio), TEST(hostile_mmio), TEST(map_gpa), TEST(hostile_map_gpa),
		TEST(map_gpa_gives_way), TEST(map_gpa_interrupted), TEST(last_words),
		TEST(unsupported_and_unknown), TEST(vendor_space), TEST(every_function_bears_all), TEST(reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
