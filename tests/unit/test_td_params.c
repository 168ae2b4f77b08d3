/* sources: tdx/shim/params.c hv/guest/guest_mem.c hv/base/failure.c hv/base/format.c */
/*
 * The TD shim's parameters: of any content, and what passes can be used.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "hv/guest/guest.h"
#include "hv/guest/guest_mem.h"
#include "tdx/shim/params.h"

#include <cmocka.h>

#define RAM MIB(64)
#define STAGING (RAM - MIB(2))
#define INITRD_AT (STAGING + 0xc000)

static struct shim_params params;
static struct failure f;

static void make_params(void)
{
	params = (struct shim_params){
		.magic = SHIM_MAGIC,
		.version = SHIM_VERSION,
		.vcpus = 2,
		.ram_size = RAM,
		.rsdp = GUEST_ACPI_BASE,
		.staging = STAGING,
		.kernel = { .gpa = STAGING, .size = 40000 },
		.initrd = { .gpa = INITRD_AT, .size = 70001 },
		.cmdline = "console=ttyS0 quiet",
	};
}

static void says(const char *text)
{
	if (!strstr(f.text, text))
		fail_msg("\"%s\" does not say \"%s\"", f.text, text);
}

static void good_parameters(void **state)
{
	(void)state;
	make_params();
	assert_int_equal(shim_params_check(&params, &f), 0);
	params.initrd = (struct shim_file){ .gpa = UINT64_MAX, .size = 0 };
	assert_int_equal(shim_params_check(&params, &f), 0);
	params.ram_size = GIB(8);
	params.staging = GUEST_LOW_RAM_END - MIB(2);
	params.kernel.gpa = params.staging;
	assert_int_equal(shim_params_check(&params, &f), 0);
}

static void bad_parameters(void **state)
{
	static const struct {
		size_t at, size;
		uint64_t value;
		const char *text;
	} bad[] = {
#define FIELD(name) offsetof(struct shim_params, name), sizeof(params.name)
		{ FIELD(magic[3]), 'x', "no parameters of version 1" },
		{ FIELD(version), 2, "no parameters of version 1" },
		{ FIELD(vcpus), 0, "0 vCPUs: 1 to 64" },
		{ FIELD(flags), 2, "flags 2h" },
		{ FIELD(vcpus), 65, "65 vCPUs: 1 to 64" },
		{ FIELD(ram_size), 0, "0h bytes of memory" },
		{ FIELD(ram_size), RAM + 1, "bytes of memory" },
		{ FIELD(ram_size), UINT64_MAX & ~PAGE_MASK, "bytes of memory" },
		{ FIELD(staging), 0, "no staging area" },
		{ FIELD(staging), STAGING + PAGE_SIZE, "no staging area" },
		{ FIELD(staging), RAM + MIB(2), "no staging area" },
		{ FIELD(staging), UINT64_MAX & ~(MIB(2) - 1), "no staging area" },
		{ FIELD(rsdp), 0xdfff0, "no ACPI tables" },
		{ FIELD(rsdp), 0x100000, "no ACPI tables" },
		{ FIELD(kernel.size), 0, "no kernel" },
		{ FIELD(kernel.gpa), STAGING - 1, "kernel at" },
		{ FIELD(kernel.size), MIB(2) + 1, "kernel at" },
		{ FIELD(kernel.size), UINT64_MAX, "kernel at" },
		{ FIELD(initrd.gpa), RAM + 1, "initrd at" },
		{ FIELD(initrd.size), UINT64_MAX - INITRD_AT + 1, "initrd at" },
#undef FIELD
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		make_params();
		memcpy((uint8_t *)&params + bad[i].at, &bad[i].value, bad[i].size);
		f.text[0] = 0;
		assert_int_equal(shim_params_check(&params, &f), -EINVAL);
		says(bad[i].text);
	}
	make_params();
	memset(params.cmdline, 'x', sizeof(params.cmdline));
	assert_int_equal(shim_params_check(&params, &f), -EINVAL);
	says("the command line has no end");
	make_params();
	params.ram_size = GIB(4);
	params.staging = GIB(1);
	assert_int_equal(shim_params_check(&params, &f), -EINVAL);
	says("no staging area");
}

/* Whatever passes lies where it may be read. */
static void random_parameters(void **state)
{
	static const uint64_t interesting[] = { 0, 1, PAGE_SIZE, MIB(2), STAGING, RAM, GIB(3), GIB(4), BIT(51), BIT(63),
						UINT64_MAX };
	unsigned passed = 0;

	(void)state;
	srandom(1);
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t *field[] = { &params.ram_size, &params.rsdp, &params.staging, &params.kernel.gpa,
				      &params.kernel.size, &params.initrd.gpa, &params.initrd.size };
		gpa_t end;

		make_params();
		for (unsigned changes = 1 + random() % 3; changes; changes--)
			*field[random() % ARRAY_LEN(field)] = interesting[random() % ARRAY_LEN(interesting)] +
							      (uint64_t)(random() % 3 - 1);
		if (shim_params_check(&params, &f))
			continue;
		passed++;
		end = guest_low_ram_end(params.ram_size);
		assert_true(params.staging <= end && end <= GUEST_LOW_RAM_END);
		assert_true(params.kernel.gpa - params.staging <= end - params.staging &&
			    params.kernel.size <= end - params.kernel.gpa);
		assert_true(!params.initrd.size || params.initrd.size <= end - params.initrd.gpa);
	}
	assert_true(passed > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_parameters),
		cmocka_unit_test(bad_parameters),
		cmocka_unit_test(random_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
