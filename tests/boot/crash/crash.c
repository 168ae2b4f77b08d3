/*
 * Provokes what a healthy hypervisor never does: in place of the guests of a build that is made for this
 * (CRASH in boot.mk), linked so that hv_main's last step comes here first. With two CPUs the second hangs for a
 * while, then the first takes an NMI and later reads address 0 with the log's lock held, and what the report calls
 * is broken too. With one CPU it hangs for longer and longer, then overflows its stack.
 */
#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/panic.h"
#include "hv/base/percpu.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"
#include "hv/host.h"
#include "hv/sched.h"

#define BEGIN_MS 500
#define STEP_MS 1500
#define NET_MS 5000 /* an address, and the next station's */

/* The linker (--wrap) makes hv_main call the first for monitor_init. */
void crash_then_monitor(void) __asm__("__wrap_monitor_init");
void shipped_monitor_init(void) __asm__("__real_monitor_init");

static volatile uint64_t *volatile nowhere; /* NULL */

static uint64_t seconds(uint64_t n) { return tsc_khz * 1000 * n; }

static NOINLINE void hang(uint64_t ticks)
{
	uint64_t end = rdtsc() + ticks;

	while (rdtsc() < end)
		cpu_pause();
}

/* ---- two CPUs ---- */

static void broken_report(void)
{
	panic_line("a report that reads address 8");
	panic_line("%lu", nowhere[1]);
}

static void wrong_report(void)
{
	panic_line("a report that breaks an invariant");
	INVARIANT(nowhere);
}

static void broken_output(const char *text, size_t len)
{
	if (len > 20 && __builtin_memcmp(text, "gnomon:   rax", 13) == 0)
		*nowhere = len;
}

static void broken_sink(enum log_level level, const char *line, size_t len)
{
	(void)line;
	if (level == LOG_ERROR)
		*nowhere = len;
}

static uint32_t hung; /* atomic */

static void hang_a_while(void *arg)
{
	uint64_t patience = seconds(host_boot()->config.watchdog);

	(void)arg;
	sched_block(rdtsc() + tsc_khz * BEGIN_MS);
	hang(patience + patience / 2);
	__atomic_store_n(&hung, 1, __ATOMIC_RELEASE);
	for (;;)
		sched_block(NEVER);
}

static void nmi_and_panic(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&hung, __ATOMIC_ACQUIRE))
		sched_block(rdtsc() + tsc_khz * BEGIN_MS);
	sched_block(rdtsc() + tsc_khz * STEP_MS);
	__asm__ volatile("int $2" : : : "memory");
	sched_block(rdtsc() + tsc_khz * STEP_MS);
	log_add_sink(broken_sink);
	log_error("this line's sink reads address 0");
	for (;;)
		sched_block(NEVER);
}

/* ---- one CPU ---- */

static NOINLINE uint64_t overflow(uint64_t depth)
{
	volatile uint64_t here[64];

	here[depth % 64] = depth;
	return depth == UINT64_MAX ? 0 : overflow(depth + 1) + here[(depth + 1) % 64];
}

static void hang_and_overflow(void *arg)
{
	uint64_t patience = seconds(host_boot()->config.watchdog);

	(void)arg;
	sched_block(rdtsc() + tsc_khz * BEGIN_MS);
	hang(patience + patience / 2);
	sched_block(rdtsc() + tsc_khz * BEGIN_MS);
	hang(3 * patience);
	sched_block(rdtsc() + tsc_khz * NET_MS);
	log_info("overflow %lu", overflow(0));
}

static void start(struct cpu *c, const char *name, void (*run)(void *))
{
	struct context *x = context_create(c, name, run, NULL);

	INVARIANT(x);
	context_wake(x);
}

void crash_then_monitor(void)
{
	if (cpu_count > 1) {
		panic_add_report("the broken report", broken_report);
		panic_add_report("the wrong report", wrong_report);
		panic_add_output(broken_output);
		start(cpus[1], "hang", hang_a_while);
		start(cpus[0], "panic", nmi_and_panic);
	} else {
		start(cpus[0], "overflow", hang_and_overflow);
	}
	shipped_monitor_init();
}
