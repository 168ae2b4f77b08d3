/*
 * The machine's side of a panic. Owns the stack that a panic runs on: the one it came from may be full,
 * and an exception stack is begun anew by the next exception of its kind.
 */
#include "hv/base/panic_cpu.h"

#include "hv/base/backtrace.h"
#include "hv/base/map.h"
#include "hv/base/msr.h"
#include "hv/base/panic.h"
#include "hv/base/percpu.h"
#include "hv/base/trap.h"
#include "hv/base/x86.h"

#define STACK_SIZE 16384
#define BACKTRACE_LINES 24

static uint8_t stack[STACK_SIZE] __attribute__((aligned(16)));

uint32_t panic_cpu_begin(void)
{
	const struct cpu *c;

	cli();
	c = cpu_if_known();
	return c ? c->index : PANIC_CPU_UNKNOWN;
}

void panic_cpu_run(void (*fn)(void))
{
	__asm__ volatile("mov %0, %%rsp\n\txor %%ebp, %%ebp\n\tcall *%1\n\tud2"
			 : : "r"(stack + sizeof stack), "r"(fn) : "memory");
	__builtin_unreachable();
}

void panic_cpu_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

void panic_cpu_registers(const struct trap_frame *f)
{
	panic_line("  rip %016lx rsp %016lx rflags %lx cs %lx ss %lx", f->rip, f->rsp, f->rflags, f->cs, f->ss);
	panic_line("  rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	panic_line("  rsi %016lx rdi %016lx rbp %016lx r8  %016lx", f->rsi, f->rdi, f->rbp, f->r8);
	panic_line("  r9  %016lx r10 %016lx r11 %016lx r12 %016lx", f->r9, f->r10, f->r11, f->r12);
	panic_line("  r13 %016lx r14 %016lx r15 %016lx", f->r13, f->r14, f->r15);
	panic_line("  cr0 %lx cr2 %lx cr3 %lx cr4 %lx", read_cr0(), read_cr2(), read_cr3(), read_cr4());
}

void panic_cpu_backtrace(const struct trap_frame *f)
{
	uint64_t found[BACKTRACE_LINES], rsp = f->rsp;
	char name[BACKTRACE_NAME];
	unsigned n;

	panic_line("  at %s", backtrace_name(f->rip, name, sizeof name));
	if (map_is_guard(rsp)) /* overflowed: the stack begins on the next page */
		rsp = align_up(rsp + 1, PAGE_SIZE);
	n = backtrace_collect(rsp, found, BACKTRACE_LINES);
	for (unsigned i = 0; i < n; i++)
		panic_line("  ?  %s", backtrace_return_name(found[i], name, sizeof name));
}
