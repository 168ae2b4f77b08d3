/* sources: hv/devices/vlapic.c hv/devices/vlapic_regs.c hv/devices/vlapic_post.c hv/devices/vlapic_ipi.c hv/devices/vlapic_timer.c hv/devices/vlapic_remote.c */
#include "hv/devices/vlapic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/lapic.h"
#include "tests/unit/support/random.h"
#include "tests/unit/support/support.h"

#define EN VLAPIC_BASE_EN
#define EXTD VLAPIC_BASE_EXTD

static void power_on_state(void **state)
{
	(void)state;
	lapic_start(3);
	assert_int_equal(lapic.apic_base, LAPIC_BASE | EN | VLAPIC_BASE_BSP);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_ID), 3u << 24);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_VERSION), 0x50014);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_SVR), 0xff);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_DFR), 0xffffffff);
	for (uint32_t o = VLAPIC_LVT_TIMER; o <= VLAPIC_LVT_ERROR; o += 16)
		assert_int_equal(vlapic_mmio_read(&lapic, o), 0x10000);
	assert_false(vlapic_enabled(&lapic));
	assert_false(vlapic_x2apic(&lapic));
	assert_false(vlapic_takes_extint(&lapic));
	assert_int_equal(vlapic_pending_vector(&lapic), -1);
	vlapic_virtual_wire(&lapic);
	assert_true(vlapic_takes_extint(&lapic));
	assert_true(vlapic_enabled(&lapic));
	lapic.tsc_hz = 0;
	assert_true(EXPECT_PANIC(vlapic_init(&lapic, 0, false, &lapic_host, NULL)));
}

static void mode_transitions(void **state)
{
	static const uint64_t modes[] = { 0, EN, EN | EXTD, EXTD };
	static const bool allowed[4][4] = {
		/* to:   off    x      x2     bad */
		{ true, true, false, false },
		{ true, true, true, false },
		{ true, false, true, false },
	};
	(void)state;

	for (unsigned from = 0; from < 3; from++)
		for (unsigned to = 0; to < 4; to++) {
			lapic_start(1);
			if (from != 1)
				assert_true(vlapic_set_base(&lapic, LAPIC_BASE | modes[from]));
			assert_int_equal(vlapic_set_base(&lapic, LAPIC_BASE | modes[to]), allowed[from][to]);
			assert_int_equal(lapic.apic_base & (EN | EXTD), modes[allowed[from][to] ? to : from]);
		}
	lapic_start(1);
	assert_false(vlapic_set_base(&lapic, LAPIC_BASE | EN | 1));
	assert_false(vlapic_set_base(&lapic, LAPIC_BASE | EN | BIT(9)));
	assert_false(vlapic_set_base(&lapic, (LAPIC_BASE + 0x1000) | EN));
	assert_false(vlapic_set_base(&lapic, LAPIC_BASE | EN | BIT(52)));
	assert_int_equal(seen.mode_changes, 0);
}

static void x2apic_keeps_state_and_derives_ids(void **state)
{
	(void)state;
	lapic_start_enabled(0x25, false);
	vlapic_mmio_write(&lapic, VLAPIC_TPR, 0x30);
	vlapic_mmio_write(&lapic, VLAPIC_LDR, 0xff000000);
	assert_true(vlapic_set_base(&lapic, lapic.apic_base | EXTD));
	assert_int_equal(lapic_rdmsr(VLAPIC_ID), 0x25);
	assert_int_equal(lapic_rdmsr(VLAPIC_LDR), 2u << 16 | 1u << 5);
	assert_int_equal(lapic_rdmsr(VLAPIC_TPR), 0x30);
	assert_false(lapic_wrmsr(VLAPIC_LDR, 0));
	assert_false(lapic_wrmsr(VLAPIC_ID, 0));
	/* INIT keeps the mode; disabling loses the state. */
	vlapic_reset(&lapic, true);
	assert_true(vlapic_x2apic(&lapic));
	assert_int_equal(lapic_rdmsr(VLAPIC_ID), 0x25);
	assert_int_equal(lapic_rdmsr(VLAPIC_TPR), 0);
	assert_true(vlapic_set_base(&lapic, LAPIC_BASE));
	assert_true(vlapic_takes_extint(&lapic));
	assert_true(vlapic_set_base(&lapic, LAPIC_BASE | EN));
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_ID), 0x25u << 24);
	assert_int_equal(seen.mode_changes, 3);
}

