/* sources: drivers/pmu.c drivers/pit.c */
/* The watch's alarms on a register file: performance counter and PIT. */
#include "drivers/pmu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "drivers/lapic.h"
#include "drivers/pit.h"
#include "hv/base/msr.h"
#include "tests/unit/support/machine.h"

#include <cmocka.h>

#define COUNTER_BIT BIT(33)

static uint64_t msrs[0x400];
static uint32_t faulting; /* the MSR that #GPs */
static unsigned nmis_wanted;
static uint8_t ports[8], status;
static unsigned port_count;

void lapic_counter_nmi(void) { nmis_wanted++; }

static uint64_t get(uint32_t msr) { return msrs[msr]; }

static void set(uint32_t msr, uint64_t value)
{
	if (msr == MSR_PERF_GLOBAL_OVF_CTRL)
		msrs[MSR_PERF_GLOBAL_STATUS] &= ~value;
	msrs[msr] = value;
}

int wrmsr_safe(uint32_t msr, uint64_t value)
{
	if (msr == faulting)
		return -1;
	set(msr, value);
	return 0;
}

static uint32_t in(uint16_t port, unsigned size)
{
	assert_int_equal(port, 0x40);
	assert_int_equal(size, 1);
	return status;
}

static void out(uint16_t port, unsigned size, uint32_t value)
{
	assert_int_equal(size, 1);
	assert_in_range(port, 0x40, 0x43);
	ports[port_count++] = (uint8_t)(port << 4 & 0xf0);
	ports[port_count++] = (uint8_t)value;
}

static int start(void **state)
{
	(void)state;
	memset(msrs, 0, sizeof msrs);
	faulting = nmis_wanted = port_count = 0;
	return 0;
}

static void begin(void)
{
	static const struct test_machine machine = { .rdmsr = get, .wrmsr = set, .in = in, .out = out };

	test_machine_start(&machine);
}

static void which_cpus_have_it(void **state)
{
	struct cpuid_regs r = { .eax = 0x07300402, .edx = 0x603 };

	(void)state;
	assert_true(pmu_offers(&r));
	r.eax = 0x07300401; /* version 1 has no fixed-function counters */
	assert_false(pmu_offers(&r));
	r = (struct cpuid_regs){ .eax = 2, .edx = 0x601 };
	assert_false(pmu_offers(&r));
	r = (struct cpuid_regs){ 0 };
	assert_false(pmu_offers(&r));
}

static void start_values(void **state)
{
	struct cpuid_regs r = { .eax = 2, .edx = 48u << 5 | 3 };

	(void)state;
	assert_int_equal(pmu_start_value(&r, 30000000000), BIT(48) - 30000000000);
	assert_int_equal(pmu_start_value(&r, 1), BITS(47, 0));
	assert_int_equal(pmu_start_value(&r, UINT64_MAX), 1); /* as long as it can */
	r.edx = 3;
	assert_int_equal(pmu_start_value(&r, 16), 0xfffffff0);
}

static void counter_rings(void **state)
{
	(void)state;
	begin();
	assert_true(pmu_alarm_start());
	assert_int_equal(msrs[MSR_FIXED_CTR_CTRL], 0x90); /* counter 1: ring 0, interrupt */
	assert_int_equal(msrs[MSR_PERF_GLOBAL_CTRL], COUNTER_BIT);
	assert_int_equal(nmis_wanted, 1);
	pmu_alarm_set(1000);
	assert_true(msrs[MSR_FIXED_CTR0 + 1] > 0x7fffffff);
	assert_false(pmu_alarm_rang());
	msrs[MSR_PERF_GLOBAL_STATUS] = COUNTER_BIT | BIT(0);
	assert_true(pmu_alarm_rang());
	assert_int_equal(msrs[MSR_PERF_GLOBAL_STATUS], BIT(0)); /* ours alone */
	assert_int_equal(nmis_wanted, 2);                       /* the entry was masked */
	assert_false(pmu_alarm_rang());
}

static void counter_refused(void **state)
{
	static const uint32_t all[] = { MSR_PERF_GLOBAL_CTRL, MSR_FIXED_CTR0 + 1, MSR_FIXED_CTR_CTRL,
					MSR_PERF_GLOBAL_OVF_CTRL };

	(void)state;
	begin();
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		faulting = all[i];
		assert_false(pmu_alarm_start());
	}
}

static void pit_rings(void **state)
{
	static const uint8_t set_to_1200[] = { 0x30, 0x30, 0x00, 0xb0, 0x00, 0x04 };
	static const uint8_t set_longest[] = { 0x30, 0x30, 0x00, 0x00, 0x00, 0x00 };
	static const uint8_t off[] = { 0x30, 0x30 };

	(void)state;
	begin();
	pit_alarm_set(1200);
	assert_int_equal(port_count, sizeof set_to_1200);
	assert_memory_equal(ports, set_to_1200, sizeof set_to_1200);
	port_count = 0;
	pit_alarm_set(PIT_LONGEST);
	assert_memory_equal(ports, set_longest, sizeof set_longest);
	port_count = 0;
	pit_alarm_off();
	assert_int_equal(port_count, sizeof off);
	assert_memory_equal(ports, off, sizeof off);
	port_count = 0;
	status = 0x30;
	assert_false(pit_alarm_rang());
	status = 0xb0;
	assert_true(pit_alarm_rang());
	assert_int_equal(ports[1], 0xe2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(which_cpus_have_it, start),
		cmocka_unit_test_setup(start_values, start),
		cmocka_unit_test_setup(counter_rings, start),
		cmocka_unit_test_setup(counter_refused, start),
		cmocka_unit_test_setup(pit_rings, start),
	};

	return cmocka_run_group_tests_name("alarms by NMI", tests, NULL, NULL);
}
