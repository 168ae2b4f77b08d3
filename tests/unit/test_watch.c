/* sources: hv/watch.c hv/base/format.c */
/*
 * Who is missed and who says so: CPUs that watch each other, a CPU's own alarm, and the roll call after an NMI
 * from outside. Time is what the test says.
 */
#include "hv/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/nmi.h"
#include "hv/base/panic.h"
#include "hv/sched.h"
#include "hv/watch_alarm.h"
#include "hv/where.h"

#include <cmocka.h>

#define KHZ 1000 /* waits for answers take as many real TSC ticks, which is no time */
#define SECOND (1000ul * KHZ)
#define START (1000 * SECOND)

static struct cpu other_cpus[3];
static struct sched scheds[3];
static struct nmi_note notes[3];
static const struct nmi_hooks *hooks;
static char logged[4000], past_log[4000];
static uint32_t asked[3];
static bool answers, alarm_rings;
static uint64_t alarm_ticks, alarm_period;
static const char *alarm_name;
static unsigned alarms_set;

void nmi_set_hooks(const struct nmi_hooks *h) { hooks = h; }
const struct nmi_note *nmi_note(const struct cpu *c) { return &notes[c->index]; }

void nmi_send(struct cpu *c, uint32_t why)
{
	assert_int_equal(why, NMI_TELL);
	asked[c->index]++;
	notes[c->index].count += answers;
}

void where_tell(const struct cpu *c, bool noted, void (*say)(const char *text))
{
	char text[80];

	snprintf(text, sizeof text, "CPU %u %s", c->index, noted ? "is here" : "is silent");
	say(text);
}

static void append(char *to, const char *fmt, va_list args)
{
	size_t used = strlen(to);

	vsnprintf(to + used, sizeof logged - used, fmt, args);
	strcat(to, "\n");
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list args;

	(void)level;
	va_start(args, fmt);
	append(logged, fmt, args);
	va_end(args);
}

void panic_line(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	append(past_log, fmt, args);
	va_end(args);
}

void watch_alarm_init(void) {}
const char *watch_alarm_name(void) { return alarm_name; }
bool watch_alarm_rang(void) { return alarm_rings; }
bool watch_alarm_off(void) { return alarm_period != NEVER; }

uint64_t watch_alarm_set(uint64_t ticks)
{
	alarms_set++;
	alarm_ticks = ticks;
	return alarm_period;
}

static void on(uint32_t cpu) { test_this_cpu = cpus[cpu]; }

static void tick(uint32_t cpu, uint64_t at)
{
	on(cpu);
	watch_tick(START + at);
}

static void begin(uint32_t count, uint32_t seconds)
{
	cpu_count = count;
	on(0);
	watch_init(seconds);
	logged[0] = 0;
}

static int start(void **state)
{
	(void)state;
	tsc_khz = KHZ;
	memset(watch_cpus, 0, sizeof watch_cpus);
	memset(notes, 0, sizeof notes);
	memset(asked, 0, sizeof asked);
	memset(scheds, 0, sizeof scheds);
	watch_roll_called = 0;
	for (uint32_t i = 0; i < 3; i++) {
		other_cpus[i] = (struct cpu){ .index = i, .sched = &scheds[i] };
		cpus[i] = &other_cpus[i];
	}
	logged[0] = past_log[0] = 0;
	answers = true;
	alarm_rings = false;
	alarm_period = NEVER;
	alarm_name = NULL;
	alarms_set = 0;
	return 0;
}

static void what_is_said_at_start(void **state)
{
	char text[WATCH_TEXT];

	(void)state;
	cpu_count = 2;
	on(0);
	watch_init(10);
	assert_string_equal(logged, "watch: CPUs watch each other, 10 s\n");
	alarm_name = "its performance counter";
	watch_describe(text, sizeof text);
	assert_string_equal(text, "CPUs watch each other, each is also watched by its performance counter, 10 s");
	cpu_count = 1;
	watch_describe(text, sizeof text);
	assert_string_equal(text, "CPU 0 is watched by its performance counter, 10 s");
	alarm_name = NULL;
	watch_describe(text, sizeof text);
	assert_non_null(strstr(text, "CPU 0 is not watched: it is the only one, "));
	assert_true(strlen(text) < WATCH_TEXT - 1);
	watch_init(0);
	watch_describe(text, sizeof text);
	assert_string_equal(text, "no CPU is watched: watchdog = 0");
}

