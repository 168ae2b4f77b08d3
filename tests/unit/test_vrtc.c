/* sources: hv/devices/vrtc.c hv/devices/vrtc_time.c hv/bus.c hv/base/failure.c hv/base/format.c */
#include "hv/devices/vrtc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "hv/devices/vrtc_time.h"
#include "tests/unit/support/fake_vclock.h"
#include "tests/unit/support/random.h"
#include "tests/unit/support/wire.h"

#define SECOND 1000000000ul
#define EPOCH 1709209799ul /* 2024-02-29 12:29:59, a Thursday */

static struct bus bus;
static struct vrtc rtc;
static struct wire irq8;

static void wr(unsigned index, uint32_t v)
{
	assert_true(bus_pio_write(&bus, 0x70, 1, index | 0x80)); /* bit 7 is not part of the index */
	assert_true(bus_pio_write(&bus, 0x71, 1, v));
}

static uint32_t rd(unsigned index)
{
	uint32_t v = 0;

	assert_true(bus_pio_write(&bus, 0x70, 1, index));
	assert_true(bus_pio_read(&bus, 0x71, 1, &v));
	return v & 0xff;
}

static void start(void)
{
	struct irq_line l = wire_line(&irq8);
	struct vclock *c = fake_vclock_start(EPOCH);

	irq8 = (struct wire){ 0 };
	bus_init(&bus);
	vrtc_init(&rtc, c, &l);
	assert_int_equal(vrtc_attach(&rtc, &bus, NULL), 0);
}

static void expect_time(unsigned h, unsigned m, unsigned s)
{
	assert_int_equal(rd(4), h);
	assert_int_equal(rd(2), m);
	assert_int_equal(rd(0), s);
}

static void calendar_agrees_with_libc(void **state)
{
	uint64_t seed = 1;
	(void)state;
	for (unsigned i = 0; i < 300000; i++) {
		time_t t = (time_t)(test_random(&seed) % 32503680000ul); /* to the year 3000 */
		struct rtc_date d;
		struct tm tm;

		rtc_date_from_seconds((uint64_t)t, &d);
		gmtime_r(&t, &tm);
		assert_int_equal(d.year, tm.tm_year + 1900);
		assert_int_equal(d.month, tm.tm_mon + 1);
		assert_int_equal(d.day, tm.tm_mday);
		assert_int_equal(d.hour, tm.tm_hour);
		assert_int_equal(d.minute, tm.tm_min);
		assert_int_equal(d.second, tm.tm_sec);
		assert_int_equal(d.weekday, tm.tm_wday + 1);
		assert_int_equal(rtc_date_to_seconds(&d), t);
	}
}

static void reads_in_every_format(void **state)
{
	(void)state;
	start();
	expect_time(0x12, 0x29, 0x59);
	assert_int_equal(rd(6), 5);
	assert_int_equal(rd(7), 0x29);
	assert_int_equal(rd(8), 0x02);
	assert_int_equal(rd(9), 0x24);
	assert_int_equal(rd(VRTC_CENTURY), 0x20);
	assert_int_equal(rd(0xd), 0x80);
	wr(0xb, 0x06);
	expect_time(12, 29, 59);
	wr(0xb, 0x00);
	assert_int_equal(rd(4), 0x92); /* 12 PM */
	fake_vclock_advance(12 * 3600 * SECOND);
	assert_int_equal(rd(4), 0x12); /* 12 AM */
	wr(0xb, 0x02);
	expect_time(0x00, 0x29, 0x59);
	assert_int_equal(rd(7), 0x01);
	assert_int_equal(rd(8), 0x03);
	for (unsigned h = 0; h < 24; h++)
		for (unsigned f = 0; f < 4; f++)
			assert_int_equal(rtc_decode_hour(rtc_encode_hour(h, f & 1, f & 2), f & 1, f & 2), h);
}

static void update_in_progress(void **state)
{
	(void)state;
	start();
	assert_int_equal(rd(0xa), 0x26);
	fake_vclock_advance(SECOND - 244001);
	assert_int_equal(rd(0xa), 0x26);
	fake_vclock_advance(1);
	assert_int_equal(rd(0xa), 0xa6);
	fake_vclock_advance(244000);
	assert_int_equal(rd(0xa), 0x26);
	expect_time(0x12, 0x30, 0x00);
}

