/* sources: hv/devices/vlapic.c hv/devices/vlapic_regs.c hv/devices/vlapic_post.c hv/devices/vlapic_ipi.c hv/devices/vlapic_timer.c hv/devices/vlapic_remote.c */
#include "hv/devices/vlapic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/lapic.h"
#include "tests/unit/support/random.h"

#define NEVER UINT64_MAX
#define MASKED 0x10000
#define ONE_SHOT 0
#define PERIODIC 0x20000
#define DEADLINE 0x40000
#define VECTOR 0xec

static void start(uint64_t tsc_hz, uint64_t timer_hz)
{
	lapic_start_enabled(0, false);
	lapic.tsc_hz = tsc_hz;
	lapic.timer_hz = timer_hz;
	lapic_tsc = 1000000;
}

static void wr(uint32_t offset, uint32_t value) { vlapic_mmio_write(&lapic, offset, value); }
static uint32_t rd(uint32_t offset) { return vlapic_mmio_read(&lapic, offset); }

/* Lets the deadline pass and takes the interrupt; false when none came. */
static bool fires_at(uint64_t when)
{
	assert_int_equal(lapic.timer_deadline, when);
	lapic_tsc = when - 1;
	vlapic_timer_expired(&lapic, lapic_tsc);
	assert_int_equal(vlapic_pending_vector(&lapic), -1);
	lapic_tsc = when;
	vlapic_timer_expired(&lapic, lapic_tsc);
	if (vlapic_pending_vector(&lapic) != VECTOR)
		return false;
	vlapic_accept(&lapic, VECTOR);
	vlapic_eoi(&lapic);
	return true;
}

static void deadline_mode(void **state)
{
	(void)state;
	start(2000000000, 1000000000);
	wr(VLAPIC_LVT_TIMER, VECTOR);
	vlapic_set_tsc_deadline(&lapic, 5000); /* ignored in one-shot mode */
	assert_int_equal(vlapic_get_tsc_deadline(&lapic), 0);
	wr(VLAPIC_LVT_TIMER, VECTOR | DEADLINE);
	vlapic_set_tsc_deadline(&lapic, lapic_tsc + 777);
	assert_int_equal(vlapic_get_tsc_deadline(&lapic), lapic_tsc + 777);
	assert_true(fires_at(lapic_tsc + 777));
	assert_int_equal(vlapic_get_tsc_deadline(&lapic), 0);
	assert_int_equal(lapic.timer_deadline, NEVER);
	/* 0 disarms; the initial count is ignored; the past fires. */
	vlapic_set_tsc_deadline(&lapic, lapic_tsc + 1);
	vlapic_set_tsc_deadline(&lapic, 0);
	assert_int_equal(lapic.timer_deadline, NEVER);
	wr(VLAPIC_TIMER_INIT, 100);
	assert_int_equal(lapic.timer_deadline, NEVER);
	assert_int_equal(rd(VLAPIC_TIMER_COUNT), 0);
	vlapic_set_tsc_deadline(&lapic, 5);
	vlapic_timer_expired(&lapic, lapic_tsc);
	assert_int_equal(vlapic_pending_vector(&lapic), VECTOR);
}

static void masked_expiry_is_silent(void **state)
{
	(void)state;
	start(2000000000, 1000000000);
	wr(VLAPIC_LVT_TIMER, VECTOR | DEADLINE | MASKED);
	vlapic_set_tsc_deadline(&lapic, lapic_tsc + 10);
	assert_false(fires_at(lapic_tsc + 10));
	assert_int_equal(vlapic_get_tsc_deadline(&lapic), 0);
}

static void one_shot(void **state)
{
	(void)state;
	start(2000000000, 1000000000);
	wr(VLAPIC_LVT_TIMER, VECTOR | ONE_SHOT);
	wr(VLAPIC_TIMER_DIVIDE, 0xb); /* by 1 */
	wr(VLAPIC_TIMER_INIT, 1000);
	assert_int_equal(lapic.timer_deadline, lapic_tsc + 2000);
	assert_int_equal(rd(VLAPIC_TIMER_COUNT), 1000);
	lapic_tsc += 500;
	assert_int_equal(rd(VLAPIC_TIMER_COUNT), 750);
	assert_true(fires_at(lapic_tsc + 1500));
	assert_int_equal(rd(VLAPIC_TIMER_COUNT), 0);
	assert_int_equal(rd(VLAPIC_TIMER_INIT), 1000);
	wr(VLAPIC_TIMER_INIT, 1000);
	wr(VLAPIC_TIMER_INIT, 0);
	assert_int_equal(lapic.timer_deadline, NEVER);
}

static void every_divider(void **state)
{
	static const struct { uint32_t value; unsigned divider; } dividers[] = {
		{ 0x0, 2 },  { 0x1, 4 },  { 0x2, 8 },   { 0x3, 16 },
		{ 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 },
	};
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(dividers); i++) {
		start(3000000000, 1000000000);
		wr(VLAPIC_LVT_TIMER, VECTOR);
		wr(VLAPIC_TIMER_DIVIDE, dividers[i].value);
		wr(VLAPIC_TIMER_INIT, 0xffffffff);
		assert_int_equal(lapic.timer_deadline - lapic_tsc, 0xfffffffful * dividers[i].divider * 3);
	}
	/* Changed while it runs, the count left goes on at the new rate. */
	start(1000000000, 1000000000);
	wr(VLAPIC_LVT_TIMER, VECTOR);
	wr(VLAPIC_TIMER_DIVIDE, 0xb);
	wr(VLAPIC_TIMER_INIT, 1000);
	lapic_tsc += 400;
	wr(VLAPIC_TIMER_DIVIDE, 0x0);
	assert_int_equal(rd(VLAPIC_TIMER_COUNT), 600);
	assert_true(fires_at(lapic_tsc + 1200));
}

