/* sources: hv/devices/vlapic.c hv/devices/vlapic_regs.c hv/devices/vlapic_post.c hv/devices/vlapic_ipi.c hv/devices/vlapic_timer.c */
#include "hv/devices/vlapic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/random.h"
#include "tests/unit/support/support.h"

#define BASE 0xfee00000ul
#define EN VLAPIC_BASE_EN
#define EXTD VLAPIC_BASE_EXTD
#define X2(offset) (0x800 + (offset) / 16)
#define TSC_HZ 2000000000ul
#define TIMER_HZ 1000000000ul

static uint8_t page[4096] __attribute__((aligned(4096)));
static struct posted_desc posted;
static struct vlapic apic;

static uint64_t tsc;
static unsigned kicks, eois, sends, mode_changes;
static uint8_t last_eoi;
static struct apic_msg last_msg;
static enum vlapic_shorthand last_shorthand;

static void on_send(void *ctx, const struct apic_msg *m, enum vlapic_shorthand shorthand)
{
	(void)ctx;
	sends++;
	last_msg = *m;
	last_shorthand = shorthand;
}

static void on_eoi(void *ctx, uint8_t vector)
{
	(void)ctx;
	eois++;
	last_eoi = vector;
}

static uint64_t on_tsc(void *ctx)
{
	(void)ctx;
	return tsc;
}

static void on_kick(void *ctx)
{
	(void)ctx;
	kicks++;
}

static void on_mode(void *ctx)
{
	(void)ctx;
	mode_changes++;
}

static const struct vlapic_host host = { on_send, on_eoi, on_tsc, on_kick, on_mode };

static void start(uint32_t id)
{
	memset(&apic, 0, sizeof(apic));
	memset(&posted, 0, sizeof(posted));
	apic.regs = page;
	apic.posted = &posted;
	apic.tsc_hz = TSC_HZ;
	apic.timer_hz = TIMER_HZ;
	tsc = 1000;
	kicks = eois = sends = mode_changes = 0;
	vlapic_init(&apic, id, true, &host, NULL);
}

/* Software-enabled, in xAPIC or x2APIC mode. */
static void start_enabled(uint32_t id, bool x2)
{
	start(id);
	if (x2)
		assert_true(vlapic_set_base(&apic, apic.apic_base | EXTD));
	if (x2)
		assert_true(vlapic_msr_write(&apic, X2(VLAPIC_SVR), 0x1ff));
	else
		vlapic_mmio_write(&apic, VLAPIC_SVR, 0x1ff);
}

static uint64_t rdx2(uint32_t offset)
{
	uint64_t v = 0;

	assert_true(vlapic_msr_read(&apic, X2(offset), &v));
	return v;
}

static bool wrx2(uint32_t offset, uint64_t v) { return vlapic_msr_write(&apic, X2(offset), v); }

static void post(uint8_t vector, bool level)
{
	vlapic_post(&apic, &(struct apic_msg){ .vector = vector, .level_triggered = level, .assert = true });
}

static void power_on_state(void **state)
{
	(void)state;
	start(3);
	assert_int_equal(apic.apic_base, BASE | EN | VLAPIC_BASE_BSP);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_ID), 3u << 24);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_VERSION), 0x50014);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_SVR), 0xff);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_DFR), 0xffffffff);
	for (uint32_t o = VLAPIC_LVT_TIMER; o <= VLAPIC_LVT_ERROR; o += 16)
		assert_int_equal(vlapic_mmio_read(&apic, o), 0x10000);
	assert_false(vlapic_enabled(&apic));
	assert_false(vlapic_x2apic(&apic));
	assert_false(vlapic_takes_extint(&apic));
	assert_int_equal(vlapic_pending_vector(&apic), -1);
	vlapic_virtual_wire(&apic);
	assert_true(vlapic_takes_extint(&apic));
	assert_true(vlapic_enabled(&apic));
	apic.tsc_hz = 0;
	assert_true(EXPECT_PANIC(vlapic_init(&apic, 0, false, &host, NULL)));
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
			start(1);
			if (from != 1)
				assert_true(vlapic_set_base(&apic, BASE | modes[from]));
			assert_int_equal(vlapic_set_base(&apic, BASE | modes[to]), allowed[from][to]);
			assert_int_equal(apic.apic_base & (EN | EXTD), modes[allowed[from][to] ? to : from]);
		}
	start(1);
	assert_false(vlapic_set_base(&apic, BASE | EN | 1));
	assert_false(vlapic_set_base(&apic, BASE | EN | BIT(9)));
	assert_false(vlapic_set_base(&apic, (BASE + 0x1000) | EN));
	assert_false(vlapic_set_base(&apic, BASE | EN | BIT(52)));
	assert_int_equal(mode_changes, 0);
}