static void x2apic_faults(void **state)
{
	uint64_t v;
	(void)state;
	lapic_start_enabled(0, false);
	assert_false(vlapic_msr_read(&lapic, X2_MSR(VLAPIC_TPR), &v));
	assert_false(lapic_wrmsr(VLAPIC_EOI, 0));

	lapic_start_enabled(0, true);
	assert_false(lapic_wrmsr(VLAPIC_EOI, 1));
	assert_false(lapic_wrmsr(VLAPIC_TPR, 0x100));
	assert_false(lapic_wrmsr(VLAPIC_SVR, 0x1000));
	assert_false(lapic_wrmsr(VLAPIC_ESR, 1));
	assert_true(lapic_wrmsr(VLAPIC_ESR, 0));
	assert_false(lapic_wrmsr(VLAPIC_DFR, 0));
	assert_false(lapic_wrmsr(VLAPIC_ICR_HIGH, 0));
	assert_false(lapic_wrmsr(VLAPIC_LVT_CMCI, 0));
	assert_false(lapic_wrmsr(VLAPIC_LVT_TIMER, BIT(19)));
	assert_false(lapic_wrmsr(VLAPIC_LVT_ERROR, BIT(32)));
	/* Delivery status is read-only, not reserved. */
	assert_true(lapic_wrmsr(VLAPIC_LVT_TIMER, BIT(12) | 0x40));
	assert_int_equal(lapic_rdmsr(VLAPIC_LVT_TIMER), 0x40);
	assert_false(lapic_wrmsr(VLAPIC_TIMER_DIVIDE, 4));
	assert_false(lapic_wrmsr(VLAPIC_SELF_IPI, 0x100));
	assert_false(lapic_wrmsr(VLAPIC_ICR, BIT(13) | 0x40));
	assert_false(lapic_wrmsr(VLAPIC_ICR, BIT(16) | 0x40));
	assert_false(lapic_wrmsr(VLAPIC_ICR, BIT(31) | 0x40));
	assert_false(vlapic_msr_read(&lapic, X2_MSR(VLAPIC_EOI), &v));
	assert_false(vlapic_msr_read(&lapic, X2_MSR(VLAPIC_SELF_IPI), &v));
	assert_false(vlapic_msr_read(&lapic, X2_MSR(VLAPIC_ICR_HIGH), &v));
	for (uint32_t msr = 0x840; msr <= 0x8ff; msr++) {
		assert_false(vlapic_msr_read(&lapic, msr, &v));
		assert_false(vlapic_msr_write(&lapic, msr, 0));
	}
	assert_int_equal(seen.sends, 0);
}

static void software_disable_masks(void **state)
{
	(void)state;
	lapic_start_enabled(0, false);
	vlapic_mmio_write(&lapic, VLAPIC_LVT_TIMER, 0x40);
	vlapic_mmio_write(&lapic, VLAPIC_LVT_LINT0, 0x700);
	assert_true(vlapic_takes_extint(&lapic));
	lapic_post(0x50, false);
	assert_true(vlapic_sync_posted(&lapic));
	vlapic_mmio_write(&lapic, VLAPIC_SVR, 0xff);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_LVT_TIMER), 0x10040);
	assert_false(vlapic_takes_extint(&lapic));
	vlapic_mmio_write(&lapic, VLAPIC_LVT_TIMER, 0x41);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_LVT_TIMER), 0x10041);
	/* What was accepted stays, nothing new is. */
	lapic_post(0x60, false);
	vlapic_sync_posted(&lapic);
	assert_int_equal(vlapic_pending_vector(&lapic), 0x50);
	vlapic_mmio_write(&lapic, VLAPIC_SVR, 0x1ff);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_LVT_TIMER), 0x10041);
}

