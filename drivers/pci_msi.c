/*
 * How a PCI function interrupts: MSI-X, MSI, INTx. Owns those capabilities' registers.
 * PCI Local Bus Specification 3.0, "MSI and MSI-X Capability Structures"; SDM vol. 3A, "Message
 * Signalled Interrupts".
 */
#include "drivers/pci.h"

#include <errno.h>

#include "drivers/mmio.h"

#define MESSAGE_ADDRESS 0xfee00000u /* physical destination, no redirection */
#define MESSAGE_MAX_ID 255

#define MSI_ENABLE BIT(16)
#define MSI_MULTIPLE BITS(22, 20)
#define MSI_64BIT BIT(23)
#define MSI_MASKING BIT(24)

#define MSIX_ENABLE BIT(31)
#define MSIX_MASK_ALL BIT(30)
#define MSIX_LAST BITS(26, 16) /* number of entries, less one */
#define MSIX_BAR BITS(2, 0)
#define MSIX_ENTRY 16
#define MSIX_ENTRY_MASKED 1
#define CONFIG_END 256

static int check_cpu(uint32_t apic_id, struct failure *f)
{
	if (apic_id > MESSAGE_MAX_ID)
		return fail(f, -ERANGE, "a message cannot interrupt APIC id %u without interrupt remapping", apic_id);
	return 0;
}

static void change(pci_address_t a, unsigned offset, uint32_t set, uint32_t clear)
{
	pci_write(a, offset, (pci_read(a, offset) & ~clear) | set);
}

void pci_no_interrupts(pci_address_t a)
{
	unsigned msi = pci_find_capability(a, PCI_CAP_MSI), msix = pci_find_capability(a, PCI_CAP_MSIX);

	pci_command(a, PCI_COMMAND_NO_INTX, 0);
	if (msi)
		change(a, msi, 0, MSI_ENABLE);
	if (msix)
		change(a, msix, 0, MSIX_ENABLE);
}

int pci_use_msi(pci_address_t a, uint32_t apic_id, uint8_t vector, struct failure *f)
{
	unsigned at = pci_find_capability(a, PCI_CAP_MSI), data;
	uint32_t head = at ? pci_read(a, at) : 0;

	data = at + (head & MSI_64BIT ? 12 : 8);
	if (!at || data + (head & MSI_MASKING ? 4u : 0u) >= CONFIG_END)
		return fail(f, -ENODEV, "it has no MSI");
	if (check_cpu(apic_id, f))
		return -ERANGE;
	pci_no_interrupts(a);
	pci_write(a, at + 4, MESSAGE_ADDRESS | apic_id << 12);
	if (head & MSI_64BIT)
		pci_write(a, at + 8, 0);
	pci_write(a, data, vector); /* fixed, edge; what is above the 16 bits is reserved */
	if (head & MSI_MASKING)
		pci_write(a, data + 4, 0);
	change(a, at, MSI_ENABLE, MSI_MULTIPLE);
	return 0;
}

/* Entry 0 alone speaks; the others stay masked. */
static void fill_table(volatile uint8_t *table, uint32_t entries, uint32_t apic_id, uint8_t vector)
{
	for (uint32_t i = 0; i < entries; i++)
		mmio_write32(table + i * MSIX_ENTRY + 12, MSIX_ENTRY_MASKED);
	mmio_write32(table, MESSAGE_ADDRESS | apic_id << 12);
	mmio_write32(table + 4, 0);
	mmio_write32(table + 8, vector);
	mmio_write32(table + 12, 0);
}

int pci_use_msix(pci_address_t a, uint32_t apic_id, uint8_t vector, struct failure *f)
{
	unsigned at = pci_find_capability(a, PCI_CAP_MSIX);
	uint32_t entries, where;
	volatile uint8_t *table;

	if (!at || at + 8 >= CONFIG_END)
		return fail(f, -ENODEV, "it has no MSI-X");
	if (check_cpu(apic_id, f))
		return -ERANGE;
	entries = (uint32_t)((pci_read(a, at) & MSIX_LAST) >> 16) + 1;
	where = pci_read(a, at + 4);
	table = pci_bar_map(a, where & MSIX_BAR, where & ~MSIX_BAR, (uint64_t)entries * MSIX_ENTRY, f);
	if (!table)
		return -EINVAL;
	pci_no_interrupts(a);
	change(a, at, MSIX_ENABLE | MSIX_MASK_ALL, 0); /* the table may be written now, and nothing is sent yet */
	fill_table(table, entries, apic_id, vector);
	change(a, at, 0, MSIX_MASK_ALL);
	return 0;
}

uint8_t pci_use_intx(pci_address_t a)
{
	uint32_t interrupt = pci_read(a, PCI_INTERRUPT);
	uint8_t pin = interrupt >> 8 & 0xff;

	pci_no_interrupts(a);
	if (pin < 1 || pin > 4)
		return PCI_NO_LINE;
	pci_command(a, 0, PCI_COMMAND_NO_INTX);
	return (uint8_t)interrupt;
}
