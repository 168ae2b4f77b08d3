/* sources: hv/base/trace.c hv/trace.c hv/base/failure.c hv/base/format.c */
#include "hv/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/panic.h"
#include "hv/base/percpu.h"
#include "hv/monitor/commands.h"
#include "hv/vm_life.h"

#include "tests/unit/support/support.h"

#include <cmocka.h>

uint64_t tsc_khz = 1000000;

static const char *reason_name(uint32_t reason) { return reason == 10 ? "CPUID" : NULL; }

static const struct backend backend = { .reason_name = reason_name };
static const struct vm_config config = { .name = "one" };
static struct vm vm = { .id = 1, .config = &config, .backend = &backend };
static char lines[20000];

uint32_t vms_count(void) { return 1; }
struct vm *vm_at(uint32_t index) { (void)index; return &vm; }

static void add(const char *fmt, va_list args)
{
	size_t at = strlen(lines);

	vsnprintf(lines + at, sizeof lines - at, fmt, args);
}

void mon_printf(struct monitor_out *out, const char *fmt, ...)
{
	va_list args;

	(void)out;
	va_start(args, fmt);
	add(fmt, args);
	va_end(args);
}

void panic_line(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add(fmt, args);
	va_end(args);
}

bool command_number(struct monitor_out *out, const char *text, uint64_t *value)
{
	(void)out;
	*value = strtoul(text, NULL, 0);
	return *text >= '0' && *text <= '9';
}

static int command(const char *one, const char *two)
{
	char a[] = "trace", b[20], c[20];
	char *argv[] = { a, b, c };

	snprintf(b, sizeof b, "%s", one ? one : "");
	snprintf(c, sizeof c, "%s", two ? two : "");
	lines[0] = 0;
	return commands_trace[0].run(NULL, two ? 3 : one ? 2 : 1, argv);
}

static void keeps_the_last_in_order(void **state)
{
	static struct trace_event got[TRACE_EVENTS];
	struct failure f;

	(void)state;
	assert_int_equal(trace_read(0, got, TRACE_EVENTS), 0);
	trace_mmu(TRACE_MMU_ZAP, 1, 5, 1);
	assert_false(trace_panic());
	test_frames_left = 0;
	assert_int_not_equal(trace_start(&f), 0);
	assert_non_null(strstr(f.text, "no memory for the trace of CPU 0"));
	test_frames_left = ~(uint64_t)0;
	assert_int_equal(trace_start(&f), 0);
	assert_int_equal(trace_read(0, got, TRACE_EVENTS), 0);
	for (uint64_t i = 0; i < 1000; i++)
		trace_mmu(TRACE_MMU_FLUSH, 1, i, 2 * i);
	assert_int_equal(trace_read(0, got, TRACE_EVENTS), TRACE_EVENTS - 1);
	for (uint64_t i = 0; i < TRACE_EVENTS - 1; i++) {
		assert_int_equal(got[i].what, 1000 - (TRACE_EVENTS - 1) + i);
		assert_int_equal(got[i].detail, 2 * got[i].what);
	}
	assert_int_equal(trace_read(0, got, 3), 3);
	assert_int_equal(got[2].what, 999);
	assert_int_equal(trace_read(MAX_CPUS, got, 3), 0);
	trace_stop();
	trace_mmu(TRACE_MMU_ZAP, 1, 7, 1);
	assert_int_equal(trace_read(0, got, 1), 1);
	assert_int_equal(got[0].what, 999);
	assert_int_equal(trace_start(&f), 0);
}

static void exits_have_their_cost(void **state)
{
	static struct vcpu v;
	struct trace_event got[4];

	(void)state;
	v.vm = &vm;
	v.index = 3;
	v.exit_tsc = 1000;
	v.stats.cycles[10] = 7000;
	trace_exit(&v, 10, 0xabc, 0, 0);
	v.stats.cycles[10] += 130;
	v.exit_tsc = 2000;
	trace_exit(&v, 48, 0xdef, 0x181, 0xfee00000);
	assert_int_equal(trace_read(0, got, 2), 2);
	assert_int_equal(got[0].cost, 130);
	assert_int_equal(got[1].cost, TRACE_OPEN);
	command("0", "2");
	assert_non_null(strstr(lines, "1000 +0 one/3 exit CPUID, rip abc, 130 ticks\n"));
	assert_non_null(strstr(lines, "2000 +1000 one/3 exit unknown, rip def, qualification 181, gpa fee00000\n"));
	/* Its place is another event's by the time the next exit comes: that one is left alone. */
	for (unsigned i = 0; i < TRACE_EVENTS; i++)
		trace_mmu(TRACE_SHADOW_NEW, 1, i, 1);
	trace_exit(&v, 10, 0xabc, 0, 0);
	for (unsigned i = 0; i < TRACE_EVENTS - 1; i++) {
		static struct trace_event all[TRACE_EVENTS];

		assert_int_equal(trace_read(0, all, TRACE_EVENTS), TRACE_EVENTS - 1);
		assert_true(all[i].cost == 0 || all[i].cost == TRACE_OPEN);
	}
}

static void every_kind_has_words(void **state)
{
	char text[200];

	(void)state;
	for (uint32_t kind = TRACE_MMU_FLUSH; kind <= TRACE_KIND_END; kind++) {
		struct trace_event e = { .tsc = 5, .kind = kind, .vm = kind & 1, .what = 16, .detail = 2 };

		trace_format(&e, 4, text, sizeof text);
		assert_true(strstr(text, kind == TRACE_KIND_END ? "5 +1 unknown event" : "gfn 10"));
		for (size_t size = 1; size < 60; size++) {
			char *small = malloc(size);

			trace_format(&e, 4, small, size);
			assert_true(strlen(small) < size);
			free(small);
		}
	}
}

static void command_says_what_is_wrong(void **state)
{
	(void)state;
	assert_int_equal(command("off", NULL), 0);
	assert_false(trace_on);
	assert_int_equal(command("on", NULL), 0);
	assert_true(trace_on);
	assert_int_equal(command(NULL, NULL), 0);
	assert_non_null(strstr(lines, "the trace is on"));
	assert_int_not_equal(command("1", NULL), 0);
	assert_non_null(strstr(lines, "there is no CPU 1"));
	assert_int_not_equal(command("x", NULL), 0);
	lines[0] = 0;
	assert_true(trace_panic());
	assert_non_null(strstr(lines, "trace of CPU 0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_last_in_order),
		cmocka_unit_test(exits_have_their_cost),
		cmocka_unit_test(every_kind_has_words),
		cmocka_unit_test(command_says_what_is_wrong),
	};

	test_phys_init(MIB(1), MIB(1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
