/*
 * What a panic needs of the CPU it runs on: who it is, a stack to stand on, registers, the end.
 */
#ifndef HV_BASE_PANIC_CPU_H
#define HV_BASE_PANIC_CPU_H

#include "hv/base/trap.h"
#include "hv/base/types.h"

/* Interrupts off for good. The CPU's index: PANIC_CPU_UNKNOWN when GS points at no struct cpu. */
#define PANIC_CPU_UNKNOWN 999
uint32_t panic_cpu_begin(void);
/* Runs fn on the panic's own stack, from its top: what an earlier fn had there is given up. One CPU at a time. */
NORETURN void panic_cpu_run(void (*fn)(void));
NORETURN void panic_cpu_halt(void);

/* The caller's registers as far as a C function still has them: the callee-saved ones. */
static inline void panic_cpu_caller(struct trap_frame *f)
{
	__asm__ volatile("mov %%rbx, %0\n\tmov %%r12, %1\n\tmov %%r13, %2\n\tmov %%r14, %3\n\tmov %%r15, %4"
			 : "=m"(f->rbx), "=m"(f->r12), "=m"(f->r13), "=m"(f->r14), "=m"(f->r15));
	__asm__ volatile("pushfq; pop %0" : "=r"(f->rflags));
	__asm__ volatile("mov %%rsp, %0\n\tmov %%rbp, %1" : "=r"(f->rsp), "=r"(f->rbp));
	__asm__ volatile("mov %%cs, %0\n\tmov %%ss, %1" : "=r"(f->cs), "=r"(f->ss));
}
void panic_cpu_registers(const struct trap_frame *f);
void panic_cpu_backtrace(const struct trap_frame *f);

#endif
