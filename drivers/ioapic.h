/*
 * The host's I/O APICs: every input masked at start, the few that the hypervisor uses routed.
 * The legacy PICs are masked as well.
 */
#ifndef DRIVERS_IOAPIC_H
#define DRIVERS_IOAPIC_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

/* Boot CPU, after acpi_host_init. Masks everything. An I/O APIC that does not answer is left out,
 * with a warning. */
void ioapic_init(void);
/* Routes an ISA interrupt, by the firmware's overrides, to one CPU. Start-up; -ENODEV or -ERANGE. */
int ioapic_route_isa(uint8_t irq, uint32_t apic_id, uint8_t vector, struct failure *f);
/* The same as an NMI, at the edge. */
int ioapic_route_isa_nmi(uint8_t irq, uint32_t apic_id, struct failure *f);
/*
 * Routes the line that firmware wrote into a PCI function's Interrupt Line register: an ISA interrupt
 * below 16, where the firmware's overrides say how it is triggered, else an input's own number. Level and
 * active low unless an override makes it level and active high. Errors as above.
 */
int ioapic_route_pci(uint8_t line, uint32_t apic_id, uint8_t vector, struct failure *f);
/* Masks that line again. In the line's own interrupt or where it was routed; no lock. */
void ioapic_mask_pci(uint8_t line);

#endif
