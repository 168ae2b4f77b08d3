/* sources: hv/devices/vlapic.c hv/devices/vlapic_regs.c hv/devices/vlapic_post.c hv/devices/vlapic_ipi.c hv/devices/vlapic_timer.c hv/devices/vlapic_remote.c */
#include "hv/devices/vlapic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/lapic.h"

static bool matches(uint32_t dest, bool logical, bool x2)
{
	struct apic_msg m = { .dest = dest, .logical = logical, .x2apic_dest = x2 };

	return vlapic_matches(&lapic, &m);
}

static void destinations(void **state)
{
	(void)state;
	lapic_start(5);
	assert_true(matches(5, false, false));
	assert_false(matches(4, false, false));
	assert_true(matches(0xff, false, false));
	assert_false(matches(0xff, false, true));
	assert_true(matches(0xffffffff, false, true));
	vlapic_mmio_write(&lapic, VLAPIC_LDR, 0x20000000);
	assert_true(matches(0x60, true, false));
	assert_false(matches(0x50, true, false));
	assert_true(matches(0xff, true, false));
	assert_false(matches(0x120, true, true));
	/* Cluster 2, member 1. */
	vlapic_mmio_write(&lapic, VLAPIC_DFR, 0);
	vlapic_mmio_write(&lapic, VLAPIC_LDR, 0x22000000);
	assert_true(matches(0x23, true, false));
	assert_false(matches(0x24, true, false));
	assert_false(matches(0x33, true, false));
	assert_true(matches(0xf2, true, false));

	lapic_start_enabled(0x25, true);
	assert_true(matches(0x25, false, true));
	assert_true(matches(2u << 16 | 0x20, true, true));
	assert_false(matches(2u << 16 | 0x10, true, true));
	assert_false(matches(3u << 16 | 0x20, true, true));
	assert_true(matches(0xffffffff, true, true));
	assert_true(vlapic_set_base(&lapic, LAPIC_BASE));
	assert_false(matches(0xff, false, false));
	assert_false(matches(0x25, false, false));
}

static void arbitration(void **state)
{
	static uint8_t pages[3][4096] __attribute__((aligned(4096)));
	static struct posted_desc descs[3];
	static struct vlapic a[3];
	(void)state;

	for (unsigned i = 0; i < 3; i++) {
		a[i] = (struct vlapic){ .regs = pages[i], .posted = &descs[i], .tsc_hz = 1, .timer_hz = 1 };
		vlapic_init(&a[i], i, i == 0, &lapic_host, NULL);
	}
	assert_null(vlapic_arbitrate(NULL, &a[0]));
	for (unsigned i = 0; i < 3; i++)
		vlapic_mmio_write(&a[i], VLAPIC_SVR, 0x1ff);
	assert_ptr_equal(vlapic_arbitrate(NULL, &a[1]), &a[1]);
	assert_ptr_equal(vlapic_arbitrate(&a[1], &a[0]), &a[1]);
	vlapic_mmio_write(&a[1], VLAPIC_TPR, 0x20);
	assert_ptr_equal(vlapic_arbitrate(&a[1], &a[2]), &a[2]);
	vlapic_mmio_write(&a[2], VLAPIC_SVR, 0xff);
	assert_ptr_equal(vlapic_arbitrate(&a[1], &a[2]), &a[1]);
}

/* Every command word that can be written, against SDM's table of valid combinations. */
static void icr_combinations(void **state)
{
	(void)state;
	lapic_start_enabled(3, true);
	for (uint32_t icr = 0; icr < BIT(20); icr += 1 + (icr & 0x800 ? 0x10 : 0)) {
		unsigned mode = icr >> 8 & 7, shorthand = icr >> 18 & 3;
		uint8_t vector = (uint8_t)icr;
		bool reserved = icr & (BITS(17, 16) | BIT(13));
		bool bad_vector = mode < 2 && vector < 16;
		bool known = mode != 3 && mode != 7;
		bool deassert = mode == APIC_INIT && (icr & 0xc000) == 0x8000;
		bool self = (shorthand == 1 || shorthand == 2) && mode == 0 && !bad_vector;
		bool sent = shorthand == 1 ? false : shorthand == 2 ? mode == 0 : known;

		sent = sent && !bad_vector && !deassert;
		seen.sends = 0;
		lapic.esr_pending = 0;
		memset(lapic_page + VLAPIC_IRR, 0, 128);
		assert_int_equal(lapic_wrmsr(VLAPIC_ICR, (uint64_t)0x1234 << 32 | icr), !reserved);
		if (reserved)
			continue;
		assert_int_equal(seen.sends, sent);
		assert_int_equal(lapic.esr_pending, bad_vector ? 0x20 : 0);
		assert_int_equal(vlapic_highest_irr(&lapic), self ? vector : -1);
		if (!sent)
			continue;
		assert_int_equal(seen.shorthand, shorthand >= 2 ? VLAPIC_ALL_BUT_SELF : VLAPIC_BY_DEST);
		assert_int_equal(seen.msg.mode, mode);
		assert_int_equal(seen.msg.vector, vector);
		assert_int_equal(seen.msg.logical, icr >> 11 & 1);
		assert_int_equal(seen.msg.dest, 0x1234);
		assert_true(seen.msg.x2apic_dest && seen.msg.assert && !seen.msg.level_triggered);
	}
	assert_true(lapic_wrmsr(VLAPIC_ICR, 7ul << 32 | BIT(12) | 0x40));
	assert_int_equal(lapic_rdmsr(VLAPIC_ICR), 7ul << 32 | 0x40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(destinations),
		cmocka_unit_test(arbitration),
		cmocka_unit_test(icr_combinations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
