/* The setup header of a bzImage; see the header. */
#include "tests/unit/support/bzimage.h"

#include <string.h>

void test_bzimage_header(uint8_t *file, const struct test_bzimage *is)
{
	const struct {
		unsigned at, size;
		uint64_t value;
	} fields[] = {
		{ 0x1f1, 1, is->sectors }, { 0x1f4, 4, is->payload / 16 }, { 0x1fe, 2, 0xaa55 },
		{ 0x200, 2, 0x6aeb /* a jump over the header */ }, { 0x206, 2, 0x20f }, { 0x211, 1, 1 /* LOADED_HIGH */ },
		{ 0x22c, 4, 0x7fffffff }, { 0x236, 2, is->xloadflags }, { 0x238, 4, is->cmdline_size },
		{ 0x258, 8, is->pref }, { 0x260, 4, is->init_size },
	};

	memset(file + 0x1f1, 0, 0x280 - 0x1f1);
	memcpy(file + 0x202, "HdrS", 4);
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		memcpy(file + fields[i].at, &fields[i].value, fields[i].size);
}
