/* sources: tdx/soft/controls.c tdx/soft/td_cpuid.c tests/unit/soft_cpu.c hv/base/failure.c hv/base/format.c */
/* What the software TDX module makes of the processor: the VMCS's controls and a TD's CPUID. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tdx/soft/td_cpuid.h"
#include "tests/unit/soft_cpu.h"

#include <cmocka.h>

#define XFAM_AVX 0x7u
#define XFAM_AVX512 0x2e7u

enum { EAX, EBX, ECX, EDX };

static int compute(enum soft_cpu_kind kind, struct soft_controls *out, struct failure *f)
{
	struct soft_cpu cpu = soft_cpu_fake(kind);

	memset(out, 0, sizeof *out);
	return soft_controls_compute(&cpu.caps, out, f);
}

static void controls_have_what_a_td_needs(void **state)
{
	struct soft_controls c;
	struct failure f;

	(void)state;
	assert_int_equal(compute(SOFT_CPU_FULL, &c, &f), 0);
	assert_int_equal(c.word[CONTROL_PIN] & ~0x16u, 0x29);
	assert_true(c.vid && c.vpid && c.hardware_ve && c.tsc_scaling && c.xsaves);
	assert_true(c.word[CONTROL_PRIMARY] & PRIMARY_IO);
	assert_false(c.word[CONTROL_PRIMARY] & (PRIMARY_INTERRUPT_WINDOW | PRIMARY_CR3_LOAD | PRIMARY_RDTSC));
	assert_true(c.word[CONTROL_EXIT] & EXIT_ACK_INTERRUPT);
	assert_false(c.word[CONTROL_SECONDARY] & SECONDARY_VMFUNC);
}

static void controls_do_without_the_optional_ones(void **state)
{
	struct soft_cpu cpu = soft_cpu_fake(SOFT_CPU_FULL);
	struct soft_controls c;
	struct failure f;

	(void)state;
	assert_int_equal(compute(SOFT_CPU_PLAIN, &c, &f), 0);
	assert_false(c.vid || c.hardware_ve || c.tsc_scaling || c.xsaves);
	cpu.caps.secondary &= ~((uint64_t)SECONDARY_EPT_VE << 32);
	assert_int_equal(soft_controls_compute(&cpu.caps, &c, &f), 0);
	assert_true(c.vid && !c.hardware_ve);
	cpu.caps.secondary &= ~((uint64_t)SECONDARY_APIC_REGISTER << 32);
	assert_int_equal(soft_controls_compute(&cpu.caps, &c, &f), 0);
	assert_false(c.vid || c.word[CONTROL_SECONDARY] & SECONDARY_VID);
}

static void controls_that_are_missing_are_named(void **state)
{
	struct soft_cpu cpu = soft_cpu_fake(SOFT_CPU_OLD);
	struct soft_controls c;
	struct failure f;

	(void)state;
	cpu.caps.primary |= PRIMARY_CR3_LOAD;
	cpu.caps.ept_vpid &= ~(uint64_t)EPT_CAP_2M;
	assert_int_equal(soft_controls_compute(&cpu.caps, &c, &f), -ENODEV);
	assert_string_equal(f.text, "this CPU's VMX lacks what the software TDX module needs: CR3-load exiting "
				    "turned off, unrestricted guest, EPT 2 MiB pages");
}

static void controls_of_one_cpu_fit_another_or_not(void **state)
{
	struct soft_cpu full = soft_cpu_fake(SOFT_CPU_FULL), plain = soft_cpu_fake(SOFT_CPU_PLAIN);
	struct soft_controls c;
	struct failure f;

	(void)state;
	assert_int_equal(compute(SOFT_CPU_PLAIN, &c, &f), 0);
	assert_true(soft_controls_fit(&full.caps, &c));
	assert_int_equal(compute(SOFT_CPU_FULL, &c, &f), 0);
	assert_false(soft_controls_fit(&plain.caps, &c));
}

static void tsc_is_scaled_or_refused(void **state)
{
	struct soft_cpu cpu = soft_cpu_fake(SOFT_CPU_FULL);
	struct soft_controls full, plain;
	struct failure f;
	uint64_t m;

	(void)state;
	assert_int_equal(compute(SOFT_CPU_FULL, &full, &f), 0);
	assert_int_equal(compute(SOFT_CPU_PLAIN, &plain, &f), 0);
	assert_true(soft_tsc_multiplier(&cpu, &full, 40, &m));
	assert_int_equal(m, SOFT_TSC_ONE / 2);
	assert_true(soft_tsc_multiplier(&cpu, &full, 400, &m));
	assert_int_equal(m, SOFT_TSC_ONE * 5);
	assert_false(soft_tsc_multiplier(&cpu, &plain, 40, &m));
	assert_true(soft_tsc_multiplier(&cpu, &plain, 80, &m));
	assert_int_equal(m, SOFT_TSC_ONE);
	cpu.tsc_hz = 2001000000;
	assert_true(soft_tsc_multiplier(&cpu, &plain, 80, &m));
	cpu.tsc_hz = 2003000000;
	assert_false(soft_tsc_multiplier(&cpu, &plain, 80, &m));
}

/* ---- CPUID ---- */

