/* sources: hv/guest/msr.c hv/guest/msr_table.c hv/guest/cpuid.c hv/guest/cpuid_features.c hv/base/failure.c hv/base/format.c */
/*
 * MSR policy: the table's order, every entry read and written with many values, and each rule.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "hv/guest/guest.h"
#include "hv/guest/msr.h"
#include "tests/unit/support/random.h"

#include <cmocka.h>

#define CANONICAL 0xffff800000001000ul
#define NOT_CANONICAL 0x0000800000000000ul

static struct cpuid_policy policy;
static struct msr_cpu cpu;
static uint32_t feature_bits; /* what the fake host's feature words hold */

/* The machine's side: remembers what came last. */
static struct {
	uint32_t msr;
	uint64_t value, tsc;
	unsigned reads, writes;
	bool refuse;
} machine;

static bool machine_read(void *ctx, uint32_t msr, uint64_t *value)
{
	(void)ctx;
	machine.msr = msr;
	machine.reads++;
	*value = 0x1234;
	return !machine.refuse;
}

static bool machine_write(void *ctx, uint32_t msr, uint64_t value)
{
	(void)ctx;
	machine.msr = msr;
	machine.value = value;
	machine.writes++;
	return !machine.refuse;
}

static uint64_t machine_tsc(void *ctx)
{
	(void)ctx;
	return machine.tsc;
}

static void machine_shift(void *ctx, uint64_t delta)
{
	(void)ctx;
	machine.tsc += delta;
}

static const struct msr_host machine_ops = { machine_read, machine_write, machine_tsc, machine_shift };

static struct cpuid_regs host_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf)
{
	(void)ctx;
	(void)subleaf;
	if (leaf == 0)
		return (struct cpuid_regs){ 0x16, 0, 0, 0 };
	if (leaf == 7 && subleaf == 0)
		return (struct cpuid_regs){ 2, feature_bits, feature_bits, feature_bits };
	if (leaf == 0x80000000)
		return (struct cpuid_regs){ 0x80000008, 0, 0, 0 };
	if (leaf == 4)
		return (struct cpuid_regs){ 0 };
	return (struct cpuid_regs){ feature_bits, feature_bits, feature_bits, feature_bits };
}

static void make_for(uint32_t bits, bool strict, bool td)
{
	struct cpuid_inputs ci = {
		.host = host_cpuid, .vcpus = 1, .tsc_khz = 2900000, .gpa_bits = 40, .xcr0 = 7, .usable = ~0ul,
	};
	struct msr_inputs mi = {
		.cpuid = &policy, .host = &machine_ops, .strict = strict, .td = td, .tsc_khz = 2900000, .gpa_bits = 40,
		.microcode = 0x2800000000, .arch_capabilities = ~0ul,
	};

	feature_bits = bits;
	assert_int_equal(cpuid_policy_build(&policy, &ci, NULL), 0);
	msr_init(&cpu, &mi);
	memset(&machine, 0, sizeof(machine));
}

static void make(uint32_t bits, bool strict) { make_for(bits, strict, false); }

static int setup(void **state)
{
	(void)state;
	make(UINT32_MAX, true);
	return 0;
}

static uint64_t read_ok(uint32_t msr)
{
	uint64_t v;

	assert_true(msr_read(&cpu, msr, &v));
	return v;
}

static bool readable(uint32_t msr)
{
	uint64_t v;

	return msr_read(&cpu, msr, &v);
}

static void table_is_sorted_and_lookup_finds_all(void **state)
{
	(void)state;
	for (unsigned i = 0; i < msr_table_count; i++) {
		const struct msr_entry *e = &msr_table[i];

		assert_true(e->first <= e->last);
		assert_non_null(e->name);
		if (i)
			assert_true(e->first > msr_table[i - 1].last);
		for (uint64_t msr = e->first; msr <= e->last; msr++)
			assert_ptr_equal(msr_find(msr), e);
		if (e->first > 0 && (!i || msr_table[i - 1].last != e->first - 1))
			assert_null(msr_find(e->first - 1));
	}
	assert_null(msr_find(0));
	assert_null(msr_find(UINT32_MAX));
}