static void x2apic_keeps_state_and_derives_ids(void **state)
{
	(void)state;
	start_enabled(0x25, false);
	vlapic_mmio_write(&apic, VLAPIC_TPR, 0x30);
	vlapic_mmio_write(&apic, VLAPIC_LDR, 0xff000000);
	assert_true(vlapic_set_base(&apic, apic.apic_base | EXTD));
	assert_int_equal(rdx2(VLAPIC_ID), 0x25);
	assert_int_equal(rdx2(VLAPIC_LDR), 2u << 16 | 1u << 5);
	assert_int_equal(rdx2(VLAPIC_TPR), 0x30);
	assert_false(wrx2(VLAPIC_LDR, 0));
	assert_false(wrx2(VLAPIC_ID, 0));
	/* INIT keeps the mode; disabling loses the state. */
	vlapic_reset(&apic, true);
	assert_true(vlapic_x2apic(&apic));
	assert_int_equal(rdx2(VLAPIC_ID), 0x25);
	assert_int_equal(rdx2(VLAPIC_TPR), 0);
	assert_true(vlapic_set_base(&apic, BASE));
	assert_true(vlapic_takes_extint(&apic));
	assert_true(vlapic_set_base(&apic, BASE | EN));
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_ID), 0x25u << 24);
	assert_int_equal(mode_changes, 3);
}

static void x2apic_faults(void **state)
{
	uint64_t v;
	(void)state;
	start_enabled(0, false);
	assert_false(vlapic_msr_read(&apic, X2(VLAPIC_TPR), &v));
	assert_false(wrx2(VLAPIC_EOI, 0));

	start_enabled(0, true);
	assert_false(wrx2(VLAPIC_EOI, 1));
	assert_false(wrx2(VLAPIC_TPR, 0x100));
	assert_false(wrx2(VLAPIC_SVR, 0x1000));
	assert_false(wrx2(VLAPIC_ESR, 1));
	assert_true(wrx2(VLAPIC_ESR, 0));
	assert_false(wrx2(VLAPIC_DFR, 0));
	assert_false(wrx2(VLAPIC_ICR_HIGH, 0));
	assert_false(wrx2(VLAPIC_LVT_CMCI, 0));
	assert_false(wrx2(VLAPIC_LVT_TIMER, BIT(19)));
	assert_false(wrx2(VLAPIC_LVT_ERROR, BIT(32)));
	assert_true(wrx2(VLAPIC_LVT_TIMER, BIT(12) | 0x40)); /* delivery status is read-only, not reserved */
	assert_int_equal(rdx2(VLAPIC_LVT_TIMER), 0x40);
	assert_false(wrx2(VLAPIC_TIMER_DIVIDE, 4));
	assert_false(wrx2(VLAPIC_SELF_IPI, 0x100));
	assert_false(wrx2(VLAPIC_ICR, BIT(13) | 0x40));
	assert_false(wrx2(VLAPIC_ICR, BIT(16) | 0x40));
	assert_false(wrx2(VLAPIC_ICR, BIT(31) | 0x40));
	assert_false(vlapic_msr_read(&apic, X2(VLAPIC_EOI), &v));
	assert_false(vlapic_msr_read(&apic, X2(VLAPIC_SELF_IPI), &v));
	assert_false(vlapic_msr_read(&apic, X2(VLAPIC_ICR_HIGH), &v));
	for (uint32_t msr = 0x840; msr <= 0x8ff; msr++) {
		assert_false(vlapic_msr_read(&apic, msr, &v));
		assert_false(vlapic_msr_write(&apic, msr, 0));
	}
	assert_int_equal(sends, 0);
}

