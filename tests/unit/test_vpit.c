/* sources: hv/devices/vpit.c hv/bus.c hv/base/failure.c hv/base/format.c */
#include "hv/devices/vpit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/fake_vclock.h"
#include "tests/unit/support/random.h"
#include "tests/unit/support/wire.h"

static struct bus bus;
static struct vpit pit;
static struct wire irq0;
static struct vclock *clock_;

static void out(uint16_t port, uint32_t v) { assert_true(bus_pio_write(&bus, port, 1, v)); }

static uint32_t in(uint16_t port)
{
	uint32_t v = 0;

	assert_true(bus_pio_read(&bus, port, 1, &v));
	return v & 0xff;
}

static uint64_t tick_now(void) { return vclock_now(clock_) * 105 / 88000; }

/* To the moment the clock's tick n begins. */
static void to_tick(uint64_t n)
{
	uint64_t ns = (n * 88000 + 104) / 105;

	if (ns > vclock_now(clock_))
		fake_vclock_advance(ns - vclock_now(clock_));
	assert_int_equal(tick_now(), n);
}

static void start(void)
{
	struct irq_line l = wire_line(&irq0);

	irq0 = (struct wire){ 0 };
	clock_ = fake_vclock_start(0);
	bus_init(&bus);
	vpit_init(&pit, clock_, &l);
	assert_int_equal(vpit_attach(&pit, &bus, NULL), 0);
}

static void program(unsigned channel, unsigned mode, unsigned count)
{
	out(0x43, channel << 6 | 0x30 | mode << 1);
	out((uint16_t)(0x40 + channel), count & 0xff);
	out((uint16_t)(0x40 + channel), count >> 8 & 0xff);
}

static unsigned read_latched(unsigned channel)
{
	out(0x43, channel << 6);
	unsigned v = in((uint16_t)(0x40 + channel));
	return v | in((uint16_t)(0x40 + channel)) << 8;
}

static unsigned read_status(unsigned channel)
{
	out(0x43, 0xe0 | 2u << channel);
	return in((uint16_t)(0x40 + channel));
}

static bool out2(void) { return in(0x61) & 0x20; }

/* Linux: gate on, mode 0, ffffh, then the high byte counts down by one every 256 ticks. */
static void quick_calibration(void **state)
{
	(void)state;
	start();
	out(0x61, (in(0x61) & ~2u) | 1);
	out(0x43, 0xb0);
	out(0x42, 0xff);
	out(0x42, 0xff);
	uint64_t origin = tick_now() + 1;
	for (unsigned i = 0; i < 200; i++) {
		to_tick(origin + 256 * i + 255);
		in(0x42);
		assert_int_equal(in(0x42), 0xff - i);
		to_tick(origin + 256 * (i + 1));
		in(0x42);
		assert_int_equal(in(0x42), 0xfe - i);
	}
	assert_int_equal(fake_vclock_next(), VTIMER_OFF); /* channel 2 needs none */
}

/* Linux's older way: OUT2 rises when the count is through. */
static void slow_calibration(void **state)
{
	(void)state;
	start();
	out(0x61, 1);
	program(2, 0, 59659);
	uint64_t origin = tick_now() + 1;
	assert_false(out2());
	to_tick(origin + 59658);
	assert_false(out2());
	to_tick(origin + 59659);
	assert_true(out2());
	/* 50 ms to within a tick. */
	assert_true(vclock_now(clock_) > 49999000 && vclock_now(clock_) < 50002000);
}

static void gate_stops_and_goes_on(void **state)
{
	(void)state;
	start();
	program(2, 0, 1000); /* gate low: it does not start */
	to_tick(5000);
	assert_int_equal(read_latched(2), 1000);
	out(0x61, 1);
	to_tick(5400);
	assert_int_equal(read_latched(2), 600);
	out(0x61, 0);
	to_tick(9000);
	assert_int_equal(read_latched(2), 600);
	out(0x61, 1);
	to_tick(9599);
	assert_false(out2());
	to_tick(9600);
	assert_true(out2());
	/* Mode 1: the gate's edge starts the pulse, mode 2: it reloads. */
	out(0x61, 0);
	program(2, 1, 100);
	assert_true(out2());
	out(0x61, 1);
	uint64_t t = tick_now() + 1;
	to_tick(t + 99);
	assert_false(out2());
	to_tick(t + 100);
	assert_true(out2());
	program(2, 2, 100);
	to_tick(t + 150);
	out(0x61, 0);
	assert_true(out2());
	to_tick(t + 500);
	out(0x61, 1);
	to_tick(t + 501);
	assert_int_equal(read_latched(2), 100);
}