struct cpuid_world {
	struct soft m;
	struct soft_tdcs tdcs;
	struct td_cpuid table;
	struct td_cpuid_now now;
};

static struct cpuid_world *build(enum soft_cpu_kind kind, uint64_t xfam)
{
	struct cpuid_world *w = calloc(1, sizeof *w);
	struct failure f;

	assert_non_null(w);
	w->m.platform.cpu = soft_cpu_fake(kind);
	assert_int_equal(soft_controls_compute(&w->m.platform.cpu.caps, &w->m.controls, &f), 0);
	w->tdcs.xfam = xfam;
	w->tdcs.gpa_bits = 40;
	w->tdcs.tsc_frequency = 80;
	w->now = (struct td_cpuid_now){ .xcr0 = 1, .in_64bit = true };
	td_cpuid_build(&w->m, &w->tdcs, &w->table);
	return w;
}

static struct tdx_cpuid_values ask(const struct cpuid_world *w, uint32_t leaf, uint32_t subleaf)
{
	struct tdx_cpuid_values v;

	assert_true(td_cpuid_answer(&w->table, leaf, subleaf, &w->now, &v));
	return v;
}

static void cpuid_names_tdx(void **state)
{
	struct cpuid_world *w = build(SOFT_CPU_FULL, XFAM_AVX512);
	struct tdx_cpuid_values v = ask(w, 0x21, 0);

	(void)state;
	assert_int_equal(v.eax, 0);
	assert_memory_equal(&v.ebx, "Inte", 4);
	assert_memory_equal(&v.edx, "lTDX", 4);
	assert_memory_equal(&v.ecx, "    ", 4);
	assert_true(ask(w, 0, 0).eax >= 0x21);
	assert_int_equal(ask(w, 0x15, 0).ebx, 80);
	assert_int_equal(ask(w, 0x15, 0).ecx, 25000000);
	assert_int_equal(ask(w, 0x80000008, 0).eax, 48 << 8 | 40);
	free(w);
}

static void cpuid_hides_what_a_td_cannot_have(void **state)
{
	struct cpuid_world *w = build(SOFT_CPU_FULL, XFAM_AVX512);
	struct tdx_cpuid_values one = ask(w, 1, 0), seven = ask(w, 7, 0);

	(void)state;
	/* DTES64, MONITOR, DS-CPL, VMX, SMX, EST, TM2, PDCM, DCA */
	assert_int_equal(one.ecx & (BITS(8, 2) | BIT(15) | BIT(18)), 0);
	/* MTRR, PSE-36, PSN, DS, ACPI, TM, PBE */
	assert_int_equal(one.edx & (BIT(12) | BIT(17) | BIT(18) | BIT(21) | BIT(22) | BIT(29) | BIT(31)), 0);
	assert_true(one.ecx & BIT(31) && one.ecx & BIT(21) && one.edx & BIT(9));
	/* TSC_ADJUST, SGX, HLE, RTM, MPX, RDT, PT */
	assert_int_equal(seven.ebx & (BIT(1) | BIT(2) | BIT(4) | BIT(11) | BIT(12) | BIT(14) | BIT(15) | BIT(25) |
				      BIT(22)), 0);
	assert_int_equal(ask(w, 0xa, 0).eax, 0);
	assert_int_equal(ask(w, 0x14, 0).eax, 0);
	free(w);
}

static void cpuid_follows_xfam(void **state)
{
	struct cpuid_world *w = build(SOFT_CPU_FULL, XFAM_AVX);

	(void)state;
	assert_true(td_cpuid_has(&w->table, 1, 0, ECX, 28));
	assert_false(td_cpuid_has(&w->table, 7, 0, EBX, 16));
	assert_false(td_cpuid_has(&w->table, 7, 0, ECX, 3));
	assert_int_equal(ask(w, 0xd, 0).eax, XFAM_AVX);
	assert_int_equal(ask(w, 0xd, 0).ecx, 576 + 256);
	assert_int_equal(ask(w, 0xd, 5).eax, 0);
	assert_int_equal(ask(w, 0xd, 63).eax, 0);
	free(w);
	w = build(SOFT_CPU_FULL, 3);
	assert_false(td_cpuid_has(&w->table, 1, 0, ECX, 28));
	assert_false(td_cpuid_has(&w->table, 7, 0, EBX, 5));
	free(w);
}

