/* sources: drivers/pci.c drivers/pci_bar.c drivers/pci_msi.c hv/base/failure.c hv/base/format.c tests/unit/fake_pci.c */
/*
 * The host's PCI: both ways into configuration space, the walk over buses that bridges lie about, base
 * address registers and capability lists that make no sense, MSI and MSI-X.
 */
#include "drivers/pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "drivers/mmio.h"
#include "tests/unit/fake_pci.h"
#include "tests/unit/support/random.h"
#include "tests/unit/support/support.h"

static char seen[FAKE_FUNCTIONS * PCI_PLACE_MAX];
static unsigned seen_count;

static bool note(void *ctx, const struct pci_function *p)
{
	char place[PCI_PLACE_MAX];

	pci_place(p->address, place);
	strcat(strcat(seen, place), " ");
	seen_count++;
	return ctx && *(const pci_address_t *)ctx == p->address;
}

static const char *walk(pci_address_t *until)
{
	seen[0] = 0;
	seen_count = 0;
	pci_for_each(note, until);
	return seen;
}

static void both_ways_lead_there(void **state)
{
	struct fake_function *f;

	(void)state;
	fake_pci_start();
	f = fake_pci_add(0, 2, 31, 7, 0x8086, 0x10d3);
	f->config[0x100 / 4] = 0x12345678;
	assert_int_equal(pci_read(f->address, PCI_ID), 0x10d38086);
	assert_int_equal(fake_port_accesses, 1);
	assert_int_equal(pci_read(f->address, 0x100), UINT32_MAX); /* mechanism 1 does not reach it */
	pci_command(f->address, PCI_COMMAND_MASTER, 0);
	assert_int_equal(f->config[1], PCI_COMMAND_MASTER);

	fake_pci_ecam();
	pci_init();
	assert_int_equal(pci_read(f->address, 0x100), 0x12345678);
	fake_port_accesses = 0;
	pci_command(f->address, PCI_COMMAND_MEMORY, PCI_COMMAND_MASTER);
	assert_int_equal(f->config[1], PCI_COMMAND_MEMORY);
	assert_int_equal(fake_port_accesses, 0);
	assert_int_equal(pci_read(0x10000 | f->address, 0), UINT32_MAX);
}

static void a_wrong_window_is_not_used(void **state)
{
	static const hpa_t ram = 0x100000;

	(void)state;
	fake_pci_start();
	fake_pci_add(0, 0, 3, 0, 0x8086, 1);
	fake_acpi.ecam_count = 1;
	fake_acpi.ecam[0] = (struct acpi_ecam){ .base = ram, .last_bus = 3 };
	pci_init();
	assert_non_null(strstr(test_last_log, "going on without"));
	assert_int_equal(fake_mapped, 0);
	/* A window that answers otherwise than mechanism 1: that of segment 1, told as segment 0's. */
	fake_acpi.ecam[0] = (struct acpi_ecam){ .base = FAKE_ECAM, .segment = 1, .last_bus = 3 };
	fake_acpi.ecam[1] = (struct acpi_ecam){ .base = FAKE_ECAM, .last_bus = 3 };
	fake_acpi.ecam_count = 2;
	test_log_count = 0;
	pci_init();
	assert_int_equal(test_log_count, 1);
	assert_int_equal(pci_read(3 << 3, 0), 0x18086);
	/* No page tables for it. */
	fake_acpi.ecam[0].segment = 0;
	fake_maps_left = 0;
	pci_init();
	assert_int_equal(pci_read(3 << 3, 0), 0x18086);
}

