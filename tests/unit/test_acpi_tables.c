/* sources: hv/base/acpi_tables.c hv/base/acpi_uart.c hv/base/acpi_dmar.c hv/base/failure.c hv/base/format.c */
/*
 * The reader of the host's ACPI tables, on a small physical memory of the test's own. Every mapping
 * is a heap block of exactly the length asked for, so that ASan sees a read past it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#undef fail
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/acpi_tables.h"

#define BASE 0x7fe000ul
#define SIZE 0x4000u
#define RSDP (BASE + 0x10)
#define XSDT (BASE + 0x100)
#define RSDT (BASE + 0x200)
#define MADT (BASE + 0x1000)
#define FADT (BASE + 0x2000)
#define MCFG (BASE + 0x3000)

static uint8_t memory[SIZE];
static void *blocks[4096];
static unsigned block_count;
static struct acpi_host host;
static struct failure why;

static const void *map(hpa_t pa, uint64_t len)
{
	void *block;

	if (pa < BASE || pa - BASE > SIZE || len > SIZE - (pa - BASE))
		return NULL;
	block = malloc(len);
	memcpy(block, memory + (pa - BASE), len);
	blocks[block_count++] = block;
	return block;
}

static int clean_up(void **state)
{
	(void)state;
	while (block_count)
		free(blocks[--block_count]);
	return 0;
}

static uint8_t *at(hpa_t pa) { return memory + (pa - BASE); }

static void put(hpa_t pa, uint64_t value, unsigned size) { memcpy(at(pa), &value, size); }

static void seal(hpa_t pa, unsigned len, unsigned checksum_at)
{
	uint8_t sum = 0;

	*at(pa + checksum_at) = 0;
	for (unsigned i = 0; i < len; i++)
		sum = (uint8_t)(sum + *at(pa + i));
	*at(pa + checksum_at) = (uint8_t)-sum;
}

static void table(hpa_t pa, const char *signature, unsigned len)
{
	memcpy(at(pa), signature, 4);
	put(pa + 4, len, 4);
	seal(pa, len, 9);
}

static const uint8_t madt_entries[] = {
	0, 8, 0, 0, 1, 0, 0, 0,                               /* a local APIC */
	1, 12, 7, 0, 0x00, 0x10, 0xc0, 0xfe, 24, 0, 0, 0,     /* I/O APIC at fec01000h from GSI 24 */
	1, 12, 8, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0,
	2, 10, 0, 0, 2, 0, 0, 0, 0, 0,                        /* IRQ 0 is GSI 2 */
	2, 10, 0, 9, 9, 0, 0, 0, 0x0f, 0,                     /* IRQ 9: low, level */
	2, 10, 0, 200, 9, 0, 0, 0, 0x0f, 0,                   /* there is no IRQ 200 */
};

static int build(void **state)
{
	(void)state;
	memset(memory, 0, sizeof memory);
	memcpy(at(RSDP), "RSD PTR ", 8);
	put(RSDP + 15, 2, 1);
	put(RSDP + 16, RSDT, 4);
	put(RSDP + 20, 36, 4);
	put(RSDP + 24, XSDT, 8);
	seal(RSDP, 20, 8);
	seal(RSDP, 36, 32);
	put(XSDT + 36, FADT, 8);
	put(XSDT + 44, MADT, 8);
	put(XSDT + 52, MCFG, 8);
	table(XSDT, "XSDT", 60);
	put(RSDT + 36, MADT, 4);
	table(RSDT, "RSDT", 40);
	memcpy(at(MADT + 44), madt_entries, sizeof madt_entries);
	table(MADT, "APIC", 44 + sizeof madt_entries);
	put(FADT + 76, 0x608, 4);
	put(FADT + 112, BIT(8) | BIT(10), 4);
	put(FADT + 116, 1, 1);
	put(FADT + 120, 0xcf9, 8);
	put(FADT + 128, 0x0e, 1);
	put(MCFG + 44, 0xb0000000, 8);
	put(MCFG + 55, 127, 1);
	put(MCFG + 60, 0x4000000000, 8);
	put(MCFG + 68, 1, 2);
	put(MCFG + 70, 16, 1);
	put(MCFG + 71, 31, 1);
	table(MCFG, "MCFG", 76);
	table(FADT, "FACP", 244);
	return 0;
}

static int read_tables(void) { return acpi_host_read(&host, RSDP, map, &why); }