static void xapic_registers(void **state)
{
	(void)state;
	lapic_start_enabled(2, false);
	vlapic_mmio_write(&lapic, VLAPIC_ID, 0x77000000);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_ID), 2u << 24);
	vlapic_mmio_write(&lapic, VLAPIC_VERSION, 0);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_VERSION), 0x50014);
	vlapic_mmio_write(&lapic, VLAPIC_LDR, 0x12345678);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_LDR), 0x12000000);
	vlapic_mmio_write(&lapic, VLAPIC_DFR, 0);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_DFR), 0x0fffffff);
	vlapic_mmio_write(&lapic, VLAPIC_ICR_HIGH, 0x05ffffff);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_ICR_HIGH), 0x05000000);
	vlapic_mmio_write(&lapic, VLAPIC_LVT_LINT0, 0xffffffff);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_LVT_LINT0), 0x1a7ff);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_TPR + 4), 0);
	vlapic_mmio_write(&lapic, VLAPIC_TPR + 4, 0xff);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_TPR), 0);
	assert_int_equal(lapic.esr_pending, 0);
	/* A register that is not there: ESR bit 7 after a write to ESR, and the error interrupt once. */
	vlapic_mmio_write(&lapic, VLAPIC_LVT_ERROR, 0xfe);
	assert_int_equal(vlapic_mmio_read(&lapic, 0x3f0), 0);
	assert_int_equal(vlapic_pending_vector(&lapic), 0xfe);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_ESR), 0);
	vlapic_accept(&lapic, 0xfe);
	vlapic_eoi(&lapic);
	vlapic_mmio_write(&lapic, 0xf00, 1);
	assert_int_equal(vlapic_pending_vector(&lapic), -1);
	vlapic_mmio_write(&lapic, VLAPIC_ESR, 0);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_ESR), 0x80);
	vlapic_mmio_write(&lapic, VLAPIC_ESR, 0);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_ESR), 0);
}

/* The CPU has stored the raw value in the lapic_page and exits for the effect. */
static void apic_write_exits(void **state)
{
	(void)state;
	lapic_start_enabled(2, false);
	*(uint32_t *)(void *)(lapic_page + VLAPIC_ID) = 0xff;
	vlapic_apic_write(&lapic, VLAPIC_ID);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_ID), 2u << 24);
	*(uint32_t *)(void *)(lapic_page + VLAPIC_LVT_TIMER) = 0xfffd00ec; /* TSC-deadline */
	vlapic_apic_write(&lapic, VLAPIC_LVT_TIMER);
	assert_int_equal(vlapic_mmio_read(&lapic, VLAPIC_LVT_TIMER), 0x500ec);
	vlapic_set_tsc_deadline(&lapic, 5000);
	assert_int_equal(lapic.timer_deadline, 5000);
	*(uint32_t *)(void *)(lapic_page + VLAPIC_ICR_HIGH) = 0x07000000;
	*(uint32_t *)(void *)(lapic_page + VLAPIC_ICR) = 0x000040f1;
	vlapic_apic_write(&lapic, VLAPIC_ICR);
	assert_int_equal(seen.sends, 1);
	assert_int_equal(seen.msg.dest, 7);
	assert_int_equal(seen.msg.vector, 0xf1);

	lapic_start_enabled(2, true);
	*(uint32_t *)(void *)(lapic_page + VLAPIC_SELF_IPI) = 0x81;
	vlapic_apic_write(&lapic, VLAPIC_SELF_IPI);
	assert_int_equal(vlapic_pending_vector(&lapic), 0x81);
	*(uint32_t *)(void *)(lapic_page + VLAPIC_ICR) = 0xf2;
	*(uint32_t *)(void *)(lapic_page + VLAPIC_ICR + 4) = 9;
	vlapic_apic_write(&lapic, VLAPIC_ICR);
	assert_int_equal(seen.msg.dest, 9);
}