static void the_walk_finds_all(void **state)
{
	pci_address_t stop = 0x100;

	(void)state;
	fake_pci_start();
	fake_pci_add(0, 0, 0, 0, 0x8086, 1);
	fake_pci_add(0, 0, 31, 2, 0x8086, 2)->config[3] = 0; /* a function without a function 0 is none */
	fake_pci_add(0, 0, 5, 0, 0x8086, 3)->config[3] = BIT(23);
	fake_pci_add(0, 0, 5, 6, 0x8086, 4);
	fake_pci_add(0, 0, 6, 0, 0x8086, 5);
	fake_pci_add(0, 0, 6, 1, 0x8086, 6); /* function 0 says there is no other */
	fake_pci_bridge(fake_pci_add(0, 0, 7, 0, 0x8086, 7), 1, 1);
	fake_pci_add(0, 1, 0, 0, 0x8086, 8);
	fake_pci_add(0, 0x80, 0, 0, 0x8086, 9);  /* behind another host bridge */
	fake_pci_add(0, 0, 9, 0, 1, 0xffff);     /* still starting */
	assert_string_equal(walk(NULL), "00:00.0 00:05.0 00:05.6 00:06.0 00:07.0 01:00.0 80:00.0 ");
	assert_string_equal(walk(&stop), "00:00.0 00:05.0 00:05.6 00:06.0 00:07.0 01:00.0 ");
}

static void a_segment_is_walked_along_its_bridges(void **state)
{
	(void)state;
	fake_pci_start();
	fake_pci_ecam();
	fake_acpi.ecam[1] = (struct acpi_ecam){ .base = 0xc0000000, .segment = 1, .first_bus = 16, .last_bus = 31 };
	fake_acpi.ecam_count = 2;
	fake_pci_bridge(fake_pci_add(1, 16, 0, 0, 0x8086, 1), 20, 20);
	fake_pci_bridge(fake_pci_add(1, 20, 1, 0, 0x8086, 2), 18, 18); /* down again */
	fake_pci_bridge(fake_pci_add(1, 18, 2, 0, 0x8086, 3), 20, 20); /* a loop */
	fake_pci_bridge(fake_pci_add(1, 18, 3, 0, 0x8086, 4), 200, 200); /* out of the window */
	fake_pci_add(1, 200, 0, 0, 0x8086, 5);
	pci_init();
	assert_string_equal(walk(NULL), "0001:10:00.0 0001:14:01.0 0001:12:02.0 0001:12:03.0 ");
}

/* Whatever answers, the walk ends and sees each function once. */
static void any_bridges_end(void **state)
{
	uint64_t random = 5;

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		unsigned count;

		fake_pci_start();
		for (unsigned i = 0; i < 40; i++) {
			uint64_t r = test_random(&random);
			struct fake_function *f = fake_pci_add(0, r & 15, r >> 8 & 31, 0, 0x8086, (uint16_t)i);

			fake_pci_bridge(f, (uint8_t)(r >> 16), (uint8_t)(r >> 24));
			f->config[3] = (uint32_t)(r >> 32) & 0x00ff0000;
		}
		walk(NULL);
		count = seen_count;
		assert_in_range(count, 1, fake_count);
	}
}

static int bar_of(uint32_t low, uint32_t low_mask, uint32_t high, uint32_t high_mask, struct pci_bar *bar)
{
	struct fake_function *f;
	struct failure why = { "" };
	int err;

	fake_pci_start();
	f = fake_pci_add(0, 0, 1, 0, 0x8086, 1);
	f->config[1] = PCI_COMMAND_MEMORY;
	f->config[4] = low;
	f->writable[4] = low_mask;
	f->config[5] = high;
	f->writable[5] = high_mask;
	err = pci_bar(f->address, 0, bar, &why);
	assert_int_equal(err != 0, why.text[0] != 0);
	assert_int_equal(f->config[1], PCI_COMMAND_MEMORY);
	assert_int_equal(f->config[4], low);
	assert_int_equal(f->config[5], high);
	return err;
}

