/* sources: boot/ranges.c boot/load_elf.c boot/madt.c boot/options.c boot/paging.c hv/base/failure.c hv/base/format.c */
#include "boot/boot_info.h"
#include "boot/load_elf.h"
#include "boot/madt.h"
#include "boot/options.h"
#include "boot/paging.h"
#include "boot/ranges.h"
#include "hv/base/map.h"
#include "hv/base/phys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct boot_info info;

static void assert_range(unsigned i, hpa_t base, uint64_t size, enum boot_range_kind kind)
{
	assert_true(i < info.range_count);
	assert_int_equal(info.ranges[i].base, base);
	assert_int_equal(info.ranges[i].size, size);
	assert_int_equal(info.ranges[i].kind, kind);
}

static void test_ranges_sort_and_join(void **state)
{
	(void)state;
	ranges_clear(&info);
	assert_true(ranges_add(&info, 0x3000, 0x1000, BOOT_RANGE_RAM));
	assert_true(ranges_add(&info, 0x1000, 0x1000, BOOT_RANGE_RAM));
	assert_true(ranges_add(&info, 0x8000, 0x1000, BOOT_RANGE_ACPI_NVS));
	assert_int_equal(info.range_count, 3);
	assert_true(ranges_add(&info, 0x2000, 0x1000, BOOT_RANGE_RAM));
	assert_int_equal(info.range_count, 2);
	assert_range(0, 0x1000, 0x3000, BOOT_RANGE_RAM);
	assert_range(1, 0x8000, 0x1000, BOOT_RANGE_ACPI_NVS);
	assert_int_equal(ranges_top(&info), 0x9000);
	assert_int_equal(ranges_total(&info, BOOT_RANGE_RAM), 0x3000);
}

static void test_ranges_contradiction(void **state)
{
	(void)state;
	/* The less usable kind wins, whichever comes first. */
	ranges_clear(&info);
	assert_true(ranges_add(&info, 0x4000, 0x2000, BOOT_RANGE_RESERVED));
	assert_true(ranges_add(&info, 0x1000, 0x9000, BOOT_RANGE_RAM));
	assert_true(ranges_add(&info, 0x8000, 0x1000, BOOT_RANGE_EFI_RUNTIME));
	assert_int_equal(info.range_count, 5);
	assert_range(0, 0x1000, 0x3000, BOOT_RANGE_RAM);
	assert_range(1, 0x4000, 0x2000, BOOT_RANGE_RESERVED);
	assert_range(2, 0x6000, 0x2000, BOOT_RANGE_RAM);
	assert_range(3, 0x8000, 0x1000, BOOT_RANGE_EFI_RUNTIME);
	assert_range(4, 0x9000, 0x1000, BOOT_RANGE_RAM);
}

static void test_ranges_odd_pages(void **state)
{
	(void)state;
	/* RAM shrinks to whole pages, what is no RAM grows to them. */
	ranges_clear(&info);
	assert_true(ranges_add(&info, 0x1800, 0x2000, BOOT_RANGE_RAM));
	assert_range(0, 0x2000, 0x1000, BOOT_RANGE_RAM);
	assert_true(ranges_add(&info, 0x5800, 0x100, BOOT_RANGE_RESERVED));
	assert_range(1, 0x5000, 0x1000, BOOT_RANGE_RESERVED);
	assert_true(ranges_add(&info, ~(uint64_t)0 - 0x1fff, ~(uint64_t)0, BOOT_RANGE_RESERVED));
	assert_true(ranges_add(&info, 0x7000, 0, BOOT_RANGE_RAM));
	assert_int_equal(info.range_count, 3);
}

