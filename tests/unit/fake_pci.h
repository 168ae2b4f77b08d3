/*
 * A PCI host of the tests: functions with configuration space, reached by ports CF8h and CFCh and through
 * one window, and device memory that whoever needs it answers for.
 */
#ifndef TESTS_UNIT_FAKE_PCI_H
#define TESTS_UNIT_FAKE_PCI_H

#include "drivers/pci.h"
#include "hv/base/acpi_tables.h"

#define FAKE_FUNCTIONS 600
#define FAKE_ECAM 0xb0000000ul
#define FAKE_RAM_END 0x10000000ul /* host RAM, as map_has_ram says, is below */

struct fake_function {
	pci_address_t address;
	uint32_t config[1024];
	uint32_t writable[1024]; /* bits that a write changes */
	uint32_t reads;
};

extern struct fake_function fake_functions[FAKE_FUNCTIONS];
extern unsigned fake_count;
extern struct acpi_host fake_acpi;
extern unsigned fake_port_accesses, fake_mapped;
extern unsigned fake_maps_left; /* map_device says NULL after so many more */

/* Device memory outside of the window. */
extern uint32_t (*fake_device_read)(hpa_t pa);
extern void (*fake_device_write)(hpa_t pa, uint32_t value);

/* Forgets all; no window. Also takes port accesses from now on: to be called in the test itself. */
void fake_pci_start(void);
/* A window for segment 0, buses 0 to 255, as MCFG would tell. */
void fake_pci_ecam(void);
struct fake_function *fake_pci_add(uint32_t segment, uint32_t bus, uint32_t dev, uint32_t fn, uint16_t vendor,
				   uint16_t device);
/* A memory BAR of that size (a power of two) at base. */
void fake_pci_bar(struct fake_function *f, unsigned n, uint64_t base, uint64_t size, bool wide);
/* Appends a capability at an offset, which becomes the first of the list. */
void fake_pci_capability(struct fake_function *f, unsigned at, uint8_t id);
void fake_pci_bridge(struct fake_function *f, uint8_t secondary, uint8_t subordinate);
/* The memory that map_device mapped at: where accesses to it are seen. */
void *fake_address(hpa_t pa);

#endif