static void periodic_does_not_drift(void **state)
{
	(void)state;
	start(2400000000, 1000000000);
	wr(VLAPIC_LVT_TIMER, VECTOR | PERIODIC);
	wr(VLAPIC_TIMER_DIVIDE, 0xb);
	wr(VLAPIC_TIMER_INIT, 1000000);
	uint64_t origin = lapic_tsc;
	for (unsigned i = 1; i < 50; i++)
		assert_true(fires_at(origin + i * 2400000ul));
	/* Late by three and a half periods: one interrupt, the phase kept. */
	lapic_tsc = origin + 53ul * 2400000 + 1200000;
	assert_int_equal(rd(VLAPIC_TIMER_COUNT), 500000);
	vlapic_timer_expired(&lapic, lapic_tsc);
	assert_int_equal(vlapic_pending_vector(&lapic), VECTOR);
	vlapic_accept(&lapic, VECTOR);
	vlapic_eoi(&lapic);
	assert_true(fires_at(origin + 54ul * 2400000));
	/* To one-shot: the round under way is the last. */
	wr(VLAPIC_LVT_TIMER, VECTOR | ONE_SHOT);
	assert_true(fires_at(origin + 55ul * 2400000));
	assert_int_equal(lapic.timer_deadline, NEVER);
}

static void short_periods_do_not_storm(void **state)
{
	(void)state;
	start(2000000000, 1000000000);
	wr(VLAPIC_LVT_TIMER, VECTOR | PERIODIC);
	wr(VLAPIC_TIMER_DIVIDE, 0xb);
	wr(VLAPIC_TIMER_INIT, 1);
	uint64_t origin = lapic_tsc, fired = 0;
	while (lapic_tsc < origin + 2000000) {
		lapic_tsc = max_u64(lapic_tsc + 1, lapic.timer_deadline);
		vlapic_timer_expired(&lapic, lapic_tsc);
		fired++;
		assert_int_equal((lapic.timer_deadline - origin) % 2, 0);
	}
	assert_true(fired <= 101); /* 1 ms at 10 us */
}

static void crossing_modes_disarms(void **state)
{
	(void)state;
	start(2000000000, 1000000000);
	wr(VLAPIC_LVT_TIMER, VECTOR | PERIODIC);
	wr(VLAPIC_TIMER_INIT, 100);
	wr(VLAPIC_LVT_TIMER, VECTOR | DEADLINE);
	assert_int_equal(lapic.timer_deadline, NEVER);
	assert_int_equal(rd(VLAPIC_TIMER_INIT), 0);
	vlapic_set_tsc_deadline(&lapic, lapic_tsc + 100);
	wr(VLAPIC_LVT_TIMER, VECTOR | DEADLINE | MASKED); /* the same mode: still armed */
	assert_int_equal(lapic.timer_deadline, lapic_tsc + 100);
	wr(VLAPIC_LVT_TIMER, VECTOR | PERIODIC);
	assert_int_equal(lapic.timer_deadline, NEVER);
	assert_int_equal(vlapic_get_tsc_deadline(&lapic), 0);
	vlapic_reset(&lapic, true);
	assert_int_equal(lapic.timer_deadline, NEVER);
}

/* The count read back is what arithmetic says, at any rates and times. */
static void counts_agree_with_arithmetic(void **state)
{
	uint64_t seed = 3;
	(void)state;

	for (unsigned i = 0; i < 100000; i++) {
		uint64_t timer_hz = 1000000 + test_random(&seed) % 2000000000;
		uint64_t tsc_hz = 1000000 + test_random(&seed) % 6000000000;
		uint32_t count = (uint32_t)(test_random(&seed) >> (32 + test_random(&seed) % 32));
		uint32_t divide = (uint32_t)test_random(&seed) & 0xb;
		unsigned shift = ((divide & 3) + (divide >> 1 & 4) + 1) & 7;

		start(tsc_hz, timer_hz);
		wr(VLAPIC_LVT_TIMER, VECTOR | (i & 1 ? PERIODIC : 0));
		wr(VLAPIC_TIMER_DIVIDE, divide);
		wr(VLAPIC_TIMER_INIT, count);
		if (count == 0)
			continue;
		uint64_t period = lapic.timer_deadline - lapic_tsc;
		long double exact = (long double)count * (1u << shift) * tsc_hz / timer_hz;
		assert_true(period <= exact + 1 && period + 1 >= exact);
		uint64_t left = test_random(&seed) % (period + 1);
		lapic_tsc = lapic.timer_deadline - left;
		uint32_t got = rd(VLAPIC_TIMER_COUNT);
		assert_true(got <= count);
		/* To one count, or to what one TSC tick holds where the TSC is the slower. */
		long double want = (long double)left * timer_hz / tsc_hz / (1u << shift);
		long double slack = 1 + (long double)timer_hz / tsc_hz;
		if (left || !(i & 1))
			assert_true(got <= want + slack && got + slack >= want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deadline_mode),
		cmocka_unit_test(masked_expiry_is_silent),
		cmocka_unit_test(one_shot),
		cmocka_unit_test(every_divider),
		cmocka_unit_test(periodic_does_not_drift),
		cmocka_unit_test(short_periods_do_not_storm),
		cmocka_unit_test(crossing_modes_disarms),
		cmocka_unit_test(counts_agree_with_arithmetic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