static void bars_are_sized(void **state)
{
	struct pci_bar b;

	(void)state;
	assert_int_equal(bar_of(0xfebc0000, 0xfffe0000, 0, 0, &b), 0);
	assert_true(b.base == 0xfebc0000 && b.size == 0x20000 && !b.io);
	assert_int_equal(bar_of(0xfebc000c, 0xfffe0000, 0x10, 0xffffffff, &b), 0);
	assert_true(b.base == 0x10febc0000 && b.size == 0x20000);
	assert_int_equal(bar_of(0x4, 0, 0x8, 0xfffffffc, &b), 0);
	assert_true(b.base == 0x800000000 && b.size == GIB(16));
	assert_int_equal(bar_of(0xc041, 0xffe0, 0, 0, &b), 0);
	assert_true(b.base == 0xc040 && b.size == 0x20 && b.io);
}

static void bars_that_make_no_sense(void **state)
{
	struct pci_bar b;
	struct failure why;
	struct fake_function *f;

	(void)state;
	assert_int_equal(bar_of(0, 0, 0, 0, &b), -ENODEV);
	assert_int_equal(bar_of(0xffffffff, 0, 0, 0, &b), -ENODEV);
	assert_int_equal(bar_of(0, 0xfffe0000, 0, 0, &b), -EINVAL);          /* no address */
	assert_int_equal(bar_of(0xfebc0000, 0xfff0f000, 0, 0, &b), -EINVAL); /* no power of two */
	assert_int_equal(bar_of(0xfebc0000, 0, 0, 0, &b), -EINVAL);          /* nothing to write, but an address */
	assert_int_equal(bar_of(0xfebd0000, 0xfffc0000, 0, 0, &b), -EINVAL); /* not aligned */
	assert_int_equal(bar_of(0x4, 0xfffe0000, 0x80000000, 0xffffffff, &b), -EINVAL); /* beyond the bus */
	f = fake_pci_add(0, 0, 2, 0, 1, 1);
	assert_int_equal(pci_bar(f->address, 6, &b, &why), -ENODEV);
	fake_pci_bar(f, 5, 0xfe000000, 0x1000, false);
	f->config[9] |= 4; /* 64 bits wide, and the last one */
	assert_int_equal(pci_bar(f->address, 5, &b, &why), -ENODEV);
	assert_int_equal(pci_bar(0x7f8, 0, &b, &why), -ENODEV); /* nobody there */
	f->config[3] = 2 << 16; /* CardBus */
	assert_int_equal(pci_bar(f->address, 0, &b, &why), -ENODEV);
}

static void bars_are_mapped_where_no_ram_is(void **state)
{
	struct fake_function *f;
	struct failure why;

	(void)state;
	fake_pci_start();
	f = fake_pci_add(0, 0, 2, 0, 0x8086, 1);
	fake_pci_bar(f, 0, 0xfeb00000, 0x20000, false);
	fake_pci_bar(f, 1, FAKE_RAM_END - 0x10000, 0x10000, false);
	f->config[6] = 0xc001;
	f->writable[6] = 0xffc0;
	assert_ptr_equal(pci_bar_map(f->address, 0, 0x1000, 0x1f000, &why), fake_address(0xfeb01000));
	assert_null(pci_bar_map(f->address, 0, 0x1000, 0x1f001, &why));
	assert_null(pci_bar_map(f->address, 0, ~0ul - 3, 16, &why));
	assert_null(pci_bar_map(f->address, 1, 0, 0x1000, &why));
	assert_non_null(strstr(why.text, "RAM"));
	assert_null(pci_bar_map(f->address, 2, 0, 4, &why));
	assert_non_null(strstr(why.text, "I/O"));
	fake_maps_left = 0;
	assert_null(pci_bar_map(f->address, 0, 0, 4, &why));
}

