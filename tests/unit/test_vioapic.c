/* sources: hv/devices/vioapic.c hv/bus.c hv/base/failure.c hv/base/format.c */
#include "hv/devices/vioapic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/random.h"

#define LEVEL BIT(15)
#define MASKED BIT(16)
#define ACTIVE_LOW BIT(13)
#define REMOTE_IRR BIT(14)

static struct bus bus;
static struct vioapic io;
static struct apic_msg last;
static unsigned sent;

static void on_deliver(void *vm, const struct apic_msg *m)
{
	(void)vm;
	last = *m;
	sent++;
}

static void start(void)
{
	struct apic_bus apics = { on_deliver, NULL };

	bus_init(&bus);
	vioapic_init(&io, 4, &apics);
	assert_int_equal(vioapic_attach(&io, &bus, NULL), 0);
	sent = 0;
}

static void out(unsigned reg, uint32_t value)
{
	assert_true(bus_mmio_write(&bus, GUEST_IOAPIC_BASE + reg, 4, value));
}

static uint32_t in(unsigned reg)
{
	uint64_t v = 0;

	assert_true(bus_mmio_read(&bus, GUEST_IOAPIC_BASE + reg, 4, &v));
	return (uint32_t)v;
}

static void wr(unsigned index, uint32_t value)
{
	out(0, index);
	out(0x10, value);
}

static uint32_t rd(unsigned index)
{
	out(0, index);
	return in(0x10);
}

static void route(unsigned pin, uint64_t entry)
{
	wr(0x11 + 2 * pin, (uint32_t)(entry >> 32));
	wr(0x10 + 2 * pin, (uint32_t)entry);
}

static void set(unsigned pin, bool high)
{
	struct irq_line l = vioapic_line(&io, pin);

	irq_line_set(&l, high);
}

static void identity(void **state)
{
	(void)state;
	start();
	assert_int_equal(rd(0), 4u << 24);
	assert_int_equal(rd(1), 0x00170020);
	assert_int_equal(rd(2), 4u << 24);
	wr(0, 0x2a000000);
	assert_int_equal(rd(0), 0x2a000000);
	wr(1, 0xffffffff);
	assert_int_equal(rd(1), 0x00170020);
	for (unsigned i = 0x10; i < 0x40; i++)
		assert_int_equal(rd(i), i & 1 ? 0 : MASKED);
	assert_int_equal(rd(0x40), 0);
	assert_int_equal(rd(0xff), 0);
}

static void edge_pins(void **state)
{
	(void)state;
	start();
	route(2, 0x30 | 3ul << 56);
	set(2, true);
	assert_int_equal(sent, 1);
	assert_int_equal(last.vector, 0x30);
	assert_int_equal(last.dest, 3);
	assert_false(last.level_triggered);
	set(2, true); /* no change, no edge */
	set(2, false);
	assert_int_equal(sent, 1);
	set(2, true);
	assert_int_equal(sent, 2);
	/* Masked edges are lost. */
	set(2, false);
	route(2, 0x30 | MASKED);
	set(2, true);
	route(2, 0x30);
	assert_int_equal(sent, 2);
	/* Active low: the falling edge counts. */
	route(2, 0x30 | ACTIVE_LOW);
	set(2, false);
	assert_int_equal(sent, 3);
	set(2, true);
	assert_int_equal(sent, 3);
}

static void level_pins(void **state)
{
	(void)state;
	start();
	route(9, 0x41 | LEVEL | BIT(11) | 0xfful << 56);
	set(9, true);
	assert_int_equal(sent, 1);
	assert_true(last.level_triggered && last.logical);
	assert_true(vioapic_entry(&io, 9) & REMOTE_IRR);
	set(9, false);
	set(9, true); /* not before its EOI */
	assert_int_equal(sent, 1);
	vioapic_eoi(&io, 0x40);
	assert_int_equal(sent, 1);
	vioapic_eoi(&io, 0x41);
	assert_int_equal(sent, 2);
	set(9, false);
	out(0x40, 0x41); /* the EOI register does the same */
	assert_int_equal(sent, 2);
	assert_false(vioapic_entry(&io, 9) & REMOTE_IRR);
	/* High while masked: comes when unmasked. */
	route(9, 0x41 | LEVEL | MASKED);
	set(9, true);
	assert_int_equal(sent, 2);
	route(9, 0x41 | LEVEL);
	assert_int_equal(sent, 3);
	/* A switch to edge and back forces the EOI. */
	wr(0x10 + 18, 0x41);
	assert_false(vioapic_entry(&io, 9) & REMOTE_IRR);
	wr(0x10 + 18, 0x41 | LEVEL);
	assert_int_equal(sent, 4);
}

