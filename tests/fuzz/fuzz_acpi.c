/* sources: hv/base/acpi_tables.c hv/base/acpi_uart.c hv/base/acpi_dmar.c boot/madt.c hv/base/failure.c hv/base/format.c */
/*
 * The firmware's ACPI tables with random damage, sums corrected half of the time: whatever they say, nothing
 * outside of a table is read, and what is taken from them is within bounds.
 */
#include "hv/base/acpi_tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "boot/madt.h"
#include "tests/fuzz/fuzz.h"

#define BASE 0x7fe000ul
#define RSDP 0
#define XSDT 0x40
#define RSDT 0x98
#define MADT 0xd8
#define MADT_ENTRIES (MADT + 44)
#define FADT 0x180
#define SPCR (FADT + 244)
#define SPCR_SIZE 88
#define DBG2 (SPCR + SPCR_SIZE)
#define DBG2_SIZE (44 + 2 * 38)
#define DMAR (DBG2 + DBG2_SIZE)
#define DMAR_SIZE (48 + 24 + 16)
#define SIZE (DMAR + DMAR_SIZE)
#define MAX_BLOCKS 1024

static const uint8_t madt_entries[] = {
	0, 8, 0, 0, 1, 0, 0, 0,                           /* a local APIC */
	0, 8, 1, 1, 2, 0, 0, 0,                           /* one that can come later */
	9, 16, 0, 0, 0x40, 1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, /* an x2APIC */
	1, 12, 7, 0, 0x00, 0x10, 0xc0, 0xfe, 24, 0, 0, 0, /* an I/O APIC */
	2, 10, 0, 0, 2, 0, 0, 0, 0, 0,                    /* IRQ 0 is GSI 2 */
	2, 10, 0, 9, 9, 0, 0, 0, 0x0f, 0,                 /* IRQ 9: low, level */
};

static uint8_t seed[SIZE];
static const uint8_t *memory;
static size_t memory_size;
static void *blocks[MAX_BLOCKS];
static unsigned block_count, good, damaged, uarts, units;

static void put(size_t at, uint64_t value, size_t size) { memcpy(seed + at, &value, size); }

/* Makes the sum of what fits in the data 0. */
static void seal(uint8_t *data, size_t size, size_t at, size_t len, size_t sum_at)
{
	uint8_t sum = 0;

	if (at + sum_at >= size)
		return;
	data[at + sum_at] = 0;
	for (size_t i = at; i < size && i - at < len; i++)
		sum = (uint8_t)(sum + data[i]);
	data[at + sum_at] = (uint8_t)-sum;
}

static void seal_all(uint8_t *data, size_t size)
{
	static const struct { size_t at, usual; } tables[] = {
		{ XSDT, 76 }, { RSDT, 44 }, { MADT, 44 + sizeof(madt_entries) }, { FADT, 244 }, { SPCR, SPCR_SIZE },
		{ DBG2, DBG2_SIZE }, { DMAR, DMAR_SIZE },
	};

	seal(data, size, RSDP, 20, 8);
	seal(data, size, RSDP, 36, 32);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		uint32_t len = (uint32_t)tables[i].usual;

		if (tables[i].at + 8 <= size)
			memcpy(&len, data + tables[i].at + 4, 4);
		seal(data, size, tables[i].at, len, 9);
	}
}

static void table(size_t at, const char *signature, uint32_t len)
{
	memcpy(seed + at, signature, 4);
	put(at + 4, len, 4);
}

static void make_uarts(void)
{
	table(SPCR, "SPCR", SPCR_SIZE);
	put(SPCR + 8, 4, 1);
	put(SPCR + 40, 0x01000801, 4);
	put(SPCR + 44, 0x3f8, 8);
	put(SPCR + 52, 0x0401, 2);
	put(SPCR + 58, 7, 1);
	table(DBG2, "DBG2", DBG2_SIZE);
	put(DBG2 + 36, 44, 4);
	put(DBG2 + 40, 2, 4);
	for (size_t at = DBG2 + 44; at < DMAR; at += 38) {
		put(at + 1, 38, 2);
		put(at + 3, 1, 1);
		put(at + 12, 0x8000, 2);
		put(at + 18, 22, 2);
		put(at + 22, 0x03002000, 4);
		put(at + 26, 0xfe034000, 8);
	}
}

static void make_dmar(void)
{
	table(DMAR, "DMAR", DMAR_SIZE);
	put(DMAR + 48 + 2, 24, 2);
	put(DMAR + 48 + 8, 0xfed90000, 8);
	put(DMAR + 72 + 2, 16, 2);
	put(DMAR + 72 + 8, 0xfed91000, 8);
}

