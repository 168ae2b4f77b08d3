/* sources: hv/guest/bzimage.c hv/guest/pvh.c hv/guest/multiboot1.c hv/guest/elf.c hv/guest/loader.c hv/guest/loader_parts.c hv/guest/e820.c hv/guest/guest_mem.c hv/base/failure.c hv/base/format.c tests/unit/loader_guest.c */
/*
 * PVH ELF kernels, 64 and 32 bits wide: segments, start info, and a sentence for every damaged file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "hv/guest/e820.h"
#include "hv/guest/guest.h"
#include "tests/unit/loader_guest.h"

#include <cmocka.h>

#define BASE MIB(16)
#define ENTRY (BASE + 0x40)
#define CODE_AT 0x1000
#define CODE_SIZE 0x2345
#define BSS 0x5000
#define NOTE_AT 0x400
#define NOTE_SIZE 44

static uint8_t file[CODE_AT + CODE_SIZE];
static uint8_t initrd[9000];
static bool wide;

static void put(unsigned at, uint64_t v, unsigned size) { memcpy(file + at, &v, size); }

static unsigned phdr_at(unsigned i) { return wide ? 64 + i * 56 : 52 + i * 32; }

/* Where a field of program header i lies: offset 0, paddr 1, filesz 2, memsz 3. */
static unsigned ph_field(unsigned i, unsigned what)
{
	static const uint8_t at64[] = { 8, 24, 32, 40 }, at32[] = { 4, 12, 16, 20 };

	return phdr_at(i) + (wide ? at64[what] : at32[what]);
}

static void put_phdr(unsigned i, uint32_t type, uint64_t offset, uint64_t paddr, uint64_t filesz,
		     uint64_t memsz)
{
	uint64_t values[] = { offset, paddr, filesz, memsz };

	put(phdr_at(i), type, 4);
	for (unsigned w = 0; w < 4; w++)
		put(ph_field(i, w), values[w], wide ? 8 : 4);
}

static void put_note(unsigned at, const char *name, uint32_t type, uint64_t value, uint32_t size)
{
	put(at, 4, 4);
	put(at + 4, size, 4);
	put(at + 8, type, 4);
	memcpy(file + at + 12, name, 4);
	put(at + 16, value, size);
}

static void make_elf(void)
{
	for (size_t i = 0; i < sizeof(file); i++)
		file[i] = i < CODE_AT ? 0 : i * 5 + (i >> 8);
	memcpy(file, "\x7f" "ELF", 4);
	put(4, wide ? 2 : 1, 1);
	put(5, 1, 1);
	put(16, 2, 2);
	put(18, wide ? 62 : 3, 2);
	put(24, 0x1234, wide ? 8 : 4);
	put(wide ? 32 : 28, phdr_at(0), wide ? 8 : 4);
	put(wide ? 54 : 42, wide ? 56 : 32, 2);
	put(wide ? 56 : 44, 3, 2);
	put_phdr(0, 1, CODE_AT, BASE, CODE_SIZE, CODE_SIZE + BSS);
	put_phdr(1, 1, CODE_AT, MIB(32), 0x100, 0x100);
	put_phdr(2, 4, NOTE_AT, 0, NOTE_SIZE, NOTE_SIZE);
	put_note(NOTE_AT, "GNU", 1, 7, 4);
	put_note(NOTE_AT + 20, "Xen", 18, ENTRY, wide ? 8 : 4);
	img = (struct guest_image){
		.kernel = { "/vmlinux", file, sizeof(file) },
		.initrd = { "/initrd", initrd, sizeof(initrd) },
		.cmdline = "panic=-1",
		.rsdp = 0xe0000,
	};
	memset(initrd, 0x11, sizeof(initrd));
}

static int setup64(void **state)
{
	(void)state;
	wide = true;
	make_elf();
	mem = test_guest_ram(MIB(128), true);
	return 0;
}

static int setup32(void **state)
{
	(void)state;
	wide = false;
	make_elf();
	mem = test_guest_ram(MIB(128), false);
	return 0;
}

static void loads_segments_and_clears_bss(void **state)
{
	(void)state;
	memset(test_guest_at(&mem, BASE, CODE_SIZE + BSS), 0xff, CODE_SIZE + BSS);
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	assert_string_equal(entry.protocol, "PVH");
	assert_int_equal(entry.mode, ENTRY_PROTECTED);
	assert_int_equal(entry.rip, ENTRY);
	assert_int_equal(entry.cr3, 0);
	assert_memory_equal(test_guest_at(&mem, BASE, CODE_SIZE), file + CODE_AT, CODE_SIZE);
	for (unsigned i = 0; i < BSS; i++)
		assert_int_equal(field(BASE + CODE_SIZE + i, 1), 0);
	assert_memory_equal(test_guest_at(&mem, MIB(32), 0x100), file + CODE_AT, 0x100);
}