static void software_disable_masks(void **state)
{
	(void)state;
	start_enabled(0, false);
	vlapic_mmio_write(&apic, VLAPIC_LVT_TIMER, 0x40);
	vlapic_mmio_write(&apic, VLAPIC_LVT_LINT0, 0x700);
	assert_true(vlapic_takes_extint(&apic));
	post(0x50, false);
	assert_true(vlapic_sync_posted(&apic));
	vlapic_mmio_write(&apic, VLAPIC_SVR, 0xff);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_LVT_TIMER), 0x10040);
	assert_false(vlapic_takes_extint(&apic));
	vlapic_mmio_write(&apic, VLAPIC_LVT_TIMER, 0x41);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_LVT_TIMER), 0x10041);
	/* What was accepted stays, nothing new is. */
	post(0x60, false);
	vlapic_sync_posted(&apic);
	assert_int_equal(vlapic_pending_vector(&apic), 0x50);
	vlapic_mmio_write(&apic, VLAPIC_SVR, 0x1ff);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_LVT_TIMER), 0x10041);
}

static void xapic_registers(void **state)
{
	(void)state;
	start_enabled(2, false);
	vlapic_mmio_write(&apic, VLAPIC_ID, 0x77000000);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_ID), 2u << 24);
	vlapic_mmio_write(&apic, VLAPIC_VERSION, 0);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_VERSION), 0x50014);
	vlapic_mmio_write(&apic, VLAPIC_LDR, 0x12345678);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_LDR), 0x12000000);
	vlapic_mmio_write(&apic, VLAPIC_DFR, 0);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_DFR), 0x0fffffff);
	vlapic_mmio_write(&apic, VLAPIC_ICR_HIGH, 0x05ffffff);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_ICR_HIGH), 0x05000000);
	vlapic_mmio_write(&apic, VLAPIC_LVT_LINT0, 0xffffffff);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_LVT_LINT0), 0x1a7ff);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_TPR + 4), 0);
	vlapic_mmio_write(&apic, VLAPIC_TPR + 4, 0xff);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_TPR), 0);
	assert_int_equal(apic.esr_pending, 0);
	/* A register that is not there: ESR bit 7 after a write to ESR, and the error interrupt once. */
	vlapic_mmio_write(&apic, VLAPIC_LVT_ERROR, 0xfe);
	assert_int_equal(vlapic_mmio_read(&apic, 0x3f0), 0);
	assert_int_equal(vlapic_pending_vector(&apic), 0xfe);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_ESR), 0);
	vlapic_accept(&apic, 0xfe);
	vlapic_eoi(&apic);
	vlapic_mmio_write(&apic, 0xf00, 1);
	assert_int_equal(vlapic_pending_vector(&apic), -1);
	vlapic_mmio_write(&apic, VLAPIC_ESR, 0);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_ESR), 0x80);
	vlapic_mmio_write(&apic, VLAPIC_ESR, 0);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_ESR), 0);
}

