/* sources: boot/load_elf.c hv/base/failure.c hv/base/format.c */
/*
 * The hypervisor's own file with random damage: gnomon.efi refuses it in words, or lays it out within
 * the memory it asked for, whatever the segments say.
 */
#include "boot/load_elf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "boot/boot_info.h"
#include "hv/base/map.h"
#include "tests/fuzz/fuzz.h"

#define SEGMENTS 3
#define TABLE 64
#define CONTENTS (TABLE + SEGMENTS * 56)
#define FILE_SIZE (CONTENTS + 64) /* 16 bytes of a segment each, those of the first are what boot hands over */
#define LARGEST MIB(64) /* what an image may take */

static uint8_t seed[FILE_SIZE];
static unsigned placed, refused;

static void put(size_t at, uint64_t value, size_t size) { memcpy(seed + at, &value, size); }

static void put_segment(unsigned i, uint32_t type, uint64_t address, uint64_t in_file, uint64_t in_memory)
{
	size_t at = TABLE + i * 56;

	put(at, type, 4);
	put(at + 8, CONTENTS + 16 * i, 8);
	put(at + 16, address, 8);
	put(at + 32, in_file, 8);
	put(at + 40, in_memory, 8);
}

static void make_seed(void)
{
	memset(seed, 0xa5, sizeof(seed));
	memset(seed, 0, CONTENTS);
	memcpy(seed, "\x7f" "ELF\2\1\1", 7);
	put(16, 2 | 62 << 16, 4);
	put(24, HV_IMAGE_BASE + 16, 8);
	put(CONTENTS, BOOT_INFO_MAGIC, 8);
	put(CONTENTS + 8, sizeof(struct boot_info), 8);
	put(32, TABLE, 8);
	put(54, 56 | SEGMENTS << 16, 4);
	put_segment(0, 1, HV_IMAGE_BASE, 16, 16);
	put_segment(1, 1, HV_IMAGE_BASE + 0x1000, 16, 0x1800); /* with a bss */
	put_segment(2, 4, 0, 16, 16);                          /* a note: not loaded */
}

/* A block of exactly the size that was asked for: ASan sees a byte beyond it. Larger images than a test
 * should fill are judged only. */
static void load(const uint8_t *data, size_t len)
{
	struct elf_layout layout = { 0 };
	struct failure f = { "" };
	int err = elf_check(data, len, &layout, &f);
	uint8_t *memory;

	assert_true((err != 0) == (f.text[0] != 0));
	if (err) {
		assert_int_equal(err, -ENOEXEC);
		refused++;
		return;
	}
	assert_true(layout.size > 0 && layout.size <= LARGEST && layout.size % PAGE_SIZE == 0);
	assert_true(layout.entry - HV_IMAGE_BASE < layout.size);
	if (layout.size > MIB(1) && placed % 64)
		return;
	memory = malloc(layout.size);
	memset(memory, 0xff, layout.size);
	elf_place(data, &layout, memory);
	free(memory);
	placed++;
}

static void damaged_files(void **state)
{
	(void)state;
	make_seed();
	load(seed, sizeof(seed));
	assert_int_equal(placed, 1); /* the seed itself is good */
	fuzz_run(seed, sizeof(seed), 60000, load);
	assert_true(placed > 1000 && refused > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(damaged_files) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
