/* sources: hv/vclock.c hv/base/clock.c */
/* Guest clocks: timers fire in their order, at their time, on their own CPU, and never early. */
#include "hv/vclock_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/clock.h"
#include "hv/sched.h"
#include "hv/vclock.h"

#define PERIOD 500

static struct cpu home[2];
static struct vclock clocks[3]; /* two at home on CPU 0, one on CPU 1; they register for good */
static struct vtimer timers[4];
static unsigned pokes;
static struct cpu *poked;
static char fired[64];

void sched_poke(struct cpu *c)
{
	pokes++;
	poked = c;
}

static void note(void *name) { strcat(fired, name); }

/* Once more a period after it was due, however late it is. */
static void note_and_repeat(void *dev)
{
	strcat(fired, "p");
	vtimer_set(dev, (strlen(fired) + 1) * PERIOD);
}

static int start(void **state)
{
	static char names[][2] = { "a", "b", "c" };
	static bool registered;

	(void)state;
	clock_set_khz(1000000); /* a tick is a nanosecond */
	home[1].index = 1;
	for (unsigned i = 0; i < 3 && !registered; i++)
		vclock_init(&clocks[i], &home[i / 2]);
	registered = true;
	for (unsigned i = 0; i < 3; i++) {
		vclock_restart(&clocks[i], 1000 + i);
		clocks[i].tsc_start = 0;
		vtimer_init(&timers[i], &clocks[0], note, names[i]);
	}
	vtimer_init(&timers[3], &clocks[0], note_and_repeat, &timers[3]);
	test_this_cpu = &home[0];
	pokes = 0;
	fired[0] = 0;
	return 0;
}

static void in_order(void **state)
{
	(void)state;
	vtimer_set(&timers[2], 300);
	vtimer_set(&timers[0], 100);
	vtimer_set(&timers[1], 200);
	assert_int_equal(vclock_run_due(99), 101);
	assert_string_equal(fired, "");
	assert_int_equal(vclock_run_due(250), 301);
	assert_string_equal(fired, "ab");
	assert_true(timers[0].deadline == VTIMER_OFF && timers[2].deadline == 300);
	assert_true(vclock_run_due(10000) == UINT64_MAX);
	assert_string_equal(fired, "abc");
	assert_true(vclock_run_due(20000) == UINT64_MAX);
	assert_string_equal(fired, "abc");
}

/* Its CPU is told of a timer that comes before all others, and of no other. */
static void who_is_poked(void **state)
{
	(void)state;
	vtimer_set(&timers[0], 100);
	assert_true(pokes == 1 && poked == &home[0]);
	vtimer_set(&timers[1], 100); /* after the one that was there first */
	assert_int_equal(pokes, 1);
	vtimer_set(&timers[1], 99);
	assert_int_equal(pokes, 2);
	vclock_run_due(100);
	assert_string_equal(fired, "ba");
}

static void changes(void **state)
{
	(void)state;
	vtimer_set(&timers[0], 100);
	vtimer_set(&timers[0], 400); /* once, at the new time */
	vtimer_set(&timers[1], 200);
	vtimer_cancel(&timers[1]);
	vtimer_cancel(&timers[1]);
	assert_int_equal(vclock_run_due(300), 401);
	assert_string_equal(fired, "");
	assert_true(vclock_run_due(400) == UINT64_MAX);
	assert_string_equal(fired, "a");
	vtimer_set(&timers[2], VTIMER_OFF); /* far away, but armed */
	assert_int_equal(timers[2].deadline, VTIMER_OFF - 1);
	vtimer_cancel(&timers[2]);
	assert_int_equal(timers[2].deadline, VTIMER_OFF);
}

/* A timer that sets itself again in its own past catches up before the call returns. */
static void repeating(void **state)
{
	(void)state;
	vtimer_set(&timers[3], PERIOD);
	assert_int_equal(vclock_run_due(PERIOD), 2 * PERIOD + 1);
	assert_string_equal(fired, "p");
	assert_int_equal(vclock_run_due(6 * PERIOD), 7 * PERIOD + 1);
	assert_string_equal(fired, "pppppp");
}

static void power_on_forgets(void **state)
{
	uint64_t now;

	(void)state;
	vtimer_set(&timers[0], 100);
	vtimer_set(&timers[1], 200);
	vclock_restart(&clocks[0], 77);
	assert_true(timers[0].deadline == VTIMER_OFF && timers[1].deadline == VTIMER_OFF);
	assert_int_equal(vclock_epoch(&clocks[0]), 77);
	now = vclock_now(&clocks[0]);
	assert_true(now < 60ul * 1000000000 && vclock_now(&clocks[0]) >= now);
	clocks[0].tsc_start = 0;
	assert_true(vclock_run_due(1000) == UINT64_MAX);
	assert_string_equal(fired, "");
}

/* Clocks have their own zero; a CPU runs those that are at home there. */
static void several_clocks(void **state)
{
	(void)state;
	vtimer_init(&timers[1], &clocks[1], note, "b");
	vtimer_init(&timers[2], &clocks[2], note, "c");
	clocks[1].tsc_start = 1000;
	vtimer_set(&timers[0], 500);
	vtimer_set(&timers[1], 500);
	vtimer_set(&timers[2], 500);
	assert_true(poked == &home[1]);
	assert_int_equal(vclock_run_due(600 + 1000 - 101), 1501);
	assert_string_equal(fired, "a");
	assert_true(vclock_run_due(1500) == UINT64_MAX);
	assert_string_equal(fired, "ab");
	test_this_cpu = &home[1];
	assert_true(vclock_run_due(1500) == UINT64_MAX);
	assert_string_equal(fired, "abc");
}

/* The host TSC that run_due returns is late enough: conversions round, and an early look is one for nothing. */
static void never_early(void **state)
{
	static const uint64_t rates[] = { 100007, 1999999, 2400000, 3579545 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rates); i++) {
		clock_set_khz(rates[i]);
		for (uint64_t due = 1; due < 2000000000; due = due * 3 + 7) {
			uint64_t at;

			fired[0] = 0;
			vtimer_set(&timers[0], due);
			at = vclock_run_due(0);
			assert_true(at != UINT64_MAX);
			assert_in_range(tsc_to_ns(at), due - 1, due + 2 + 1000000 / rates[i]);
			vclock_run_due(at + 1);
			assert_string_equal(fired, "a");
		}
	}
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_order), TEST(who_is_poked), TEST(changes), TEST(repeating), TEST(power_on_forgets),
		TEST(several_clocks), TEST(never_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