static void capability_lists_end(void **state)
{
	struct fake_function *f;
	uint64_t random = 9;

	(void)state;
	fake_pci_start();
	f = fake_pci_add(0, 0, 2, 0, 0x8086, 1);
	fake_pci_capability(f, 0xf0, PCI_CAP_MSI);
	fake_pci_capability(f, 0x40, PCI_CAP_MSIX);
	assert_int_equal(pci_find_capability(f->address, PCI_CAP_MSI), 0xf0);
	assert_int_equal(pci_find_capability(f->address, PCI_CAP_MSIX), 0x40);
	assert_int_equal(pci_find_capability(f->address, PCI_CAP_POWER), 0);
	f->config[0xf0 / 4] = 0x40 << 8 | PCI_CAP_MSI; /* a loop */
	assert_int_equal(pci_find_capability(f->address, PCI_CAP_POWER), 0);
	f->config[0x40 / 4] = 0x10 << 8; /* leaves the area of capabilities */
	assert_int_equal(pci_find_capability(f->address, PCI_CAP_MSI), 0);
	f->config[1] = 0;
	assert_int_equal(pci_find_capability(f->address, PCI_CAP_MSIX), 0);
	assert_int_equal(pci_find_capability(0x7f8, PCI_CAP_MSI), 0); /* all ones */
	for (unsigned round = 0; round < 1000; round++) {
		for (unsigned i = 1; i < 64; i++)
			f->config[i] = (uint32_t)test_random(&random);
		f->config[1] |= BIT(20);
		assert_in_range(pci_find_capability(f->address, 5), 0, 0xfc);
		pci_no_interrupts(f->address);
		pci_power_on(f->address);
	}
}

static void power_comes_on(void **state)
{
	struct fake_function *f;

	(void)state;
	fake_pci_start();
	f = fake_pci_add(0, 0, 2, 0, 0x8086, 1);
	fake_pci_capability(f, 0xc8, PCI_CAP_POWER);
	f->config[0xcc / 4] = 0x8103;
	f->writable[0xcc / 4] = 0xffff;
	pci_power_on(f->address);
	assert_int_equal(f->config[0xcc / 4], 0x0100);
	fake_pci_capability(f, 0xfc, PCI_CAP_POWER); /* its register is no longer in the space */
	pci_power_on(f->address);
}

static void msi(void **state)
{
	struct fake_function *f;
	struct failure why;

	(void)state;
	fake_pci_start();
	f = fake_pci_add(0, 0, 2, 0, 0x8086, 1);
	assert_int_equal(pci_use_msi(f->address, 1, 0x31, &why), -ENODEV);
	fake_pci_capability(f, 0x50, PCI_CAP_MSI);
	f->config[0x50 / 4] |= BIT(23) | BIT(24) | 3 << 20; /* 64 bits, masks, eight messages on */
	for (unsigned i = 0x54 / 4; i < 0x68 / 4; i++)
		f->writable[i] = UINT32_MAX, f->config[i] = UINT32_MAX;
	f->writable[0x50 / 4] = 0x710000;
	assert_int_equal(pci_use_msi(f->address, 256, 0x31, &why), -ERANGE);
	assert_int_equal(pci_use_msi(f->address, 3, 0x31, &why), 0);
	assert_int_equal(f->config[0x54 / 4], 0xfee03000);
	assert_int_equal(f->config[0x58 / 4], 0);
	assert_int_equal(f->config[0x5c / 4], 0x31);
	assert_int_equal(f->config[0x60 / 4], 0);
	assert_int_equal(f->config[0x50 / 4] & 0x710000, 0x10000);
	assert_int_equal(f->config[1] & PCI_COMMAND_NO_INTX, PCI_COMMAND_NO_INTX);
	f->config[0x50 / 4] &= ~(uint32_t)(BIT(23) | BIT(24));
	assert_int_equal(pci_use_msi(f->address, 3, 0x32, &why), 0);
	assert_int_equal(f->config[0x58 / 4], 0x32);
	pci_no_interrupts(f->address);
	assert_int_equal(f->config[0x50 / 4] & BIT(16), 0);
	/* One whose registers would lie beyond configuration space. */
	fake_pci_capability(f, 0xf8, PCI_CAP_MSI);
	assert_int_equal(pci_use_msi(f->address, 3, 0x32, &why), -ENODEV);
}

