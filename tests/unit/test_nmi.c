/* sources: hv/base/nmi.c hv/where.c hv/base/backtrace.c hv/base/format.c */
/* What an NMI was for, the note a CPU makes of where it was, and the words for it. */
#include "hv/base/nmi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "drivers/lapic.h"
#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/map.h"
#include "hv/base/panic.h"
#include "hv/base/smp.h"
#include "hv/base/symbols.h"
#include "hv/sched.h"
#include "hv/vm.h"
#include "hv/where.h"

#include <cmocka.h>

/* Code with returns of calls in each form, and what only looks like one. */
__asm__(".data\n\t.globl __text_start, __text_end\n__text_start:\n\t"
	".fill 8, 1, 0x90\n\t"
	"code_near:\t.byte 0xe8, 1, 2, 3, 4\nback_near:\t.fill 8, 1, 0x90\n\t"
	"code_rax:\t.byte 0xff, 0xd0\nback_rax:\t.fill 8, 1, 0x90\n\t"
	"code_disp32:\t.byte 0xff, 0x90, 1, 2, 3, 4\nback_disp32:\t.fill 8, 1, 0x90\n"
	"back_none:\t.fill 8, 1, 0x90\n__text_end:\n\t.text");
extern const char __text_start[], __text_end[], back_near[], back_rax[], back_disp32[], back_none[];

static struct sched sched;
static struct context context;
static struct vm_config config = { .name = "g" };
static struct vm vm = { .config = &config };
static struct vcpu vcpu = { .vm = &vm, .index = 2, .last_reason = 48 };
static bool from_guest, stopped, panicking, mapped;
static uint64_t alarm_calls;
static bool alarm_rings;
static uint32_t sent_to, taken_why;
static unsigned taken_count;
static char said[600];

void lapic_send_nmi(uint32_t apic_id) { sent_to = apic_id; }
bool trap_from_guest(const struct trap_frame *f) { return f && from_guest; }
bool smp_nmi_stop(void) { return stopped; }
bool cpu_has_stopped(const struct cpu *c) { return c && stopped; }
bool panic_is_on(void) { return panicking; }
hpa_t map_translate(const void *va) { return mapped && va ? 0x1000 : HPA_NONE; }
void panic_line(const char *fmt, ...) { (void)fmt; }

const char *symbols_find(uint64_t address, uint64_t *offset)
{
	*offset = 4;
	return address >= (uint64_t)__text_start && address < (uint64_t)__text_end ? "near" : NULL;
}

static const char *reason_name(uint32_t reason) { return reason == 48 ? "EPT violation" : NULL; }
static const struct backend backend = { .reason_name = reason_name };

static void complete(const struct cpu *c, struct nmi_note *n)
{
	n->runs = c->sched->current;
	n->exit = 48;
	if (n->in_guest)
		n->rip = 0xabc;
}

static bool is_alarm(const struct cpu *c)
{
	alarm_calls += c == this_cpu();
	return alarm_rings;
}

static void taken(struct cpu *c, uint32_t why)
{
	assert_ptr_equal(c, this_cpu());
	taken_why = why;
	taken_count++;
}

static const struct nmi_hooks hooks = { complete, is_alarm, taken };

static int start(void **state)
{
	(void)state;
	tsc_khz = 10000; /* NMIs that were sent in the tests before are long ago after 1,000,000 ticks */
	for (uint64_t end = __builtin_ia32_rdtsc() + 2000000; __builtin_ia32_rdtsc() < end;)
		;
	sched = (struct sched){ .current = &context };
	context = (struct context){ .name = "monitor" };
	vm.backend = &backend;
	this_cpu()->sched = &sched;
	this_cpu()->apic_id = 7;
	from_guest = stopped = panicking = alarm_rings = false;
	mapped = true;
	taken_count = sent_to = 0;
	alarm_calls = 0;
	said[0] = 0;
	nmi_set_hooks(&hooks);
	return 0;
}

static void say(const char *text)
{
	strcat(said, text);
	strcat(said, "\n");
}

static void take(uint64_t rip, const uint64_t *stack)
{
	struct trap_frame f = { .rip = rip, .rsp = (uint64_t)stack };

	nmi_take(&f);
}

static const uint64_t *empty_stack(void)
{
	static uint64_t words[2048] __attribute__((aligned(4096)));

	return words;
}

static void from_outside(void **state)
{
	uint64_t before = nmi_outside_count(this_cpu());

	(void)state;
	take(1, empty_stack());
	assert_int_equal(taken_count, 1);
	assert_int_equal(taken_why, 0);
	assert_int_equal(nmi_outside_count(this_cpu()), before + 1);
}