static void channel_0_periodic(void **state)
{
	(void)state;
	start();
	program(0, 2, 1193);
	unsigned base = irq0.rises;
	uint64_t origin = tick_now() + 1;
	for (unsigned i = 1; i <= 1000; i++) {
		to_tick(origin + 1193ul * i - 1);
		assert_int_equal(irq0.rises - base, i - 1);
		to_tick(origin + 1193ul * i + 1);
		assert_int_equal(irq0.rises - base, i);
	}
	/* A CPU that comes late finds one interrupt, and the phase is kept. */
	fake_vclock_jump(1000000 * 20);
	assert_int_equal(irq0.rises - base, 1001);
	uint64_t next = origin + ((tick_now() - origin) / 1193 + 1) * 1193;
	to_tick(next - 1);
	assert_int_equal(irq0.rises - base, 1001);
	to_tick(next + 1);
	assert_int_equal(irq0.rises - base, 1002);
	/* A new count waits for the end of the round. */
	out(0x40, 100);
	out(0x40, 0);
	assert_int_equal(read_status(0) & 0x40, 0x40);
	to_tick(next + 1193);
	to_tick(next + 1193 + 101);
	assert_int_equal(irq0.rises - base, 1004);
	assert_int_equal(read_status(0) & 0x40, 0);
	/* A control word without a count: silence. */
	out(0x43, 0x30);
	assert_false(irq0.high);
	assert_int_equal(fake_vclock_next(), VTIMER_OFF);
}

static void channel_0_one_shots(void **state)
{
	static const unsigned modes[] = { 0, 4 };
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		start();
		program(0, modes[i], 5000);
		unsigned base = irq0.rises;
		uint64_t origin = tick_now() + 1;
		to_tick(origin + 4999);
		assert_int_equal(irq0.rises, base);
		to_tick(origin + 5002);
		assert_int_equal(irq0.rises, base + 1);
		assert_true(irq0.high);
		fake_vclock_advance(1000000000);
		assert_int_equal(irq0.rises, base + 1);
		assert_int_equal(fake_vclock_next(), VTIMER_OFF);
	}
	/* The first byte of a new count in mode 0 stops the old. */
	start();
	program(0, 0, 5000);
	out(0x40, 0x10);
	fake_vclock_advance(100000000);
	assert_int_equal(irq0.rises, 0);
	out(0x40, 0x00);
	fake_vclock_advance(100000);
	assert_int_equal(irq0.rises, 1);
}

static void no_storm(void **state)
{
	(void)state;
	start();
	program(0, 2, 2);
	unsigned base = irq0.rises;
	fake_vclock_advance(10000000);
	assert_true(irq0.rises - base <= 1001 && irq0.rises - base >= 900);
	program(0, 3, 1); /* illegal */
	program(0, 2, 0); /* 65536 */
	base = irq0.rises;
	fake_vclock_advance(1000000000);
	assert_int_equal(irq0.rises - base, 18);
}

static void bytes_latches_and_status(void **state)
{
	(void)state;
	start();
	out(0x43, 0x14); /* channel 0, low byte, mode 2 */
	out(0x40, 50);
	assert_int_equal(read_status(0), 0x80 | 0x40 | 0x14);
	to_tick(tick_now() + 11);
	assert_int_equal(in(0x40), 40);
	out(0x43, 0x24); /* high byte only */
	out(0x40, 0x12);
	to_tick(tick_now() + 1);
	assert_int_equal(in(0x40), 0x12);
	program(0, 0, 0x3456);
	to_tick(tick_now() + 1);
	out(0x43, 0);
	uint64_t t = tick_now();
	to_tick(t + 100);
	out(0x43, 0); /* a second latch does not replace the first */
	assert_int_equal(in(0x40), 0x56);
	assert_int_equal(in(0x40), 0x34);
	/* Read-back of status and count of all channels: status first. */
	out(0x43, 0xce);
	assert_int_equal(in(0x40), 0x30);
	assert_int_equal(in(0x40), (0x3456 - 100) & 0xff);
	assert_int_equal(in(0x40), (0x3456 - 100) >> 8);
	assert_int_equal(in(0x43), 0xff);
}