static void good_tables_are_read(void **state)
{
	(void)state;
	assert_int_equal(read_tables(), 0);
	assert_int_equal(host.ioapic_count, 2);
	assert_int_equal(host.ioapics[0].base, 0xfec01000);
	assert_int_equal(host.ioapics[0].first_gsi, 24);
	assert_int_equal(host.isa[0].gsi, 2);
	assert_false(host.isa[0].level);
	assert_int_equal(host.isa[4].gsi, 4);
	assert_true(host.isa[9].level && host.isa[9].active_low);
	assert_int_equal(host.pm_timer.address, 0x608);
	assert_int_equal(host.pm_timer.space, ACPI_SPACE_IO);
	assert_true(host.pm_timer_32bit);
	assert_int_equal(host.reset.address, 0xcf9);
	assert_int_equal(host.reset_value, 0x0e);
	assert_int_equal(host.ecam_count, 2);
	assert_int_equal(host.ecam[0].base, 0xb0000000);
	assert_int_equal(host.ecam[0].last_bus, 127);
	assert_int_equal(host.ecam[1].segment, 1);
	assert_int_equal(host.ecam[1].first_bus, 16);
}

static void windows_that_cannot_be_are_refused(void **state)
{
	static const struct { unsigned at; uint64_t value; unsigned size; } wrong[] = {
		{ 60, 0, 8 }, { 60, 0x4000000800, 8 }, { 60, ~(uint64_t)0 << 20, 8 }, { 70, 32, 1 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		build(state);
		put(MCFG + wrong[i].at, wrong[i].value, wrong[i].size);
		table(MCFG, "MCFG", 76);
		assert_int_equal(read_tables(), -EINVAL);
		assert_non_null(strstr(why.text, "MCFG"));
		assert_int_equal(host.ecam_count, 1);
	}
}

static void no_more_windows_than_there_is_room_for(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ACPI_MAX_ECAM + 4; i++)
		memcpy(at(MCFG + 44 + 16 * i), at(MCFG + 44), 16);
	table(MCFG, "MCFG", 44 + 16 * (ACPI_MAX_ECAM + 4) + 15);
	assert_int_equal(read_tables(), 0);
	assert_int_equal(host.ecam_count, ACPI_MAX_ECAM);
}

static void the_rsdt_serves_old_firmware(void **state)
{
	(void)state;
	put(RSDP + 15, 0, 1);
	seal(RSDP, 20, 8);
	assert_int_equal(read_tables(), 0);
	assert_int_equal(host.ioapic_count, 2);
	assert_int_equal(host.pm_timer.address, 0); /* the RSDT here has no FADT */
}

static void a_memory_pm_timer_wins(void **state)
{
	(void)state;
	put(FADT + 208, 0, 1);
	put(FADT + 212, 0xfed00000, 8);
	table(FADT, "FACP", 244);
	assert_int_equal(read_tables(), 0);
	assert_int_equal(host.pm_timer.address, 0xfed00000);
	assert_int_equal(host.pm_timer.space, ACPI_SPACE_MEMORY);
}

static void a_damaged_table_is_left_out(void **state)
{
	(void)state;
	*at(MADT + 50) ^= 1;
	assert_int_equal(read_tables(), -EINVAL);
	assert_non_null(strstr(why.text, "APIC"));
	assert_int_equal(host.ioapic_count, 1); /* the default */
	assert_int_equal(host.pm_timer.address, 0x608);
}

static void bad_entries_end_the_table(void **state)
{
	(void)state;
	*at(MADT + 44 + 1) = 0;
	table(MADT, "APIC", 44 + sizeof madt_entries);
	assert_int_equal(read_tables(), -EINVAL);
	*at(MADT + 44 + 1) = 255;
	table(MADT, "APIC", 44 + sizeof madt_entries);
	assert_int_equal(read_tables(), -EINVAL);
}

/* Whichever table stands first. */
static void spcr_goes_before_dbg2(void **state)
{
	hpa_t spcr = MCFG + 0x200, dbg2 = MCFG + 0x300;

	(void)state;
	put(XSDT + 44, dbg2, 8);
	put(XSDT + 52, spcr, 8);
	table(XSDT, "XSDT", 60);
	put(spcr + 40, 0x01000801, 4);
	put(spcr + 44, 0x2f8, 8);
	table(spcr, "SPCR", 80);
	put(dbg2 + 36, 44, 4);
	put(dbg2 + 40, 1, 4);
	put(dbg2 + 45, 34, 2);
	put(dbg2 + 47, 1, 1);
	put(dbg2 + 56, 0x8000, 2);
	put(dbg2 + 62, 22, 2);
	put(dbg2 + 66, 0x03002000, 4);
	put(dbg2 + 70, 0xfe034000, 8);
	table(dbg2, "DBG2", 78);
	assert_int_equal(read_tables(), 0);
	assert_int_equal(host.uart_count, 2);
	assert_int_equal(host.uarts[0].address, 0x2f8);
	assert_int_equal(host.uarts[1].address, 0xfe034000);
	*at(spcr + 44) ^= 1;
	assert_int_equal(read_tables(), -EINVAL);
	assert_int_equal(host.uart_count, 1);
}