static void slots_do_not_overlap(void **state)
{
	bool used[MSR_SLOT_COUNT] = { false };

	(void)state;
	for (unsigned i = 0; i < msr_table_count; i++) {
		const struct msr_entry *e = &msr_table[i];

		if (e->kind > MSR_KIND_SWITCHED && e->kind != MSR_KIND_TSC_ADJUST)
			continue;
		for (uint32_t n = 0; n <= e->last - e->first; n++) {
			assert_in_range(e->slot + n, 0, MSR_SLOT_COUNT - 1);
			assert_false(used[e->slot + n]);
			used[e->slot + n] = true;
		}
	}
	for (unsigned i = 0; i < MSR_SLOT_COUNT; i++)
		assert_true(used[i]);
}

/* Whatever is written: #GP leaves things as they were, and a store reads back what it may hold. */
static void every_entry_with_many_values(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < msr_table_count; i++) {
		const struct msr_entry *e = &msr_table[i];

		for (unsigned n = 0; n < 2000; n++) {
			uint64_t value = test_random(&seed) >> n % 64;
			uint32_t msr = e->first + test_random(&seed) % (e->last - e->first + 1);
			uint64_t before = 0, after = 0;
			bool can_read = msr_read(&cpu, msr, &before), done = msr_write(&cpu, msr, value);

			assert_int_equal(can_read, e->kind != MSR_KIND_COMMAND &&
					 e->kind != MSR_KIND_NO_EFFECT);
			msr_read(&cpu, msr, &after);
			if (!done || e->kind == MSR_KIND_CONST)
				assert_int_equal(after, before);
			else if (e->kind == MSR_KIND_STORE)
				assert_int_equal(after, (before & ~e->writable) | (value & e->writable));
			if (done)
				assert_int_equal(value & ~(e->writable | e->ignored), 0);
		}
	}
}

