/* SHA-384 by coreutils' sha384sum: an implementation that shares nothing with the one under test. */
#ifndef TESTS_UNIT_SHA384SUM_H
#define TESTS_UNIT_SHA384SUM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static inline void sha384sum(const void *data, size_t bytes, uint8_t digest[48])
{
	char path[] = "/tmp/gnomon-sha384-XXXXXX", command[64];
	int file = mkstemp(path);
	FILE *output;

	assert_true(file >= 0);
	assert_int_equal(write(file, data, bytes), bytes);
	close(file);
	snprintf(command, sizeof(command), "sha384sum %s", path);
	output = popen(command, "r");
	assert_non_null(output);
	for (int i = 0; i < 48; i++)
		assert_int_equal(fscanf(output, "%2hhx", &digest[i]), 1);
	pclose(output);
	unlink(path);
}

#endif
