/* sources: hv/guest/bzimage.c hv/guest/pvh.c hv/guest/multiboot1.c hv/guest/elf.c hv/guest/loader.c hv/guest/loader_parts.c hv/guest/e820.c hv/guest/guest_mem.c hv/base/failure.c hv/base/format.c tests/unit/loader_guest.c */
/*
 * Multiboot 1: load addresses and ELF32, the information structure, and a sentence per damaged header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "hv/guest/guest.h"
#include "tests/unit/loader_guest.h"

#include <cmocka.h>

#define HEADER_AT 0x104
#define LOAD MIB(1)
#define DATA_END (LOAD + 0x3000)
#define BSS_END (LOAD + 0x5000)
#define ENTRY (LOAD + 0x200)

static uint8_t file[0x3000];
static uint8_t initrd[5000];

static void put(unsigned at, uint32_t v) { memcpy(file + at, &v, 4); }

static void put_header(unsigned at, uint32_t flags)
{
	put(at, 0x1badb002);
	put(at + 4, flags);
	put(at + 8, -(0x1badb002 + flags));
}

static void make_kernel(void)
{
	for (size_t i = 0; i < sizeof(file); i++)
		file[i] = i * 3 + (i >> 8);
	put_header(HEADER_AT, 0x10003);
	put(HEADER_AT + 12, LOAD + HEADER_AT);
	put(HEADER_AT + 16, LOAD);
	put(HEADER_AT + 20, DATA_END);
	put(HEADER_AT + 24, BSS_END);
	put(HEADER_AT + 28, ENTRY);
	memset(initrd, 0x42, sizeof(initrd));
	img = (struct guest_image){
		.kernel = { "/kernel", file, sizeof(file) },
		.initrd = { "/module", initrd, sizeof(initrd) },
		.cmdline = "test one",
	};
}

/* An ELF32 executable of one segment, the header in its first page. */
static void make_elf(void)
{
	memset(file, 0, 0x100);
	put_header(HEADER_AT, 3);
	memcpy(file, "\x7f" "ELF\1\1\1", 7);
	put(16, 2 | 3 << 16);
	put(24, ENTRY);
	put(28, 52);
	put(40, 32 << 16);
	put(44, 1);
	put(52, 1);
	put(56, 0);
	put(60, LOAD);
	put(64, LOAD);
	put(68, sizeof(file));
	put(72, BSS_END - LOAD);
}

static int setup(void **state)
{
	(void)state;
	make_kernel();
	mem = test_guest_ram(MIB(64), true);
	return 0;
}

static void check_started(void)
{
	memset(test_guest_at(&mem, LOAD, 0x5000), 0xff, 0x5000);
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	assert_string_equal(entry.protocol, "Multiboot");
	assert_int_equal(entry.mode, ENTRY_PROTECTED);
	assert_int_equal(entry.rip, ENTRY);
	assert_int_equal(entry.rax, 0x2badb002);
	assert_memory_equal(test_guest_at(&mem, LOAD, sizeof(file)), file, sizeof(file));
	for (gpa_t at = DATA_END; at < BSS_END; at++)
		assert_int_equal(field(at, 1), 0);
}

static void loads_by_addresses(void **state)
{
	(void)state;
	check_started();
}

static void loads_elf(void **state)
{
	(void)state;
	make_elf();
	check_started();
}

static void loads_to_the_end_of_the_file(void **state)
{
	(void)state;
	put(HEADER_AT + 20, 0);
	put(HEADER_AT + 24, 0);
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	assert_memory_equal(test_guest_at(&mem, LOAD, sizeof(file)), file, sizeof(file));
}

static void fills_the_information(void **state)
{
	gpa_t info, module, map;
	uint64_t end;

	(void)state;
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	info = entry.rbx;
	assert_int_equal(field(info, 4), 1 | 4 | 8 | 64 | 512);
	assert_int_equal(field(info + 4, 4), 639);
	assert_int_equal(field(info + 8, 4), 63 * 1024);
	assert_string_equal(test_guest_at(&mem, field(info + 16, 4), 64), "test one");
	assert_int_equal(field(info + 20, 4), 1);
	module = field(info + 24, 4);
	assert_int_equal(field(module, 4), BSS_END);
	assert_int_equal(field(module + 4, 4) - field(module, 4), sizeof(initrd));
	assert_memory_equal(test_guest_at(&mem, field(module, 4), sizeof(initrd)), initrd, sizeof(initrd));
	map = field(info + 48, 4);
	end = map + field(info + 44, 4);
	assert_int_equal(field(map, 4), 20);
	assert_int_equal(field(map + 4, 8), 0);
	assert_int_equal(field(map + 12, 8), GUEST_EBDA);
	for (; map < end; map += 4 + field(map, 4))
		assert_in_range(field(map + 20, 4), 1, 2);
	assert_int_equal(map, end);
	assert_string_equal(test_guest_at(&mem, field(info + 64, 4), 16), "Gnomon");
}

