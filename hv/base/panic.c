/*
 * Panic: says what is known about the machine and ends. Owns the report: which section runs, which
 * output writes, and what was wrong. A fault comes back here as a second panic of the same CPU, which
 * drops what faulted and goes on behind it. Everything works without lock and without allocation.
 */
#include "hv/base/panic.h"

#include <stdarg.h>

#include "hv/base/format.h"
#include "hv/base/log.h"
#include "hv/base/panic_cpu.h"
#include "hv/base/percpu.h"
#include "hv/base/smp.h"
#include "hv/base/trap.h"

#define MAX_OUTPUTS 6
#define MAX_REPORTS 6
#define MAX_LINE 320
#define LOG_LINES 24
#define MAX_FAULTS 24 /* more than sections and outputs can cause, unless what says so faults as well */
#define NO_OUTPUT (-1)

struct section {
	const char *name;
	void (*run)(void);
};

static panic_output_fn outputs[MAX_OUTPUTS];
static struct section reports[MAX_REPORTS];

static struct {
	uint32_t owner;          /* atomic: 1 + index of the CPU that panics */
	uint32_t also;           /* atomic: the same of another that wants to */
	char cause[MAX_LINE], cause_of_also[MAX_LINE];
	struct trap_frame frame;
	unsigned next;           /* the section to run */
	const char *running;     /* its name, NULL outside */
	int output;              /* that writes now, or NO_OUTPUT */
	unsigned faults;
	char fault[MAX_LINE];    /* the latest one's sentence */
} now = { .output = NO_OUTPUT };

void panic_add_output(panic_output_fn output)
{
	for (unsigned i = 0; i < MAX_OUTPUTS; i++)
		if (!outputs[i]) {
			outputs[i] = output;
			return;
		}
}

void panic_add_report(const char *what, void (*report)(void))
{
	for (unsigned i = 0; i < MAX_REPORTS; i++)
		if (!reports[i].run) {
			reports[i] = (struct section){ what, report };
			return;
		}
}

bool panic_is_on(void) { return __atomic_load_n(&now.owner, __ATOMIC_ACQUIRE) != 0; }

/* ---- lines ---- */

/* An output that has faulted is NULL, with others behind it. */
static void write_all(const char *line, size_t len)
{
	for (int i = 0; i < MAX_OUTPUTS; i++) {
		now.output = i;
		if (outputs[i])
			outputs[i](line, len);
	}
	now.output = NO_OUTPUT;
}

void panic_line(const char *fmt, ...)
{
	char line[MAX_LINE];
	int prefix = format(line, sizeof line, PANIC_PREFIX), len;
	va_list args;

	va_start(args, fmt);
	len = prefix + vformat(line + prefix, sizeof line - 2 - (size_t)prefix, fmt, args);
	va_end(args);
	if (len < prefix || len > MAX_LINE - 3)
		len = MAX_LINE - 3;
	line[len++] = '\r';
	line[len++] = '\n';
	write_all(line, (size_t)len);
}

/* ---- sections ---- */

static void say_cause(void)
{
	panic_line("PANIC on CPU %u", now.owner - 1);
	panic_line("%s", now.cause);
}

static void stop_others(void)
{
	uint32_t silent = cpus_stop_others(NULL);

	if (silent)
		panic_line("%u CPUs answer no NMI and may still run", silent);
	if (__atomic_load_n(&now.also, __ATOMIC_ACQUIRE))
		panic_line("CPU %u panicked as well: %s", now.also - 1, now.cause_of_also);
}

static void say_registers(void) { panic_cpu_registers(&now.frame); }
static void say_backtrace(void) { panic_cpu_backtrace(&now.frame); }

static void say_log_line(void *ctx, const char *line, size_t len)
{
	const size_t prefix = sizeof PANIC_PREFIX - 1, end = 2;

	(void)ctx;
	if (len >= prefix + end)
		panic_line("| %.*s", (int)(len - prefix - end), line + prefix);
}

static void say_log(void)
{
	panic_line("the log's last lines:");
	log_replay_last(LOG_LINES, say_log_line, NULL);
}

/* On a screen what was said first is gone by now. */
static void say_end(void)
{
	panic_line("the panic was on CPU %u: %s", now.owner - 1, now.cause);
	panic_line("the machine has stopped");
}

static const struct section before[] = {
	{ "the cause", say_cause },
	{ "stopping the other CPUs", stop_others },
	{ "the registers", say_registers },
	{ "the backtrace", say_backtrace },
};
static const struct section after[] = {
	{ "the log", say_log },
	{ "the end", say_end },
};

/* The n-th section of all; NULL behind the last. */
static const struct section *section_at(unsigned n)
{
	if (n < ARRAY_LEN(before))
		return &before[n];
	n -= ARRAY_LEN(before);
	if (n < MAX_REPORTS)
		return &reports[n];
	n -= MAX_REPORTS;
	return n < ARRAY_LEN(after) ? &after[n] : NULL;
}

static void say_fault(void)
{
	const char *where = now.running;

	if (!now.fault[0])
		return;
	now.running = NULL;
	panic_line("another fault in %s, whose rest is lost: %s", where ? where : "the report", now.fault);
	now.fault[0] = 0;
}

/* On a stack of its own, begun anew after each fault. */
NORETURN static void go_on(void)
{
	const struct section *s;

	if (now.faults)
		say_fault();
	while ((s = section_at(now.next++))) {
		now.running = s->name;
		if (s->run)
			s->run();
		now.running = NULL;
	}
	panic_cpu_halt();
}

/* ---- the way in ---- */

/* An output that faults is dropped, and the section it was in begins again without it. */
static void drop_what_faulted(void)
{
	if (now.output == NO_OUTPUT)
		return;
	outputs[now.output] = NULL;
	now.output = NO_OUTPUT;
	if (now.running)
		now.next--;
}

NORETURN static void again(const char *fmt, va_list args)
{
	now.fault[0] = 0;
	if (++now.faults > MAX_FAULTS)
		panic_cpu_halt();
	drop_what_faulted();
	vformat(now.fault, sizeof now.fault, fmt, args);
	panic_cpu_run(go_on);
}

/* Another CPU's report is under way: this one's sentence goes into it when there is time. */
NORETURN static void another(uint32_t me, const char *fmt, va_list args)
{
	uint32_t nobody = 0;

	if (!now.also) {
		vformat(now.cause_of_also, sizeof now.cause_of_also, fmt, args);
		__atomic_compare_exchange_n(&now.also, &nobody, me, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
	}
	panic_cpu_halt();
}

NORETURN static void report(const struct trap_frame *f, const char *fmt, va_list args)
{
	uint32_t me = panic_cpu_begin() + 1, nobody = 0;

	if (__atomic_compare_exchange_n(&now.owner, &nobody, me, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		now.frame = *f;
		vformat(now.cause, sizeof now.cause, fmt, args);
		panic_cpu_run(go_on);
	}
	if (nobody == me)
		again(fmt, args);
	another(me, fmt, args);
}

void panic_trap(const struct trap_frame *f, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(f, fmt, args);
}

void panic(const char *fmt, ...)
{
	struct trap_frame f = { .rip = (uint64_t)__builtin_return_address(0) };
	va_list args;

	panic_cpu_caller(&f);
	va_start(args, fmt);
	report(&f, fmt, args);
}
