/* sources: hv/base/acpi_uart.c hv/base/failure.c hv/base/format.c */
/* SPCR and DBG2, as firmware writes them and damaged. */
#include "hv/base/acpi_uart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SPCR_LEN 88

static struct acpi_uart list[ACPI_MAX_UARTS];
static uint32_t count;
static struct failure why;
static uint8_t spcr[SPCR_LEN], dbg2[200];

static void put(uint8_t *at, uint64_t value, unsigned size) { memcpy(at, &value, size); }

static void gas(uint8_t *at, unsigned space, unsigned bits, unsigned access, uint64_t address)
{
	at[0] = (uint8_t)space;
	at[1] = (uint8_t)bits;
	at[2] = 0;
	at[3] = (uint8_t)access;
	put(at + 4, address, 8);
}

/* A DBG2 entry of 22 + 12 + 4 bytes at offset at. */
static void device(unsigned at, unsigned type, unsigned subtype, uint64_t address)
{
	uint8_t *d = dbg2 + at;

	put(d + 1, 38, 2);
	d[3] = 1;
	put(d + 12, type, 2);
	put(d + 14, subtype, 2);
	put(d + 18, 22, 2);
	put(d + 20, 34, 2);
	gas(d + 22, 0, 32, 3, address);
	put(d + 34, 0x1000, 4);
}

static int set_up(void **state)
{
	(void)state;
	memset(spcr, 0, sizeof spcr);
	memset(dbg2, 0, sizeof dbg2);
	count = 0;
	spcr[8] = 2;
	gas(spcr + 40, 1, 8, 1, 0x2f8);
	spcr[52] = 1;
	spcr[53] = 3;
	spcr[58] = 3;
	put(dbg2 + 36, 44, 4);
	put(dbg2 + 40, 3, 4);
	device(44, 0x8001, 0, 0xfed00000); /* 1394 */
	device(82, 0x8000, 3, 0xfed10000); /* a PL011 */
	device(120, 0x8000, 0x12, 0xfe034000);
	return 0;
}

/* In a block of exactly that length, for ASan. */
static int read_table(int (*reader)(struct acpi_uart *, uint32_t *, const uint8_t *, uint64_t, struct failure *),
		      const uint8_t *t, uint64_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int err;

	memcpy(copy, t, len);
	why.text[0] = 0;
	err = reader(list, &count, copy, len, &why);
	assert_true((err != 0) == (why.text[0] != 0));
	free(copy);
	return err;
}

static int read_spcr(uint64_t len) { return read_table(acpi_read_spcr, spcr, len); }
static int read_dbg2(uint64_t len) { return read_table(acpi_read_dbg2, dbg2, len); }

static void spcr_at_a_port(void **state)
{
	(void)state;
	assert_int_equal(read_spcr(80), 0);
	assert_int_equal(count, 1);
	assert_string_equal(list[0].table, "SPCR");
	assert_true(list[0].io);
	assert_int_equal(list[0].address, 0x2f8);
	assert_int_equal(list[0].stride, 1);
	assert_int_equal(list[0].width, 1);
	assert_int_equal(list[0].divisor, 12); /* 9600 */
	assert_int_equal(list[0].isa_irq, 3);
}

