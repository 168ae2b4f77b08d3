/* sources: hv/guest/wakeup.c hv/guest/wakeup_loop.S hv/guest/loader_parts.c hv/guest/guest_mem.c hv/base/failure.c hv/base/format.c */
/*
 * The area of the wakeup mailbox: its layout, and the wait loop itself. The area is built where it
 * belongs, so the loop's own code runs here, a thread for each CPU; HLT, which a program may not execute,
 * is skipped by the handler of its signal.
 */
#define _GNU_SOURCE /* REG_RIP */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "hv/guest/guest.h"
#include "hv/guest/loader_parts.h"
#include "hv/guest/wakeup.h"
#include "tests/unit/support/guest_ram.h"

#include <cmocka.h>

#define OPCODE_HLT 0xf4
#define TARGET (WAKEUP_END + PAGE_SIZE) /* where started CPUs go: code that returns */
#define CPUS 4
#define ROUNDS 50

extern const uint8_t wakeup_loop[], wakeup_poll[], wakeup_loop_end[];

static struct failure f;
static int rests; /* HLTs so far */

static void *at_home(void *ctx, gpa_t gpa, uint64_t len)
{
	(void)ctx;
	return gpa >= WAKEUP_BASE && gpa + len <= WAKEUP_END ? (void *)gpa : NULL;
}

static uint64_t get(gpa_t at, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, (const void *)at, size);
	return v;
}

/* What lies in the area, once it was full of something else. */
static void build(void)
{
	struct guest_mem m = { .ram_size = MIB(2), .at = at_home };

	memset((void *)(uint64_t)WAKEUP_BASE, 0xa5, WAKEUP_END - WAKEUP_BASE);
	assert_int_equal(wakeup_build(&m, &f), 0);
}

static void on_privileged(int number, siginfo_t *info, void *context)
{
	greg_t *rip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];

	(void)number;
	(void)info;
	if (!wakeup_in_loop((uint64_t)*rip) || *(const uint8_t *)*rip != OPCODE_HLT)
		abort();
	__atomic_add_fetch(&rests, 1, __ATOMIC_RELAXED);
	*rip += 1;
	sched_yield();
}

static int setup(void **state)
{
	void *p = mmap((void *)(uint64_t)WAKEUP_BASE, TARGET + PAGE_SIZE - WAKEUP_BASE,
		       PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	(void)state;
	memset((void *)(uint64_t)TARGET, 0xc3, PAGE_SIZE); /* RET */
	return p == MAP_FAILED;
}

static void mailbox_is_empty(void **state)
{
	(void)state;
	build();
	for (gpa_t at = WAKEUP_MAILBOX; at < WAKEUP_CODE; at += 8)
		assert_int_equal(get(at, 8), 0);
	assert_memory_equal((void *)(uint64_t)WAKEUP_CODE, wakeup_loop, (size_t)(wakeup_loop_end - wakeup_loop));
	assert_true(wakeup_loop_end < wakeup_loop + PAGE_SIZE);
}

/* As the CPU walks: every 2 MiB of the first 4 GiB, one to one, writable. */
static void map_is_one_to_one(void **state)
{
	(void)state;
	build();
	for (uint64_t gpa = 0; gpa < GIB(4); gpa += MIB(2)) {
		uint64_t e = get(WAKEUP_TABLES + (gpa >> 39) * 8, 8);

		assert_int_equal(e & 0xfff, 3);
		e = get((e & ~PAGE_MASK) + (gpa >> 30) * 8, 8);
		assert_int_equal(e & 0xfff, 3);
		assert_int_equal(get((e & ~PAGE_MASK) + (gpa >> 21 & 511) * 8, 8), gpa | 0x83);
	}
	assert_int_equal(get(WAKEUP_TABLES + 8, 8), 0);
}

static void vcpus_begin_in_the_loop(void **state)
{
	(void)state;
	for (unsigned i = 0; i < GUEST_MAX_VCPUS; i++) {
		struct guest_entry e = wakeup_entry(i);

		assert_int_equal(e.mode, ENTRY_LONG);
		assert_true(wakeup_in_loop(e.rip));
		assert_int_equal(e.cr3, WAKEUP_TABLES);
		assert_true(e.rsp - WAKEUP_STACK_SIZE >= WAKEUP_STACKS && e.rsp <= WAKEUP_TABLES);
		assert_true(i == 0 || e.rsp == wakeup_entry(i - 1).rsp + WAKEUP_STACK_SIZE);
	}
	assert_false(wakeup_in_loop(WAKEUP_MAILBOX));
	assert_false(wakeup_in_loop(WAKEUP_STACKS));
}

static void no_ram_is_refused(void **state)
{
	struct guest_mem small = test_guest_ram(KIB(512), false);

	(void)state;
	assert_int_equal(wakeup_build(&small, &f), -ENOMEM);
	assert_non_null(strstr(f.text, "d0000h"));
	test_guest_ram_free(&small);
}

/* ---- the loop at work ---- */

struct cpu {
	uint32_t id;
	uint64_t went; /* atomic: where the loop sent it last */
	pthread_t thread;
};

static volatile uint16_t *command(void) { return (uint16_t *)(uint64_t)(WAKEUP_MAILBOX + MAILBOX_COMMAND); }

/* The loop of one CPU, left by the RET that it was sent to; RAX still holds where that is. */
static void *run_loop(void *arg)
{
	struct cpu *c = arg;
	uint64_t went, poll = (uint64_t)(WAKEUP_CODE + (wakeup_poll - wakeup_loop));

	__asm__ volatile("sub $128, %%rsp\n\tcall *%1\n\tadd $128, %%rsp"
			 : "=&a"(went) : "r"(poll), "b"(c->id) : "rcx", "memory", "cc");
	__atomic_store_n(&c->went, went, __ATOMIC_RELEASE);
	return NULL;
}

static void send(uint32_t id, uint64_t vector, uint16_t what)
{
	*(volatile uint32_t *)(uint64_t)(WAKEUP_MAILBOX + MAILBOX_APIC_ID) = id;
	*(volatile uint64_t *)(uint64_t)(WAKEUP_MAILBOX + MAILBOX_VECTOR) = vector;
	__atomic_store_n(command(), what, __ATOMIC_RELEASE);
}

static void wait_taken(void)
{
	while (*command())
		sched_yield();
}

/* Long enough for every CPU to have looked. */
static void let_them_look(void)
{
	int until = __atomic_load_n(&rests, __ATOMIC_RELAXED) + 4 * CPUS;

	while (__atomic_load_n(&rests, __ATOMIC_RELAXED) < until)
		sched_yield();
}

static void start(struct cpu cpus[CPUS])
{
	struct sigaction action = { .sa_sigaction = on_privileged, .sa_flags = SA_SIGINFO };

	build();
	assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0); /* cmocka has set its own */
	for (uint32_t i = 0; i < CPUS; i++) {
		cpus[i] = (struct cpu){ .id = i + 1 };
		assert_int_equal(pthread_create(&cpus[i].thread, NULL, run_loop, &cpus[i]), 0);
	}
}

