/* Drives the I/O APICs that firmware names. Owns their windows. 82093AA data sheet. */
#include "drivers/ioapic.h"

#include <errno.h>

#include "hv/base/acpi_host.h"
#include "hv/base/log.h"
#include "hv/base/map.h"
#include "hv/base/x86.h"

#define WINDOW_SIZE 0x20
#define SELECT (0x00 / 4)
#define DATA (0x10 / 4)
#define REG_VERSION 1
#define REG_REDIRECT 0x10
#define REDIRECT_MASKED BIT(16)
#define REDIRECT_LEVEL BIT(15)
#define REDIRECT_ACTIVE_LOW BIT(13)
#define XAPIC_MAX_ID 254

#define PIC1_DATA 0x21
#define PIC2_DATA 0xa1

static struct {
	volatile uint32_t *window;
	uint32_t first_gsi, count;
} chips[ACPI_MAX_IOAPICS];

static uint32_t read_reg(unsigned i, uint32_t reg)
{
	chips[i].window[SELECT] = reg;
	return chips[i].window[DATA];
}

static void write_reg(unsigned i, uint32_t reg, uint32_t value)
{
	chips[i].window[SELECT] = reg;
	chips[i].window[DATA] = value;
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

int ioapic_route_isa(uint8_t irq, uint32_t apic_id, uint8_t vector, struct failure *f)
{
	const struct acpi_isa_irq *isa = &acpi_host()->isa[irq & 15];
	uint64_t entry = (uint64_t)apic_id << 56 | vector;

	if (apic_id > XAPIC_MAX_ID)
		return fail(f, -ERANGE, "an I/O APIC cannot interrupt APIC id %u without interrupt remapping", apic_id);
	if (isa->level)
		entry |= REDIRECT_LEVEL;
	if (isa->active_low)
		entry |= REDIRECT_ACTIVE_LOW;
	for (unsigned i = 0; i < ACPI_MAX_IOAPICS; i++)
		if (isa->gsi >= chips[i].first_gsi && isa->gsi - chips[i].first_gsi < chips[i].count) {
			write_entry(i, isa->gsi - chips[i].first_gsi, entry);
			return 0;
		}
	return fail(f, -ENODEV, "no I/O APIC has an input for ISA interrupt %u", irq);
}
