/*
 * Interrupts between device models: wires, and messages on the APIC bus. Pure declarations:
 * who is at the other end is decided where a VM is assembled (hv/machine_pc.c).
 */
#ifndef HV_IRQ_H
#define HV_IRQ_H

#include "hv/base/types.h"

/* One input pin of an interrupt controller. A device drives it high or low; edge- and
 * level-sensing is the controller's affair. set may be called on any CPU with the device's own
 * lock held: lock order is device, then controller, then APIC. */
struct irq_line {
	void (*set)(void *chip, unsigned pin, bool high);
	void *chip;
	unsigned pin;
};

static inline void irq_line_set(const struct irq_line *l, bool high) { l->set(l->chip, l->pin, high); }

enum apic_delivery {
	APIC_FIXED = 0,
	APIC_LOWEST = 1,
	APIC_SMI = 2,
	APIC_NMI = 4,
	APIC_INIT = 5,
	APIC_SIPI = 6,
	APIC_EXTINT = 7,
};

/* A message as the I/O APIC, an MSI write or an ICR write produces it. */
struct apic_msg {
	uint32_t dest;         /* 8 bits in xAPIC mode, 32 in x2APIC mode */
	bool logical;          /* destination mode */
	bool x2apic_dest;      /* dest is 32 bits wide (ICR of an x2APIC); broadcast is ffffffffh, else ffh */
	enum apic_delivery mode;
	uint8_t vector;
	bool level_triggered;
	bool assert;           /* for INIT level de-assert */
};

/* Where messages go: routes to every matching local APIC of the VM. Takes no lock. */
struct apic_bus {
	void (*deliver)(void *vm, const struct apic_msg *msg);
	void *vm;
};

#endif