static void each_goes_where_it_was_sent(void **state)
{
	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct cpu cpus[CPUS];

		start(cpus);
		for (uint32_t i = CPUS; i-- > 0;) { /* one after the other, at once, as a kernel may */
			send(cpus[i].id, TARGET + cpus[i].id, MAILBOX_WAKEUP);
			wait_taken();
		}
		for (uint32_t i = 0; i < CPUS; i++) {
			pthread_join(cpus[i].thread, NULL);
			assert_int_equal(cpus[i].went, TARGET + cpus[i].id);
		}
	}
}

static void what_is_not_for_it_is_left(void **state)
{
	static const struct {
		uint32_t id;
		uint16_t command;
		uint64_t vector;
	} left[] = {
		{ 9, MAILBOX_WAKEUP, TARGET }, { 9, MAILBOX_TEST, 0 }, { 1, 3, TARGET }, { 1, 0xffff, TARGET },
		{ 1, MAILBOX_WAKEUP, GIB(4) + TARGET }, { 0x101, MAILBOX_WAKEUP, TARGET },
	};
	struct cpu cpus[CPUS];

	(void)state;
	start(cpus);
	for (size_t i = 0; i < ARRAY_LEN(left); i++) {
		send(left[i].id, left[i].vector, left[i].command);
		let_them_look();
		assert_int_equal(*command(), left[i].command);
	}
	for (uint32_t i = 0; i < CPUS; i++) {
		send(cpus[i].id, 0, MAILBOX_TEST); /* answered, and it stays */
		wait_taken();
		assert_int_equal(__atomic_load_n(&cpus[i].went, __ATOMIC_ACQUIRE), 0);
	}
	for (uint32_t i = 0; i < CPUS; i++) {
		send(cpus[i].id, TARGET, MAILBOX_WAKEUP);
		wait_taken();
		pthread_join(cpus[i].thread, NULL);
		assert_int_equal(cpus[i].went, TARGET);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mailbox_is_empty),
		cmocka_unit_test(map_is_one_to_one),
		cmocka_unit_test(vcpus_begin_in_the_loop),
		cmocka_unit_test(no_ram_is_refused),
		cmocka_unit_test(each_goes_where_it_was_sent),
		cmocka_unit_test(what_is_not_for_it_is_left),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
