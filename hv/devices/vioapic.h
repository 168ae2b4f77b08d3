/*
 * A guest's I/O APIC: 24 pins, version 20h with an EOI register, at GUEST_IOAPIC_BASE. Pins get
 * electrical levels through irq_lines; interrupts leave as messages on the APIC bus.
 * Which vectors are level-triggered travels with each message; nothing has to be looked up here.
 * A guest whose EOIs nobody reports (a TD) gets one interrupt each time a level pin becomes asserted or is unmasked.
 */
#ifndef HV_DEVICES_VIOAPIC_H
#define HV_DEVICES_VIOAPIC_H

#include "hv/base/spin.h"
#include "hv/bus.h"
#include "hv/guest/guest.h"
#include "hv/irq.h"

struct vioapic {
	struct spinlock lock; /* taken with a device's lock held; the APIC bus is called under it */
	uint64_t redir[GUEST_IOAPIC_PINS];
	uint32_t levels;      /* pins that are electrically high */
	uint32_t remote_irr;  /* pins whose level interrupt awaits its EOI; mirrors bit 14 of redir */
	uint8_t select;
	uint8_t id;
	bool no_eoi;          /* no EOI is ever heard of: set before the guest starts */
	struct apic_bus bus;
};

void vioapic_init(struct vioapic *io, uint8_t id, const struct apic_bus *bus);
int vioapic_attach(struct vioapic *io, struct bus *b, struct failure *f);
void vioapic_reset(struct vioapic *io); /* keeps the levels of its pins */

/* The line of one pin; its set may be called on any CPU. */
struct irq_line vioapic_line(struct vioapic *io, unsigned pin);
/* An EOI broadcast by a local APIC; any CPU, takes the lock. */
void vioapic_eoi(struct vioapic *io, uint8_t vector);
/* For the monitor: the redirection entry. */
uint64_t vioapic_entry(const struct vioapic *io, unsigned pin);

#endif
