/* The local APIC under test. */
#include "tests/unit/support/lapic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

uint8_t lapic_page[4096] __attribute__((aligned(4096)));
struct vlapic lapic;
uint64_t lapic_tsc;
struct lapic_seen seen;

static struct posted_desc posted;

static void on_send(void *ctx, const struct apic_msg *m, enum vlapic_shorthand shorthand)
{
	(void)ctx;
	seen.sends++;
	seen.msg = *m;
	seen.shorthand = shorthand;
}

static void on_eoi(void *ctx, uint8_t vector)
{
	(void)ctx;
	seen.eois++;
	seen.eoi = vector;
}

static uint64_t on_tsc(void *ctx)
{
	(void)ctx;
	return lapic_tsc;
}

static void on_kick(void *ctx)
{
	(void)ctx;
	seen.kicks++;
}

static void on_mode(void *ctx)
{
	(void)ctx;
	seen.mode_changes++;
}

const struct vlapic_host lapic_host = { on_send, on_eoi, on_tsc, on_kick, on_mode };

void lapic_start(uint32_t id)
{
	memset(&lapic, 0, sizeof(lapic));
	memset(&posted, 0, sizeof(posted));
	memset(&seen, 0, sizeof(seen));
	lapic.regs = lapic_page;
	lapic.posted = &posted;
	lapic.tsc_hz = 2000000000;
	lapic.timer_hz = 1000000000;
	lapic_tsc = 1000;
	vlapic_init(&lapic, id, true, &lapic_host, NULL);
}

void lapic_start_enabled(uint32_t id, bool x2)
{
	lapic_start(id);
	if (x2)
		assert_true(vlapic_set_base(&lapic, lapic.apic_base | VLAPIC_BASE_EXTD));
	if (x2)
		assert_true(lapic_wrmsr(VLAPIC_SVR, 0x1ff));
	else
		vlapic_mmio_write(&lapic, VLAPIC_SVR, 0x1ff);
}

uint64_t lapic_rdmsr(uint32_t offset)
{
	uint64_t v = 0;

	assert_true(vlapic_msr_read(&lapic, X2_MSR(offset), &v));
	return v;
}

bool lapic_wrmsr(uint32_t offset, uint64_t v) { return vlapic_msr_write(&lapic, X2_MSR(offset), v); }

void lapic_post(uint8_t vector, bool level)
{
	vlapic_post(&lapic, &(struct apic_msg){ .vector = vector, .level_triggered = level, .assert = true });
}