static void values_are_checked(void **state)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
		bool ok;
	} cases[] = {
		{ MSR_LSTAR, CANONICAL, true }, { MSR_LSTAR, NOT_CANONICAL, false },
		{ MSR_CSTAR, NOT_CANONICAL, false }, { MSR_KERNEL_GS_BASE, NOT_CANONICAL, false },
		{ MSR_FS_BASE, NOT_CANONICAL, false }, { MSR_GS_BASE, CANONICAL, true },
		{ MSR_SYSENTER_EIP, NOT_CANONICAL, false }, { MSR_SYSENTER_ESP, NOT_CANONICAL, false },
		{ MSR_SYSENTER_CS, BIT(32), false }, { MSR_FMASK, BIT(32), false }, { MSR_FMASK, 0x47700,
										     true },
		{ MSR_TSC_AUX, BIT(32), false }, { MSR_TSC_AUX, 5, true },
		{ MSR_EFER, EFER_SCE | EFER_LME | EFER_NXE, true }, { MSR_EFER, BIT(14), false },
		{ MSR_EFER, BIT(1), false },
		{ MSR_PAT, 0x0007040600070406, true }, { MSR_PAT, 2, false }, { MSR_PAT, 0x08ul << 56,
									       false },
		{ MSR_PAT, 0x0007010600070106, true },
		{ MSR_MTRR_DEF_TYPE, 0xc06, true }, { MSR_MTRR_DEF_TYPE, 0xc07, false },
		{ MSR_MTRR_DEF_TYPE, 0xc02, false }, { MSR_MTRR_DEF_TYPE, BIT(12), false },
		{ 0x202, 0x80000006, true }, { 0x202, 0x80000002, false }, { 0x202, BIT(40), false },
		{ 0x203, 0xff80000800, true }, { 0x203, BIT(40) | BIT(11), false }, { 0x203, 6, false },
		{ MSR_MTRR_FIX64K, 0x0606060606060606, true }, { MSR_MTRR_FIX64K, 0x0606030606060606, false },
		{ MSR_MISC_ENABLE, 0x1801, true }, { MSR_MISC_ENABLE, BIT(22), false },
		{ MSR_MISC_ENABLE, BIT(34), false }, { MSR_MISC_ENABLE, 0, true },
		{ MSR_SPEC_CTRL, 7, true }, { MSR_SPEC_CTRL, BIT(9), false }, { MSR_SPEC_CTRL, BIT(63),
									       false },
		{ MSR_PRED_CMD, 1, true }, { MSR_PRED_CMD, 2, false }, { MSR_FLUSH_CMD, 1, true },
		{ MSR_DEBUGCTL, 2, true }, { MSR_DEBUGCTL, 1, false }, { MSR_XSS, 0, true }, { MSR_XSS,
											      BIT(8), false },
		{ MSR_FEATURE_CONTROL, 5, false }, { MSR_ARCH_CAPABILITIES, 0, false }, { MSR_MTRRCAP, 0,
											 false },
		{ MSR_BIOS_SIGN_ID, 0, true }, { MSR_BIOS_UPDT_TRIG, CANONICAL, true }, { MSR_MCG_CAP, 0,
											 false },
		{ MSR_MCG_STATUS, 0, true }, { MSR_MCG_STATUS, 8, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (msr_write(&cpu, cases[i].msr, cases[i].value) != cases[i].ok)
			fail_msg("MSR %x value %lx should be %d", cases[i].msr, cases[i].value, cases[i].ok);
}

static void power_on_values(void **state)
{
	(void)state;
	assert_int_equal(read_ok(MSR_FEATURE_CONTROL), 1);
	assert_int_equal(read_ok(MSR_MTRRCAP), 0x508);
	assert_int_equal(read_ok(MSR_MTRR_DEF_TYPE), 0xc06);
	assert_int_equal(read_ok(MSR_MTRR_PHYSBASE0), GUEST_LOW_RAM_END);
	assert_int_equal(read_ok(MSR_MTRR_PHYSBASE0 + 1), 0xffc0000800);
	assert_int_equal(read_ok(MSR_MTRR_FIX16K_A0000), 0);
	assert_int_equal(read_ok(MSR_BIOS_SIGN_ID), 0x2800000000);
	assert_int_equal(read_ok(MSR_PLATFORM_INFO), 29 << 8);
	assert_int_equal(read_ok(MSR_MCG_CAP), 0);
	/* No control the guest does not have: TSX, package energy, FB_CLEAR, GDS, ... */
	assert_int_equal(read_ok(MSR_ARCH_CAPABILITIES) & (BIT(7) | BIT(10) | BIT(11) | BIT(18) | BIT(23) |
							   BIT(25)), 0);
	assert_int_equal(read_ok(MSR_ARCH_CAPABILITIES) & 1, 1);
}

static void reset_restores_them(void **state)
{
	(void)state;
	assert_true(msr_write(&cpu, MSR_MTRR_DEF_TYPE, 0));
	assert_true(msr_write(&cpu, MSR_TSC_ADJUST, 77));
	assert_true(msr_write(&cpu, 0x202, 6));
	msr_reset(&cpu);
	assert_int_equal(read_ok(MSR_MTRR_DEF_TYPE), 0xc06);
	assert_int_equal(read_ok(MSR_TSC_ADJUST), 0);
	assert_int_equal(read_ok(0x202), 0);
	power_on_values(state);
}

static void writing_the_tsc_moves_its_adjustment(void **state)
{
	(void)state;
	machine.tsc = 1000;
	assert_int_equal(read_ok(MSR_TSC), 1000);
	assert_true(msr_write(&cpu, MSR_TSC, 5000));
	assert_int_equal(machine.tsc, 5000);
	assert_int_equal(read_ok(MSR_TSC_ADJUST), 4000);
	assert_true(msr_write(&cpu, MSR_TSC_ADJUST, (uint64_t)-1));
	assert_int_equal(machine.tsc, 999);
	assert_true(msr_write(&cpu, MSR_TSC_ADJUST, 0));
	assert_int_equal(machine.tsc, 1000);
}

static void the_machine_answers_for_its_own(void **state)
{
	static const uint32_t own[] = { MSR_APIC_BASE, MSR_TSC_DEADLINE, 0x80b, 0x8ff, MSR_EFER, MSR_PAT,
					MSR_STAR, MSR_FS_BASE, MSR_DEBUGCTL, MSR_SPEC_CTRL };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		machine.refuse = false;
		assert_int_equal(read_ok(own[i]), 0x1234);
		assert_int_equal(machine.msr, own[i]);
		assert_true(msr_write(&cpu, own[i], 0));
		machine.refuse = true;
		assert_false(readable(own[i]));
		assert_false(msr_write(&cpu, own[i], 0));
	}
	machine.refuse = false;
	machine.writes = 0;
	assert_false(msr_write(&cpu, MSR_LSTAR, NOT_CANONICAL));
	assert_int_equal(machine.writes, 0);
}

