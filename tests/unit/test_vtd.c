/* sources: drivers/vtd.c hv/base/failure.c hv/base/format.c */
/*
 * VT-d as firmware left it, on units of the test's own: what stands in the way is switched off, nothing else is
 * touched, and a unit that does not obey or answer costs bounded time and one line of the log.
 */
#include "drivers/vtd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "drivers/mmio.h"
#include "hv/base/acpi_host.h"
#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/map.h"
#include "hv/base/x86.h"
#include "tests/unit/support/support.h"

#define BASE 0xfed90000ul
#define UNITS 3
#define CAP 0x08
#define GCMD 0x18
#define GSTS 0x1c
#define PMEN 0x64
#define IRTA 0xb8
#define TES BIT(31)
#define RTPS BIT(30)
#define QIES BIT(26)
#define IRES BIT(25)
#define IRTPS BIT(24)
#define CFIS BIT(23)
#define ONE_SHOT 0x69000000u /* bits that order something */

static struct fake {
	uint32_t regs[PAGE_SIZE / 4];
	bool stuck;
	unsigned commands;
} fakes[UNITS];

static struct acpi_host acpi;
static unsigned maps_left;
static bool is_ram;

const struct acpi_host *acpi_host(void) { return &acpi; }
bool map_has_ram(hpa_t pa, uint64_t len) { return is_ram && pa && len; }

void *map_device(hpa_t pa, uint64_t len, enum map_cache cache)
{
	assert_int_equal(len, PAGE_SIZE);
	assert_int_equal(cache, MAP_UNCACHED);
	return maps_left-- ? fakes[(pa - BASE) / PAGE_SIZE].regs : NULL;
}

static struct fake *owner(const volatile void *at)
{
	size_t i = (size_t)((const char *)at - (const char *)fakes) / sizeof fakes[0];

	assert_true(i < UNITS);
	return &fakes[i];
}

uint32_t mmio_read32(const volatile void *at) { return *(const volatile uint32_t *)at; }

void mmio_write32(volatile void *at, uint32_t value)
{
	struct fake *f = owner(at);
	size_t reg = (size_t)((volatile char *)at - (volatile char *)f->regs);

	assert_true(reg == GCMD || reg == PMEN);
	f->commands++;
	if (reg == GCMD)
		assert_int_equal(value & ONE_SHOT, 0);
	if (f->stuck)
		return;
	if (reg == GCMD)
		f->regs[GSTS / 4] = (f->regs[GSTS / 4] & ONE_SHOT) | value;
	else
		f->regs[PMEN / 4] = (value & BIT(31)) | (value & BIT(31) ? 1 : 0);
}

static void begin(uint32_t units, uint32_t status)
{
	memset(fakes, 0, sizeof fakes);
	memset(&acpi, 0, sizeof acpi);
	acpi.dmar_count = units;
	for (uint32_t i = 0; i < units; i++) {
		acpi.dmar[i].base = BASE + i * PAGE_SIZE;
		fakes[i].regs[GSTS / 4] = status;
	}
	maps_left = UNITS;
	is_ram = false;
	test_last_log[0] = 0;
}

static uint32_t status_of(unsigned i) { return fakes[i].regs[GSTS / 4]; }

static void without_a_table_nothing_happens(void **state)
{
	(void)state;
	begin(0, 0);
	vtd_init();
	vtd_pass_dma();
	assert_int_equal(maps_left, UNITS);
	assert_string_equal(test_last_log, "");
}

static void units_at_rest_are_left_alone(void **state)
{
	(void)state;
	begin(UNITS, RTPS | QIES | IRTPS | CFIS);
	fakes[0].regs[PMEN / 4] = 1; /* it has no regions: the register is not there */
	fakes[1].regs[CAP / 4] = BIT(5) | BIT(6);
	vtd_init();
	vtd_pass_dma();
	for (unsigned i = 0; i < UNITS; i++)
		assert_int_equal(fakes[i].commands, 0);
	assert_string_equal(test_last_log, "vt-d: 3 units");
}

/* Only when a device of the host's is about to need it, and only translation. */
static void dma_passes(void **state)
{
	(void)state;
	begin(UNITS, RTPS | QIES);
	fakes[1].regs[GSTS / 4] |= TES | IRES | CFIS;
	vtd_init();
	assert_int_equal(fakes[1].commands, 0);
	vtd_pass_dma();
	assert_int_equal(status_of(1), RTPS | QIES | IRES | CFIS);
	assert_string_equal(test_last_log, "vt-d: firmware left DMA remapping on at fed91000: switched off");
	assert_int_equal(fakes[0].commands + fakes[2].commands, 0);
	vtd_pass_dma();
	assert_int_equal(fakes[1].commands, 1);
}

static void regions_are_opened(void **state)
{
	for (unsigned bit = 5; bit <= 6; bit++) {
		(void)state;
		begin(1, 0);
		fakes[0].regs[CAP / 4] = (uint32_t)BIT(bit);
		fakes[0].regs[PMEN / 4] = BIT(31) | 1;
		vtd_init();
		vtd_pass_dma();
		assert_int_equal(fakes[0].regs[PMEN / 4], 0);
		assert_non_null(strstr(test_last_log, "protection of memory from DMA on at fed90000"));
	}
}

static void interrupts_pass(void **state)
{
	static const struct {
		uint32_t status, irta;
		bool off;
	} cases[] = {
		{ IRES, 0, true }, { IRES | CFIS, 0, false }, { IRES | CFIS, BIT(11), true }, { CFIS, BIT(11), false },
		{ TES | IRES, BIT(11), true },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		begin(1, cases[i].status | IRTPS);
		fakes[0].regs[IRTA / 4] = cases[i].irta;
		vtd_init();
		assert_int_equal(fakes[0].commands, cases[i].off);
		assert_int_equal(status_of(0), (cases[i].off ? cases[i].status & ~(uint32_t)IRES : cases[i].status) | IRTPS);
		assert_int_equal(strstr(test_last_log, "interrupt remapping") != NULL, cases[i].off);
	}
}

/* Bounded, and the sentence says what to do. */
static void one_that_does_not_obey(void **state)
{
	uint64_t begun = rdtsc();

	(void)state;
	begin(1, TES | IRES);
	fakes[0].stuck = true;
	vtd_init();
	assert_non_null(strstr(test_last_log, "interrupt remapping at fed90000 does not switch off"));
	vtd_pass_dma();
	assert_non_null(strstr(test_last_log, "the network card will receive nothing; switch VT-d"));
	assert_true(rdtsc() - begun < 2000 * tsc_khz);
}

static void units_that_do_not_answer(void **state)
{
	(void)state;
	begin(UNITS, TES);
	fakes[0].regs[GSTS / 4] = UINT32_MAX;
	maps_left = 2;
	vtd_init();
	assert_string_equal(test_last_log, "vt-d: 1 unit");
	vtd_pass_dma();
	assert_int_equal(fakes[0].commands, 0);
	assert_int_equal(status_of(1), 0);
	begin(1, TES);
	is_ram = true; /* the table is wrong */
	vtd_init();
	assert_string_equal(test_last_log, "vt-d: the unit at fed90000 does not answer: it is left alone");
	vtd_pass_dma();
	assert_int_equal(fakes[0].commands, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_table_nothing_happens), cmocka_unit_test(units_at_rest_are_left_alone),
		cmocka_unit_test(dma_passes),                      cmocka_unit_test(regions_are_opened),
		cmocka_unit_test(interrupts_pass),                 cmocka_unit_test(one_that_does_not_obey),
		cmocka_unit_test(units_that_do_not_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