#define DMAR (MCFG + 0x400)

/* A unit with a device scope behind it, something else, and a unit without. */
static const uint8_t dmar_structures[] = {
	0, 0, 24, 0, 0, 0, 0, 0, 0x00, 0x00, 0xd9, 0xfe, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0, 2, 0,
	1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0, 0, 0, 0, 0xff, 0xff, 0x7f, 0x7b, 0, 0, 0, 0,
	0, 0, 16, 0, 1, 0, 3, 0, 0x00, 0x10, 0xd9, 0xfe, 1, 0, 0, 0,
};

static void build_dmar(void)
{
	put(XSDT + 52, DMAR, 8);
	table(XSDT, "XSDT", 60);
	memcpy(at(DMAR + 48), dmar_structures, sizeof dmar_structures);
	table(DMAR, "DMAR", 48 + sizeof dmar_structures);
}

static void units_of_dmar(void **state)
{
	(void)state;
	assert_int_equal(read_tables(), 0);
	assert_int_equal(host.dmar_count, 0);
	build_dmar();
	assert_int_equal(read_tables(), 0);
	assert_int_equal(host.dmar_count, 2);
	assert_int_equal(host.dmar[0].base, 0xfed90000);
	assert_int_equal(host.dmar[1].base, 0x1fed91000);
	assert_int_equal(host.dmar[1].segment, 3);
}

static void damaged_dmar(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
		uint32_t units;
	} wrong[] = {
		{ 48 + 2, 0, 0 }, { 48 + 2, 3, 0 }, { 48 + 2, 15, 0 }, { 48 + 9, 1, 0 }, { 48 + 50, 17, 1 }, { 48 + 50, 15, 1 },
		{ 48 + 26, 255, 1 }, { 48 + 10, 0, 0 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		build(state);
		build_dmar();
		*at(DMAR + wrong[i].at) = wrong[i].value;
		if (wrong[i].at == 48 + 10)
			*at(DMAR + 48 + 11) = 0; /* registers at 0 */
		table(DMAR, "DMAR", 48 + sizeof dmar_structures);
		assert_int_equal(read_tables(), -EINVAL);
		assert_non_null(strstr(why.text, "DMAR"));
		assert_int_equal(host.dmar_count, wrong[i].units);
	}
	for (unsigned i = 0; i < ACPI_MAX_DMAR_UNITS + 4; i++)
		memcpy(at(DMAR + 48 + 16 * i), dmar_structures + 48, 16);
	table(DMAR, "DMAR", 48 + 16 * (ACPI_MAX_DMAR_UNITS + 4));
	assert_int_equal(read_tables(), 0);
	assert_int_equal(host.dmar_count, ACPI_MAX_DMAR_UNITS);
}

static void without_a_root_the_defaults_hold(void **state)
{
	static const hpa_t nowhere[] = { 1, BASE, BASE + SIZE - 4, ~(uint64_t)0 - 3 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(nowhere); i++) {
		assert_int_equal(acpi_host_read(&host, nowhere[i], map, &why), -EINVAL);
		assert_int_equal(host.ioapic_count, 1);
		assert_int_equal(host.ioapics[0].base, 0xfec00000);
	}
}

/* Any bytes, with sums put right so that they get deep. */
static void no_damage_harms(void **state)
{
	srand(7);
	for (unsigned round = 0; round < 4000; round++) {
		build(state);
		for (unsigned i = 0; i < 1 + (unsigned)rand() % 4; i++) {
			static const hpa_t tables[] = { RSDP, XSDT, MADT, FADT, MCFG };
			hpa_t t = tables[rand() % 5];

			*at(t + (unsigned)rand() % 130) = (uint8_t)rand();
		}
		if (rand() % 2) {
			seal(RSDP, 20, 8);
			seal(RSDP, 36, 32);
			seal(XSDT, 60, 9);
			seal(MCFG, 76, 9);
			seal(MADT, 44 + sizeof madt_entries, 9);
			seal(FADT, 244, 9);
		}
		read_tables();
		assert_in_range(host.ioapic_count, 1, ACPI_MAX_IOAPICS);
		assert_in_range(host.ecam_count, 0, ACPI_MAX_ECAM);
		clean_up(state);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, build, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(good_tables_are_read), TEST(the_rsdt_serves_old_firmware), TEST(a_memory_pm_timer_wins),
		TEST(a_damaged_table_is_left_out), TEST(windows_that_cannot_be_are_refused),
		TEST(no_more_windows_than_there_is_room_for), TEST(bad_entries_end_the_table),
		TEST(spcr_goes_before_dbg2), TEST(units_of_dmar), TEST(damaged_dmar),
		TEST(without_a_root_the_defaults_hold), TEST(no_damage_harms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