static void no_module_without_initrd(void **state)
{
	(void)state;
	img.initrd = (struct guest_file){ .name = "" };
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	assert_int_equal(field(entry.rbx + 20, 4), 0);
}

static const struct {
	unsigned field; /* of the header */
	uint32_t value;
	int err;
	const char *says;
} damage[] = {
	{ 12, LOAD - 4, -ENOEXEC, "before the file begins" },
	{ 12, LOAD + HEADER_AT + 4, -ENOEXEC, "before the file begins" },
	{ 20, DATA_END + 1, -ENOEXEC, "the file has" },
	{ 20, LOAD - 1, -ENOEXEC, "the file has" },
	{ 24, LOAD + 0x10, -ENOEXEC, "before its data" },
	{ 24, LOAD - 0x10, -ENOEXEC, "before its data" },
	{ 24, MIB(65), -ENOMEM, "set memory = 65M or more" },
	{ 24, 0xffffffff, -ENOEXEC, "where guest RAM ends" },
	{ 28, LOAD - 1, -ENOEXEC, "outside what is loaded" },
	{ 28, BSS_END, -ENOEXEC, "outside what is loaded" },
	{ 8, 0, -ENOEXEC, "no bzImage, PVH ELF or Multiboot 1" },
};

static void each_damage_has_its_sentence(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(damage); i++) {
		make_kernel();
		put(HEADER_AT + damage[i].field, damage[i].value);
		refused(damage[i].err, damage[i].says);
	}
}

static void flags_that_cannot_be_met(void **state)
{
	(void)state;
	put_header(HEADER_AT, 0x10007);
	refused(-ENOEXEC, "not 4h (4 is a video mode)");
	put_header(HEADER_AT, 0x10403);
	refused(-ENOEXEC, "not 400h");
	put_header(HEADER_AT, 3);
	refused(-ENOEXEC, "without load addresses and is no ELF");
	put_header(HEADER_AT, 0x30003); /* optional flags are ignored */
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
}

static void elf_that_does_not_fit_the_protocol(void **state)
{
	(void)state;
	make_elf();
	put(24, MIB(8));
	refused(-ENOEXEC, "in none of its segments");
	make_elf();
	file[4] = 2; /* ELFCLASS64, its table where ELF32 has none */
	put(32, 64);
	put(36, 0);
	put(52, 0x00380000);
	put(56, 1);
	put(64, 0);
	refused(-ENOEXEC, "objcopy -O elf32-i386");
}

static void header_must_be_in_8_kib(void **state)
{
	(void)state;
	put(HEADER_AT, 0);
	put_header(8192 - 12, 0x10003);
	refused(-ENOEXEC, "that is before the file begins");
	put(8192 - 12, 0);
	put_header(8192 - 8, 0x10003);
	refused(-ENOEXEC, "no bzImage");
}

static void every_truncation_is_refused(void **state)
{
	(void)state;
	for (int elf = 0; elf < 2; elf++) {
		make_kernel();
		if (elf)
			make_elf();
		for (size_t len = 0; len < sizeof(file); len += len < 0x180 ? 1 : 83) {
			uint8_t *cut = malloc(len ? len : 1);

			memcpy(cut, file, len);
			img.kernel = (struct guest_file){ "/kernel", cut, len };
			refused(-ENOEXEC, "/kernel");
			free(cut);
		}
	}
}

static void module_does_not_fit(void **state)
{
	(void)state;
	img.initrd.size = MIB(63);
	refused(-ENOMEM, "initrd /module");
	img.initrd.size = UINT64_MAX;
	refused(-ENOMEM, "initrd /module");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(loads_by_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(loads_elf, setup, teardown),
		cmocka_unit_test_setup_teardown(loads_to_the_end_of_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(fills_the_information, setup, teardown),
		cmocka_unit_test_setup_teardown(no_module_without_initrd, setup, teardown),
		cmocka_unit_test_setup_teardown(each_damage_has_its_sentence, setup, teardown),
		cmocka_unit_test_setup_teardown(flags_that_cannot_be_met, setup, teardown),
		cmocka_unit_test_setup_teardown(elf_that_does_not_fit_the_protocol, setup, teardown),
		cmocka_unit_test_setup_teardown(header_must_be_in_8_kib, setup, teardown),
		cmocka_unit_test_setup_teardown(every_truncation_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(module_does_not_fit, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
