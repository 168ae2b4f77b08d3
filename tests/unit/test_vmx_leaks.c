/* sources: vmx/core/leaks.c */
/*
 * Which measures against leaks a CPU needs: CPUs as they are sold, each flag by itself, and `disable`.
 */
#include "vmx/core/leaks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define L1D BIT(FEATURE_L1D_FLUSH)
#define VERW BIT(FEATURE_VERW)
#define RSB BIT(FEATURE_RSB_FILL)
#define IBPB BIT(FEATURE_IBPB)
#define SPEC BIT(FEATURE_SPEC_CTRL)

/* CPUID.(7,0):EDX of microcode that knows of the leaks. */
#define MD_CLEAR BIT(10)
#define IBRS BIT(26)
#define STIBP BIT(27)
#define FLUSH BIT(28)
#define SSBD BIT(31)
#define ALL_MEANS (MD_CLEAR | IBRS | STIBP | FLUSH | SSBD)
#define RTM BIT(11)

/* IA32_ARCH_CAPABILITIES. */
#define RDCL_NO BIT(0)
#define IBRS_ALL BIT(1)
#define SKIP_L1DFL BIT(3)
#define MDS_NO BIT(5)
#define TAA_NO BIT(8)
#define MMIO_NO BITS(15, 13)
#define FB_CLEAR BIT(17)
#define PBRSB_NO BIT(24)
#define RFDS_NO BIT(27)
#define RFDS_CLEAR BIT(28)

struct cpu {
	const char *name;
	struct leak_facts facts;
	feature_set_t used;
};

static const struct cpu cpus[] = {
	{ "no microcode for it", { 0, 0, 0 }, 0 },
	{ "TSX alone", { RTM, 0, 0 }, 0 },
	{ "Haswell", { 0, ALL_MEANS, 0 }, L1D | RSB | IBPB | SPEC },
	{ "no flush command", { 0, ALL_MEANS & ~FLUSH, 0 }, VERW | RSB | IBPB | SPEC },
	{ "SSBD alone", { 0, SSBD, 0 }, SPEC },
	{ "nested, flushed outside", { 0, ALL_MEANS, SKIP_L1DFL }, VERW | RSB | IBPB | SPEC },
	{ "Whiskey Lake", { 0, ALL_MEANS, RDCL_NO | IBRS_ALL | SKIP_L1DFL }, VERW | RSB | IBPB | SPEC },
	{ "Cascade Lake", { RTM, ALL_MEANS, RDCL_NO | IBRS_ALL | SKIP_L1DFL | MDS_NO }, VERW | RSB | IBPB | SPEC },
	{ "the same without TSX", { 0, ALL_MEANS, RDCL_NO | IBRS_ALL | SKIP_L1DFL | MDS_NO }, RSB | IBPB | SPEC },
	{ "TSX cured", { RTM, ALL_MEANS, RDCL_NO | IBRS_ALL | MDS_NO | TAA_NO }, RSB | IBPB | SPEC },
	{ "Ice Lake", { 0, ALL_MEANS, RDCL_NO | IBRS_ALL | MDS_NO | TAA_NO | FB_CLEAR }, VERW | RSB | IBPB | SPEC },
	{ "MMIO cured", { 0, ALL_MEANS, RDCL_NO | IBRS_ALL | MDS_NO | FB_CLEAR | MMIO_NO | PBRSB_NO }, IBPB | SPEC },
	{ "Gracemont", { 0, ALL_MEANS, RDCL_NO | IBRS_ALL | MDS_NO | PBRSB_NO | RFDS_CLEAR }, VERW | IBPB | SPEC },
	{ "registers cured", { 0, ALL_MEANS, RDCL_NO | IBRS_ALL | MDS_NO | PBRSB_NO | RFDS_CLEAR | RFDS_NO },
	  IBPB | SPEC },
	{ "PBRSB_NO without enhanced IBRS", { 0, ALL_MEANS, RDCL_NO | MDS_NO | PBRSB_NO }, RSB | IBPB | SPEC },
};

static void cpus_as_sold(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
		feature_set_t used = leaks_used(&cpus[i].facts, 0);

		if (used != cpus[i].used)
			fail_msg("%s: %lx, not %lx", cpus[i].name, used, cpus[i].used);
	}
}

static void disabling(void **state)
{
	const struct leak_facts f = { 0, ALL_MEANS, 0 };
	const feature_set_t all = leaks_used(&f, 0);

	(void)state;
	assert_int_equal(leaks_used(&f, L1D), (all & ~L1D) | VERW); /* which the flush did by the way */
	assert_int_equal(leaks_used(&f, L1D | VERW), all & ~L1D);
	assert_int_equal(leaks_used(&f, RSB), all & ~RSB);
	assert_int_equal(leaks_used(&f, IBPB), all & ~IBPB);
	assert_int_equal(leaks_used(&f, SPEC), all & ~SPEC);
	assert_int_equal(leaks_used(&f, leaks_scope()), 0);
	assert_int_equal(leaks_used(&f, ~leaks_scope()), all);
}

static void ibrs_for_the_hypervisor(void **state)
{
	const struct leak_facts plain = { 0, ALL_MEANS, RDCL_NO }, enhanced = { 0, ALL_MEANS, IBRS_ALL };
	const struct leak_facts no_msr = { 0, MD_CLEAR, IBRS_ALL };

	(void)state;
	assert_int_equal(leaks_spec_ctrl(&enhanced, 0), 1);
	assert_int_equal(leaks_spec_ctrl(&enhanced, SPEC), 0);
	assert_int_equal(leaks_spec_ctrl(&plain, 0), 0);
	assert_int_equal(leaks_spec_ctrl(&no_msr, 0), 0);
}

/* Used is part of needed, needed of offered, offered of the scope: for every combination of flags. */
static void sets_are_nested(void **state)
{
	static const uint64_t edx[] = { MD_CLEAR, IBRS, STIBP, FLUSH, SSBD };
	static const uint64_t caps[] = { RDCL_NO, IBRS_ALL, SKIP_L1DFL, MDS_NO, TAA_NO, MMIO_NO, FB_CLEAR, PBRSB_NO,
					 RFDS_NO, RFDS_CLEAR };
	const unsigned bits = ARRAY_LEN(edx) + ARRAY_LEN(caps);

	(void)state;
	for (unsigned n = 0; n < 1u << bits; n++) {
		struct leak_facts f = { .leaf7_ebx = n & 1 ? RTM : 0 };

		for (unsigned i = 0; i < bits; i++)
			if (n >> i & 1 && i < ARRAY_LEN(edx))
				f.leaf7_edx |= (uint32_t)edx[i];
			else if (n >> i & 1)
				f.arch_capabilities |= caps[i - ARRAY_LEN(edx)];
		assert_int_equal(leaks_used(&f, 0) & ~leaks_needed(&f), 0);
		assert_int_equal(leaks_needed(&f) & ~leaks_offered(&f), 0);
		assert_int_equal(leaks_offered(&f) & ~leaks_scope(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpus_as_sold),
		cmocka_unit_test(disabling),
		cmocka_unit_test(ibrs_for_the_hypervisor),
		cmocka_unit_test(sets_are_nested),
	};
	return cmocka_run_group_tests_name("measures against leaks", tests, NULL, NULL);
}
