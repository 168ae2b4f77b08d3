/* sources: hv/base/panic.c hv/base/format.c */
/*
 * A panic's report: all sections in their order, and what is left of it when sections and outputs fault,
 * when another CPU panics too, and when nothing works at all.
 */
#include "hv/base/panic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hv/base/log.h"
#include "hv/base/panic_cpu.h"
#include "hv/base/smp.h"

#include <cmocka.h>

static char said[8192], said_to_second[8192];
static jmp_buf halted;
static uint32_t me, silent;
static const char *broken; /* the section that faults */
static unsigned faults_left;
static bool second_faults;

uint32_t panic_cpu_begin(void) { return me; }

void panic_cpu_run(void (*fn)(void))
{
	fn();
	abort();
}

void panic_cpu_halt(void) { longjmp(halted, 1); }

static void fault(const char *where)
{
	struct trap_frame f = { 0 };

	if (!broken || strcmp(broken, where) || !faults_left)
		return;
	faults_left--;
	panic_trap(&f, "page fault in %s", where);
}

void panic_cpu_registers(const struct trap_frame *f)
{
	panic_line("rip %lx", f->rip);
	fault("registers");
	panic_line("more registers");
}

void panic_cpu_backtrace(const struct trap_frame *f)
{
	(void)f;
	panic_line("backtrace");
	fault("backtrace");
}

uint32_t cpus_stop_others(void (*on_each)(void))
{
	assert_null(on_each);
	fault("stop");
	return silent;
}

void log_replay_last(unsigned count, void (*each)(void *ctx, const char *line, size_t len), void *ctx)
{
	assert_true(count > 0);
	each(ctx, "gnomon: an old line\r\n", 21);
	fault("log");
	each(ctx, "\r\n", 2); /* damaged */
	each(ctx, "gnomon: the last\r\n", 18);
}

static void append(char *to, const char *text, size_t len)
{
	assert_true(len >= 2 && !memcmp(text + len - 2, "\r\n", 2));
	strncat(to, text, len);
}

static void first_output(const char *text, size_t len) { append(said, text, len); }

static void second_output(const char *text, size_t len)
{
	struct trap_frame f = { 0 };

	append(said_to_second, text, len);
	if (second_faults && strstr(text, "registers"))
		panic_trap(&f, "page fault in the screen");
}

static void guests(void)
{
	panic_line("guest a");
	fault("guests");
	panic_line("guest b");
}

/* Each panic in a process of its own: a machine panics once. What it said comes back through a pipe. */
static void provoke(uint32_t cpu, const char *section, unsigned faults)
{
	struct trap_frame f = { .rip = 0x1234 };
	int ends[2], status;
	size_t used = 0;
	ssize_t n;

	assert_int_equal(pipe(ends), 0);
	me = cpu;
	broken = section;
	faults_left = faults;
	if (fork() == 0) {
		said[0] = 0;
		panic_add_output(first_output);
		panic_add_output(second_output);
		panic_add_report("the guests", guests);
		if (!setjmp(halted))
			panic_trap(&f, "%s is %u", "seven", 8);
		_exit(write(ends[1], said, strlen(said)) != (ssize_t)strlen(said));
	}
	close(ends[1]);
	while ((n = read(ends[0], said + used, sizeof said - 1 - used)) > 0)
		used += (size_t)n;
	said[used] = 0;
	close(ends[0]);
	wait(&status);
	assert_int_equal(status, 0);
}

/* The parts appear in this order. */
static void assert_in_order(const char *const *parts)
{
	const char *at = said;

	for (; *parts; parts++) {
		at = strstr(at, *parts);
		if (!at)
			fail_msg("no '%s' where it should be in:\n%s", *parts, said);
		at += strlen(*parts);
	}
}
#define ASSERT_ORDER(...) assert_in_order((const char *const[]){ __VA_ARGS__, NULL })

static int start(void **state)
{
	(void)state;
	silent = 0;
	second_faults = false;
	return 0;
}

static void all_sections(void **state)
{
	(void)state;
	provoke(3, NULL, 0);
	assert_string_equal(said, "gnomon: PANIC on CPU 3\r\n"
				  "gnomon: seven is 8\r\n"
				  "gnomon: rip 1234\r\n"
				  "gnomon: more registers\r\n"
				  "gnomon: backtrace\r\n"
				  "gnomon: guest a\r\n"
				  "gnomon: guest b\r\n"
				  "gnomon: the log's last lines:\r\n"
				  "gnomon: | an old line\r\n"
				  "gnomon: | the last\r\n"
				  "gnomon: the panic was on CPU 3: seven is 8\r\n"
				  "gnomon: the machine has stopped\r\n");
}