/* Once, by one of the others, when its time is over; and its return. */
static void a_cpu_is_missed(void **state)
{
	(void)state;
	begin(3, 4);
	for (uint32_t i = 0; i < 3; i++)
		tick(i, 0);
	tick(0, 3 * SECOND);
	tick(2, 3 * SECOND);
	assert_string_equal(logged, "");
	tick(0, 4 * SECOND);
	tick(2, 4 * SECOND);
	assert_string_equal(logged, "watch: CPU 1 has not come back for 4 s:\nCPU 1 is here\n");
	assert_int_equal(asked[1], 1);
	logged[0] = 0;
	for (uint64_t t = 5; t < 10; t++) {
		tick(0, t * SECOND);
		tick(2, t * SECOND);
	}
	assert_string_equal(logged, "");
	tick(1, 9 * SECOND + 1);
	assert_string_equal(logged, "watch: CPU 1 is back\n");
	tick(0, 11 * SECOND);
	assert_string_equal(logged, "watch: CPU 1 is back\n");
}

static void it_answers_no_nmi(void **state)
{
	(void)state;
	begin(2, 1);
	answers = false;
	tick(1, 0);
	tick(0, 2 * SECOND);
	assert_string_equal(logged, "watch: CPU 1 has not come back for 2 s:\nCPU 1 is silent\n");
}

/* A quarter of the time between looks: ticks in between cost no more than their store. */
static void looks_are_rare(void **state)
{
	(void)state;
	begin(2, 4);
	tick(0, 0);
	assert_int_equal(alarms_set, 1);
	for (uint64_t t = 1; t < SECOND; t += SECOND / 100)
		tick(0, t);
	assert_int_equal(alarms_set, 1);
	assert_int_equal(watch_cpus[0].look, START + SECOND);
	tick(0, SECOND);
	assert_int_equal(alarms_set, 2);
	assert_int_equal(alarm_ticks, 4 * SECOND);
}

static void halted_cpus_are_not_missed(void **state)
{
	(void)state;
	begin(2, 1);
	tick(1, 0);
	on(1);
	assert_int_equal(watch_rest(), START + SECOND / 4); /* but look after the others */
	tick(0, 100 * SECOND);
	assert_string_equal(logged, "");
	begin(1, 1);
	tick(0, 0);
	assert_int_equal(watch_rest(), NEVER);
}

/* One that starts, and one whose TSC is ahead of the looker's. */
static void unknown_times(void **state)
{
	(void)state;
	begin(3, 1);
	tick(2, 50 * SECOND);
	tick(0, 20 * SECOND);
	assert_string_equal(logged, "");
}

static void off(void **state)
{
	(void)state;
	begin(2, 0);
	tick(1, 0);
	tick(0, 1000 * SECOND);
	assert_string_equal(logged, "");
	assert_int_equal(alarms_set, 0);
	assert_int_equal(watch_rest(), NEVER);
}

/* ---- the CPU's own alarm, which an NMI brings ---- */

/* away: how long the CPU has been, by the real TSC that the handler reads. */
static void ring(uint64_t away)
{
	watch_cpus[0].seen = __builtin_ia32_rdtsc() - away;
	alarm_rings = true;
	assert_true(hooks->is_alarm(cpus[0]));
	alarm_rings = false;
}

static void an_alarm_in_time_is_nothing(void **state)
{
	(void)state;
	begin(1, 100);
	assert_false(hooks->is_alarm(cpus[0]));
	ring(SECOND);
	assert_int_equal(alarms_set, 1);
	tick(0, 2 * SECOND);
	assert_string_equal(logged, "");
	assert_string_equal(past_log, "");
}