/* Two that were sent came as one and a straggler: nobody outside is meant. */
static void sent_ones(void **state)
{
	uint64_t before = nmi_outside_count(this_cpu());

	(void)state;
	nmi_send(this_cpu(), NMI_LEAVE);
	nmi_send(this_cpu(), NMI_TELL);
	assert_int_equal(sent_to, 7);
	take(1, empty_stack());
	assert_int_equal(taken_why, NMI_LEAVE | NMI_TELL);
	take(1, empty_stack());
	assert_int_equal(taken_count, 1);
	assert_int_equal(nmi_outside_count(this_cpu()), before);
}

static void alarms_are_their_owners(void **state)
{
	uint64_t before = nmi_outside_count(this_cpu());

	(void)state;
	alarm_rings = true;
	take(1, empty_stack());
	assert_int_equal(alarm_calls, 1);
	assert_int_equal(taken_count, 0);
	assert_int_equal(nmi_outside_count(this_cpu()), before);
}

static void in_a_panic(void **state)
{
	(void)state;
	panicking = true;
	take(1, empty_stack());
	assert_int_equal(taken_count, 0);
}

/* A CPU that is being started, or whose GS is damaged. */
static void unknown_cpu(void **state)
{
	struct cpu *was = this_cpu();

	(void)state;
	test_this_cpu = NULL;
	take(1, empty_stack());
	test_this_cpu = was;
	assert_int_equal(taken_count, 0);
}

static void callers(void **state)
{
	static uint64_t stack[1024] __attribute__((aligned(4096)));
	const struct nmi_note *n = nmi_note(this_cpu());
	uint32_t before = n->count;

	(void)state;
	memset(stack, 0, sizeof stack);
	stack[1] = (uint64_t)back_near;
	stack[2] = (uint64_t)back_none;
	stack[3] = (uint64_t)__text_start + 2; /* too near the beginning to look at what is before */
	stack[4] = (uint64_t)__text_end;
	stack[5] = (uint64_t)back_rax;
	stack[6] = UINT64_MAX;
	stack[1000] = (uint64_t)back_disp32;
	take((uint64_t)back_rax, stack);
	assert_int_equal(n->count, before + 1);
	assert_int_equal(n->found, 3);
	assert_int_equal(n->returns[0], (uint64_t)back_near);
	assert_int_equal(n->returns[1], (uint64_t)back_rax);
	assert_int_equal(n->returns[2], (uint64_t)back_disp32);
	mapped = false;
	take((uint64_t)back_rax, (const uint64_t *)8);
	assert_int_equal(n->found, 0);
}

static void more_callers_than_there_is_room_for(void **state)
{
	static uint64_t stack[1024] __attribute__((aligned(4096)));

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(stack); i++)
		stack[i] = (uint64_t)back_near;
	take(1, stack);
	assert_int_equal(nmi_note(this_cpu())->found, NMI_RETURNS);
}

static void words_for_a_context(void **state)
{
	char expected[200];

	(void)state;
	take((uint64_t)back_near, empty_stack());
	where_tell(this_cpu(), true, say);
	snprintf(expected, sizeof expected, "CPU 0 runs monitor, at %016lx near+4h\n", (uint64_t)back_near);
	assert_string_equal(said, expected);
	said[0] = 0;
	where_tell(this_cpu(), false, say);
	assert_string_equal(said, "CPU 0 runs monitor, answers no NMI\n");
}

static void words_for_a_guest(void **state)
{
	(void)state;
	context.vcpu = &vcpu;
	take((uint64_t)back_near, empty_stack());
	where_tell(this_cpu(), true, say);
	assert_non_null(strstr(said, "CPU 0 runs vCPU 2 of guest g, in root mode since the exit \"EPT violation\", at "));
	said[0] = 0;
	where_tell(this_cpu(), false, say);
	assert_string_equal(said, "CPU 0 runs vCPU 2 of guest g, answers no NMI; its latest exit: EPT violation\n");
	said[0] = 0;
	from_guest = true;
	take((uint64_t)back_near, empty_stack());
	where_tell(this_cpu(), true, say);
	assert_string_equal(said, "CPU 0 runs vCPU 2 of guest g, in the guest at rip abc\n");
}

/* Before the scheduler and the watch are there. */
static void at_the_start(void **state)
{
	(void)state;
	nmi_set_hooks(NULL);
	this_cpu()->sched = NULL;
	take(0x1234, empty_stack());
	where_tell(this_cpu(), false, say);
	assert_string_equal(said, "CPU 0 runs its start, answers no NMI\n");
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(from_outside), TEST(sent_ones), TEST(alarms_are_their_owners), TEST(in_a_panic),
		TEST(unknown_cpu), TEST(callers), TEST(more_callers_than_there_is_room_for),
		TEST(words_for_a_context), TEST(words_for_a_guest), TEST(at_the_start),
	};

	return cmocka_run_group_tests_name("NMIs", tests, NULL, NULL);
}