static void test_ranges_carve(void **state)
{
	(void)state;
	ranges_clear(&info);
	assert_true(ranges_add(&info, 0, MIB(1), BOOT_RANGE_RAM));
	assert_true(ranges_carve(&info, 0x10000, 0x2000, BOOT_RANGE_FILE));
	assert_int_equal(info.range_count, 3);
	assert_range(1, 0x10000, 0x2000, BOOT_RANGE_FILE);
	assert_true(ranges_carve(&info, 0x12000, 0x1000, BOOT_RANGE_FILE));
	assert_int_equal(info.range_count, 3);
	assert_range(1, 0x10000, 0x3000, BOOT_RANGE_FILE);
}

static void test_ranges_full(void **state)
{
	(void)state;
	ranges_clear(&info);
	for (uint64_t i = 0; i < BOOT_MAX_RANGES; i++)
		assert_true(ranges_add(&info, i * 0x2000, 0x1000, BOOT_RANGE_RAM));
	assert_false(ranges_add(&info, MIB(64), 0x1000, BOOT_RANGE_RAM));
	assert_int_equal(info.range_count, BOOT_MAX_RANGES);
}

#define ELF_LEN (120 + 24)

/* An ELF file with one segment of 32 bytes, 24 of them in the file: what boot hands over, and an entry point. */
static size_t make_elf(uint8_t *file)
{
	static const uint8_t ident[] = { 0x7f, 'E', 'L', 'F', 2, 1, 1 };
	uint64_t entry = HV_IMAGE_BASE + 16, table = 64, offset = 120, linear = HV_IMAGE_BASE, in_file = 24, in_memory = 32;
	uint64_t contract[] = { BOOT_INFO_MAGIC, sizeof(struct boot_info) };
	uint16_t type = 2, machine = 62, segment_size = 56, count = 1;
	uint32_t load = 1;

	memset(file, 0, ELF_LEN);
	memcpy(file, ident, sizeof(ident));
	memcpy(file + 16, &type, 2);
	memcpy(file + 18, &machine, 2);
	memcpy(file + 24, &entry, 8);
	memcpy(file + 32, &table, 8);
	memcpy(file + 54, &segment_size, 2);
	memcpy(file + 56, &count, 2);
	memcpy(file + 64, &load, 4);
	memcpy(file + 72, &offset, 8);
	memcpy(file + 80, &linear, 8);
	memcpy(file + 96, &in_file, 8);
	memcpy(file + 104, &in_memory, 8);
	memcpy(file + 120, contract, 16);
	memcpy(file + 136, "GNOMON!!", 8);
	return ELF_LEN;
}

static void test_elf_good(void **state)
{
	uint8_t file[ELF_LEN], memory[4096];
	struct elf_layout layout;
	struct failure f;

	(void)state;
	memset(memory, 0xff, sizeof(memory));
	assert_int_equal(elf_check(file, make_elf(file), &layout, &f), 0);
	assert_int_equal(layout.size, 4096);
	assert_true(layout.entry == HV_IMAGE_BASE + 16);
	elf_place(file, &layout, memory);
	assert_memory_equal(memory + 16, "GNOMON!!", 8);
	assert_int_equal(memory[24], 0);
	assert_int_equal(memory[4095], 0);
}

