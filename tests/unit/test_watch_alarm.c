/* sources: hv/watch_alarm.c hv/base/failure.c hv/base/format.c */
/* Which NMI is the watch's alarm: what has rung when it was tried at start, and nothing else. */
#include "hv/watch_alarm.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/ioapic.h"
#include "drivers/pit.h"
#include "drivers/pmu.h"
#include "hv/base/clock.h"
#include "hv/base/percpu.h"
#include "hv/sched.h"

#include <cmocka.h>

static bool has_counter, counter_starts, counter_counts, has_input, pit_counts;
static unsigned counter_sets, pit_sets, pit_offs;
static uint64_t cycles;
static bool pit_high, overflown;

bool pmu_present(void) { return has_counter; }
bool pmu_alarm_start(void) { return counter_starts; }
bool pit_alarm_rang(void) { return pit_high; }
void pit_alarm_off(void) { pit_offs++; }

/* An alarm that works rings at once, in what stands for the NMI handler. */
void pmu_alarm_set(uint64_t n)
{
	cycles = n;
	counter_sets++;
	overflown = counter_counts;
	if (counter_sets == 1 && overflown)
		assert_true(watch_alarm_rang());
}

bool pmu_alarm_rang(void)
{
	bool was = overflown;

	overflown = false;
	return was;
}

void pit_alarm_set(uint32_t count)
{
	assert_in_range(count, 1, PIT_LONGEST);
	pit_sets++;
	pit_high = pit_counts;
	if (pit_high)
		assert_true(watch_alarm_rang());
	pit_high = false;
}

int ioapic_route_isa_nmi(uint8_t irq, uint32_t apic_id, struct failure *f)
{
	assert_int_equal(irq, 0);
	assert_int_equal(apic_id, this_cpu()->apic_id);
	f->text[0] = has_input ? 0 : 'n';
	return has_input ? 0 : -ENODEV;
}

/* Each in a process of its own, as a machine starts once. */
static void in_a_process(void (*check)(void))
{
	int status;

	if (fork() == 0) {
		tsc_khz = 100;
		check();
		_exit(0);
	}
	wait(&status);
	assert_int_equal(status, 0);
}

#define CHECK(cond) do { if (!(cond)) _exit(1); } while (0)

static void with_counter(void)
{
	has_counter = counter_starts = counter_counts = has_input = pit_counts = true;
	watch_alarm_init();
	CHECK(!strcmp(watch_alarm_name(), "its performance counter"));
	CHECK(pit_sets == 0);
	CHECK(watch_alarm_set(12345) == NEVER && cycles == 12345);
	CHECK(!watch_alarm_off() && pit_offs == 0);
	CHECK(watch_alarm_rang() && !watch_alarm_rang());
	pit_high = true;
	CHECK(!watch_alarm_rang());
}

static void with_pit(void)
{
	CHECK(!strcmp(watch_alarm_name(), "the PIT's NMI"));
	CHECK(watch_alarm_set(1000000) == 25 * tsc_khz);
	CHECK(watch_alarm_off() && pit_offs == 2);
	CHECK(!watch_alarm_rang());
	pit_high = true;
	CHECK(watch_alarm_rang());
}

static void pit_without_counter(void)
{
	has_input = pit_counts = true;
	watch_alarm_init();
	with_pit();
}

static void pit_when_the_counter_stands_still(void)
{
	has_counter = counter_starts = has_input = pit_counts = true;
	watch_alarm_init();
	with_pit();
}

static void pit_when_the_counter_faults(void)
{
	has_counter = has_input = pit_counts = true;
	watch_alarm_init();
	with_pit();
	CHECK(counter_sets == 0);
}

static void nothing(void)
{
	watch_alarm_init();
	CHECK(!watch_alarm_name());
	CHECK(watch_alarm_set(1000) == NEVER);
	CHECK(!watch_alarm_off() && pit_sets == 0);
	pit_high = overflown = true;
	CHECK(!watch_alarm_rang());
}

static void pit_that_is_not_there(void)
{
	has_input = true;
	watch_alarm_init();
	CHECK(!watch_alarm_name() && pit_sets == 1);
	CHECK(watch_alarm_set(1000) == NEVER && pit_sets == 1);
}

/* The PIT's NMI goes to one CPU. */
static void no_pit_for_two_cpus(void)
{
	cpu_count = 2;
	has_input = pit_counts = true;
	watch_alarm_init();
	CHECK(!watch_alarm_name() && pit_sets == 0);
}

static void each(void **state)
{
	(void)state;
	in_a_process(with_counter);
	in_a_process(pit_without_counter);
	in_a_process(pit_when_the_counter_stands_still);
	in_a_process(pit_when_the_counter_faults);
	in_a_process(nothing);
	in_a_process(pit_that_is_not_there);
	in_a_process(no_pit_for_two_cpus);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each) };

	return cmocka_run_group_tests_name("the watch's alarms", tests, NULL, NULL);
}
