/* Linux kernels that tests make: the setup header of a bzImage, version 2.15. */
#ifndef TESTS_UNIT_SUPPORT_BZIMAGE_H
#define TESTS_UNIT_SUPPORT_BZIMAGE_H

#include <stdint.h>

struct test_bzimage {
	uint8_t sectors;  /* of setup, behind the first */
	uint32_t payload; /* bytes behind those */
	uint16_t xloadflags;
	uint32_t cmdline_size;
	uint64_t pref;    /* preferred address */
	uint32_t init_size;
};

/* Writes the header into file, which has 280h bytes at least, all other fields of it 0. It is not relocatable. */
void test_bzimage_header(uint8_t *file, const struct test_bzimage *is);

#endif