/* Each row damages one field; the sentence must name it. */
static void test_elf_damaged(void **state)
{
	static const struct {
		size_t at, len;
		uint64_t value;
		const char *says;
	} rows[] = {
		{ 0, 1, 0, "no 64-bit x86 program" },
		{ 4, 1, 1, "no 64-bit x86 program" },
		{ 18, 2, 183, "no 64-bit x86 program" },
		{ 32, 8, ~(uint64_t)0, "table of segments" },
		{ 54, 2, 55, "table of segments" },
		{ 56, 2, 9, "table of segments" },
		{ 72, 8, ~(uint64_t)0, "ends early" },
		{ 96, 8, 25, "ends early" },
		{ 80, 8, 0x100000, "does not belong" },
		{ 80, 8, ~(uint64_t)0, "does not belong" },
		{ 104, 8, MIB(65), "does not belong" },
		{ 104, 8, 23, "does not belong" },
		{ 24, 8, 0, "entry point" },
		{ 24, 8, HV_IMAGE_BASE + 4096, "entry point" },
		{ 24, 8, HV_IMAGE_BASE + 15, "same build" },
		{ 24, 8, HV_IMAGE_BASE + 25, "same build" },
		{ 120, 1, 0, "same build" },
		{ 128, 8, sizeof(struct boot_info) + 8, "same build" },
		{ 64, 4, 4, "entry point" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t file[ELF_LEN];
		struct elf_layout layout;
		struct failure f;
		size_t len = make_elf(file);

		memcpy(file + rows[i].at, &rows[i].value, rows[i].len);
		assert_int_equal(elf_check(file, len, &layout, &f), -ENOEXEC);
		assert_non_null(strstr(f.text, rows[i].says));
	}
}

static void test_elf_short(void **state)
{
	uint8_t file[ELF_LEN];
	struct elf_layout layout;
	struct failure f;

	(void)state;
	make_elf(file);
	for (size_t len = 0; len < ELF_LEN; len++)
		assert_int_equal(elf_check(file, len, &layout, &f), -ENOEXEC);
}

static void test_madt(void **state)
{
	uint8_t table[44 + 8 + 8 + 16 + 12 + 8] = { 0 };
	uint8_t *entry = table + 44;

	(void)state;
	memcpy(entry, (uint8_t[]){ 0, 8, 0, 4, 1, 0, 0, 0 }, 8);   /* enabled, APIC id 4 */
	memcpy(entry + 8, (uint8_t[]){ 0, 8, 1, 5, 0, 0, 0, 0 }, 8); /* not enabled */
	memcpy(entry + 16, (uint8_t[]){ 9, 16, 0, 0, 0x2c, 1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0 }, 16); /* id 300 */
	memcpy(entry + 32, (uint8_t[]){ 1, 12 }, 2);               /* an I/O APIC */
	memcpy(entry + 44, (uint8_t[]){ 0, 8, 3, 4, 1, 0, 0, 0 }, 8); /* id 4 again */
	info.cpu_count = 0;
	madt_list_cpus(table, sizeof(table), &info);
	assert_int_equal(info.cpu_count, 2);
	assert_int_equal(info.cpus[0].apic_id, 4);
	assert_int_equal(info.cpus[1].apic_id, 300);
}

static void test_madt_any_bytes(void **state)
{
	(void)state;
	srand(1);
	for (unsigned round = 0; round < 20000; round++) {
		size_t len = (size_t)(rand() % 200);
		uint8_t *table = malloc(len ? len : 1);

		for (size_t i = 0; i < len; i++)
			table[i] = (uint8_t)(rand() % (rand() % 8 ? 17 : 256));
		info.cpu_count = 0;
		madt_list_cpus(table, len, &info);
		assert_true(info.cpu_count <= BOOT_MAX_CPUS);
		free(table);
	}
}

static const char *words_of(const char *text)
{
	static char joined[OPTIONS_MAX];
	char copy[OPTIONS_MAX], *rest = copy, *word;

	strcpy(copy, text);
	joined[0] = 0;
	while ((word = options_next(&rest))) {
		strcat(joined, "<");
		strcat(joined, word);
		strcat(joined, ">");
	}
	return joined;
}

static void test_options_words(void **state)
{
	(void)state;
	assert_string_equal(words_of(""), "");
	assert_string_equal(words_of("  "), "");
	assert_string_equal(words_of(" start=a\t b=c "), "<start=a><b=c>");
	assert_string_equal(words_of("\\gnomon.efi start=a"), "<start=a>");
	assert_string_equal(words_of("\"a.cmdline=x y\" b=\"c d\"e"), "<a.cmdline=x y><b=c de>");
	assert_string_equal(words_of("\"open x"), "<open x>");
	assert_string_equal(words_of("a.kernel=/x.efi"), "<a.kernel=/x.efi>");
}

static void test_options_text(void **state)
{
	static const uint8_t good[] = { 'a', 0, '=', 0, 'b', 0, 0, 0, 0xff, 0xff };
	static const uint8_t guid[] = { 0x2c, 0x8a, 0x55, 0x11, 0x00, 0xc1 };
	char out[OPTIONS_MAX];
	uint8_t *longest = malloc(8 * OPTIONS_MAX);

	(void)state;
	assert_true(options_to_text(good, sizeof(good), out));
	assert_string_equal(out, "a=b");
	assert_true(options_to_text(good, 0, out));
	assert_string_equal(out, "");
	assert_false(options_to_text(good, 3, out));
	assert_false(options_to_text(guid, sizeof(guid), out));
	for (size_t i = 0; i < 8 * OPTIONS_MAX; i++)
		longest[i] = i % 2 ? 0 : 'x';
	assert_true(options_to_text(longest, 8 * OPTIONS_MAX, out));
	assert_int_equal(strlen(out), OPTIONS_MAX - 1);
	free(longest);
}

/* Walks the tables as the CPU would; ~0 when nothing is mapped there. */
static hpa_t translate(const struct page_tables *t, uint64_t va)
{
	uint64_t *table = (uint64_t *)t->root;

	for (int level = t->five_levels ? 5 : 4; level > 1; level--) {
		uint64_t entry = table[va >> (12 + 9 * (level - 1)) & 511];

		if (!(entry & 1))
			return ~(hpa_t)0;
		if (entry & BIT(7))
			return (entry & BITS(51, 21)) + (va & BITS(20, 0));
		table = (uint64_t *)(entry & BITS(51, 12));
	}
	return ~(hpa_t)0;
}

static void check_paging(bool five_levels, hpa_t top)
{
	const uint64_t map = 0xffff800000000000ul;
	struct page_tables t = { .count = paging_pages(top), .five_levels = five_levels };

	phys_map_base = map;
	t.pages = (hpa_t)aligned_alloc(PAGE_SIZE, t.count * PAGE_SIZE);
	memset((void *)t.pages, 0, t.count * PAGE_SIZE);
	paging_build(&t, top, MIB(32), MIB(64));
	assert_true(t.used <= t.count);
	assert_true(translate(&t, 0x1234) == 0x1234);
	assert_true(translate(&t, top - 1) == top - 1);
	assert_true(translate(&t, top) == ~(hpa_t)0);
	assert_true(translate(&t, map + 0x1234) == 0x1234);
	assert_true(translate(&t, map + top - 1) == top - 1);
	assert_true(translate(&t, map + top) == ~(hpa_t)0);
	assert_true(translate(&t, HV_IMAGE_BASE + 5) == MIB(32) + 5);
	assert_true(translate(&t, HV_IMAGE_BASE + MIB(64) - 1) == MIB(96) - 1);
	assert_true(translate(&t, HV_IMAGE_BASE + MIB(64)) == ~(hpa_t)0);
	free((void *)t.pages);
}

static void test_paging(void **state)
{
	(void)state;
	check_paging(false, GIB(4));
	check_paging(false, GIB(4) + MIB(2));
	check_paging(false, GIB(513));
	check_paging(true, GIB(4));
	check_paging(true, GIB(513));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges_sort_and_join), cmocka_unit_test(test_ranges_contradiction),
		cmocka_unit_test(test_ranges_odd_pages),     cmocka_unit_test(test_ranges_carve),
		cmocka_unit_test(test_ranges_full),          cmocka_unit_test(test_elf_good),
		cmocka_unit_test(test_elf_damaged),          cmocka_unit_test(test_elf_short),
		cmocka_unit_test(test_madt),                 cmocka_unit_test(test_madt_any_bytes),
		cmocka_unit_test(test_options_words),        cmocka_unit_test(test_options_text),
		cmocka_unit_test(test_paging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