static void posting(void **state)
{
	(void)state;
	lapic_start_enabled(0, true);
	assert_false(vlapic_sync_posted(&lapic));
	lapic_post(0x31, false);
	lapic_post(0xf0, false);
	assert_int_equal(seen.kicks, 1); /* the second finds the notification outstanding */
	assert_false(vlapic_needs_exit(&lapic));
	assert_true(vlapic_sync_posted(&lapic));
	assert_int_equal(vlapic_highest_irr(&lapic), 0xf0);
	lapic_post(0x41, true);
	assert_int_equal(seen.kicks, 2);
	assert_true(vlapic_needs_exit(&lapic));
	lapic.eoi_exit_dirty = false;
	assert_true(vlapic_sync_posted(&lapic));
	assert_true(lapic.eoi_exit_dirty);
	assert_int_equal(lapic.eoi_exit[1], BIT(0x41 - 64));
	assert_int_equal(lapic_rdmsr(VLAPIC_TMR + 32), 2);
	vlapic_accept(&lapic, 0xf0);
	vlapic_eoi(&lapic);
	assert_int_equal(seen.eois, 0);
	vlapic_accept(&lapic, 0x41);
	vlapic_eoi(&lapic);
	assert_int_equal(seen.eois, 1);
	assert_int_equal(seen.eoi, 0x41);
	/* The same vector as an edge later: TMR follows. */
	lapic_post(0x41, false);
	vlapic_sync_posted(&lapic);
	assert_int_equal(lapic.eoi_exit[1], 0);
	/* An illegal vector is the receiver's error. */
	lapic_post(5, false);
	vlapic_sync_posted(&lapic);
	assert_true(lapic_wrmsr(VLAPIC_ESR, 0));
	assert_int_equal(lapic_rdmsr(VLAPIC_ESR), 0x40);
}

static void init_sipi_nmi_extint(void **state)
{
	(void)state;
	lapic_start_enabled(0, true);
	struct apic_msg m = { .mode = APIC_SIPI, .vector = 0x9a, .assert = true };
	vlapic_post(&lapic, &m);
	assert_int_equal(lapic.events, VLAPIC_PENDING_SIPI);
	assert_int_equal(lapic.sipi_vector, 0x9a);
	m.mode = APIC_INIT;
	vlapic_post(&lapic, &m);
	assert_int_equal(lapic.events, VLAPIC_PENDING_INIT);
	m.mode = APIC_NMI;
	vlapic_post(&lapic, &m);
	assert_int_equal(lapic.events, VLAPIC_PENDING_INIT | VLAPIC_PENDING_NMI);
	assert_int_equal(seen.kicks, 3);
	m.mode = APIC_EXTINT;
	vlapic_post(&lapic, &m);
	vlapic_sync_posted(&lapic);
	assert_true(vlapic_takes_extint(&lapic));
	vlapic_extint_taken(&lapic);
	assert_false(vlapic_takes_extint(&lapic));
	/* Off: nothing comes through. */
	lapic.events = 0;
	assert_true(vlapic_set_base(&lapic, LAPIC_BASE));
	m.mode = APIC_NMI;
	vlapic_post(&lapic, &m);
	assert_int_equal(lapic.events, 0);
}

static void local_pins(void **state)
{
	(void)state;
	lapic_start_enabled(0, true);
	assert_true(lapic_wrmsr(VLAPIC_LVT_LINT0, 0x66));
	assert_true(lapic_wrmsr(VLAPIC_LVT_LINT1, 0x400));
	vlapic_post_lint(&lapic, 0);
	vlapic_post_lint(&lapic, 1);
	vlapic_sync_posted(&lapic);
	assert_int_equal(vlapic_pending_vector(&lapic), 0x66);
	assert_int_equal(lapic.events, VLAPIC_PENDING_NMI);
	assert_true(lapic_wrmsr(VLAPIC_LVT_LINT0, 0x700));
	vlapic_post_lint(&lapic, 0);
	vlapic_sync_posted(&lapic);
	assert_int_equal(lapic.esr_pending, 0);
	assert_true(vlapic_takes_extint(&lapic));
}

/* A plain model of IRR, ISR and priorities. */
struct model {
	bool irr[256], isr[256], level[256];
	unsigned tpr;
};

static int top(const bool *set)
{
	for (int v = 255; v >= 0; v--)
		if (set[v])
			return v;
	return -1;
}

static unsigned model_ppr(const struct model *m)
{
	int isrv = top(m->isr);
	unsigned isr_class = isrv < 0 ? 0 : (unsigned)isrv & 0xf0;

	return (m->tpr & 0xf0) >= isr_class ? m->tpr : isr_class;
}

static int model_pending(const struct model *m)
{
	int v = top(m->irr);

	return v >= 0 && ((unsigned)v & 0xf0) > (model_ppr(m) & 0xf0) ? v : -1;
}

