/*
 * Panic: says what is known about the machine and ends. Everything here works without lock,
 * without allocation, on whatever stack is left, and once more when it faults itself.
 */
#include "hv/base/panic.h"

#include <stdarg.h>

#include "hv/base/format.h"
#include "hv/base/frame.h"
#include "hv/base/map.h"
#include "hv/base/percpu.h"
#include "hv/base/smp.h"
#include "hv/base/symbols.h"
#include "hv/base/trap.h"
#include "hv/base/x86.h"

#define MAX_HOOKS 4
#define MAX_LINE 320
#define BACKTRACE_WORDS 1024
#define BACKTRACE_LINES 24

extern const char __text_start[], __text_end[];

static panic_output_fn outputs[MAX_HOOKS];
static void (*reports[MAX_HOOKS])(void);
static uint32_t panicking; /* 1 + index of the CPU that panics */
static bool printed;       /* its report is out: only the end is left */

void panic_add_output(panic_output_fn output)
{
	for (unsigned i = 0; i < MAX_HOOKS; i++)
		if (!outputs[i]) {
			outputs[i] = output;
			return;
		}
}

void panic_add_report(void (*report)(void))
{
	for (unsigned i = 0; i < MAX_HOOKS; i++)
		if (!reports[i]) {
			reports[i] = report;
			return;
		}
}

static void print_line(const char *fmt, va_list args)
{
	char line[MAX_LINE];
	int prefix = format(line, sizeof line, "gnomon: ");
	int len = prefix + vformat(line + prefix, sizeof line - 2 - (size_t)prefix, fmt, args);

	if (len < prefix || len > MAX_LINE - 3)
		len = MAX_LINE - 3;
	line[len++] = '\r';
	line[len++] = '\n';
	for (unsigned i = 0; i < MAX_HOOKS && outputs[i]; i++)
		outputs[i](line, (size_t)len);
}

void panic_line(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	print_line(fmt, args);
	va_end(args);
}

static void print_registers(const struct trap_frame *f)
{
	panic_line("  rip %016lx rsp %016lx rflags %lx cs %lx ss %lx", f->rip, f->rsp, f->rflags, f->cs, f->ss);
	panic_line("  rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	panic_line("  rsi %016lx rdi %016lx rbp %016lx r8  %016lx", f->rsi, f->rdi, f->rbp, f->r8);
	panic_line("  r9  %016lx r10 %016lx r11 %016lx r12 %016lx", f->r9, f->r10, f->r11, f->r12);
	panic_line("  r13 %016lx r14 %016lx r15 %016lx", f->r13, f->r14, f->r15);
	panic_line("  cr0 %lx cr2 %lx cr3 %lx cr4 %lx", read_cr0(), read_cr2(), read_cr3(), read_cr4());
}

static void print_address(const char *mark, uint64_t address)
{
	uint64_t offset;
	const char *name = symbols_find(address, &offset);

	if (name)
		panic_line("  %s%016lx %s+%lxh", mark, address, name, offset);
	else
		panic_line("  %s%016lx", mark, address);
}

static bool in_text(uint64_t a)
{
	return a >= (uint64_t)__text_start + 8 && a < (uint64_t)__text_end;
}

/* Whether a CALL ends right before: E8 rel32, or FF /2 in its forms of two, three, six and seven bytes. */
static bool follows_call(uint64_t a)
{
	const uint8_t *p = (const uint8_t *)a;

	return p[-5] == 0xe8 || (p[-2] == 0xff && (p[-1] & 0x38) == 0x10) ||
	       (p[-3] == 0xff && (p[-2] & 0x38) == 0x10) || (p[-6] == 0xff && (p[-5] & 0x38) == 0x10) ||
	       (p[-7] == 0xff && (p[-6] & 0x38) == 0x10);
}

/*
 * The code keeps no frame pointers, which would cost on the exit path: instead every word on the
 * stack that can be a return address is shown. Stale ones show too, hence the question mark.
 */
static void print_backtrace(const struct trap_frame *f)
{
	const uint64_t *word = (const uint64_t *)align_down(f->rsp, 8);
	unsigned lines = 0;

	print_address("at ", f->rip);
	if (map_is_guard((uint64_t)word)) /* overflowed: the stack begins on the next page */
		word = (const uint64_t *)align_up((uint64_t)word + 1, PAGE_SIZE);
	for (unsigned i = 0; i < BACKTRACE_WORDS && lines < BACKTRACE_LINES; i++, word++) {
		if ((i == 0 || is_aligned((uint64_t)word, PAGE_SIZE)) && map_translate(word) == HPA_NONE)
			return;
		if (in_text(*word) && follows_call(*word)) {
			print_address("?  ", *word);
			lines++;
		}
	}
}

NORETURN static void halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* A CPU that panics while another does waits to be stopped; one that panics twice gets to the end. */
static void enter(void)
{
	uint32_t me = this_cpu()->index + 1, nobody = 0;

	cli();
	if (__atomic_compare_exchange_n(&panicking, &nobody, me, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return;
	if (nobody != me)
		halt();
	if (printed)
		halt();
	printed = true;
	panic_line("another fault during the panic: the rest of the report is lost");
	halt();
}

NORETURN static void report(const struct trap_frame *f, const char *fmt, va_list args)
{
	enter();
	panic_line("PANIC on CPU %u", this_cpu()->index);
	print_line(fmt, args);
	cpus_stop_others(NULL);
	print_registers(f);
	print_backtrace(f);
	for (unsigned i = 0; i < MAX_HOOKS && reports[i]; i++)
		reports[i]();
	printed = true;
	panic_line("the machine has stopped");
	halt();
}

void panic_trap(const struct trap_frame *f, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report(f, fmt, args);
}

/* The caller's registers as far as a C function still has them: the callee-saved ones. */
void panic(const char *fmt, ...)
{
	struct trap_frame f = { 0 };
	va_list args;

	__asm__ volatile("mov %%rbx, %0\n\tmov %%r12, %1\n\tmov %%r13, %2\n\tmov %%r14, %3\n\tmov %%r15, %4"
			 : "=m"(f.rbx), "=m"(f.r12), "=m"(f.r13), "=m"(f.r14), "=m"(f.r15));
	__asm__ volatile("pushfq; pop %0" : "=r"(f.rflags));
	__asm__ volatile("mov %%rsp, %0\n\tmov %%rbp, %1" : "=r"(f.rsp), "=r"(f.rbp));
	f.rip = (uint64_t)__builtin_return_address(0);
	f.cs = 8;
	f.ss = 16;
	va_start(args, fmt);
	report(&f, fmt, args);
}