static void spcr_speeds(void **state)
{
	static const struct { uint8_t revision, code; uint32_t clock, precise; uint16_t want; } speeds[] = {
		{ 2, 7, 0, 0, 1 }, { 2, 6, 0, 0, 2 }, { 2, 4, 0, 0, 6 }, { 2, 0, 0, 0, 0 }, { 2, 5, 0, 0, 0 },
		{ 2, 7, 48000000, 0, 1 },         /* no clock before revision 3 */
		{ 3, 7, 48000000, 1000000, 26 },  /* nor a precise speed before 4 */
		{ 4, 7, 48000000, 1500000, 2 }, { 4, 0, 0, 115200, 1 }, { 4, 3, 4000000000u, 1, 0 },
		{ 4, 0, 0, 4000000000u, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(speeds); i++) {
		count = 0;
		spcr[8] = speeds[i].revision;
		spcr[58] = speeds[i].code;
		put(spcr + 76, speeds[i].clock, 4);
		put(spcr + 80, speeds[i].precise, 4);
		assert_int_equal(read_spcr(SPCR_LEN), 0);
		assert_int_equal(list[0].divisor, speeds[i].want);
	}
}

static void shapes_of_registers(void **state)
{
	static const struct { uint8_t bits, access; int err; uint8_t stride, width; } shapes[] = {
		{ 8, 1, 0, 1, 1 }, { 0, 0, 0, 1, 1 }, { 32, 1, 0, 4, 1 }, { 32, 3, 0, 4, 4 }, { 8, 3, 0, 4, 4 },
		{ 16, 2, 0, 2, 2 }, { 64, 3, 0, 8, 4 }, { 32, 0, 0, 4, 1 }, { 9, 1, -EINVAL, 0, 0 },
		{ 128, 1, -EINVAL, 0, 0 }, { 32, 4, -EINVAL, 0, 0 }, { 32, 255, -EINVAL, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		count = 0;
		gas(spcr + 40, 0, shapes[i].bits, shapes[i].access, 0xfe000000);
		assert_int_equal(read_spcr(80), shapes[i].err);
		assert_int_equal(count, shapes[i].err ? 0 : 1);
		if (!count)
			continue;
		assert_false(list[0].io);
		assert_int_equal(list[0].stride, shapes[i].stride);
		assert_int_equal(list[0].width, shapes[i].width);
	}
}

static void spcr_without_console(void **state)
{
	(void)state;
	spcr[36] = 3; /* a PL011 */
	assert_int_equal(read_spcr(80), 0);
	spcr[36] = 0;
	put(spcr + 44, 0, 8);
	assert_int_equal(read_spcr(80), 0);
	assert_int_equal(count, 0);
}

static void spcr_damaged(void **state)
{
	static const struct { uint8_t space, bits; uint64_t address; } bad[] = {
		{ 2, 8, 0x3f8 }, { 0x7f, 8, 0x3f8 }, { 1, 8, 0xfff9 }, { 1, 32, 0xfff0 }, { 1, 8, 0x1000003f8 },
	};

	(void)state;
	assert_int_equal(read_spcr(79), -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		gas(spcr + 40, bad[i].space, bad[i].bits, 1, bad[i].address);
		assert_int_equal(read_spcr(80), -EINVAL);
	}
	assert_int_equal(count, 0);
}

static void dbg2_names_one(void **state)
{
	(void)state;
	assert_int_equal(read_dbg2(158), 0);
	assert_int_equal(count, 1);
	assert_string_equal(list[0].table, "DBG2");
	assert_int_equal(list[0].address, 0xfe034000);
	assert_int_equal(list[0].stride, 4);
	assert_int_equal(list[0].width, 4);
	assert_int_equal(list[0].divisor, 0);
	assert_int_equal(list[0].isa_irq, -1);
}

static void dbg2_damaged(void **state)
{
	(void)state;
	assert_int_equal(read_dbg2(43), -EINVAL);
	assert_int_equal(read_dbg2(157), -EINVAL); /* the last entry is cut */
	assert_int_equal(count, 0);
	put(dbg2 + 40, UINT32_MAX, 4);
	assert_int_equal(read_dbg2(158), -EINVAL);
	assert_int_equal(count, 1);
	put(dbg2 + 36, UINT32_MAX, 4);
	assert_int_equal(read_dbg2(158), -EINVAL);
	set_up(state);
	put(dbg2 + 120 + 18, 27, 2); /* the address ends one byte beyond its entry */
	assert_int_equal(read_dbg2(158), -EINVAL);
	put(dbg2 + 120 + 18, 21, 2); /* and here begins in its header */
	assert_int_equal(read_dbg2(158), -EINVAL);
	put(dbg2 + 120 + 1, 0, 2);
	assert_int_equal(read_dbg2(158), -EINVAL);
	assert_int_equal(count, 0);
}

static void more_than_there_is_room_for(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ACPI_MAX_UARTS + 3; i++)
		assert_int_equal(read_dbg2(158) | read_spcr(80), 0);
	assert_int_equal(count, ACPI_MAX_UARTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(spcr_at_a_port, set_up), cmocka_unit_test_setup(spcr_speeds, set_up),
		cmocka_unit_test_setup(shapes_of_registers, set_up), cmocka_unit_test_setup(spcr_without_console, set_up),
		cmocka_unit_test_setup(spcr_damaged, set_up), cmocka_unit_test_setup(dbg2_names_one, set_up),
		cmocka_unit_test_setup(dbg2_damaged, set_up), cmocka_unit_test_setup(more_than_there_is_room_for, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