static void setting_the_clock(void **state)
{
	(void)state;
	start();
	fake_vclock_advance(300000000);
	wr(0xb, 0x82); /* SET stops it */
	fake_vclock_advance(10 * SECOND);
	expect_time(0x12, 0x29, 0x59);
	wr(0, 0x30);
	wr(2, 0x15);
	wr(4, 0x08);
	wr(7, 0x31);
	wr(8, 0x12);
	wr(9, 0x99);
	wr(VRTC_CENTURY, 0x19);
	wr(0xb, 0x02);
	expect_time(0x08, 0x15, 0x30);
	fake_vclock_advance(699999999); /* the divider ran on: the second ends where it would have */
	expect_time(0x08, 0x15, 0x30);
	fake_vclock_advance(1);
	expect_time(0x08, 0x15, 0x31);
	fake_vclock_advance(16 * 3600 * SECOND);
	assert_int_equal(rd(9), 0x00);
	assert_int_equal(rd(VRTC_CENTURY), 0x20);
	assert_int_equal(rd(6), 7); /* 1 January 2000 was a Saturday */
	/* Single registers may be set while it runs. */
	wr(2, 0x44);
	expect_time(0x00, 0x44, 0x31);
	/* After the divider's reset the first second takes half a second. */
	wr(0xa, 0x76);
	fake_vclock_advance(5 * SECOND);
	expect_time(0x00, 0x44, 0x31);
	wr(0xa, 0x26);
	fake_vclock_advance(SECOND / 2);
	expect_time(0x00, 0x44, 0x32);
	/* A year that would not fit is clamped. */
	wr(VRTC_CENTURY, 0x99);
	assert_int_equal(rd(VRTC_CENTURY), 0x25);
	vrtc_reset(&rtc);
	assert_int_equal(rd(VRTC_CENTURY), 0x20);
	assert_int_equal(rd(9), 0x24);
}

static void update_interrupt(void **state)
{
	(void)state;
	start();
	assert_int_equal(fake_vclock_next(), VTIMER_OFF);
	wr(0xb, 0x12);
	fake_vclock_advance(SECOND - 1);
	assert_false(irq8.high);
	fake_vclock_advance(1);
	assert_true(irq8.high);
	assert_int_equal(fake_vclock_next(), VTIMER_OFF); /* nothing more until it is acknowledged */
	assert_int_equal(rd(0xc), 0xd0); /* the periodic flag comes up without being enabled */
	assert_false(irq8.high);
	assert_int_equal(rd(0xc), 0);
	fake_vclock_advance(SECOND);
	assert_int_equal(irq8.rises, 2);
	wr(0xb, 0x92); /* SET clears UIE */
	assert_int_equal(rd(0xb), 0x82);
	/* Polled, without interrupt. */
	wr(0xb, 0x02);
	rd(0xc);
	fake_vclock_advance(SECOND);
	assert_int_equal(rd(0xc) & 0x90, 0x10);
}

static void alarm_interrupt(void **state)
{
	(void)state;
	start();
	wr(1, 0x05);
	wr(3, 0x30);
	wr(5, 0x12);
	wr(0xb, 0x22);
	fake_vclock_advance(6 * SECOND - 1);
	assert_false(irq8.high);
	fake_vclock_advance(1);
	assert_true(irq8.high);
	assert_int_equal(rd(0xc) & 0xa0, 0xa0);
	fake_vclock_advance(86400 * SECOND - 1);
	assert_false(irq8.high);
	fake_vclock_advance(1);
	assert_true(irq8.high);
	rd(0xc);
	wr(1, 0xff);
	wr(3, 0xc0);
	wr(5, 0xff); /* every second */
	for (unsigned i = 0; i < 5; i++) {
		fake_vclock_advance(SECOND);
		assert_true(rd(0xc) & 0x20);
	}
	wr(1, 0x75); /* never */
	fake_vclock_advance(100 * SECOND);
	assert_int_equal(rd(0xc) & 0x20, 0);
}

