/* sources: tdx/discover.c hv/base/failure.c hv/base/format.c */
/* What the MSRs of machines with and without TDX are taken for. */
#include "tdx/discover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct {
	uint32_t msr;
	uint64_t value;
	bool missing;
} table[8];
static struct tdx_facts facts;
static struct failure why;

static bool read_msr(void *ctx, uint32_t msr, uint64_t *value)
{
	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].msr == msr) {
			*value = table[i].value;
			return !table[i].missing;
		}
	return false;
}

static int discover(void)
{
	static const struct tdx_msrs msrs = { read_msr, NULL };

	memset(&why, 0, sizeof(why));
	return tdx_discover(&msrs, 52, &facts, &why);
}

static void set(uint32_t msr, uint64_t value)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].msr == msr || !table[i].msr) {
			table[i].msr = msr;
			table[i].value = value;
			return;
		}
}

/* A server of 52 bits with 6 of them for 31 shared and 32 private key ids, and 256 MiB for the module. */
static int server(void **state)
{
	(void)state;
	memset(table, 0, sizeof(table));
	set(0xfe, BIT(15) | 0x508);
	set(0x1400, GIB(127) | BIT(3));
	set(0x1401, (BITS(51, 25) & ~(MIB(256) - 1)) | BIT(10) | BIT(11));
	set(0x982, 6ul << 32 | 3);
	set(0x87, 32ul << 32 | 31);
	return 0;
}

static void a_server(void **state)
{
	(void)state;
	assert_int_equal(discover(), 0);
	assert_true(facts.has_seam && facts.seam_configured && facts.seam_valid && facts.tme_on);
	assert_true(facts.seam_base == GIB(127) && facts.seam_size == MIB(256));
	assert_int_equal(facts.first_private, 32);
	assert_int_equal(facts.private_keys, 32);
	assert_int_equal(facts.hpa_bits, 46);
}

static void expect(const char *word)
{
	assert_int_equal(discover(), -ENODEV);
	if (!strstr(why.text, word))
		fail_msg("\"%s\" does not speak of %s", why.text, word);
}

static void what_is_missing(void **state)
{
	memset(table, 0, sizeof(table)); /* no MSR at all */
	expect("no TDX");
	set(0xfe, 0x508);
	expect("no TDX");
	server(state);
	set(0x1400, 0);
	expect("set no memory aside");
	server(state);
	set(0x1401, BIT(11));
	expect("not in force");
	set(0x1401, BIT(10));
	expect("not in force");
	server(state);
	set(0x982, 1);
	expect("memory encryption is off");
	assert_int_equal(facts.hpa_bits, 52);
	server(state);
	set(0x87, 63);
	expect("0 of the memory encryption keys");
	set(0x87, 1ul << 32 | 62);
	expect("1 of the memory encryption keys");
	set(0x87, 33ul << 32 | 31);
	expect("6 bits");
	set(0x87, ~0ul);
	expect("6 bits");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_server, server),
		cmocka_unit_test_setup(what_is_missing, server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