static uint32_t table[64];
static hpa_t table_at;

static void write_table(hpa_t pa, uint32_t value)
{
	assert_in_range(pa, table_at, table_at + sizeof(table) - 4);
	table[(pa - table_at) / 4] = value;
}

static void msix(void **state)
{
	struct fake_function *f;
	struct failure why;

	(void)state;
	fake_pci_start();
	fake_device_write = write_table;
	f = fake_pci_add(0, 0, 2, 0, 0x8086, 1);
	assert_int_equal(pci_use_msix(f->address, 1, 0x31, &why), -ENODEV);
	fake_pci_bar(f, 3, 0xfeb80000, 0x4000, false);
	fake_pci_capability(f, 0xa0, PCI_CAP_MSIX);
	f->config[0xa0 / 4] |= 4 << 16; /* five entries */
	f->writable[0xa0 / 4] = 0xc0000000;
	f->config[0xa4 / 4] = 0x2000 | 3;
	table_at = 0xfeb82000;
	memset(table, 0xaa, sizeof(table));
	assert_int_equal(pci_use_msix(f->address, 256, 0x31, &why), -ERANGE);
	assert_int_equal(pci_use_msix(f->address, 7, 0x31, &why), 0);
	assert_int_equal(f->config[0xa0 / 4] >> 30, 2);
	assert_int_equal(table[0], 0xfee07000);
	assert_int_equal(table[1], 0);
	assert_int_equal(table[2], 0x31);
	assert_int_equal(table[3], 0);
	for (unsigned i = 1; i < 5; i++)
		assert_int_equal(table[4 * i + 3], 1);
	assert_int_equal(table[4 * 5 + 3], 0xaaaaaaaa);
	/* Tables that lie elsewhere. */
	f->config[0xa4 / 4] = 0x3fc0 | 3;
	assert_int_equal(pci_use_msix(f->address, 7, 0x31, &why), -EINVAL);
	f->config[0xa4 / 4] = 7;
	assert_int_equal(pci_use_msix(f->address, 7, 0x31, &why), -EINVAL);
	f->config[0xa4 / 4] = ~0u;
	assert_int_equal(pci_use_msix(f->address, 7, 0x31, &why), -EINVAL);
}

static void intx(void **state)
{
	struct fake_function *f;

	(void)state;
	fake_pci_start();
	f = fake_pci_add(0, 0, 2, 0, 0x8086, 1);
	f->config[PCI_INTERRUPT / 4] = 0x10b;
	assert_int_equal(pci_use_intx(f->address), 11);
	assert_int_equal(f->config[1] & PCI_COMMAND_NO_INTX, 0);
	f->config[PCI_INTERRUPT / 4] = 0x0b;
	assert_int_equal(pci_use_intx(f->address), PCI_NO_LINE);
	f->config[PCI_INTERRUPT / 4] = 0x50b;
	assert_int_equal(pci_use_intx(f->address), PCI_NO_LINE);
	assert_int_equal(f->config[1] & PCI_COMMAND_NO_INTX, PCI_COMMAND_NO_INTX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways_lead_there),
		cmocka_unit_test(a_wrong_window_is_not_used),
		cmocka_unit_test(the_walk_finds_all),
		cmocka_unit_test(a_segment_is_walked_along_its_bridges),
		cmocka_unit_test(any_bridges_end),
		cmocka_unit_test(bars_are_sized),
		cmocka_unit_test(bars_that_make_no_sense),
		cmocka_unit_test(bars_are_mapped_where_no_ram_is),
		cmocka_unit_test(capability_lists_end),
		cmocka_unit_test(power_comes_on),
		cmocka_unit_test(msi),
		cmocka_unit_test(msix),
		cmocka_unit_test(intx),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