/* The CPU has stored the raw value in the page and exits for the effect. */
static void apic_write_exits(void **state)
{
	(void)state;
	start_enabled(2, false);
	*(uint32_t *)(void *)(page + VLAPIC_ID) = 0xff;
	vlapic_apic_write(&apic, VLAPIC_ID);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_ID), 2u << 24);
	*(uint32_t *)(void *)(page + VLAPIC_LVT_TIMER) = 0xfffd00ec; /* TSC-deadline */
	vlapic_apic_write(&apic, VLAPIC_LVT_TIMER);
	assert_int_equal(vlapic_mmio_read(&apic, VLAPIC_LVT_TIMER), 0x500ec);
	vlapic_set_tsc_deadline(&apic, 5000);
	assert_int_equal(apic.timer_deadline, 5000);
	*(uint32_t *)(void *)(page + VLAPIC_ICR_HIGH) = 0x07000000;
	*(uint32_t *)(void *)(page + VLAPIC_ICR) = 0x000040f1;
	vlapic_apic_write(&apic, VLAPIC_ICR);
	assert_int_equal(sends, 1);
	assert_int_equal(last_msg.dest, 7);
	assert_int_equal(last_msg.vector, 0xf1);

	start_enabled(2, true);
	*(uint32_t *)(void *)(page + VLAPIC_SELF_IPI) = 0x81;
	vlapic_apic_write(&apic, VLAPIC_SELF_IPI);
	assert_int_equal(vlapic_pending_vector(&apic), 0x81);
	*(uint32_t *)(void *)(page + VLAPIC_ICR) = 0xf2;
	*(uint32_t *)(void *)(page + VLAPIC_ICR + 4) = 9;
	vlapic_apic_write(&apic, VLAPIC_ICR);
	assert_int_equal(last_msg.dest, 9);
}

static void posting(void **state)
{
	(void)state;
	start_enabled(0, true);
	assert_false(vlapic_sync_posted(&apic));
	post(0x31, false);
	post(0xf0, false);
	assert_int_equal(kicks, 1); /* the second finds the notification outstanding */
	assert_false(vlapic_needs_exit(&apic));
	assert_true(vlapic_sync_posted(&apic));
	assert_int_equal(vlapic_highest_irr(&apic), 0xf0);
	post(0x41, true);
	assert_int_equal(kicks, 2);
	assert_true(vlapic_needs_exit(&apic));
	apic.eoi_exit_dirty = false;
	assert_true(vlapic_sync_posted(&apic));
	assert_true(apic.eoi_exit_dirty);
	assert_int_equal(apic.eoi_exit[1], BIT(0x41 - 64));
	assert_int_equal(rdx2(VLAPIC_TMR + 32), 2);
	vlapic_accept(&apic, 0xf0);
	vlapic_eoi(&apic);
	assert_int_equal(eois, 0);
	vlapic_accept(&apic, 0x41);
	vlapic_eoi(&apic);
	assert_int_equal(eois, 1);
	assert_int_equal(last_eoi, 0x41);
	/* The same vector as an edge later: TMR follows. */
	post(0x41, false);
	vlapic_sync_posted(&apic);
	assert_int_equal(apic.eoi_exit[1], 0);
	/* An illegal vector is the receiver's error. */
	post(5, false);
	vlapic_sync_posted(&apic);
	assert_true(wrx2(VLAPIC_ESR, 0));
	assert_int_equal(rdx2(VLAPIC_ESR), 0x40);
}

static void init_sipi_nmi_extint(void **state)
{
	(void)state;
	start_enabled(0, true);
	struct apic_msg m = { .mode = APIC_SIPI, .vector = 0x9a, .assert = true };
	vlapic_post(&apic, &m);
	assert_int_equal(apic.events, VLAPIC_PENDING_SIPI);
	assert_int_equal(apic.sipi_vector, 0x9a);
	m.mode = APIC_INIT;
	vlapic_post(&apic, &m);
	assert_int_equal(apic.events, VLAPIC_PENDING_INIT);
	m.mode = APIC_NMI;
	vlapic_post(&apic, &m);
	assert_int_equal(apic.events, VLAPIC_PENDING_INIT | VLAPIC_PENDING_NMI);
	assert_int_equal(kicks, 3);
	m.mode = APIC_EXTINT;
	vlapic_post(&apic, &m);
	vlapic_sync_posted(&apic);
	assert_true(vlapic_takes_extint(&apic));
	vlapic_extint_taken(&apic);
	assert_false(vlapic_takes_extint(&apic));
	/* Off: nothing comes through. */
	apic.events = 0;
	assert_true(vlapic_set_base(&apic, BASE));
	m.mode = APIC_NMI;
	vlapic_post(&apic, &m);
	assert_int_equal(apic.events, 0);
}