static void a_cpu_does_not_stop(void **state)
{
	(void)state;
	silent = 2;
	provoke(0, NULL, 0);
	ASSERT_ORDER("seven is 8", "2 CPUs answer no NMI", "rip 1234");
}

static void each_section_may_fault(void **state)
{
	static const char *const sections[] = { "stop", "registers", "backtrace", "guests", "log" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		provoke(0, sections[i], 1);
		ASSERT_ORDER("PANIC on CPU 0", "seven is 8", "another fault in ", "whose rest is lost: page fault in ",
			     sections[i], "the panic was on CPU 0: seven is 8", "the machine has stopped");
	}
	provoke(0, "registers", 1);
	ASSERT_ORDER("rip 1234", "another fault in the registers", "backtrace", "guest a", "guest b", "an old line");
	assert_null(strstr(said, "more registers"));
}

/* The output is dropped, and the section it faulted in is said again to the others. */
static void an_output_faults(void **state)
{
	(void)state;
	second_faults = true;
	provoke(0, NULL, 0);
	ASSERT_ORDER("seven is 8", "rip 1234", "more registers", "another fault in the registers", "in the screen",
		     "rip 1234", "more registers", "backtrace", "guest b", "the machine has stopped");
}

static void not_a_known_cpu(void **state)
{
	(void)state;
	provoke(PANIC_CPU_UNKNOWN, "guests", 1);
	ASSERT_ORDER("PANIC on CPU 999", "seven is 8", "another fault", "the machine has stopped");
}

static void fault_for_ever(void)
{
	struct trap_frame f = { 0 };

	panic_trap(&f, "nothing works");
}

static void output_fault(const char *text, size_t len)
{
	(void)text, (void)len;
	fault_for_ever();
}

/* It ends all the same. */
static void nothing_works(void **state)
{
	int status;

	(void)state;
	if (fork() == 0) {
		for (unsigned i = 0; i < 4; i++) {
			panic_add_output(output_fault);
			panic_add_report("a broken one", fault_for_ever);
		}
		if (!setjmp(halted))
			panic("at first");
		_exit(0);
	}
	wait(&status);
	assert_int_equal(status, 0);
}

static void other_panics(void)
{
	struct trap_frame f = { 0 };
	jmp_buf mine;
	uint32_t was = me;

	memcpy(&mine, &halted, sizeof mine);
	me = 1;
	if (!setjmp(halted))
		panic_trap(&f, "the other one's reason");
	memcpy(&halted, &mine, sizeof mine);
	me = was;
}

static void output_during_which_another_panics(const char *text, size_t len)
{
	append(said, text, len);
	if (strstr(text, "seven"))
		other_panics();
}

/* Its reason is in the report of the first. */
static void two_cpus_panic(void **state)
{
	int ends[2], status;
	struct trap_frame f = { 0 };
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	me = 0;
	broken = NULL;
	if (fork() == 0) {
		said[0] = 0;
		panic_add_output(output_during_which_another_panics);
		if (!setjmp(halted))
			panic_trap(&f, "seven is 8");
		_exit(write(ends[1], said, strlen(said)) < 0);
	}
	close(ends[1]);
	n = read(ends[0], said, sizeof said - 1);
	said[n > 0 ? n : 0] = 0;
	close(ends[0]);
	wait(&status);
	ASSERT_ORDER("PANIC on CPU 0", "seven is 8", "CPU 1 panicked as well: the other one's reason", "rip",
		     "the machine has stopped");
}

static void is_on(void **state)
{
	int status;

	(void)state;
	assert_false(panic_is_on());
	if (fork() == 0) {
		if (!setjmp(halted))
			panic("at first");
		_exit(panic_is_on() ? 0 : 1);
	}
	wait(&status);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(all_sections, start),
		cmocka_unit_test_setup(a_cpu_does_not_stop, start),
		cmocka_unit_test_setup(each_section_may_fault, start),
		cmocka_unit_test_setup(an_output_faults, start),
		cmocka_unit_test_setup(not_a_known_cpu, start),
		cmocka_unit_test_setup(nothing_works, start),
		cmocka_unit_test_setup(two_cpus_panic, start),
		cmocka_unit_test_setup(is_on, start),
	};

	return cmocka_run_group_tests_name("panic", tests, NULL, NULL);
}
