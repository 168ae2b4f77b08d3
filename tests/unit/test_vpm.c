/* sources: hv/devices/vpm.c hv/bus.c hv/base/failure.c hv/base/format.c */
#include "hv/devices/vpm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hv/guest/guest.h"
#include "tests/unit/support/fake_vclock.h"
#include "tests/unit/support/random.h"
#include "tests/unit/support/wire.h"

static struct bus bus;
static struct vpm pm;
static struct wire sci;
static unsigned power_offs;

static void on_power_off(void *vm)
{
	(void)vm;
	power_offs++;
}

static void on_reset(void *vm, const char *why) { (void)vm, (void)why; }
static void on_debug_exit(void *vm, uint32_t value) { (void)vm, (void)value; }

static void start(void)
{
	struct irq_line l = wire_line(&sci);
	struct machine_events events = { on_power_off, on_reset, on_debug_exit, NULL };

	sci = (struct wire){ 0 };
	power_offs = 0;
	bus_init(&bus);
	vpm_init(&pm, fake_vclock_start(0), &l, &events);
	assert_int_equal(vpm_attach(&pm, &bus, NULL), 0);
}

static void out(uint16_t port, unsigned size, uint32_t v) { assert_true(bus_pio_write(&bus, port, size, v)); }

static uint32_t in(uint16_t port, unsigned size)
{
	uint32_t v = 0;

	assert_true(bus_pio_read(&bus, port, size, &v));
	return v & (uint32_t)(BITS(31, 0) >> (32 - 8 * size));
}

static void timer_runs_at_its_rate(void **state)
{
	(void)state;
	start();
	assert_int_equal(in(0x608, 4), 0);
	fake_vclock_advance(1000000000);
	assert_int_equal(in(0x608, 4), 3579545);
	assert_int_equal(in(0x608, 1), 3579545 & 0xff);
	assert_int_equal(in(0x609, 2), 3579545 >> 8 & 0xffff);
	fake_vclock_advance(4000000000);
	assert_int_equal(in(0x608, 4), 17897727 & 0xffffff);
	out(0x608, 4, 0);
	assert_int_equal(in(0x608, 4), 17897727 & 0xffffff);
}

static void timer_carry_interrupts(void **state)
{
	(void)state;
	start();
	assert_int_equal(fake_vclock_next(), VTIMER_OFF);
	out(0x602, 2, 1);
	fake_vclock_advance(2343484138); /* 2^23 ticks take 2.343484140 s */
	assert_false(sci.high);
	fake_vclock_advance(2);
	assert_true(sci.high);
	assert_int_equal(in(0x600, 2), 1);
	assert_int_equal(fake_vclock_next(), VTIMER_OFF);
	out(0x600, 2, 1);
	assert_false(sci.high);
	fake_vclock_advance(2344000000);
	assert_true(sci.high);
	out(0x602, 1, 0);
	assert_false(sci.high);
	/* Polled: status rises without being enabled. */
	out(0x600, 4, 0xffff);
	fake_vclock_advance(2344000000);
	assert_int_equal(in(0x600, 2), 1);
	assert_int_equal(sci.rises, 2);
}

static void registers_by_any_width(void **state)
{
	(void)state;
	start();
	out(0x602, 2, 0xffff);
	assert_int_equal(in(0x602, 2), 0x0721);
	out(0x603, 1, 0);
	assert_int_equal(in(0x602, 2), 0x0021);
	assert_int_equal(in(0x600, 4), 0x00210000);
	out(0x600, 4, 0x01000000);
	assert_int_equal(in(0x602, 2), 0x0100);
	assert_int_equal(in(0x604, 2), 1); /* SCI_EN: always ACPI mode */
	out(0x604, 2, 0x1c02);
	assert_int_equal(in(0x604, 2), 0x1c03);
	out(0x605, 1, 0);
	assert_int_equal(in(0x604, 2), 3);
}

static void soft_off(void **state)
{
	(void)state;
	start();
	out(0x604, 2, GUEST_SLEEP_TYPE_S5 << 10);
	assert_int_equal(power_offs, 0);
	out(0x604, 2, GUEST_SLEEP_TYPE_S5 << 10 | 1 << 13);
	assert_int_equal(power_offs, 1);
	assert_int_equal(in(0x604, 2) & BIT(13), 0);
	out(0x605, 1, (GUEST_SLEEP_TYPE_S5 << 2 | 1 << 5)); /* by bytes too */
	assert_int_equal(power_offs, 2);
	out(0x604, 2, 3 << 10 | 1 << 13); /* S3 is not announced */
	assert_int_equal(power_offs, 2);
}

static void any_write_is_survived(void **state)
{
	uint64_t seed = 3;
	(void)state;
	start();
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t r = test_random(&seed);
		uint16_t port = (uint16_t)(0x600 + (r >> 8) % 12);
		unsigned size = 1u << (r >> 16) % 3;
		uint32_t v;

		if (r & 1)
			bus_pio_write(&bus, port, size, (uint32_t)(r >> 32));
		else
			bus_pio_read(&bus, port, size, &v);
		if ((r & 0xe) == 0)
			fake_vclock_advance(r >> 34);
		assert_int_equal(sci.high, !!(pm.status & pm.enable));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timer_runs_at_its_rate),
		cmocka_unit_test(timer_carry_interrupts),
		cmocka_unit_test(registers_by_any_width),
		cmocka_unit_test(soft_off),
		cmocka_unit_test(any_write_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