static void check_model(const struct model *m, bool x2)
{
	for (unsigned v = 0; v < 256; v++) {
		uint32_t o = v / 32 * 16, bit = 1u << v % 32;

		assert_int_equal(!!(*(uint32_t *)(void *)(lapic_page + VLAPIC_IRR + o) & bit), m->irr[v]);
		assert_int_equal(!!(*(uint32_t *)(void *)(lapic_page + VLAPIC_ISR + o) & bit), m->isr[v]);
		assert_int_equal(!!(*(uint32_t *)(void *)(lapic_page + VLAPIC_TMR + o) & bit), m->level[v]);
		assert_int_equal(lapic.eoi_exit[v / 64] >> v % 64 & 1, m->level[v]);
	}
	assert_int_equal(x2 ? lapic_rdmsr(VLAPIC_PPR) : vlapic_mmio_read(&lapic, VLAPIC_PPR), model_ppr(m));
	assert_int_equal(vlapic_highest_irr(&lapic), top(m->irr));
	assert_int_equal(vlapic_highest_isr(&lapic), top(m->isr));
	assert_int_equal(vlapic_pending_vector(&lapic), model_pending(m));
}

static void model_eoi(struct model *m)
{
	int v = top(m->isr);
	unsigned before = seen.eois;

	vlapic_eoi(&lapic);
	if (v < 0)
		return;
	m->isr[v] = false;
	assert_int_equal(seen.eois - before, m->level[v]);
	if (m->level[v])
		assert_int_equal(seen.eoi, v);
}

static void random_step(struct model *m, bool x2, uint64_t *seed)
{
	uint64_t r = test_random(seed);
	uint8_t vector = (uint8_t)(16 + r / 16 % 240);
	bool level = r >> 40 & 1;
	int pending;

	switch (r % 6) {
	case 0:
	case 1:
		lapic_post(vector, level);
		vlapic_sync_posted(&lapic);
		m->irr[vector] = true;
		m->level[vector] = level;
		break;
	case 2:
		m->tpr = r >> 32 & (r >> 48 & 1 ? 0xff : 0x3f);
		if (x2)
			assert_true(lapic_wrmsr(VLAPIC_TPR, m->tpr));
		else
			vlapic_mmio_write(&lapic, VLAPIC_TPR, m->tpr);
		break;
	case 3:
		model_eoi(m);
		break;
	default:
		pending = vlapic_pending_vector(&lapic);
		assert_int_equal(pending, model_pending(m));
		if (pending < 0)
			break;
		vlapic_accept(&lapic, (uint8_t)pending);
		m->irr[pending] = false;
		m->isr[pending] = true;
		break;
	}
}

static void priorities_follow_the_model(void **state)
{
	(void)state;
	for (unsigned x2 = 0; x2 < 2; x2++) {
		struct model m = { .tpr = 0 };
		uint64_t seed = 7 + x2;

		lapic_start_enabled(1, x2);
		for (unsigned i = 0; i < 20000; i++) {
			random_step(&m, x2, &seed);
			check_model(&m, x2);
		}
	}
}

/* Anything may be written anywhere: read-only state holds and nothing breaks. */
static void any_write_is_survived(void **state)
{
	uint64_t seed = 99, v;
	(void)state;

	for (unsigned x2 = 0; x2 < 2; x2++) {
		lapic_start_enabled(1, x2);
		for (unsigned i = 0; i < 300000; i++) {
			uint64_t r = test_random(&seed), value = test_random(&seed) >> r % 64;

			lapic_tsc += r % 100000;
			vlapic_timer_expired(&lapic, lapic_tsc);
			vlapic_sync_posted(&lapic);
			if (x2) {
				vlapic_msr_write(&lapic, 0x800 + (r >> 8) % 0x100, value);
				vlapic_msr_read(&lapic, 0x800 + (r >> 8) % 0x100, &v);
			} else if (r & 16) {
				vlapic_mmio_write(&lapic, (r >> 8) & 0xfff, (uint32_t)value);
				vlapic_mmio_read(&lapic, (r >> 8) & 0xfff);
			} else {
				uint32_t offset = VLAPIC_LVT_TIMER + (r >> 8 & 0xf0);

				*(uint32_t *)(void *)(lapic_page + offset) = (uint32_t)value;
				vlapic_apic_write(&lapic, offset);
			}
			if (r & 32)
				vlapic_set_tsc_deadline(&lapic, value);
			int pending = vlapic_pending_vector(&lapic);
			if (pending >= 0)
				vlapic_accept(&lapic, (uint8_t)pending);
			assert_true(pending < 0 || pending >= 16);
			assert_int_equal(*(uint32_t *)(void *)(lapic_page + VLAPIC_ID), x2 ? 1 : 1u << 24);
		}
	}
}

