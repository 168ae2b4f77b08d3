/* sources: hv/base/symbols.c hv/base/failure.c hv/base/format.c */
/*
 * Names for addresses, from an ELF file built here; then from the same file damaged in every way,
 * in a heap block of its exact size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#undef fail
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/failure.h"
#include "hv/base/symbols.h"

#define CODE 0xffffffff80000000ul

static const char strings[] = "\0first\0second\0label\0data";

struct file {
	Elf64_Ehdr header;
	Elf64_Sym symbols[5];
	char names[sizeof strings];
	Elf64_Shdr sections[3];
};

static struct file make_file(void)
{
	struct file f = {
		.header = { .e_ident = { 0x7f, 'E', 'L', 'F', 2 }, .e_shoff = offsetof(struct file, sections),
			    .e_shentsize = sizeof(Elf64_Shdr), .e_shnum = 3 },
		.symbols = {
			[1] = { 1, STT_FUNC, 0, 1, CODE + 0x100, 0x40 },
			[2] = { 7, STT_FUNC, 0, 1, CODE + 0x140, 0x10 },
			[3] = { 14, STT_NOTYPE, 0, 1, CODE + 0x200, 0 },
			[4] = { 20, STT_OBJECT, 0, 2, CODE + 0x120, 8 },
		},
		.sections = {
			[1] = { .sh_type = SHT_SYMTAB, .sh_offset = offsetof(struct file, symbols),
				.sh_size = sizeof f.symbols, .sh_link = 2, .sh_entsize = sizeof(Elf64_Sym) },
			[2] = { .sh_type = SHT_STRTAB, .sh_offset = offsetof(struct file, names),
				.sh_size = sizeof strings },
		},
	};

	memcpy(f.names, strings, sizeof strings);
	return f;
}

static void names_are_found(void **state)
{
	struct file f = make_file();
	struct failure why;
	uint64_t offset = 0;

	(void)state;
	assert_int_equal(symbols_read(&f, sizeof f, &why), 0);
	assert_string_equal(symbols_find(CODE + 0x100, &offset), "first");
	assert_int_equal(offset, 0);
	assert_string_equal(symbols_find(CODE + 0x124, &offset), "first"); /* not "data" */
	assert_int_equal(offset, 0x24);
	assert_string_equal(symbols_find(CODE + 0x14f, &offset), "second");
	assert_null(symbols_find(CODE + 0x150, &offset)); /* beyond second's end */
	assert_string_equal(symbols_find(CODE + 0x1000, &offset), "label");
	assert_null(symbols_find(CODE, &offset));
}

static void what_is_missing_is_said(void **state)
{
	struct file f = make_file();
	struct failure why;

	(void)state;
	assert_int_equal(symbols_read(&f, 10, &why), -EINVAL);
	assert_non_null(strstr(why.text, "10 bytes"));
	f.sections[1].sh_type = SHT_PROGBITS;
	assert_int_equal(symbols_read(&f, sizeof f, &why), -EINVAL);
	assert_non_null(strstr(why.text, "no symbol table"));
	f = make_file();
	f.header.e_ident[4] = 1;
	assert_int_equal(symbols_read(&f, sizeof f, &why), -EINVAL);
	f = make_file();
	f.header.e_shoff = ~(uint64_t)0 - 8;
	assert_int_equal(symbols_read(&f, sizeof f, &why), -EINVAL);
	f = make_file();
	f.names[sizeof strings - 1] = 'x'; /* the last name has no end */
	assert_int_equal(symbols_read(&f, sizeof f, &why), -EINVAL);
}

static void no_damage_harms(void **state)
{
	struct failure why;
	uint64_t offset;

	(void)state;
	srand(3);
	for (unsigned round = 0; round < 20000; round++) {
		struct file f = make_file();
		size_t size = rand() % 3 ? sizeof f : (size_t)rand() % sizeof f;
		uint8_t *copy = malloc(size + 1);
		const char *name;

		for (int i = rand() % 4; i >= 0; i--)
			((uint8_t *)&f)[(size_t)rand() % sizeof f] = (uint8_t)rand();
		copy = realloc(copy, size ? size : 1);
		memcpy(copy, &f, size);
		if (symbols_read(copy, size, &why) == 0)
			for (unsigned a = 0; a < 0x300; a += 0x20) {
				name = symbols_find(CODE + a, &offset);
				assert_true(!name || strlen(name) <= sizeof f);
			}
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found),
		cmocka_unit_test(what_is_missing_is_said),
		cmocka_unit_test(no_damage_harms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
