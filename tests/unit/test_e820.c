/* sources: hv/guest/e820.c hv/guest/guest_mem.c */
/*
 * The memory map for many sizes: sorted, without overlap, RAM adds up, holes are where devices are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "hv/guest/e820.h"
#include "hv/guest/guest.h"
#include "hv/guest/wakeup.h"
#include "tests/unit/support/guest_ram.h"

#include <cmocka.h>

static uint64_t ram_in(const struct e820_entry *map, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		if (map[i].type == E820_RAM)
			sum += map[i].size;
	return sum;
}

static void check_map(uint64_t ram_size, enum guest_platform platform)
{
	struct e820_entry map[E820_MAX_ENTRIES];
	unsigned n = e820_build(ram_size, platform, map);

	assert_in_range(n, 1, E820_MAX_ENTRIES);
	for (unsigned i = 0; i < n; i++) {
		assert_true(map[i].size > 0);
		if (i)
			assert_true(map[i].base >= map[i - 1].base + map[i - 1].size);
	}
	/* From 9fc00h, in a TD a0000h, to fffffh is no RAM for the guest's kernel. */
	assert_int_equal(ram_in(map, n), ram_size - (MIB(1) - (platform == GUEST_TD ? KIB(640) : GUEST_EBDA)));
}

static void every_size_adds_up(void **state)
{
	(void)state;
	for (enum guest_platform platform = GUEST_PC; platform <= GUEST_TD; platform++) {
		for (uint64_t mib = 2; mib <= 16384; mib += mib < 64 ? 1 : 61)
			check_map(MIB(mib), platform);
		check_map(GUEST_LOW_RAM_END, platform);
		check_map(GUEST_LOW_RAM_END + PAGE_SIZE, platform);
		check_map(GUEST_LOW_RAM_END - PAGE_SIZE, platform);
	}
}

static void wakeup_area_is_nvs(void **state)
{
	struct e820_entry map[E820_MAX_ENTRIES];

	(void)state;
	for (enum guest_platform platform = GUEST_PC; platform <= GUEST_TD; platform++) {
		unsigned n = e820_build(MIB(64), platform, map), found = 0;

		for (unsigned i = 0; i < n; i++)
			if (map[i].type == E820_ACPI_NVS) {
				assert_int_equal(map[i].base, WAKEUP_BASE);
				assert_int_equal(map[i].size, WAKEUP_END - WAKEUP_BASE);
				found++;
			}
		assert_int_equal(found, platform != GUEST_PC);
	}
}

static void ram_is_split_around_the_gap(void **state)
{
	struct e820_entry map[E820_MAX_ENTRIES];
	unsigned n = e820_build(GIB(5), GUEST_PC, map);

	(void)state;
	assert_int_equal(sizeof(map[0]), 20);
	assert_int_equal(map[n - 1].base, GUEST_HIGH_RAM_BASE);
	assert_int_equal(map[n - 1].size, GIB(2));
	assert_int_equal(map[n - 1].type, E820_RAM);
	for (unsigned i = 0; i < n; i++)
		if (map[i].type == E820_RAM && map[i].base < GUEST_HIGH_RAM_BASE)
			assert_true(map[i].base + map[i].size <= GUEST_LOW_RAM_END);
}

static void acpi_and_apics_are_reserved(void **state)
{
	struct e820_entry map[E820_MAX_ENTRIES];
	unsigned n = e820_build(MIB(512), GUEST_PC, map), found = 0;

	(void)state;
	for (unsigned i = 0; i < n; i++)
		if (map[i].type == E820_RESERVED)
			found += map[i].base == GUEST_ACPI_BASE || map[i].base == GUEST_IOAPIC_BASE ||
				 map[i].base == GUEST_LAPIC_BASE || map[i].base == GUEST_EBDA;
	assert_int_equal(found, 4);
}

/* Linux takes what is reserved or left out for shared memory: the tables and the mailbox are neither. */
static void nothing_of_a_td_is_reserved(void **state)
{
	struct e820_entry map[E820_MAX_ENTRIES];
	unsigned n = e820_build(GIB(5), GUEST_TD, map), tables = 0;

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		assert_int_not_equal(map[i].type, E820_RESERVED);
		if (map[i].type == E820_ACPI) {
			assert_int_equal(map[i].base, GUEST_ACPI_BASE);
			assert_int_equal(map[i].size, GUEST_ACPI_SIZE);
			tables++;
		}
	}
	assert_int_equal(tables, 1);
}

static void writes_cross_seams_and_stop_at_the_end(void **state)
{
	struct guest_mem m = test_guest_ram(MIB(8), true);
	uint8_t data[10000], *got = test_guest_at(&m, 0x1ffff0, sizeof(data));

	(void)state;
	memset(data, 0x5a, sizeof(data));
	assert_true(guest_mem_write(&m, 0x1ffff0, data, sizeof(data)));
	assert_memory_equal(got, data, sizeof(data));
	assert_true(guest_mem_clear(&m, 0x1ffff8, 5000));
	assert_int_equal(got[7], 0x5a);
	assert_int_equal(got[8], 0);
	assert_int_equal(got[5007], 0);
	assert_int_equal(got[5008], 0x5a);
	assert_false(guest_mem_write(&m, MIB(8) - 100, data, sizeof(data)));
	assert_false(guest_mem_write(&m, GUEST_HIGH_RAM_BASE, data, 1));
	assert_true(guest_mem_write(&m, MIB(64), data, 0));
	assert_true(guest_mem_in_low_ram(&m, 0, MIB(8)));
	assert_false(guest_mem_in_low_ram(&m, 1, MIB(8)));
	assert_false(guest_mem_in_low_ram(&m, UINT64_MAX, UINT64_MAX));
	m.occupied = MIB(6);
	assert_int_equal(guest_mem_low_end(&m), MIB(6));
	assert_true(guest_mem_in_low_ram(&m, 0, MIB(6)));
	assert_false(guest_mem_in_low_ram(&m, 1, MIB(6)));
	m.occupied = MIB(10);
	assert_int_equal(guest_mem_low_end(&m), MIB(8));
	test_guest_ram_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_size_adds_up),
		cmocka_unit_test(wakeup_area_is_nvs),
		cmocka_unit_test(ram_is_split_around_the_gap),
		cmocka_unit_test(acpi_and_apics_are_reserved),
		cmocka_unit_test(nothing_of_a_td_is_reserved),
		cmocka_unit_test(writes_cross_seams_and_stop_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
