/*
 * What the hypervisor takes from the host's ACPI tables: I/O APICs, ISA interrupt overrides, the
 * PM timer, the reset register, PCI Express configuration windows, UARTs and units of VT-d. The tables
 * are input: every length and sum is checked.
 */
#ifndef HV_BASE_ACPI_TABLES_H
#define HV_BASE_ACPI_TABLES_H

#include "hv/base/acpi_dmar.h"
#include "hv/base/acpi_uart.h"
#include "hv/base/failure.h"
#include "hv/base/types.h"

#define ACPI_MAX_IOAPICS 16
#define ACPI_MAX_ECAM 8

struct acpi_ioapic {
	hpa_t base;
	uint32_t first_gsi;
};

struct acpi_isa_irq {
	uint32_t gsi;
	bool level, active_low;
};

enum acpi_space { ACPI_SPACE_MEMORY = 0, ACPI_SPACE_IO = 1, ACPI_SPACE_PCI = 2 };

struct acpi_register {
	uint64_t address; /* 0: there is none. ACPI_SPACE_PCI: device << 32 | function << 16 | offset, bus 0 */
	uint8_t space;
};

/* Configuration space of the buses first_bus to last_bus, 1 MiB each, from base on, which is bus 0's. */
struct acpi_ecam {
	hpa_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
};

struct acpi_host {
	uint32_t ioapic_count;
	struct acpi_ioapic ioapics[ACPI_MAX_IOAPICS];
	struct acpi_isa_irq isa[16];
	struct acpi_register pm_timer; /* 3.579545 MHz */
	bool pm_timer_32bit;           /* else 24 bits wide */
	struct acpi_register reset;
	uint8_t reset_value;
	uint32_t ecam_count;
	struct acpi_ecam ecam[ACPI_MAX_ECAM];
	uint32_t uart_count;           /* SPCR's first, as the one that firmware's own console is on */
	struct acpi_uart uarts[ACPI_MAX_UARTS];
	uint32_t dmar_count;
	struct acpi_dmar_unit dmar[ACPI_MAX_DMAR_UNITS];
};

/* Makes [pa, pa + len) readable, for good; NULL when it cannot. */
typedef const void *(*acpi_map_fn)(hpa_t pa, uint64_t len);

/* A PC without tables: one I/O APIC at fec00000h, ISA interrupts one to one, nothing else. */
void acpi_host_defaults(struct acpi_host *host);
/*
 * Fills host from the tables below rsdp, on top of the defaults. A damaged table is left out: the
 * first such is the failure's sentence and -EINVAL, with what the others gave still in place.
 */
int acpi_host_read(struct acpi_host *host, hpa_t rsdp, acpi_map_fn map, struct failure *f);

#endif