static void local_pins(void **state)
{
	(void)state;
	start_enabled(0, true);
	assert_true(wrx2(VLAPIC_LVT_LINT0, 0x66));
	assert_true(wrx2(VLAPIC_LVT_LINT1, 0x400));
	vlapic_post_lint(&apic, 0);
	vlapic_post_lint(&apic, 1);
	vlapic_sync_posted(&apic);
	assert_int_equal(vlapic_pending_vector(&apic), 0x66);
	assert_int_equal(apic.events, VLAPIC_PENDING_NMI);
	assert_true(wrx2(VLAPIC_LVT_LINT0, 0x700));
	vlapic_post_lint(&apic, 0);
	vlapic_sync_posted(&apic);
	assert_int_equal(apic.esr_pending, 0);
	assert_true(vlapic_takes_extint(&apic));
}

static bool matches(uint32_t dest, bool logical, bool x2)
{
	return vlapic_matches(&apic, &(struct apic_msg){ .dest = dest, .logical = logical, .x2apic_dest = x2 });
}

static void destinations(void **state)
{
	(void)state;
	start(5);
	assert_true(matches(5, false, false));
	assert_false(matches(4, false, false));
	assert_true(matches(0xff, false, false));
	assert_false(matches(0xff, false, true));
	assert_true(matches(0xffffffff, false, true));
	vlapic_mmio_write(&apic, VLAPIC_LDR, 0x20000000);
	assert_true(matches(0x60, true, false));
	assert_false(matches(0x50, true, false));
	assert_true(matches(0xff, true, false));
	assert_false(matches(0x120, true, true));
	/* Cluster 2, member 1. */
	vlapic_mmio_write(&apic, VLAPIC_DFR, 0);
	vlapic_mmio_write(&apic, VLAPIC_LDR, 0x22000000);
	assert_true(matches(0x23, true, false));
	assert_false(matches(0x24, true, false));
	assert_false(matches(0x33, true, false));
	assert_true(matches(0xf2, true, false));

	start_enabled(0x25, true);
	assert_true(matches(0x25, false, true));
	assert_true(matches(2u << 16 | 0x20, true, true));
	assert_false(matches(2u << 16 | 0x10, true, true));
	assert_false(matches(3u << 16 | 0x20, true, true));
	assert_true(matches(0xffffffff, true, true));
	assert_true(vlapic_set_base(&apic, BASE));
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
		vlapic_init(&a[i], i, i == 0, &host, NULL);
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
	start_enabled(3, true);
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
		sends = 0;
		apic.esr_pending = 0;
		memset(page + VLAPIC_IRR, 0, 128);
		assert_int_equal(wrx2(VLAPIC_ICR, (uint64_t)0x1234 << 32 | icr), !reserved);
		if (reserved)
			continue;
		assert_int_equal(sends, sent);
		assert_int_equal(apic.esr_pending, bad_vector ? 0x20 : 0);
		assert_int_equal(vlapic_highest_irr(&apic), self ? vector : -1);
		if (!sent)
			continue;
		assert_int_equal(last_shorthand, shorthand >= 2 ? VLAPIC_ALL_BUT_SELF : VLAPIC_BY_DEST);
		assert_int_equal(last_msg.mode, mode);
		assert_int_equal(last_msg.vector, vector);
		assert_int_equal(last_msg.logical, icr >> 11 & 1);
		assert_int_equal(last_msg.dest, 0x1234);
		assert_true(last_msg.x2apic_dest && last_msg.assert && !last_msg.level_triggered);
	}
	assert_true(wrx2(VLAPIC_ICR, 7ul << 32 | BIT(12) | 0x40));
	assert_int_equal(rdx2(VLAPIC_ICR), 7ul << 32 | 0x40);
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

		assert_int_equal(!!(*(uint32_t *)(void *)(page + VLAPIC_IRR + o) & bit), m->irr[v]);
		assert_int_equal(!!(*(uint32_t *)(void *)(page + VLAPIC_ISR + o) & bit), m->isr[v]);
		assert_int_equal(!!(*(uint32_t *)(void *)(page + VLAPIC_TMR + o) & bit), m->level[v]);
		assert_int_equal(apic.eoi_exit[v / 64] >> v % 64 & 1, m->level[v]);
	}
	assert_int_equal(x2 ? rdx2(VLAPIC_PPR) : vlapic_mmio_read(&apic, VLAPIC_PPR), model_ppr(m));
	assert_int_equal(vlapic_highest_irr(&apic), top(m->irr));
	assert_int_equal(vlapic_highest_isr(&apic), top(m->isr));
	assert_int_equal(vlapic_pending_vector(&apic), model_pending(m));
}