/* What CPUID hides does not exist, and is not passed through. */
static void hidden_features_take_their_msrs_along(void **state)
{
	static const uint32_t gone[] = { MSR_SPEC_CTRL, MSR_PRED_CMD, MSR_FLUSH_CMD, MSR_ARCH_CAPABILITIES,
					MSR_XSS,
					 MSR_TSC_AUX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		assert_true(msr_present(&cpu, msr_find(gone[i])));
	assert_int_equal(msr_pass(&cpu, msr_find(MSR_SPEC_CTRL)), MSR_PASS_LAZY);
	make(0, false);
	for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
		assert_false(readable(gone[i]));
		assert_false(msr_write(&cpu, gone[i], 0));
		assert_int_equal(msr_pass(&cpu, msr_find(gone[i])), 0);
	}
	assert_int_equal(cpu.unknown_count, 0);
	assert_false(msr_write(&cpu, MSR_EFER, EFER_NXE));
}

static void passed_through_are_only_switched_or_harmless(void **state)
{
	(void)state;
	for (unsigned i = 0; i < msr_table_count; i++) {
		const struct msr_entry *e = &msr_table[i];

		if (!e->pass)
			continue;
		assert_true(e->kind == MSR_KIND_SWITCHED || e->kind == MSR_KIND_BACKEND ||
			    e->kind == MSR_KIND_COMMAND || (e->kind == MSR_KIND_TSC &&
							    e->pass == MSR_PASS_READ));
		assert_int_equal(e->first, e->last);
	}
	assert_int_equal(msr_pass(&cpu, msr_find(MSR_EFER)), 0);
	assert_int_equal(msr_pass(&cpu, msr_find(MSR_APIC_BASE)), 0);
}

static void unknown_msrs_follow_the_policy(void **state)
{
	static const uint32_t unknown[] = { 0, 0x1f2, 0x400, 0x480, 0x606, 0xc0010015, 0x4b564d00,
					   UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		assert_false(readable(unknown[i]));
		assert_false(msr_write(&cpu, unknown[i], 0));
		assert_int_equal(cpu.unknown_last, unknown[i]);
	}
	assert_int_equal(cpu.unknown_count, 2 * ARRAY_LEN(unknown));
	make(UINT32_MAX, false);
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		assert_int_equal(read_ok(unknown[i]), 0);
		assert_true(msr_write(&cpu, unknown[i], UINT64_MAX));
	}
	assert_false(msr_write(&cpu, MSR_PAT, 2)); /* lenient is not careless */
}

/* What its module has, and memory type ranges, a TD cannot reach through its host; the rest as others. */
static void a_td_reaches_only_what_its_module_has_not(void **state)
{
	static const uint32_t gone[] = { MSR_TSC, MSR_TSC_ADJUST, MSR_SPEC_CTRL, MSR_PRED_CMD, MSR_FLUSH_CMD,
					 MSR_SYSENTER_EIP, MSR_PAT, MSR_EFER, MSR_LSTAR, MSR_GS_BASE, MSR_TSC_AUX,
					 MSR_XSS, MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSMASK7, MSR_MTRR_FIX64K,
					 MSR_MTRR_FIX4K_F8000, MSR_DEBUGCTL };

	(void)state;
	make_for(UINT32_MAX, false, true);
	for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
		assert_false(readable(gone[i]));
		assert_false(msr_write(&cpu, gone[i], 0));
	}
	assert_int_equal(machine.reads + machine.writes, 0);
	assert_int_equal(read_ok(MSR_MTRRCAP), 0);
	assert_int_equal(read_ok(MSR_MTRR_DEF_TYPE), 6); /* off, and write-back */
	assert_int_equal(read_ok(MSR_FEATURE_CONTROL), 1);
	assert_int_equal(read_ok(MSR_APIC_BASE), 0x1234);
	assert_int_equal(read_ok(MSR_MCG_CAP), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(table_is_sorted_and_lookup_finds_all, setup),
		cmocka_unit_test_setup(slots_do_not_overlap, setup),
		cmocka_unit_test_setup(every_entry_with_many_values, setup),
		cmocka_unit_test_setup(values_are_checked, setup),
		cmocka_unit_test_setup(power_on_values, setup),
		cmocka_unit_test_setup(reset_restores_them, setup),
		cmocka_unit_test_setup(writing_the_tsc_moves_its_adjustment, setup),
		cmocka_unit_test_setup(the_machine_answers_for_its_own, setup),
		cmocka_unit_test_setup(hidden_features_take_their_msrs_along, setup),
		cmocka_unit_test_setup(passed_through_are_only_switched_or_harmless, setup),
		cmocka_unit_test_setup(unknown_msrs_follow_the_policy, setup),
		cmocka_unit_test_setup(a_td_reaches_only_what_its_module_has_not, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
