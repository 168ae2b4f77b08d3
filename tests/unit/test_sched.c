/* sources: hv/sched.c */
/*
 * The scheduler: who runs next, for how long, and that no wake-up is lost. Switching stacks is left
 * out: after a switch the test itself is the context that runs. STI, CLI and HLT are skipped.
 */
#include "hv/sched.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#include "drivers/lapic.h"
#include "hv/base/clock.h"
#include "hv/base/map.h"
#include "hv/base/trap.h"
#include "hv/vclock_run.h"
#include "hv/vcpu.h"
#include "hv/watch.h"
#include "tests/unit/support/support.h"

#include <cmocka.h>

#define SLICE (SCHED_SLICE_MS * tsc_khz)
#define OPCODE_HLT 0xf4
#define GREG_RIP 16 /* of the C library, whose name for it hv/vm.h has taken */

void context_switch(void **save_sp, void *load_sp);
void context_first(void);

/* The leak checker would wait by the C library's sched_yield(), whose name the scheduler's own has here. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }

static struct cpu here, other;
static struct vcpu vcpus[2];
static uint64_t stack[64];
static uint64_t timer_due, timer_armed, looked;
static unsigned ipis, switches, ins, outs;
static bool no_stack, memory_to_clear;
static jmp_buf halted;

void context_first(void) {}
void trap_set_irq(uint8_t vector, void (*handler)(void))
{
	(void)vector;
	(void)handler;
}
void lapic_send_ipi(uint32_t apic_id, uint8_t vector)
{
	(void)vector;
	assert_int_equal(apic_id, other.apic_id);
	ipis++;
}
void lapic_timer_arm(uint64_t tsc) { timer_armed = tsc; }
uint64_t vclock_run_due(uint64_t now)
{
	(void)now;
	return timer_due;
}
struct watch_cpu watch_cpus[MAX_CPUS];
uint32_t watch_roll_called;
void watch_look(uint64_t now) { looked = now; }
uint64_t watch_rest(void)
{
	watch_cpus[here.index].seen = 0;
	return watch_cpus[here.index].look;
}
bool frames_clear_some(void)
{
	bool some = memory_to_clear;

	memory_to_clear = false;
	return some;
}
void *map_stack(uint64_t pages)
{
	(void)pages;
	return no_stack ? NULL : stack + ARRAY_LEN(stack);
}
void vcpu_switched_in(struct vcpu *v)
{
	(void)v;
	ins++;
}
void vcpu_switched_out(struct vcpu *v)
{
	(void)v;
	outs++;
}
void context_switch(void **save_sp, void *load_sp)
{
	(void)save_sp;
	(void)load_sp;
	switches++;
}

/* Privileged instructions of one byte, as far as root mode needs them here. */
static void skip_privileged(int signal, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	const uint8_t *at = (const uint8_t *)c->uc_mcontext.gregs[GREG_RIP];

	(void)signal;
	(void)info;
	if (*at == OPCODE_HLT)
		siglongjmp(halted, 1);
	c->uc_mcontext.gregs[GREG_RIP]++;
}

static struct context *create(struct cpu *c, const char *name, struct vcpu *v)
{
	struct context *x = context_create(c, name, NULL, NULL);

	assert_non_null(x);
	x->vcpu = v;
	return x;
}

static int start(void **state)
{
	(void)state;
	test_phys_init(MIB(1), 64 * PAGE_SIZE);
	here = (struct cpu){ .index = 1 };
	other = (struct cpu){ .index = 2, .apic_id = 9 };
	test_this_cpu = &here;
	sched_init_cpu(&here);
	sched_init_cpu(&other);
	timer_due = NEVER;
	timer_armed = looked = 0;
	watch_cpus[here.index] = (struct watch_cpu){ .look = NEVER };
	ipis = switches = ins = outs = 0;
	no_stack = memory_to_clear = false;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	test_phys_end();
	return 0;
}

/* In each test, as cmocka sets a handler of its own before it. */
static void begin(void **state)
{
	struct sigaction action = { .sa_sigaction = skip_privileged, .sa_flags = SA_SIGINFO | SA_NODEFER };

	(void)state;
	sigaction(SIGSEGV, &action, NULL);
}

static const char *runs(void) { return here.sched->current->name; }

static void nobody(void **state)
{
	begin(state);
	sched_yield();
	assert_string_equal(runs(), "idle");
	assert_int_equal(switches, 0);
	assert_false(sched_tick(100));
	assert_true(here.sched->next_event == NEVER && here.sched->slice_end == NEVER);
}

/* Blocked when made; then each has its turn in the order of the ring. */
static void round_robin(void **state)
{
	struct context *a = create(&here, "a", &vcpus[0]), *b = create(&here, "b", &vcpus[1]);
	struct context *c = create(&here, "c", NULL);
	char order[8] = "";

	begin(state);
	sched_yield();
	assert_string_equal(runs(), "idle");
	a->blocked = b->blocked = c->blocked = false;
	for (unsigned i = 0; i < 6; i++) {
		sched_yield();
		strcat(order, runs());
	}
	assert_true(strstr("abcabcabc", order) || strstr("acbacbacb", order));
	assert_true(ins == 4 && outs >= 3 && ins - outs <= 1);
}

static void slices(void **state)
{
	struct context *a = create(&here, "a", NULL), *b = create(&here, "b", NULL);
	uint64_t since;

	begin(state);
	a->blocked = false;
	sched_yield();
	since = a->run_since;
	assert_false(sched_tick(since + 100 * SLICE)); /* alone: as long as it likes */
	assert_true(here.sched->slice_end == NEVER);
	b->blocked = false;
	assert_false(sched_tick(since + SLICE - 1));
	assert_true(here.sched->slice_end == since + SLICE && here.sched->next_event == since + SLICE);
	assert_true(sched_tick(since + SLICE));
}

