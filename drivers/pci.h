/*
 * The host's PCI functions: configuration space, by mechanism 1 and through the windows that the ACPI
 * table MCFG names, enumeration, base address registers, capabilities, and the ways to interrupt. All that
 * hardware says is input: checked and bounded.
 * For the boot CPU: start-up and the monitor's context; no locks.
 */
#ifndef DRIVERS_PCI_H
#define DRIVERS_PCI_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

/* Where a function is: segment << 16 | bus << 8 | device << 3 | function. */
typedef uint32_t pci_address_t;

#define PCI_BUS(a) ((a) >> 8 & 0xff)
#define PCI_DEVICE(a) ((a) >> 3 & 0x1f)
#define PCI_FUNCTION(a) ((a) & 7)

/* Offsets in configuration space, of 32-bit registers. */
#define PCI_ID 0x00
#define PCI_COMMAND 0x04 /* and status in the upper half, whose bits are cleared by writing ones */
#define PCI_CLASS 0x08
#define PCI_HEADER 0x0c
#define PCI_BAR0 0x10
#define PCI_BUSES 0x18   /* of a bridge: primary, secondary, subordinate */
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT 0x3c

#define PCI_COMMAND_IO BIT(0)
#define PCI_COMMAND_MEMORY BIT(1)
#define PCI_COMMAND_MASTER BIT(2)
#define PCI_COMMAND_NO_INTX BIT(10)

#define PCI_CAP_POWER 0x01
#define PCI_CAP_MSI 0x05
#define PCI_CAP_EXPRESS 0x10
#define PCI_CAP_MSIX 0x11

#define PCI_HEADER_BRIDGE 1
#define PCI_NO_LINE 0xff

struct pci_function {
	pci_address_t address;
	uint16_t vendor, device;
	uint32_t class_code; /* base class << 16 | sub-class << 8 | programming interface */
	uint8_t header;      /* type, without the bit for several functions */
};

/* Takes the windows of MCFG into use, where they agree with mechanism 1, which serves until then. Start-up,
 * after acpi_host_init and map_init. */
void pci_init(void);

/* offset: a multiple of four below 4096. All ones for what does not answer or cannot be reached. */
uint32_t pci_read(pci_address_t a, unsigned offset);
void pci_write(pci_address_t a, unsigned offset, uint32_t value);

/* Calls each for every function there is, by bus, device and function, until it says true. */
void pci_for_each(bool (*each)(void *ctx, const struct pci_function *p), void *ctx);
/* False when no function answers there. */
bool pci_identify(pci_address_t a, struct pci_function *p);

/* Changes bits of the command register. */
void pci_command(pci_address_t a, uint32_t set, uint32_t clear);
/* Offset of the first capability with that id; 0 without one, or when the list is damaged before it. */
unsigned pci_find_capability(pci_address_t a, uint8_t id);
/* Out of any power saving state; 10 ms when it was in one. */
void pci_power_on(pci_address_t a);

struct pci_bar {
	uint64_t base, size;
	bool io;
};
/*
 * Finds out where the n-th register says the device is, and how large: for a moment the device
 * does not answer, so its driver asks before it uses it. -ENODEV: there is none; -EINVAL: it makes no sense or
 * firmware gave it no address.
 */
int pci_bar(pci_address_t a, unsigned n, struct pci_bar *bar, struct failure *f);
/* Maps [offset, offset + len) of a memory BAR, uncached, for good; NULL with a sentence: see pci_bar, also when it
 * is smaller, lies over RAM, or no page table is left. */
volatile void *pci_bar_map(pci_address_t a, unsigned n, uint64_t offset, uint64_t len, struct failure *f);

/*
 * One vector for all a function has to say, to one CPU: drivers/pci_msi.c. Each turns the other ways off. -ENODEV
 * without the capability, -ERANGE for a CPU it cannot name, -EINVAL for a table in the wrong place.
 */
int pci_use_msix(pci_address_t a, uint32_t apic_id, uint8_t vector, struct failure *f);
int pci_use_msi(pci_address_t a, uint32_t apic_id, uint8_t vector, struct failure *f);
/* Lets it assert INTx. Returns the Interrupt Line as firmware set it; PCI_NO_LINE when there is none. */
uint8_t pci_use_intx(pci_address_t a);
/* No interrupt in any way. */
void pci_no_interrupts(pci_address_t a);

/* "00:1f.2", with the segment in front where it is not 0: "0001:00:1f.2". */
#define PCI_PLACE_MAX 16
void pci_place(pci_address_t a, char place[PCI_PLACE_MAX]);

#endif