/* The only CPU says it when it is back: the log's lock may have been its own. */
static void the_only_cpu_comes_back(void **state)
{
	(void)state;
	begin(1, 10000);
	ring(15000 * SECOND);
	assert_string_equal(past_log, "");
	tick(0, 0);
	assert_string_equal(logged, "watch: CPU 0 had not come back for 15000 s:\nCPU 0 is here\n");
}

static void the_only_cpu_stays_away(void **state)
{
	(void)state;
	begin(1, 10000);
	ring(15000 * SECOND);
	ring(20000 * SECOND);
	assert_string_equal(past_log, "watch: CPU 0 has not come back for 20000 s, and no other CPU has said so:\n"
				      "CPU 0 is here\n");
	ring(40000 * SECOND);
	assert_int_equal(strlen(past_log), strlen("watch: CPU 0 has not come back for 20000 s, and no other CPU has "
						  "said so:\nCPU 0 is here\n"));
	tick(0, 0);
	assert_string_equal(logged, "watch: CPU 0 is back\n");
}

/* Another CPU has said it: nothing goes past the log. */
static void others_were_first(void **state)
{
	(void)state;
	begin(2, 10000);
	watch_cpus[0].missed = WATCH_MISSED;
	ring(50000 * SECOND);
	assert_string_equal(past_log, "");
}

/* An alarm that idle turns off is set again by the next tick. */
static void alarm_after_a_rest(void **state)
{
	(void)state;
	begin(1, 1);
	alarm_period = SECOND / 40;
	tick(0, 0);
	assert_int_equal(watch_cpus[0].look, START + SECOND / 40);
	watch_rest();
	tick(0, 1);
	assert_int_equal(alarms_set, 2);
}

/* ---- the roll ---- */

static void the_roll_is_called(void **state)
{
	(void)state;
	begin(3, 0);
	on(1);
	notes[1].count = 1;
	hooks->taken(cpus[1], 0);
	assert_int_equal(asked[0] + asked[2], 2);
	assert_int_equal(asked[1], 0);
	assert_int_equal(scheds[1].resched, 1);
	hooks->taken(cpus[2], NMI_TELL); /* the question arrives */
	assert_int_equal(scheds[2].resched, 1);
	tick(2, 0);
	assert_string_equal(logged, "an NMI from outside: where every CPU is\n"
				    "CPU 0 is here\nCPU 1 is here\nCPU 2 is here\n");
	tick(0, 0);
	assert_string_equal(past_log, "");
}

/* The same button gives each CPU an NMI. */
static void one_roll_for_all(void **state)
{
	(void)state;
	tsc_khz = 10000000; /* all of this within a second */
	begin(2, 0);
	notes[0].count = notes[1].count = 1;
	hooks->taken(cpus[0], 0);
	tick(0, 0);
	logged[0] = 0;
	hooks->taken(cpus[1], 0);
	tick(1, 0);
	assert_string_equal(logged, "");
}

static void pass(uint64_t ticks)
{
	for (uint64_t end = __builtin_ia32_rdtsc() + ticks; __builtin_ia32_rdtsc() < end;)
		;
}

static void nobody_is_well(void **state)
{
	(void)state;
	begin(2, 0);
	pass(2 * SECOND);
	answers = false;
	notes[0].count = 1;
	hooks->taken(cpus[0], 0);
	pass(2 * SECOND);
	hooks->taken(cpus[0], 0);
	assert_string_equal(past_log, "an NMI from outside: where every CPU is\nCPU 0 is here\nCPU 1 is silent\n");
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_said_at_start), TEST(a_cpu_is_missed), TEST(it_answers_no_nmi), TEST(looks_are_rare),
		TEST(halted_cpus_are_not_missed), TEST(unknown_times), TEST(off), TEST(an_alarm_in_time_is_nothing),
		TEST(the_only_cpu_comes_back), TEST(the_only_cpu_stays_away), TEST(others_were_first),
		TEST(alarm_after_a_rest), TEST(the_roll_is_called), TEST(one_roll_for_all), TEST(nobody_is_well),
	};

	return cmocka_run_group_tests_name("the watch", tests, NULL, NULL);
}
