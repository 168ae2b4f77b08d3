/* sources: hv/guest/bzimage.c hv/guest/pvh.c hv/guest/multiboot1.c hv/guest/elf.c hv/guest/loader.c hv/guest/loader_parts.c hv/guest/e820.c hv/guest/guest_mem.c hv/base/failure.c hv/base/format.c tests/unit/loader_guest.c */
/*
 * bzImage: what the kernel finds in memory and registers, and a sentence for every damaged file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "hv/guest/e820.h"
#include "hv/guest/guest.h"
#include "tests/unit/loader_guest.h"
#include "tests/unit/support/bzimage.h"

#include <cmocka.h>

#define SETUP (512 * 5)
#define PAYLOAD 0x9000
#define PREF MIB(16)
#define INIT_SIZE MIB(20)

static uint8_t file[SETUP + PAYLOAD];
static uint8_t initrd[70000];

static void put(unsigned at, uint64_t v, unsigned size) { memcpy(file + at, &v, size); }

static void make_image(void)
{
	const struct test_bzimage header = { .sectors = 4, .payload = PAYLOAD, .xloadflags = 0x7f, .cmdline_size = 2047,
					     .pref = PREF, .init_size = INIT_SIZE };

	for (size_t i = 0; i < sizeof(file); i++)
		file[i] = i * 7 + (i >> 8);
	test_bzimage_header(file, &header);
	put(0x230, 0x200000, 4);
	put(0x234, 1, 1);
	memset(initrd, 0x77, sizeof(initrd));
	img = (struct guest_image){
		.kernel = { "/vmlinuz", file, sizeof(file) },
		.initrd = { "/initrd", initrd, sizeof(initrd) },
		.cmdline = "console=ttyS0 quiet",
		.rsdp = 0xe0000,
	};
	f.text[0] = 0;
}

static int setup(void **state)
{
	(void)state;
	make_image();
	mem = test_guest_ram(MIB(256), true);
	return 0;
}

static void enters_long_mode(void **state)
{
	(void)state;
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	assert_string_equal(entry.protocol, "Linux 64-bit");
	assert_int_equal(entry.mode, ENTRY_LONG);
	assert_int_equal(entry.rip, PREF + 0x200);
	assert_int_equal(entry.cs, 0x10);
	assert_int_equal(entry.ds, 0x18);
	assert_int_equal(field(entry.gdt_base + 0x10, 8), 0x00af9b000000ffff);
	assert_int_equal(field(entry.gdt_base + 0x18, 8), 0x00cf93000000ffff);
	assert_int_equal(entry.gdt_limit, 0x1f);
	assert_memory_equal(test_guest_at(&mem, PREF, PAYLOAD), file + SETUP, PAYLOAD);
}

static void fills_boot_params(void **state)
{
	gpa_t bp, rd;

	(void)state;
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	bp = entry.rsi;
	assert_int_equal(field(bp + 0x210, 1), 0xff);
	assert_int_equal(field(bp + 0x202, 4), 0x53726448);
	assert_int_equal(field(bp + 0x70, 8), 0xe0000);
	assert_int_equal(field(bp + 0x214, 4), PREF);
	assert_string_equal(test_guest_at(&mem, field(bp + 0x228, 4), 64), img.cmdline);
	rd = field(bp + 0x218, 4);
	assert_int_equal(field(bp + 0x21c, 4), sizeof(initrd));
	assert_true(rd >= PREF + INIT_SIZE && rd + sizeof(initrd) <= MIB(256) && rd % PAGE_SIZE == 0);
	assert_memory_equal(test_guest_at(&mem, rd, sizeof(initrd)), initrd, sizeof(initrd));
	assert_int_equal(field(bp + 0x1e8, 1), 6);
	assert_int_equal(field(bp + 0x2d0 + 16, 4), E820_RAM);
	/* All that is not header or set here is zero. */
	assert_int_equal(field(bp + 0x1ef, 2), 0);
	assert_int_equal(field(bp, 8), 0);
	assert_int_equal(field(bp + 0x290, 8), 0);
}

static void maps_four_gib_one_to_one(void **state)
{
	(void)state;
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	for (uint64_t va = 0; va < GIB(4); va += MIB(2)) {
		uint64_t e4 = field(entry.cr3 + (va >> 39) * 8, 8);
		uint64_t e3 = field((e4 & ~PAGE_MASK) + (va >> 30 & 511) * 8, 8);

		assert_int_equal(e4 & 3, 3);
		assert_int_equal(e3 & 0x83, 3);
		assert_int_equal(field((e3 & ~PAGE_MASK) + (va >> 21 & 511) * 8, 8), va | 0x83);
	}
}

static void works_without_initrd(void **state)
{
	(void)state;
	img.initrd = (struct guest_file){ .name = "" };
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	assert_int_equal(field(entry.rsi + 0x218, 8), 0);
}

static void old_entry_without_64_bit_flag(void **state)
{
	(void)state;
	put(0x236, 4, 2);
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	assert_int_equal(entry.mode, ENTRY_PROTECTED);
	assert_int_equal(entry.rip, PREF);
	assert_int_equal(entry.cr3, 0);
	assert_int_equal(field(entry.gdt_base + 0x10, 8), 0x00cf9b000000ffff);
}

static void not_relocatable_stays_where_it_wants(void **state)
{
	(void)state;
	put(0x234, 0, 1);
	put(0x258, MIB(1), 8);
	put(0x230, 0, 4);
	put(0x260, 0x6acf8, 4);
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	assert_int_equal(entry.rip, MIB(1) + 0x200);
	put(0x258, MIB(300), 8);
	refused(-ENOMEM, "set memory = 301M or more");
}

