/* sources: hv/base/failure.c hv/base/format.c */
/*
 * Which part of the page-modification log is in use.
 */
#include "vmx/pml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* SDM "Page-Modification Logging": the CPU writes where the index says, then takes one from it; an index
 * beyond the page makes it exit instead. */
static void in_use_is_what_the_cpu_wrote(void **state)
{
	uint16_t index = PML_INDEX_EMPTY;
	uint32_t written = 0;

	(void)state;
	for (; index < PML_ENTRIES; index--, written++)
		assert_int_equal(PML_ENTRIES - pml_first_used(index), written);
	assert_int_equal(written, PML_ENTRIES);
	assert_int_equal(index, 0xffff);
	assert_int_equal(pml_first_used(index), 0);
}

static void only_16_bits_count(void **state)
{
	(void)state;
	assert_int_equal(pml_first_used(BIT(16) | 7), 8);
	assert_int_equal(pml_first_used(UINT64_MAX), 0);
	assert_int_equal(pml_first_used(PML_ENTRIES), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_use_is_what_the_cpu_wrote),
		cmocka_unit_test(only_16_bits_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