/* The jump by hours, minutes and seconds against a search second by second. */
static void alarms_agree_with_a_search(void **state)
{
	uint64_t seed = 9;
	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		uint64_t r = test_random(&seed), after = test_random(&seed) % 4000000000ul;
		int h = r & 3 ? (int)(r >> 8 & 0xff) % 24 : RTC_ANY;
		int m = r >> 2 & 3 ? (int)(r >> 16 & 0xff) % 60 : RTC_ANY;
		int s = r >> 4 & 3 ? (int)(r >> 24 & 0xff) % 60 : RTC_ANY;
		uint64_t t = after + 1;

		while (!((h < 0 || (int)(t / 3600 % 24) == h) && (m < 0 || (int)(t / 60 % 60) == m) &&
			 (s < 0 || (int)(t % 60) == s)))
			t++;
		assert_int_equal(rtc_next_alarm(after, h, m, s), t);
	}
	assert_int_equal(rtc_next_alarm(0, RTC_INVALID, 0, 0), RTC_NEVER);
}

static void periodic_interrupt(void **state)
{
	(void)state;
	start();
	wr(0xa, 0x26); /* 1024 Hz */
	wr(0xb, 0x42);
	unsigned n = 0;
	for (unsigned i = 0; i < 10000; i++) {
		fake_vclock_advance(100000);
		if (irq8.high) {
			assert_int_equal(rd(0xc) & 0xc0, 0xc0);
			n++;
		}
	}
	assert_in_range(n, 1023, 1024); /* the last falls on the end of the second */
	wr(0xa, 0x20); /* no rate */
	rd(0xc);
	fake_vclock_advance(SECOND);
	assert_int_equal(rd(0xc) & 0x40, 0);
	for (unsigned rate = 1; rate < 16; rate++) {
		unsigned hz = rate <= 2 ? 256 >> (rate - 1) : 65536 >> rate;

		wr(0xa, 0x20 | rate);
		rd(0xc);
		uint64_t before = fake_vclock_next();
		fake_vclock_jump(before);
		rd(0xc);
		assert_true(fake_vclock_next() - vclock_now(rtc.clock) <= SECOND / hz + 1);
	}
}

static void memory_sizes(void **state)
{
	unsigned sum = 0;
	(void)state;
	start();
	vrtc_set_memory(&rtc, MIB(512), GIB(2));
	assert_int_equal(rd(0x15) | rd(0x16) << 8, 640);
	assert_int_equal(rd(0x17) | rd(0x18) << 8, 0xffff);
	assert_int_equal(rd(0x30) | rd(0x31) << 8, 0xffff);
	assert_int_equal(rd(0x34) | rd(0x35) << 8, 496 * 16);
	assert_int_equal(rd(0x5b) | rd(0x5c) << 8 | rd(0x5d) << 16, 2048 * 16);
	for (unsigned i = 0x10; i < 0x2e; i++)
		sum += rd(i);
	assert_int_equal(rd(0x2e) << 8 | rd(0x2f), sum);
	wr(0x40, 0xa5);
	assert_int_equal(rd(0x40), 0xa5);
	wr(0xd, 0);
	assert_int_equal(rd(0xd), 0x80);
}

static void any_write_is_survived(void **state)
{
	uint64_t seed = 31;
	(void)state;
	start();
	for (unsigned i = 0; i < 200000; i++) {
		uint64_t r = test_random(&seed);
		unsigned index = r & 0x80 ? r >> 8 & 0x7f : r >> 8 & 0xf;

		if (r & 1)
			wr(index, r >> 16 & 0xff);
		else
			rd(index);
		if ((r & 0x70) == 0)
			fake_vclock_advance(r >> 32 & 0x3fffff);
		if ((r & 0x7000000000) == 0)
			fake_vclock_jump((r >> 24 & 0xffff) * SECOND);
		assert_int_equal(irq8.high, !!(rtc.cmos[0xc] & 0x80));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calendar_agrees_with_libc),
		cmocka_unit_test(reads_in_every_format),
		cmocka_unit_test(update_in_progress),
		cmocka_unit_test(setting_the_clock),
		cmocka_unit_test(update_interrupt),
		cmocka_unit_test(alarm_interrupt),
		cmocka_unit_test(alarms_agree_with_a_search),
		cmocka_unit_test(periodic_interrupt),
		cmocka_unit_test(memory_sizes),
		cmocka_unit_test(any_write_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