static void bcd(void **state)
{
	(void)state;
	start();
	out(0x43, 0x31);
	out(0x40, 0x00);
	out(0x40, 0x10); /* one thousand */
	uint64_t t = tick_now() + 1;
	to_tick(t + 1);
	assert_int_equal(read_latched(0), 0x999);
	to_tick(t + 1000);
	assert_int_equal(read_latched(0), 0);
	to_tick(t + 1001);
	assert_int_equal(read_latched(0), 0x9999);
}

static void refresh_toggles(void **state)
{
	unsigned changes = 0, last;
	(void)state;
	start();
	last = in(0x61) & 0x10;
	for (unsigned i = 0; i < 1000; i++) {
		fake_vclock_advance(1000);
		changes += (in(0x61) & 0x10) != last;
		last = in(0x61) & 0x10;
	}
	assert_int_equal(changes, 66); /* 1 ms / 15.085 us */
	out(0x61, 0xff);
	assert_int_equal(in(0x61) & 0xcf, 0x0f);
}

/* Counts of random programs against arithmetic, in every mode that counts by itself. */
static void counts_agree_with_arithmetic(void **state)
{
	uint64_t seed = 17;
	(void)state;
	start();
	out(0x61, 1);
	for (unsigned i = 0; i < 50000; i++) {
		static const unsigned modes[] = { 0, 2, 3, 4 };
		unsigned mode = modes[test_random(&seed) % 4];
		unsigned n = (unsigned)test_random(&seed) % 65536;
		unsigned round = n < (mode == 2 || mode == 3 ? 2u : 1u) ? 65536 : n;

		program(2, mode, n);
		uint64_t origin = tick_now() + 1, e = test_random(&seed) % 200000;
		to_tick(origin + e);
		unsigned v = read_latched(2);
		bool o = out2();
		if (mode == 2) {
			assert_int_equal(v, (round - e % round) & 0xffff);
			assert_int_equal(o, e % round != round - 1);
		} else if (mode == 3) {
			assert_int_equal(v & 1, 0);
			assert_int_equal(o, e % round < (round + 1) / 2);
		} else {
			assert_int_equal(v, (round - e) & 0xffff);
			assert_int_equal(o, mode == 0 ? e >= round : e != round);
		}
	}
}

static void any_write_is_survived(void **state)
{
	uint64_t seed = 23;
	(void)state;
	start();
	for (unsigned i = 0; i < 300000; i++) {
		uint64_t r = test_random(&seed);
		uint16_t port = r % 5 == 4 ? 0x61 : (uint16_t)(0x40 + r % 5);

		if (r & 0x100)
			out(port, r >> 16 & 0xff);
		else
			in(port);
		if (r & 0x200)
			fake_vclock_advance(r >> 32 & (r & 0x400 ? 0xfffff : 0xff));
		if (pit.next_edge != VTIMER_OFF)
			assert_true(fake_vclock_next() != VTIMER_OFF);
		else
			assert_int_equal(fake_vclock_next(), VTIMER_OFF);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quick_calibration),
		cmocka_unit_test(slow_calibration),
		cmocka_unit_test(gate_stops_and_goes_on),
		cmocka_unit_test(channel_0_periodic),
		cmocka_unit_test(channel_0_one_shots),
		cmocka_unit_test(no_storm),
		cmocka_unit_test(bytes_latches_and_status),
		cmocka_unit_test(bcd),
		cmocka_unit_test(refresh_toggles),
		cmocka_unit_test(counts_agree_with_arithmetic),
		cmocka_unit_test(any_write_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