static void initrd_respects_its_limit(void **state)
{
	gpa_t rd;

	(void)state;
	put(0x22c, MIB(40) - 1, 4);
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	rd = field(entry.rsi + 0x218, 4);
	assert_true(rd >= PREF + INIT_SIZE && rd + sizeof(initrd) <= MIB(40));
	/* Below the kernel when there is no room above. */
	put(0x22c, PREF + INIT_SIZE + 100, 4);
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	rd = field(entry.rsi + 0x218, 4);
	assert_true(rd >= MIB(1) && rd + sizeof(initrd) <= PREF);
	put(0x22c, MIB(1), 4);
	refused(-ENOMEM, "initrd /initrd");
}

static void signature_after_the_kernel_is_left_out(void **state)
{
	(void)state;
	put(0x1f4, (PAYLOAD - 0x100) / 16, 4);
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	assert_int_equal(field(PREF + PAYLOAD - 0x100, 8), 0);
}

/* One damaged field each. */
static const struct {
	unsigned at;
	uint64_t value;
	unsigned size;
	int err;
	const char *says;
} damage[] = {
	{ 0x206, 0x20b, 2, -ENOEXEC, "boot protocol 2.11, older than 2.12" },
	{ 0x211, 0, 1, -ENOEXEC, "zImage" },
	{ 0x1f1, 255, 1, -ENOEXEC, "setup code alone" },
	{ 0x1f4, PAYLOAD, 4, -ENOEXEC, "is truncated: its header announces" },
	{ 0x1f4, 0xffffffff, 4, -ENOEXEC, "is truncated" },
	{ 0x1f4, 1, 4, -ENOEXEC, "corrupt header: 16 bytes of code" },
	{ 0x260, 0x100, 4, -ENOEXEC, "corrupt header" },
	{ 0x260, 0xffffffff, 4, -ENOEXEC, "where guest RAM ends" },
	{ 0x260, MIB(512), 4, -ENOMEM, "set memory = 528M or more" },
	{ 0x258, 0x10000, 8, -ENOEXEC, "below 1 MiB" },
	{ 0x238, 5, 4, -E2BIG, "shorten cmdline" },
	{ 0x202, 0, 4, -ENOEXEC, "no bzImage, PVH ELF or Multiboot 1" },
};

static void each_damage_has_its_sentence(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(damage); i++) {
		make_image();
		put(damage[i].at, damage[i].value, damage[i].size);
		refused(damage[i].err, damage[i].says);
	}
	make_image();
	put(0x258, UINT64_MAX - 100, 8);
	put(0x234, 0, 1);
	refused(-ENOEXEC, "where guest RAM ends");
}

static void every_truncation_is_refused(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(file); len += len < 0x300 ? 1 : 97) {
		uint8_t *cut = malloc(len ? len : 1); /* exact size: the sanitizer sees any read beyond */

		memcpy(cut, file, len);
		img.kernel = (struct guest_file){ "/vmlinuz", cut, len };
		refused(-ENOEXEC, "/vmlinuz");
		free(cut);
	}
}

static void too_little_memory(void **state)
{
	struct guest_mem small = test_guest_ram(MIB(30), false);

	(void)state;
	assert_int_equal(guest_load(&small, &img, &entry, &f), -ENOMEM);
	assert_non_null(strstr(f.text, "set memory = 36M or more"));
	test_guest_ram_free(&small);
	small = test_guest_ram(MIB(1), false);
	assert_int_equal(guest_load(&small, &img, &entry, &f), -ENOMEM);
	test_guest_ram_free(&small);
}

static void initrd_larger_than_memory(void **state)
{
	(void)state;
	img.initrd.size = GIB(8);
	refused(-ENOMEM, "8192 MiB does not fit");
	img.initrd.size = UINT64_MAX;
	refused(-ENOMEM, "does not fit");
}

static void lookalikes_are_named(void **state)
{
	static const struct {
		const char *bytes, *says;
	} given[] = {
		{ "\x1f\x8b\x08", "gzip" }, { "070701000", "cpio" }, { "\x28\xb5\x2f\xfd", "zstd" },
		{ "\xfd" "7zXZ", "xz" }, { "MZ", "EFI program" }, { "#!/bin/sh", "is no bzImage" },
		{ "\x7f" "ELF", "cut off" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(given); i++) {
		img.kernel = (struct guest_file){ "/k", given[i].bytes, strlen(given[i].bytes) };
		refused(-ENOEXEC, given[i].says);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(enters_long_mode, setup, teardown),
		cmocka_unit_test_setup_teardown(fills_boot_params, setup, teardown),
		cmocka_unit_test_setup_teardown(maps_four_gib_one_to_one, setup, teardown),
		cmocka_unit_test_setup_teardown(works_without_initrd, setup, teardown),
		cmocka_unit_test_setup_teardown(old_entry_without_64_bit_flag, setup, teardown),
		cmocka_unit_test_setup_teardown(not_relocatable_stays_where_it_wants, setup, teardown),
		cmocka_unit_test_setup_teardown(initrd_respects_its_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(signature_after_the_kernel_is_left_out, setup, teardown),
		cmocka_unit_test_setup_teardown(each_damage_has_its_sentence, setup, teardown),
		cmocka_unit_test_setup_teardown(every_truncation_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(too_little_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(initrd_larger_than_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(lookalikes_are_named, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
