/*
 * Traps and interrupts of the host CPU: the frame the stubs of trap_entry.S build, interrupt handlers by
 * vector, instructions that may fault (fixup table), and non-maskable interrupts.
 */
#ifndef HV_BASE_TRAP_H
#define HV_BASE_TRAP_H

#include "hv/base/types.h"

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
	uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss; /* pushed by the CPU */
};

/* For inline assembly: when the instruction at label `from` faults, execution goes on at `to`. */
#define TRAP_FIXUP(from, to) \
	".pushsection .fixup, \"a\"\n\t.quad " from ", " to "\n\t.popsection\n\t"

/* Fills the interrupt descriptor table, once, before the first machine_load_cpu(). */
void traps_init(void);
/* Loads IDTR of the running CPU; its TSS must be loaded. */
void traps_load_cpu(void);

/* Who handles a vector of hv/base/vectors.h; start-up only. The handler runs with interrupts off,
 * before EOI, on whichever CPU took the interrupt. */
void trap_set_irq(uint8_t vector, void (*handler)(void));
/* Runs the handler of an external interrupt that a VM exit has acknowledged. Sends EOI. */
void trap_irq(uint8_t vector);

/* Takes an NMI as if it had arrived in root mode: for the NMI exit, which blocks further NMIs until
 * the IRET that this executes (SDM vol. 3C, "Information for VM Exits Due to Vectored Events"). */
void trap_raise_nmi(void);
/* Whether an NMI's frame is that one's: it brought the CPU out of a guest. */
bool trap_from_guest(const struct trap_frame *f);

/*
 * While a recovery point is set on this CPU, any exception continues at rip with rsp instead of a
 * panic: for calling firmware. Zero rip ends it.
 */
void trap_set_recovery(uint64_t rip, uint64_t rsp);

/* Why an address is not mapped, to follow "page fault at ...": "" when it is none of those left out on purpose. */
void trap_describe_address(uint64_t va, char *out, size_t size);

/* Called by trap_entry.S. */
void trap_dispatch(struct trap_frame *f);

#endif
