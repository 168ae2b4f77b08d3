/* sources: vmx/multihit.c */
/*
 * On which CPUs large pages must not be executable.
 */
#include "vmx/multihit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define CURED BIT(6)
#define OTHER_BITS (~(uint64_t)BIT(6))

static const struct {
	const char *name;
	struct multihit_facts facts;
	bool affected;
} cpus[] = {
	{ "Penryn, which has no EPT", { 0x1067a, false, 0 }, false },
	{ "Nehalem", { 0x106a5, false, 0 }, true },
	{ "Arrandale", { 0x20652, false, 0 }, true },
	{ "Sandy Bridge", { 0x206a7, false, 0 }, true },
	{ "Ivy Bridge", { 0x306a9, false, 0 }, true },
	{ "Haswell", { 0x306c3, false, 0 }, true },
	{ "Broadwell", { 0x306d4, false, OTHER_BITS }, true },
	{ "Skylake-X", { 0x50654, false, 0 }, true },
	{ "Cascade Lake, cured", { 0x50657, false, CURED }, false },
	{ "Coffee Lake", { 0x906ea, false, 0 }, true },
	{ "Comet Lake", { 0xa0655, false, 0 }, true },
	{ "the same in a virtual machine", { 0xa0655, true, 0 }, false },
	{ "Ice Lake", { 0x706e5, false, CURED }, false },
	{ "Ice Lake, the MSR hidden", { 0x706e5, false, 0 }, false },
	{ "Tiger Lake", { 0x806c1, false, 0 }, false },
	{ "Silvermont", { 0x30678, false, 0 }, false },
	{ "Goldmont", { 0x506c9, false, 0 }, false },
	{ "Netburst", { 0xf65, false, 0 }, false },
	{ "another family, with Haswell's model number", { 0x30fc3, false, 0 }, false },
	{ "nothing", { 0, false, 0 }, false },
};

static void each_cpu(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
		if (multihit_affects(&cpus[i].facts) != cpus[i].affected)
			printf("%s\n", cpus[i].name);
		assert_int_equal(multihit_affects(&cpus[i].facts), cpus[i].affected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_cpu) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
