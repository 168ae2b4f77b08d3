/* sources: drivers/ioapic.c hv/base/failure.c hv/base/format.c */
/*
 * The host's I/O APICs: which input of which chip an interrupt gets, and how it is triggered.
 */
#include "drivers/ioapic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "drivers/mmio.h"
#include "hv/base/acpi_host.h"
#include "hv/base/map.h"
#include "tests/unit/support/machine.h"
#include "tests/unit/support/support.h"

#define CHIPS 2
#define PINS 24
#define MASKED BIT(16)
#define LEVEL BIT(15)
#define LOW BIT(13)

static struct {
	uint32_t select;
	uint32_t regs[0x10 + 2 * PINS];
	bool absent;
	uint8_t at[0x20];
} chips[CHIPS];

static struct acpi_host host;
static uint8_t pic[2];
static bool out_of_tables;

const struct acpi_host *acpi_host(void) { return &host; }

void *map_device(hpa_t pa, uint64_t len, enum map_cache cache)
{
	assert_int_equal(len, 0x20);
	assert_int_equal(cache, MAP_UNCACHED);
	return out_of_tables ? NULL : chips[(pa - 0xfec00000) >> 12].at;
}

static unsigned chip_at(const volatile void *at, unsigned *offset)
{
	uintptr_t a = (uintptr_t)at;
	unsigned i = a >= (uintptr_t)chips[1].at && a < (uintptr_t)chips[1].at + 0x20;

	*offset = (unsigned)(a - (uintptr_t)chips[i].at);
	assert_in_range(*offset, 0, 0x10);
	return i;
}

uint32_t mmio_read32(const volatile void *at)
{
	unsigned offset, i = chip_at(at, &offset);

	assert_int_equal(offset, 0x10);
	assert_in_range(chips[i].select, 0, 0x10 + 2 * PINS - 1);
	return chips[i].absent ? UINT32_MAX : chips[i].regs[chips[i].select];
}

void mmio_write32(volatile void *at, uint32_t value)
{
	unsigned offset, i = chip_at(at, &offset);

	if (offset == 0) {
		chips[i].select = value;
		return;
	}
	assert_in_range(chips[i].select, 0x10, 0x10 + 2 * PINS - 1);
	chips[i].regs[chips[i].select] = value;
}

static void out(uint16_t port, unsigned size, uint32_t value)
{
	assert_int_equal(size, 1);
	pic[port == 0xa1] = (uint8_t)value;
}

static uint64_t entry(unsigned i, unsigned pin)
{
	return (uint64_t)chips[i].regs[0x10 + 2 * pin + 1] << 32 | chips[i].regs[0x10 + 2 * pin];
}

static void begin(void)
{
	static const struct test_machine machine = { .out = out };

	memset(chips, 0, sizeof(chips));
	memset(&host, 0, sizeof(host));
	pic[0] = pic[1] = 0;
	out_of_tables = false;
	host.ioapic_count = CHIPS;
	for (unsigned i = 0; i < CHIPS; i++) {
		host.ioapics[i] = (struct acpi_ioapic){ .base = 0xfec00000 + i * 0x1000ul, .first_gsi = i * PINS };
		chips[i].regs[1] = (PINS - 1) << 16 | 0x20;
	}
	for (unsigned i = 0; i < 16; i++)
		host.isa[i].gsi = i;
	host.isa[0].gsi = 2;
	host.isa[9] = (struct acpi_isa_irq){ .gsi = 9, .level = true, .active_low = true };
	host.isa[10] = (struct acpi_isa_irq){ .gsi = 10, .level = true };
	host.isa[11] = (struct acpi_isa_irq){ .gsi = 30 };
	test_machine_start(&machine);
}

static void all_is_masked_at_start(void **state)
{
	(void)state;
	begin();
	ioapic_init();
	assert_int_equal(pic[0], 0xff);
	assert_int_equal(pic[1], 0xff);
	for (unsigned i = 0; i < CHIPS; i++)
		for (unsigned pin = 0; pin < PINS; pin++)
			assert_int_equal(entry(i, pin), MASKED);
}

static void isa_interrupts_follow_overrides(void **state)
{
	struct failure f;

	(void)state;
	begin();
	ioapic_init();
	assert_int_equal(ioapic_route_isa(0, 3, 0x40, &f), 0);
	assert_int_equal(entry(0, 2), 3ul << 56 | 0x40);
	assert_int_equal(ioapic_route_isa(9, 0, 0x41, &f), 0);
	assert_int_equal(entry(0, 9), LEVEL | LOW | 0x41);
	assert_int_equal(ioapic_route_isa(4, 255, 0x41, &f), -ERANGE);
	assert_int_equal(entry(0, 4), MASKED);
}

static void pci_lines_are_level_and_low(void **state)
{
	struct failure f;

	(void)state;
	begin();
	ioapic_init();
	assert_int_equal(ioapic_route_pci(5, 1, 0x31, &f), 0); /* no override */
	assert_int_equal(entry(0, 5), 1ul << 56 | LEVEL | LOW | 0x31);
	assert_int_equal(ioapic_route_pci(9, 1, 0x31, &f), 0);
	assert_int_equal(entry(0, 9), 1ul << 56 | LEVEL | LOW | 0x31);
	assert_int_equal(ioapic_route_pci(10, 1, 0x31, &f), 0); /* level and high, says its override */
	assert_int_equal(entry(0, 10), 1ul << 56 | LEVEL | 0x31);
	assert_int_equal(ioapic_route_pci(11, 1, 0x31, &f), 0); /* on the second chip */
	assert_int_equal(entry(1, 6), 1ul << 56 | LEVEL | LOW | 0x31);
	assert_int_equal(ioapic_route_pci(17, 1, 0x31, &f), 0); /* an input's own number */
	assert_int_equal(entry(0, 17), 1ul << 56 | LEVEL | LOW | 0x31);
	ioapic_mask_pci(17);
	ioapic_mask_pci(11);
	assert_int_equal(entry(0, 17), MASKED);
	assert_int_equal(entry(1, 6), MASKED);
	assert_int_equal(ioapic_route_pci(48, 1, 0x31, &f), -ENODEV);
	assert_int_equal(ioapic_route_pci(254, 1, 0x31, &f), -ENODEV);
	ioapic_mask_pci(254);
}

static void chips_that_do_not_answer_are_left_out(void **state)
{
	struct failure f;

	(void)state;
	begin();
	chips[1].absent = true;
	ioapic_init();
	assert_non_null(strstr(test_last_log, "none answers at fec01000h"));
	assert_int_equal(ioapic_route_pci(30, 1, 0x31, &f), -ENODEV);
	assert_int_equal(ioapic_route_pci(5, 1, 0x31, &f), 0);
	begin();
	out_of_tables = true;
	ioapic_init();
	assert_non_null(strstr(test_last_log, "no memory to map the one at fec01000h"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_masked_at_start),
		cmocka_unit_test(isa_interrupts_follow_overrides),
		cmocka_unit_test(pci_lines_are_level_and_low),
		cmocka_unit_test(chips_that_do_not_answer_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
