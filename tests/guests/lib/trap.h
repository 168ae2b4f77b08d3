/*
 * Exceptions and interrupts of a tiny guest: handlers by vector, and TRY, which runs one piece of
 * assembly and says which exception it raised.
 */
#ifndef TESTS_GUESTS_LIB_TRAP_H
#define TESTS_GUESTS_LIB_TRAP_H

#include "hv/base/types.h"

struct frame { /* as lib/trap.S pushes it */
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

typedef void (*trap_fn)(struct frame *f);

struct idt_gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_mid;
	uint32_t offset_high, zero;
};

struct tss {
	uint32_t reserved;
	uint64_t rsp[3];
	uint64_t reserved2;
	uint64_t ist[7];
	uint64_t reserved3;
	uint16_t reserved4, io_map;
} __attribute__((packed));

extern struct idt_gate trap_idt[256];
extern struct tss trap_tss; /* of the first CPU */

/* First CPU: IDT, TSS, #DF on a stack of its own. */
void trap_init(void);
/* Loads the IDT; every CPU. */
void trap_load(void);
/* fn = NULL: back to reporting the vector as unexpected, which ends the guest. */
void trap_set(unsigned vector, trap_fn fn);
/* The stack slot (1..7, 0 for none) of a vector; the TSS names the stack. */
void trap_set_ist(unsigned vector, unsigned ist, uint64_t stack_top);
/* A handler that counts in trap_count[vector] and ends the interrupt at the local APIC. */
void trap_count_irq(struct frame *f);
/* The same without EOI: for NMI, software interrupts and the PIC. */
void trap_count_only(struct frame *f);

extern volatile uint32_t trap_count[256];

#define NO_FAULT (-1)
struct fault {
	int vector; /* NO_FAULT, or the exception's */
	uint64_t error, cr2, rip;
};
extern volatile struct fault fault;
extern volatile uint64_t trap_resume, trap_resume_rsp; /* where TRY goes on after an exception; 0: none */

/*
 * Runs the instructions and evaluates to the exception's vector or NO_FAULT. Further arguments are
 * those of an asm statement: TRY("mov %0, %%cr4", : : "r"(x)). First CPU only.
 */
#define TRY(instructions, ...)                                                                      \
	({                                                                                          \
		fault.vector = NO_FAULT;                                                            \
		__asm__ volatile("movq %%rsp, trap_resume_rsp\n\tmovq $9f, trap_resume\n\t" instructions \
				 "\n9:\tmovq $0, trap_resume" __VA_ARGS__);                         \
		__atomic_signal_fence(__ATOMIC_SEQ_CST);                                            \
		fault.vector;                                                                       \
	})

#endif