static void check_dmar(const struct acpi_host *host)
{
	assert_true(host->dmar_count <= ACPI_MAX_DMAR_UNITS);
	for (uint32_t i = 0; i < host->dmar_count; i++)
		assert_true(host->dmar[i].base && is_aligned(host->dmar[i].base, PAGE_SIZE));
	units += host->dmar_count;
}

static void check_uarts(const struct acpi_host *host)
{
	assert_true(host->uart_count <= ACPI_MAX_UARTS);
	for (uint32_t i = 0; i < host->uart_count; i++) {
		const struct acpi_uart *u = &host->uarts[i];

		assert_true(u->stride && !(u->stride & (u->stride - 1)) && u->stride <= 8);
		assert_true((u->width == 1 || u->width == 2 || u->width == 4) && u->width <= u->stride);
		assert_true(u->isa_irq >= -1 && u->isa_irq < 16);
		assert_true(u->address && (!u->io || u->address + 7 * u->stride <= UINT16_MAX));
		uarts++;
	}
}

static void make_seed(void)
{
	memcpy(seed + RSDP, "RSD PTR ", 8);
	put(RSDP + 15, 2, 1);
	put(RSDP + 16, BASE + RSDT, 4);
	put(RSDP + 20, 36, 4);
	put(RSDP + 24, BASE + XSDT, 8);
	table(XSDT, "XSDT", 76);
	put(XSDT + 36, BASE + FADT, 8);
	put(XSDT + 44, BASE + MADT, 8);
	put(XSDT + 52, BASE + DBG2, 8);
	put(XSDT + 60, BASE + SPCR, 8);
	put(XSDT + 68, BASE + DMAR, 8);
	table(RSDT, "RSDT", 44);
	put(RSDT + 36, BASE + MADT, 4);
	put(RSDT + 40, BASE + FADT, 4);
	table(MADT, "APIC", 44 + sizeof(madt_entries));
	memcpy(seed + MADT_ENTRIES, madt_entries, sizeof(madt_entries));
	table(FADT, "FACP", 244);
	put(FADT + 76, 0x608, 4);
	put(FADT + 112, BIT(8) | BIT(10), 4);
	put(FADT + 116, 1, 1);
	put(FADT + 120, 0xcf9, 8);
	put(FADT + 128, 0x0e, 1);
	put(FADT + 208, 1, 1);
	put(FADT + 212, 0x608, 8);
	make_uarts();
	make_dmar();
	seal_all(seed, SIZE);
}

/* Each in a block of exactly its length: ASan sees a byte beyond it. */
static const void *map(hpa_t pa, uint64_t len)
{
	void *block;

	if (pa < BASE || pa - BASE > memory_size || len > memory_size - (pa - BASE) || block_count == MAX_BLOCKS)
		return NULL;
	block = malloc(len ? len : 1);
	memcpy(block, memory + (pa - BASE), len);
	blocks[block_count++] = block;
	return block;
}

static void list_cpus(const uint8_t *data, size_t size)
{
	static struct boot_info info;
	size_t len = size > MADT ? size - MADT : 0;
	uint8_t *alone = malloc(len ? len : 1);

	memcpy(alone, data + size - len, len);
	memset(&info, 0, sizeof(info));
	madt_list_cpus(alone, len, &info);
	assert_true(info.cpu_count <= BOOT_MAX_CPUS);
	free(alone);
}

static void read_tables(const uint8_t *data, size_t size)
{
	struct failure f = { "" };
	struct acpi_host host;
	uint8_t *copy = malloc(size ? size : 1);
	int err;

	memcpy(copy, data, size);
	if (fuzz_random(2))
		seal_all(copy, size);
	memory = copy;
	memory_size = size;
	err = acpi_host_read(&host, BASE + RSDP, map, &f);
	assert_true((err != 0) == (f.text[0] != 0));
	assert_true(host.ioapic_count >= 1 && host.ioapic_count <= ACPI_MAX_IOAPICS);
	check_uarts(&host);
	check_dmar(&host);
	good += err == 0;
	damaged += err != 0;
	list_cpus(copy, size);
	while (block_count)
		free(blocks[--block_count]);
	free(copy);
}

static void damaged_tables(void **state)
{
	(void)state;
	make_seed();
	read_tables(seed, SIZE);
	assert_int_equal(good, 1); /* the seed itself is good */
	assert_int_equal(uarts, 3);
	assert_int_equal(units, 2);
	fuzz_run(seed, SIZE, 60000, read_tables);
	assert_true(good > 1000 && damaged > 1000 && uarts > 1000 && units > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(damaged_tables) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