static uint64_t pir(uint8_t vector) { return lapic.posted->pir[vector / 64] >> (vector & 63) & 1; }

static void start_remote(void)
{
	lapic_start(2);
	lapic.remote = true;
	vlapic_init(&lapic, 2, false, &lapic_host, NULL);
	assert_true(vlapic_remote_msr_write(&lapic, X2_MSR(VLAPIC_SVR), 0x1ff));
}

/* Whatever interrupts, it goes into the descriptor and nowhere else. */
static void remote_delivery(void **state)
{
	(void)state;
	start_remote();
	assert_true(vlapic_x2apic(&lapic));
	assert_false(vlapic_remote_pending(&lapic));
	lapic_post(0x41, false);
	lapic_post(0x42, true); /* an edge to whoever delivers */
	assert_true(vlapic_remote_msr_write(&lapic, X2_MSR(VLAPIC_ICR), 1u << 18 | 0x43)); /* self */
	assert_true(vlapic_remote_msr_write(&lapic, X2_MSR(VLAPIC_LVT_TIMER), 2u << 17 | 0x44));
	vlapic_set_tsc_deadline(&lapic, 100);
	vlapic_timer_expired(&lapic, 100);
	for (uint8_t v = 0x41; v <= 0x44; v++)
		assert_true(pir(v));
	assert_true(vlapic_remote_pending(&lapic));
	vlapic_sync_posted(&lapic);
	assert_true(pir(0x41) && vlapic_remote_pending(&lapic)); /* not ours to take */
	assert_int_equal(vlapic_highest_irr(&lapic), -1);
	vlapic_post(&lapic, &(struct apic_msg){ .mode = APIC_INIT, .assert = true });
	vlapic_post(&lapic, &(struct apic_msg){ .mode = APIC_SIPI, .vector = 8 });
	vlapic_post(&lapic, &(struct apic_msg){ .mode = APIC_EXTINT });
	assert_false(vlapic_needs_exit(&lapic));
	vlapic_post(&lapic, &(struct apic_msg){ .mode = APIC_NMI });
	assert_true(lapic.events == VLAPIC_PENDING_NMI);
	vlapic_reset(&lapic, false);
	assert_true(vlapic_x2apic(&lapic) && !vlapic_remote_pending(&lapic) && !pir(0x41));
}

/* Registers of the deliverer's are refused, the mode stays, all others are as they are for other guests. */
static void remote_registers(void **state)
{
	uint64_t value;

	(void)state;
	start_remote();
	for (uint32_t o = 0; o < 0x1000; o += 16) {
		bool deliverers = o == VLAPIC_TPR || o == VLAPIC_PPR || o == VLAPIC_EOI || o == VLAPIC_SELF_IPI ||
				  (o >= VLAPIC_ISR && o < VLAPIC_ESR);
		uint64_t plain;

		assert_int_equal(vlapic_remote_msr_read(&lapic, X2_MSR(o), &value),
				 !deliverers && vlapic_msr_read(&lapic, X2_MSR(o), &plain));
		if (deliverers)
			assert_false(vlapic_remote_msr_write(&lapic, X2_MSR(o), 0));
	}
	assert_true(vlapic_set_base(&lapic, lapic.apic_base));
	assert_false(vlapic_set_base(&lapic, lapic.apic_base & ~EXTD));
	assert_false(vlapic_set_base(&lapic, LAPIC_BASE));
	assert_int_equal(seen.mode_changes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(power_on_state),
		cmocka_unit_test(mode_transitions),
		cmocka_unit_test(x2apic_keeps_state_and_derives_ids),
		cmocka_unit_test(x2apic_faults),
		cmocka_unit_test(software_disable_masks),
		cmocka_unit_test(xapic_registers),
		cmocka_unit_test(apic_write_exits),
		cmocka_unit_test(posting),
		cmocka_unit_test(init_sipi_nmi_extint),
		cmocka_unit_test(local_pins),
		cmocka_unit_test(priorities_follow_the_model),
		cmocka_unit_test(any_write_is_survived),
		cmocka_unit_test(remote_delivery),
		cmocka_unit_test(remote_registers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