static void cpuid_follows_the_moment(void **state)
{
	struct cpuid_world *w = build(SOFT_CPU_FULL, XFAM_AVX512);

	(void)state;
	assert_int_equal(ask(w, 0xd, 0).ebx, 576);
	assert_false(ask(w, 1, 0).ecx & BIT(27));
	assert_false(ask(w, 7, 0).ecx & BIT(4));
	w->now = (struct td_cpuid_now){ .vcpu_index = 3, .cr4 = BIT(18) | BIT(22), .xcr0 = XFAM_AVX512 };
	assert_int_equal(ask(w, 0xd, 0).ebx, 2696);
	assert_int_equal(ask(w, 0xd, 1).ebx, 576 + 256 + 64 + 512 + 1024 + 8);
	assert_int_equal(ask(w, 1, 0).ebx >> 24, 3);
	assert_true(ask(w, 1, 0).ecx & BIT(27));
	assert_true(ask(w, 7, 0).ecx & BIT(4));
	assert_false(ask(w, 0x80000001, 0).edx & BIT(11));
	free(w);
}

static void cpuid_follows_the_controls(void **state)
{
	struct cpuid_world *w = build(SOFT_CPU_PLAIN, XFAM_AVX);

	(void)state;
	assert_false(td_cpuid_has(&w->table, 7, 0, EBX, 10)); /* INVPCID */
	assert_false(td_cpuid_has(&w->table, 0xd, 1, EAX, 3)); /* XSAVES */
	assert_true(td_cpuid_has(&w->table, 0x80000001, 0, EDX, 27)); /* RDTSCP */
	free(w);
}

static void cpuid_takes_what_the_host_configures(void **state)
{
	struct cpuid_world *w = build(SOFT_CPU_FULL, XFAM_AVX512);
	const struct td_cpuid_config *c = td_cpuid_config(0);

	(void)state;
	assert_int_equal(ask(w, 1, 0).ebx >> 16 & 0xff, 0);
	assert_int_equal(c->leaf, 1);
	w->tdcs.cpuid_config[0] = (struct tdx_cpuid_values){ UINT32_MAX, 0x40000, 0, 1u << 28 };
	td_cpuid_build(&w->m, &w->tdcs, &w->table);
	assert_int_equal(ask(w, 1, 0).ebx >> 16 & 0xff, 4);
	assert_int_equal(ask(w, 1, 0).eax, 0x706e5);
	assert_true(td_cpuid_has(&w->table, 1, 0, EDX, 28));
	for (uint32_t i = 0; td_cpuid_config(i); i++)
		assert_true(i < TDX_TD_PARAMS_CPUIDS);
	free(w);
}

static void cpuid_faults_where_the_host_is_to_answer(void **state)
{
	static const struct {
		uint32_t leaf, subleaf;
	} ve[] = {
		{ 0x40000000, 0 }, { 0x4fffffff, 0 }, { 2, 0 }, { 6, 0 }, { 9, 0 }, { 0xb, 0 }, { 0xf, 0 }, { 0x10, 1 },
		{ 0x16, 0 }, { 0x18, 0 }, { 0x1f, 0 }, { 0x80000002, 0 }, { 0x80000005, 0 }, { 7, 3 }, { 4, 9 }, { 0x21, 1 },
	};
	struct cpuid_world *w = build(SOFT_CPU_FULL, XFAM_AVX512);
	struct tdx_cpuid_values v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ve); i++)
		assert_false(td_cpuid_answer(&w->table, ve[i].leaf, ve[i].subleaf, &w->now, &v));
	/* Beyond both ranges: as the highest of the first. */
	assert_int_equal(ask(w, 0x24, 0).eax, ask(w, 0x23, 0).eax);
	assert_int_equal(ask(w, 0x80000009, 0).eax, ask(w, 0x23, 0).eax);
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(controls_have_what_a_td_needs),
		cmocka_unit_test(controls_do_without_the_optional_ones),
		cmocka_unit_test(controls_that_are_missing_are_named),
		cmocka_unit_test(controls_of_one_cpu_fit_another_or_not),
		cmocka_unit_test(tsc_is_scaled_or_refused),
		cmocka_unit_test(cpuid_names_tdx),
		cmocka_unit_test(cpuid_hides_what_a_td_cannot_have),
		cmocka_unit_test(cpuid_follows_xfam),
		cmocka_unit_test(cpuid_follows_the_moment),
		cmocka_unit_test(cpuid_follows_the_controls),
		cmocka_unit_test(cpuid_takes_what_the_host_configures),
		cmocka_unit_test(cpuid_faults_where_the_host_is_to_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
