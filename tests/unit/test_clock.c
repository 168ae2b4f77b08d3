/* sources: hv/base/clock.c */
/* The TSC's arithmetic, and which source of its frequency is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "hv/base/clock.h"

static void conversions_hold_over_years(void **state)
{
	static const uint64_t rates[] = { 1000, 50000, 100007, 1999999, 2400000, 6000000 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rates); i++) {
		uint64_t year = 365ul * 86400 * 1000000000, ticks;

		clock_set_khz(rates[i]);
		assert_int_equal(tsc_khz, rates[i]);
		ticks = mul_div(year, rates[i], 1000000);
		assert_in_range(ns_to_tsc(year), ticks - ticks / 100000000, ticks);
		assert_in_range(tsc_to_ns(ticks), year - year / 1000000000 - 1, year);
	}
	clock_set_khz(0);
	assert_int_equal(tsc_to_ns(12345), 0);
}

static void leaf_15h(void **state)
{
	(void)state;
	assert_int_equal(clock_khz_from_leaf15(2, 250, 24000000), 3000000);
	assert_int_equal(clock_khz_from_leaf15(0, 250, 24000000), 0);
	assert_int_equal(clock_khz_from_leaf15(2, 250, 0), 0);
	assert_int_equal(clock_khz_from_leaf15(1, 0xffffffff, 0xffffffff), 0xffffffffull * 0xffffffff / 1000);
}

static void counters(void **state)
{
	(void)state;
	assert_int_equal(clock_khz_from_count(24000000, 11932, 1193182), 2399963);
	assert_int_equal(clock_khz_from_count(1, 0, 1193182), 0);
}

static struct clock_choice choose(uint64_t cpuid, uint64_t pit, uint64_t pm, uint64_t base)
{
	struct clock_sources s = { cpuid, pit, pm, base };

	return clock_choose(&s);
}

static void the_right_source_is_believed(void **state)
{
	struct clock_choice c = choose(3000000, 2999000, 3000100, 3000000);

	(void)state;
	assert_int_equal(c.khz, 3000000);
	assert_false(c.cpuid_lies || c.measures_differ);
	c = choose(3000000, 100000, 0, 3000000); /* an emulator that has the CPUID of a model */
	assert_int_equal(c.khz, 100000);
	assert_true(c.cpuid_lies);
	assert_string_equal(c.source, "the PIT");
	c = choose(0, 0, 2400000, 2500000);
	assert_int_equal(c.khz, 2400000);
	assert_string_equal(c.source, "the ACPI PM timer");
	c = choose(3000000, 3500000, 3000000, 0); /* two against a disturbed PIT */
	assert_int_equal(c.khz, 3000000);
	assert_true(c.measures_differ && !c.cpuid_lies);
	c = choose(0, 0, 0, 2500000);
	assert_int_equal(c.khz, 2500000);
	assert_int_equal(choose(0, 0, 0, 0).khz, 0);
}

/* The exchange that took least decides; what it cannot tell is in the error. */
static void offsets_of_another_tsc(void **state)
{
	struct tsc_sample s[3] = { { 1000, 1900, 3000 }, { 5000, 5560, 5100 }, { 7000, 8800, 9000 } };
	uint64_t error;

	(void)state;
	assert_int_equal(clock_offset(s, 3, &error), 510);
	assert_int_equal(error, 50);
	s[1] = (struct tsc_sample){ 5000, 20, 5101 };
	assert_true(clock_offset(s, 3, &error) == -5030);
	assert_int_equal(error, 51);
	assert_int_equal(clock_offset(s, 1, &error), -100); /* in between: it may as well be none */
	assert_int_equal(error, 1000);
	s[0] = (struct tsc_sample){ 10, ~(uint64_t)0 - 9, 30 }; /* one has wrapped */
	assert_int_equal(clock_offset(s, 1, &error), -30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conversions_hold_over_years),
		cmocka_unit_test(leaf_15h),
		cmocka_unit_test(counters),
		cmocka_unit_test(the_right_source_is_believed),
		cmocka_unit_test(offsets_of_another_tsc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
