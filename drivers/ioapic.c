/* Drives the I/O APICs that firmware names. Owns their windows. 82093AA data sheet. */
#include "drivers/ioapic.h"

#include <errno.h>

#include "drivers/mmio.h"
#include "hv/base/acpi_host.h"
#include "hv/base/log.h"
#include "hv/base/map.h"
#include "hv/base/x86.h"

#define WINDOW_SIZE 0x20
#define SELECT 0x00
#define DATA 0x10
#define REG_VERSION 1
#define REG_REDIRECT 0x10
#define REDIRECT_MASKED BIT(16)
#define REDIRECT_LEVEL BIT(15)
#define REDIRECT_NMI (4u << 8)
#define REDIRECT_ACTIVE_LOW BIT(13)
#define XAPIC_MAX_ID 254

#define PIC1_DATA 0x21
#define PIC2_DATA 0xa1

static struct {
	volatile uint8_t *window;
	uint32_t first_gsi, count;
} chips[ACPI_MAX_IOAPICS];

static uint32_t read_reg(unsigned i, uint32_t reg)
{
	mmio_write32(chips[i].window + SELECT, reg);
	return mmio_read32(chips[i].window + DATA);
}

static void write_reg(unsigned i, uint32_t reg, uint32_t value)
{
	mmio_write32(chips[i].window + SELECT, reg);
	mmio_write32(chips[i].window + DATA, value);
}

/* High half first when masking comes last, low half last when routing: the mask bit is in the low. */
static void write_entry(unsigned i, uint32_t pin, uint64_t entry)
{
	write_reg(i, REG_REDIRECT + 2 * pin, REDIRECT_MASKED);
	write_reg(i, REG_REDIRECT + 2 * pin + 1, (uint32_t)(entry >> 32));
	write_reg(i, REG_REDIRECT + 2 * pin, (uint32_t)entry);
}

static void init_chip(unsigned i, const struct acpi_ioapic *a)
{
	uint32_t version;

	chips[i].window = map_device(a->base, WINDOW_SIZE, MAP_UNCACHED);
	chips[i].first_gsi = a->first_gsi;
	chips[i].count = 0;
	if (!chips[i].window) {
		log_warn("ioapic: no memory to map the one at %lxh", a->base);
		return;
	}
	version = read_reg(i, REG_VERSION);
	if (version == UINT32_MAX) {
		log_warn("ioapic: none answers at %lxh", a->base);
		return;
	}
	chips[i].count = ((version >> 16) & 0xff) + 1;
	for (uint32_t pin = 0; pin < chips[i].count; pin++)
		write_entry(i, pin, REDIRECT_MASKED);
}

void ioapic_init(void)
{
	const struct acpi_host *acpi = acpi_host();

	outb(PIC1_DATA, 0xff);
	outb(PIC2_DATA, 0xff);
	for (unsigned i = 0; i < acpi->ioapic_count; i++)
		init_chip(i, &acpi->ioapics[i]);
}

/* The chip with that input, or ACPI_MAX_IOAPICS. */
static unsigned chip_of(uint32_t gsi)
{
	unsigned i = 0;

	while (i < ACPI_MAX_IOAPICS && !(gsi >= chips[i].first_gsi && gsi - chips[i].first_gsi < chips[i].count))
		i++;
	return i;
}

/* False when there is no such input. */
static bool set_entry(uint32_t gsi, uint64_t entry)
{
	unsigned i = chip_of(gsi);

	if (i == ACPI_MAX_IOAPICS)
		return false;
	write_entry(i, gsi - chips[i].first_gsi, entry);
	return true;
}

static int route(uint32_t gsi, uint64_t entry, uint32_t apic_id, struct failure *f)
{
	if (apic_id > XAPIC_MAX_ID)
		return fail(f, -ERANGE, "an I/O APIC cannot interrupt APIC id %u without interrupt remapping", apic_id);
	if (!set_entry(gsi, (uint64_t)apic_id << 56 | entry))
		return fail(f, -ENODEV, "no I/O APIC has the input %u", gsi);
	return 0;
}

int ioapic_route_isa(uint8_t irq, uint32_t apic_id, uint8_t vector, struct failure *f)
{
	const struct acpi_isa_irq *isa = &acpi_host()->isa[irq & 15];

	return route(isa->gsi, (isa->level ? REDIRECT_LEVEL : 0) | (isa->active_low ? REDIRECT_ACTIVE_LOW : 0) | vector,
		     apic_id, f);
}

static uint32_t gsi_of_pci(uint8_t line) { return line < 16 ? acpi_host()->isa[line].gsi : line; }

int ioapic_route_pci(uint8_t line, uint32_t apic_id, uint8_t vector, struct failure *f)
{
	bool active_high = line < 16 && acpi_host()->isa[line].level && !acpi_host()->isa[line].active_low;

	return route(gsi_of_pci(line), REDIRECT_LEVEL | (active_high ? 0 : REDIRECT_ACTIVE_LOW) | vector, apic_id, f);
}

void ioapic_mask_pci(uint8_t line) { set_entry(gsi_of_pci(line), REDIRECT_MASKED); }

/* NMI delivery is at the edge, whatever the interrupt is otherwise. */
int ioapic_route_isa_nmi(uint8_t irq, uint32_t apic_id, struct failure *f)
{
	const struct acpi_isa_irq *isa = &acpi_host()->isa[irq & 15];

	return route(isa->gsi, REDIRECT_NMI | (isa->active_low ? REDIRECT_ACTIVE_LOW : 0), apic_id, f);
}
