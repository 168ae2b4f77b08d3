/* sources: hv/guest/bzimage.c hv/guest/pvh.c hv/guest/multiboot1.c hv/guest/elf.c hv/guest/loader.c hv/guest/loader_parts.c hv/guest/e820.c hv/guest/guest_mem.c hv/base/failure.c hv/base/format.c */
/*
 * Kernel files with random damage: the loader refuses in words or starts what it checked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "hv/guest/guest.h"
#include "hv/guest/loader.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/support/bzimage.h"
#include "tests/unit/support/guest_ram.h"

#include <cmocka.h>

#define RAM MIB(8)

static struct guest_mem mem;
static uint8_t seed[4096];
static unsigned started;

static void put(unsigned at, uint64_t v, unsigned size) { memcpy(seed + at, &v, size); }

static size_t make_bzimage(void)
{
	const struct test_bzimage header = { .sectors = 1, .payload = 0x300, .xloadflags = 1, .cmdline_size = 255,
					     .pref = MIB(1), .init_size = MIB(2) };

	memset(seed, 0, sizeof(seed));
	test_bzimage_header(seed, &header);
	return 0x400 + 0x300;
}

static size_t make_pvh(void)
{
	memset(seed, 0, sizeof(seed));
	memcpy(seed, "\x7f" "ELF\2\1\1", 7);
	put(16, 2 | 62 << 16, 4);
	put(32, 64, 8);
	put(54, 56 | 2 << 16, 4);
	put(64, 1, 4);
	put(72, 0x100, 8);
	put(88, MIB(1), 8);
	put(96, 0x100, 8);
	put(104, 0x2000, 8);
	put(120, 4, 4);
	put(128, 0xc0, 8);
	put(152, 20, 8);
	put(0xc0, 4 | 4ul << 32, 8);
	put(0xc8, 18, 4);
	memcpy(seed + 0xcc, "Xen", 4);
	put(0xd0, MIB(1), 4);
	return 0x200;
}

static size_t make_multiboot(uint32_t flags)
{
	memset(seed, 0, sizeof(seed));
	memcpy(seed, "\x7f" "ELF\1\1\1", 7);
	put(16, 2 | 3 << 16, 4);
	put(24, MIB(1), 4);
	put(28, 52, 4);
	put(42, 32 | 1 << 16, 4);
	put(52, 1, 4);
	put(60, MIB(1), 4);
	put(64, MIB(1), 4);
	put(68, 0x200, 4);
	put(72, 0x2000, 4);
	put(0x80, 0x1badb002, 4);
	put(0x84, flags, 4);
	put(0x88, -(0x1badb002 + flags), 4);
	put(0x8c, MIB(1) + 0x80, 4);
	put(0x90, MIB(1), 4);
	put(0x94, MIB(1) + 0x200, 4);
	put(0x98, MIB(1) + 0x2000, 4);
	put(0x9c, MIB(1), 4);
	return 0x200;
}

/* What was promised of a kernel that starts. */
static void check_entry(const struct guest_entry *e)
{
	started++;
	assert_true(guest_mem_in_low_ram(&mem, e->rip, 1));
	assert_true(e->rip >= 0x11000 || e->rip < 0x6000);
	assert_int_equal(*(uint64_t *)test_guest_at(&mem, e->gdt_base + 0x18, 8), 0x00cf93000000ffff);
	assert_true(e->mode == ENTRY_LONG ? e->cr3 != 0 : e->cr3 == 0);
	assert_true(e->rbx != 0 || e->rsi != 0);
}

static void load(const uint8_t *data, size_t len)
{
	static const uint8_t initrd[6000];
	struct guest_image img = {
		.kernel = { "/kernel", data, len },
		.initrd = { "/initrd", initrd, sizeof(initrd) },
		.cmdline = "quiet",
		.rsdp = GUEST_ACPI_BASE,
	};
	struct failure f = { "" };
	struct guest_entry e;
	int err = guest_load(&mem, &img, &e, &f);

	assert_true((err != 0) == (f.text[0] != 0));
	if (!err)
		check_entry(&e);
}

static void run(size_t len)
{
	mem = test_guest_ram(RAM, true);
	load(seed, len);
	assert_int_equal(started, 1); /* the seed itself is good */
	fuzz_run(seed, len, 8000, load);
	assert_true(started > 10);
	started = 0;
	test_guest_ram_free(&mem);
}

static void bzimage(void **state)
{
	(void)state;
	run(make_bzimage());
}

static void pvh(void **state)
{
	(void)state;
	run(make_pvh());
}

static void multiboot_elf(void **state)
{
	(void)state;
	run(make_multiboot(3));
}

static void multiboot_addresses(void **state)
{
	(void)state;
	run(make_multiboot(0x10003));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bzimage),
		cmocka_unit_test(pvh),
		cmocka_unit_test(multiboot_elf),
		cmocka_unit_test(multiboot_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