static void model_eoi(struct model *m)
{
	int v = top(m->isr);
	unsigned before = eois;

	vlapic_eoi(&apic);
	if (v < 0)
		return;
	m->isr[v] = false;
	assert_int_equal(eois - before, m->level[v]);
	if (m->level[v])
		assert_int_equal(last_eoi, v);
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
		post(vector, level);
		vlapic_sync_posted(&apic);
		m->irr[vector] = true;
		m->level[vector] = level;
		break;
	case 2:
		m->tpr = r >> 32 & (r >> 48 & 1 ? 0xff : 0x3f);
		if (x2)
			assert_true(wrx2(VLAPIC_TPR, m->tpr));
		else
			vlapic_mmio_write(&apic, VLAPIC_TPR, m->tpr);
		break;
	case 3:
		model_eoi(m);
		break;
	default:
		pending = vlapic_pending_vector(&apic);
		assert_int_equal(pending, model_pending(m));
		if (pending < 0)
			break;
		vlapic_accept(&apic, (uint8_t)pending);
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

		start_enabled(1, x2);
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
		start_enabled(1, x2);
		for (unsigned i = 0; i < 300000; i++) {
			uint64_t r = test_random(&seed), value = test_random(&seed) >> r % 64;

			tsc += r % 100000;
			vlapic_timer_expired(&apic, tsc);
			vlapic_sync_posted(&apic);
			if (x2) {
				vlapic_msr_write(&apic, 0x800 + (r >> 8) % 0x100, value);
				vlapic_msr_read(&apic, 0x800 + (r >> 8) % 0x100, &v);
			} else if (r & 16) {
				vlapic_mmio_write(&apic, (r >> 8) & 0xfff, (uint32_t)value);
				vlapic_mmio_read(&apic, (r >> 8) & 0xfff);
			} else {
				*(uint32_t *)(void *)(page + VLAPIC_LVT_TIMER + ((r >> 8) & 0xf0)) = (uint32_t)value;
				vlapic_apic_write(&apic, VLAPIC_LVT_TIMER + ((r >> 8) & 0xf0));
			}
			if (r & 32)
				vlapic_set_tsc_deadline(&apic, value);
			int pending = vlapic_pending_vector(&apic);
			if (pending >= 0)
				vlapic_accept(&apic, (uint8_t)pending);
			assert_true(pending < 0 || pending >= 16);
			assert_int_equal(*(uint32_t *)(void *)(page + VLAPIC_ID), x2 ? 1 : 1u << 24);
		}
	}
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
		cmocka_unit_test(destinations),
		cmocka_unit_test(arbitration),
		cmocka_unit_test(icr_combinations),
		cmocka_unit_test(priorities_follow_the_model),
		cmocka_unit_test(any_write_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
