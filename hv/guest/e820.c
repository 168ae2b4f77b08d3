/*
 * The guest's memory map.
 */
#include "hv/guest/e820.h"

#include "hv/guest/guest.h"
#include "hv/guest/guest_mem.h"
#include "hv/guest/wakeup.h"

static unsigned add(struct e820_entry *map, unsigned n, gpa_t base, gpa_t end, uint32_t type)
{
	if (base >= end)
		return n;
	map[n] = (struct e820_entry){ .base = base, .size = end - base, .type = type };
	return n + 1;
}

static unsigned add_first_mib(struct e820_entry *map, enum guest_platform platform)
{
	bool td = platform == GUEST_TD;
	unsigned n = 0;

	n = add(map, n, 0, td ? KIB(640) : GUEST_EBDA, E820_RAM);
	if (!td)
		n = add(map, n, GUEST_EBDA, KIB(640), E820_RESERVED);
	if (platform != GUEST_PC)
		n = add(map, n, WAKEUP_BASE, WAKEUP_END, E820_ACPI_NVS);
	return add(map, n, GUEST_ACPI_BASE, GUEST_ACPI_BASE + GUEST_ACPI_SIZE, td ? E820_ACPI : E820_RESERVED);
}

unsigned e820_build(uint64_t ram_size, enum guest_platform platform, struct e820_entry map[E820_MAX_ENTRIES])
{
	unsigned n = add_first_mib(map, platform);

	n = add(map, n, MIB(1), guest_low_ram_end(ram_size), E820_RAM);
	if (platform != GUEST_TD) {
		n = add(map, n, GUEST_IOAPIC_BASE, GUEST_IOAPIC_BASE + PAGE_SIZE, E820_RESERVED);
		n = add(map, n, GUEST_LAPIC_BASE, GUEST_LAPIC_BASE + PAGE_SIZE, E820_RESERVED);
	}
	return add(map, n, GUEST_HIGH_RAM_BASE, guest_high_ram_end(ram_size), E820_RAM);
}
