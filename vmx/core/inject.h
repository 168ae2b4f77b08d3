/*
 * Decisions about events: pure, so that they can be tested. What two exceptions make together, what
 * an exit cut short, what may be delivered now and what has to wait.
 * SDM volume 3A "Interrupt 8 - Double Fault Exception", volume 3C "VM-Entry Controls for Event
 * Injection" and "Information for VM Exits That Occur During Event Delivery".
 */
#ifndef VMX_CORE_INJECT_H
#define VMX_CORE_INJECT_H

#include "hv/base/types.h"

struct vmx_event {
	uint32_t info;   /* VM-entry interruption-information format; 0: none */
	uint32_t error;
	uint32_t length; /* of the instruction, for software interrupts and exceptions */
};

/* An exception raised by a handler. error < 0: none. */
struct vmx_event inject_exception(unsigned vector, int64_t error);

/*
 * `next` arises while `prior` is being delivered (prior.info 0: nothing is). Returns what is to be
 * delivered; info 0 and *shutdown set: the CPU shuts down.
 */
struct vmx_event inject_combine(struct vmx_event prior, struct vmx_event next, bool *shutdown);

/* From the IDT-vectoring fields of an exit and its instruction length; info 0 when not valid. */
struct vmx_event inject_cut_short(uint32_t idt_info, uint32_t idt_error, uint32_t length);

/* What waits, and what the guest lets through. */
struct inject_state {
	bool event;          /* an exception or a re-delivery is queued: always first */
	bool nmi_pending, nmi_blocked;
	bool interrupt;      /* a local APIC vector or ExtINT is deliverable but for RFLAGS.IF and shadows */
	bool interrupts_on;  /* RFLAGS.IF */
	bool sti_shadow, mov_ss_shadow;
	bool virtual_nmi;    /* the CPU has NMI windows of its own */
};

enum inject_choice { INJECT_NOTHING, INJECT_EVENT, INJECT_NMI, INJECT_INTERRUPT };

struct inject_decision {
	enum inject_choice choice;
	bool nmi_window, interrupt_window; /* exits wanted for what stays behind */
};

struct inject_decision inject_decide(const struct inject_state *s);

#endif