/* What comes first: a timer, the deadline of somebody who waits, the end of the slice. */
static void next_event(void **state)
{
	struct context *a = create(&here, "a", NULL), *b = create(&here, "b", NULL);
	uint64_t since;

	begin(state);
	a->blocked = false;
	sched_yield();
	since = a->run_since;
	timer_due = since + 500;
	sched_tick(since);
	assert_true(here.sched->next_event == since + 500);
	b->deadline = since + 300;
	sched_tick(since);
	assert_true(here.sched->next_event == since + 300);
	assert_true(here.sched->slice_end == NEVER);
	assert_false(sched_tick(since + 300)); /* now it could run, and the slice counts */
	assert_true(here.sched->slice_end == since + SLICE);
}

/* A guest comes out once a slice in any case, on every CPU; not for this where it comes out anyway. */
static void looks_again(void **state)
{
	struct context *a = create(&here, "a", &vcpus[0]), *monitor = create(&here, "monitor", NULL);

	begin(state);
	a->blocked = false;
	sched_yield();
	sched_tick(1000);
	assert_true(here.sched->next_event == 1000 + SLICE && here.sched->slice_end == NEVER);
	assert_true(here.sched->tick_from == 1000 + SLICE / 2);
	a->blocked = true;
	monitor->blocked = false;
	sched_yield();
	assert_string_equal(runs(), "monitor");
	sched_tick(1000);
	assert_true(here.sched->next_event == NEVER);
}

/* The monitor preempts when it is woken, but does not when it merely yields. */
static void priority(void **state)
{
	struct context *guest = create(&here, "guest", &vcpus[0]), *other_guest = create(&here, "other", &vcpus[1]);
	struct context *monitor = create(&here, "monitor", NULL);

	begin(state);
	monitor->priority = true;
	guest->blocked = other_guest->blocked = false;
	sched_yield();
	context_wake(monitor);
	assert_true(sched_tick(here.sched->current->run_since));
	sched_yield();
	assert_string_equal(runs(), "monitor");
	sched_yield();
	assert_string_not_equal(runs(), "monitor");
	assert_false(sched_tick(here.sched->current->run_since)); /* it is not blocked: it waits its turn */
}

/* A wake that came before the block makes it return at once; one taken is taken once. */
static void no_lost_wake(void **state)
{
	struct context *a = create(&here, "a", NULL), *b = create(&here, "b", NULL);

	begin(state);
	a->blocked = b->blocked = false;
	sched_yield();
	a = here.sched->current;
	context_wake(a);
	switches = 0;
	sched_block(NEVER);
	assert_true(here.sched->current == a && switches == 0 && !a->woken && !a->blocked);
	sched_block(NEVER);
	assert_true(here.sched->current != a && switches == 1);
}

static void deadlines_wake(void **state)
{
	struct context *a = create(&here, "a", NULL);

	begin(state);
	a->deadline = 1; /* long ago */
	sched_yield();
	assert_string_equal(runs(), "a");
	assert_false(a->blocked);
}

/* Only another CPU is interrupted; both look again. */
static void wakes_across_cpus(void **state)
{
	struct context *mine = create(&here, "mine", NULL), *theirs = create(&other, "theirs", NULL);

	begin(state);
	context_wake(mine);
	assert_true(ipis == 0 && here.sched->resched == 1);
	context_wake(theirs);
	assert_true(ipis == 1 && other.sched->resched == 1 && theirs->woken == 1);
	sched_tick(1);
	assert_true(here.sched->resched == 0 && other.sched->resched == 1);
}

/* Idle: memory is cleared first, then the CPU halts with its timer at the next event. */
/* Every look at the timers is a sign of life; idle is none, but wakes to look after other CPUs. */
static void watched(void **state)
{
	uint64_t now = rdtsc();

	begin(state);
	sched_tick(now);
	assert_int_equal(watch_cpus[here.index].seen, now);
	assert_int_equal(looked, 0);
	watch_cpus[here.index].look = now + 2;
	sched_tick(now + 1);
	assert_int_equal(looked, 0);
	sched_tick(now + 2);
	assert_int_equal(looked, now + 2);
	watch_cpus[here.index].look = now + SLICE;
	if (sigsetjmp(halted, 1) == 0)
		sched_run();
	assert_int_equal(watch_cpus[here.index].seen, 0);
	assert_int_equal(timer_armed, now + SLICE);
}

static void idle(void **state)
{
	struct context *a = create(&here, "a", NULL);

	begin(state);
	a->deadline = __builtin_ia32_rdtsc() + 3600ul * 1000000 * tsc_khz;
	memory_to_clear = true;
	if (sigsetjmp(halted, 1) == 0)
		sched_run();
	assert_false(memory_to_clear);
	assert_true(timer_armed == a->deadline);
	assert_string_equal(runs(), "idle");
}

static void out_of_memory(void **state)
{
	uint64_t used = test_frames_used();

	begin(state);
	no_stack = true;
	assert_null(context_create(&here, "x", NULL, NULL));
	assert_int_equal(test_frames_used(), used);
	test_frames_left = 0;
	assert_null(context_create(&here, "x", NULL, NULL));
	test_frames_left = ~(uint64_t)0;
	assert_null(here.sched->ring);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody), TEST(round_robin), TEST(slices), TEST(next_event), TEST(looks_again),
		TEST(priority), TEST(no_lost_wake), TEST(deadlines_wake),
		TEST(wakes_across_cpus), TEST(watched), TEST(idle),
		TEST(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