static void fills_start_info(void **state)
{
	gpa_t info, module;
	uint64_t ram = 0;

	(void)state;
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	info = entry.rbx;
	assert_int_equal(field(info, 4), 0x336ec578);
	assert_int_equal(field(info + 4, 4), 1);
	assert_int_equal(field(info + 12, 4), 1);
	module = field(info + 16, 8);
	assert_int_equal(field(module + 8, 8), sizeof(initrd));
	assert_memory_equal(test_guest_at(&mem, field(module, 8), sizeof(initrd)), initrd, sizeof(initrd));
	assert_true(field(module, 8) > MIB(32));
	assert_string_equal(test_guest_at(&mem, field(info + 24, 8), 64), "panic=-1");
	assert_int_equal(field(info + 32, 8), 0xe0000);
	for (unsigned i = 0; i < field(info + 48, 4); i++)
		if (field(field(info + 40, 8) + i * 24 + 16, 4) == E820_RAM)
			ram += field(field(info + 40, 8) + i * 24 + 8, 8);
	assert_int_equal(ram, MIB(128) - (MIB(1) - GUEST_EBDA));
}

static void no_module_without_initrd(void **state)
{
	(void)state;
	img.initrd = (struct guest_file){ .name = "" };
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
	assert_int_equal(field(entry.rbx + 12, 4), 0);
	assert_int_equal(field(entry.rbx + 16, 8), 0);
}

static void bad_places_are_named(void **state)
{
	(void)state;
	put(ph_field(1, 1), 0x9f000, 4);
	put(ph_field(1, 3), 0x1000, 4);
	refused(-ENOEXEC, "over the PC's reserved area");
	put(ph_field(1, 1), 0x7000, 4);
	refused(-ENOEXEC, "over the boot data");
	put(ph_field(1, 1), MIB(128) - 0x80, 4);
	refused(-ENOMEM, "set memory = 129M or more");
	put(ph_field(1, 1), 0xc0000000, 4);
	refused(-ENOEXEC, "where guest RAM ends");
	put(ph_field(1, 1), BASE + CODE_SIZE, 4);
	refused(-ENOEXEC, "segments 0 and 1 overlap");
	put(ph_field(1, 1), 0x20000, 4);
	assert_int_equal(guest_load(&mem, &img, &entry, &f), 0);
}

static void damage_is_named(void **state)
{
	(void)state;
	put(ph_field(0, 3), CODE_SIZE - 1, 4);
	refused(-ENOEXEC, "in the file but");
	make_elf();
	put_note(NOTE_AT + 20, "Xen", 18, MIB(64), 4);
	put(NOTE_AT + 24, 4, 4);
	refused(-ENOEXEC, "in none of its segments");
	make_elf();
	put_note(NOTE_AT + 20, "Xen", 17, ENTRY, 4);
	refused(-ENOEXEC, "without PVH entry note");
	make_elf();
	put(NOTE_AT + 4, 0xffffffff, 4); /* a note larger than its segment hides what follows */
	refused(-ENOEXEC, "without PVH entry note");
}

/* A damaged ELF file is not taken for a PVH kernel; the sentence says what is wrong with the ELF. */
static void elf_damage_is_named(void **state)
{
	(void)state;
	put(ph_field(0, 2), sizeof(file), 4);
	refused(-ENOEXEC, "segment 0 lies at");
	make_elf();
	put(18, 183, 2);
	refused(-ENOEXEC, "another machine (183)");
	make_elf();
	put(16, 1, 2);
	refused(-ENOEXEC, "not an executable");
	make_elf();
	put(wide ? 56 : 44, 65535, 2);
	refused(-ENOEXEC, "65535 ELF segments");
	make_elf();
	put(wide ? 32 : 28, sizeof(file) - 8, 4);
	refused(-ENOEXEC, "segment table");
}

static void every_truncation_is_refused(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(file); len += len < 0x440 ? 1 : 61) {
		uint8_t *cut = malloc(len ? len : 1);

		memcpy(cut, file, len);
		img.kernel = (struct guest_file){ "/vmlinux", cut, len };
		refused(-ENOEXEC, "/vmlinux");
		free(cut);
	}
}

static void initrd_does_not_fit(void **state)
{
	(void)state;
	img.initrd.size = MIB(100);
	refused(-ENOMEM, "initrd /initrd of 100 MiB");
}

#define BOTH(test)                                                    \
	cmocka_unit_test_setup_teardown(test, setup64, teardown),     \
		cmocka_unit_test_setup_teardown(test, setup32, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(loads_segments_and_clears_bss),
		BOTH(fills_start_info),
		BOTH(no_module_without_initrd),
		BOTH(bad_places_are_named),
		BOTH(damage_is_named),
		BOTH(elf_damage_is_named),
		BOTH(every_truncation_is_refused),
		BOTH(initrd_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