static void other_delivery_modes(void **state)
{
	(void)state;
	start();
	route(0, 7u << 8);
	set(0, true);
	assert_int_equal(last.mode, APIC_EXTINT);
	route(1, 4u << 8 | LEVEL); /* NMI is an edge whatever the entry says */
	set(1, true);
	assert_int_equal(last.mode, APIC_NMI);
	assert_false(last.level_triggered);
	assert_false(vioapic_entry(&io, 1) & REMOTE_IRR);
	route(3, 1u << 8 | LEVEL | 0x50);
	set(3, true);
	assert_int_equal(last.mode, APIC_LOWEST);
	assert_true(last.level_triggered);
}

static void odd_accesses_do_nothing(void **state)
{
	uint64_t v;
	(void)state;
	start();
	route(5, 0x55 | MASKED);
	out(0, 0x10 + 10);
	for (unsigned offset = 0x10; offset < 0x1000; offset++)
		for (unsigned size = 1; size <= 8; size *= 2) {
			if ((offset == 0x10 || offset == 0x40) && size == 4)
				continue;
			assert_true(bus_mmio_write(&bus, GUEST_IOAPIC_BASE + offset, size, ~0ul));
			if (offset + size > 0x1000)
				break;
			assert_true(bus_mmio_read(&bus, GUEST_IOAPIC_BASE + offset, size, &v));
			assert_int_equal(v, 0);
		}
	assert_int_equal(in(0x10), 0x55 | MASKED);
	assert_true(bus_mmio_write(&bus, GUEST_IOAPIC_BASE, 1, 0x01));
	assert_int_equal(in(0x10), 0x00170020);
}

/* Whatever is written and wired: read-only bits hold, remote IRR and its mirror agree, a level
 * interrupt in flight is never sent twice, and an asserted, open level pin is always in flight. */
static void invariants_hold(void **state)
{
	uint64_t seed = 11;
	(void)state;
	start();
	for (unsigned i = 0; i < 300000; i++) {
		uint64_t r = test_random(&seed);
		unsigned pin = (unsigned)(r >> 8) % GUEST_IOAPIC_PINS;

		switch (r % 4) {
		case 0:
			wr(0x10 + 2 * pin + (r >> 16 & 1), (uint32_t)(r >> 32));
			break;
		case 1:
			vioapic_eoi(&io, (uint8_t)(r >> 16));
			break;
		default:
			set(pin, r >> 16 & 1);
			break;
		}
		for (pin = 0; pin < GUEST_IOAPIC_PINS; pin++) {
			uint64_t e = vioapic_entry(&io, pin);
			bool level = (e & LEVEL) && (e >> 8 & 7) <= 1;
			bool asserted = (io.levels >> pin & 1) != !!(e & ACTIVE_LOW);

			assert_int_equal(!!(e & REMOTE_IRR), io.remote_irr >> pin & 1);
			assert_int_equal(e & (BIT(12) | BITS(55, 17)), 0);
			assert_true(level || !(e & REMOTE_IRR));
			if (level && asserted && !(e & MASKED))
				assert_true(e & REMOTE_IRR);
		}
	}
	vioapic_reset(&io);
	assert_int_equal(io.remote_irr, 0);
}

/* Without EOIs a level pin interrupts when it becomes asserted, and when it is unmasked; nothing holds it up. */
static void no_eoi(void **state)
{
	(void)state;
	start();
	io.no_eoi = true;
	struct irq_line l = vioapic_line(&io, 9);
	irq_line_set(&l, true);
	wr(0x10 + 2 * 9, LEVEL | 0x40);
	assert_int_equal(sent, 1); /* asserted while it was masked */
	assert_false(last.level_triggered);
	wr(0x10 + 2 * 9 + 1, 1u << 24);
	assert_int_equal(sent, 1); /* a storm would begin here */
	assert_false(rd(0x10 + 2 * 9) & REMOTE_IRR);
	irq_line_set(&l, false);
	irq_line_set(&l, true);
	assert_int_equal(sent, 2);
	vioapic_eoi(&io, 0x40);
	assert_int_equal(sent, 2);
	wr(0x10 + 2 * 9, MASKED | LEVEL | 0x40);
	irq_line_set(&l, false);
	wr(0x10 + 2 * 9, LEVEL | 0x40);
	assert_int_equal(sent, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity),
		cmocka_unit_test(edge_pins),
		cmocka_unit_test(level_pins),
		cmocka_unit_test(other_delivery_modes),
		cmocka_unit_test(odd_accesses_do_nothing),
		cmocka_unit_test(invariants_hold),
		cmocka_unit_test(no_eoi),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
