/* sources: hv/devices/vpic.c hv/bus.c hv/base/failure.c hv/base/format.c */
#include "hv/devices/vpic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/random.h"
#include "tests/unit/support/wire.h"

static struct bus bus;
static struct vpic pic;
static struct wire intr;

static void out(uint16_t port, uint32_t v) { assert_true(bus_pio_write(&bus, port, 1, v)); }

static uint32_t in(uint16_t port)
{
	uint32_t v = 0;

	assert_true(bus_pio_read(&bus, port, 1, &v));
	return v & 0xff;
}

static void set(unsigned pin, bool high)
{
	struct irq_line l = vpic_line(&pic, pin);

	irq_line_set(&l, high);
}

static void pulse(unsigned pin)
{
	set(pin, false);
	set(pin, true);
}

/* Vectors 20h and 28h, everything open. */
static void start(uint8_t icw4)
{
	struct irq_line l = wire_line(&intr);

	intr = (struct wire){ 0 };
	bus_init(&bus);
	vpic_init(&pic, &l);
	assert_int_equal(vpic_attach(&pic, &bus, NULL), 0);
	out(0x20, 0x11);
	out(0xa0, 0x11);
	out(0x21, 0x20);
	out(0xa1, 0x28);
	out(0x21, 4);
	out(0xa1, 2);
	out(0x21, icw4);
	out(0xa1, icw4);
	out(0x21, 0);
	out(0xa1, 0);
}

static uint32_t isr(uint16_t port)
{
	out(port, 0x0b);
	uint32_t v = in(port);
	out(port, 0x0a);
	return v;
}

static void acknowledges_by_priority(void **state)
{
	(void)state;
	start(1);
	pulse(4);
	pulse(1);
	assert_true(vpic_pending(&pic) && intr.high);
	assert_int_equal(in(0x20), 0x12);
	assert_int_equal(vpic_ack(&pic), 0x21);
	assert_int_equal(in(0x20), 0x10);
	assert_int_equal(isr(0x20), 0x02);
	assert_false(vpic_pending(&pic)); /* 4 waits for 1 */
	pulse(0);
	assert_int_equal(vpic_ack(&pic), 0x20);
	out(0x20, 0x20); /* ends 0, then 1 */
	assert_int_equal(isr(0x20), 0x02);
	out(0x20, 0x20);
	assert_int_equal(vpic_ack(&pic), 0x24);
	out(0x20, 0x64);
	assert_int_equal(isr(0x20), 0);
}

static void cascades(void **state)
{
	(void)state;
	start(1);
	pulse(12);
	pulse(8);
	assert_int_equal(in(0x20), 0x04);
	assert_int_equal(vpic_ack(&pic), 0x28);
	assert_int_equal(isr(0x20), 4);
	assert_int_equal(isr(0xa0), 1);
	assert_false(vpic_pending(&pic));
	out(0xa0, 0x20);
	out(0x20, 0x20);
	assert_true(vpic_pending(&pic));
	assert_int_equal(vpic_ack(&pic), 0x2c);
	out(0xa0, 0x20);
	out(0x20, 0x20);
	assert_false(vpic_pending(&pic));
	/* The cascade pin is no input. */
	set(2, true);
	assert_false(vpic_pending(&pic));
}

static void spurious(void **state)
{
	(void)state;
	start(1);
	assert_int_equal(vpic_ack(&pic), 0x27);
	assert_int_equal(isr(0x20), 0);
	/* A request that falls before INTA is gone. */
	pulse(5);
	set(5, false);
	assert_false(vpic_pending(&pic));
	pulse(9);
	assert_true(vpic_pending(&pic));
	out(0xa1, 0x02);
	assert_false(vpic_pending(&pic));
	out(0xa1, 0);
	assert_int_equal(vpic_ack(&pic), 0x29);
}

static void edges_and_levels(void **state)
{
	(void)state;
	start(1);
	set(5, true);
	assert_int_equal(vpic_ack(&pic), 0x25);
	out(0x20, 0x20);
	assert_false(vpic_pending(&pic)); /* still high: no new edge */
	set(5, false);
	out(0x4d0, 0xff);
	out(0x4d1, 0xff);
	assert_int_equal(in(0x4d0), 0xf8);
	assert_int_equal(in(0x4d1), 0xde);
	set(5, true);
	assert_int_equal(vpic_ack(&pic), 0x25);
	out(0x20, 0x20);
	assert_true(vpic_pending(&pic)); /* still high: again */
	set(5, false);
	assert_false(vpic_pending(&pic));
	/* Masked edges stay latched. */
	out(0x21, 0x02);
	pulse(1);
	assert_false(vpic_pending(&pic));
	out(0x21, 0);
	assert_int_equal(vpic_ack(&pic), 0x21);
}

static void automatic_eoi_and_rotation(void **state)
{
	(void)state;
	start(3);
	pulse(3);
	assert_int_equal(vpic_ack(&pic), 0x23);
	assert_int_equal(isr(0x20), 0);
	out(0x20, 0x80); /* rotate in automatic EOI */
	pulse(3);
	assert_int_equal(vpic_ack(&pic), 0x23);
	pulse(3);
	pulse(7);
	assert_int_equal(vpic_ack(&pic), 0x27); /* 3 is lowest now */
	assert_int_equal(vpic_ack(&pic), 0x23);
	out(0x20, 0x00);

	start(1);
	pulse(4);
	vpic_ack(&pic);
	out(0x20, 0xa0); /* rotate on non-specific EOI: 4 lowest */
	pulse(4);
	pulse(5);
	assert_int_equal(vpic_ack(&pic), 0x25);
	out(0x20, 0xe5); /* rotate on specific EOI: 5 lowest */
	pulse(5);
	assert_int_equal(vpic_ack(&pic), 0x24);
	out(0x20, 0x64);
	out(0x20, 0xc7); /* set priority: 7 lowest */
	pulse(0);
	assert_int_equal(vpic_ack(&pic), 0x20);
}

static void special_modes(void **state)
{
	(void)state;
	start(1);
	pulse(1);
	assert_int_equal(vpic_ack(&pic), 0x21);
	pulse(6);
	assert_false(vpic_pending(&pic));
	out(0x21, 0x02);
	out(0x20, 0x68); /* special mask mode: the masked level no longer blocks */
	assert_int_equal(vpic_ack(&pic), 0x26);
	out(0x20, 0x20); /* a non-specific EOI passes over the masked level */
	assert_int_equal(isr(0x20), 0x02);
	out(0x20, 0x48);
	out(0x20, 0x61);
	assert_int_equal(isr(0x20), 0);

	start(0x11); /* special fully nested */
	pulse(10);
	assert_int_equal(vpic_ack(&pic), 0x2a);
	pulse(8);
	assert_int_equal(vpic_ack(&pic), 0x28);
	start(1);
	pulse(10);
	assert_int_equal(vpic_ack(&pic), 0x2a);
	pulse(8);
	assert_false(vpic_pending(&pic));
}

static void polling(void **state)
{
	(void)state;
	start(1);
	out(0x20, 0x0c);
	assert_int_equal(in(0x20), 0);
	pulse(3);
	out(0x20, 0x0c);
	assert_int_equal(in(0x21), 0x83);
	assert_int_equal(isr(0x20), 8);
	assert_int_equal(in(0x21), 0);
	out(0x20, 0x20);
	pulse(9);
	out(0x20, 0x0c);
	assert_int_equal(in(0x20), 0x82);
	out(0xa0, 0x0c);
	assert_int_equal(in(0xa0), 0x81);
	out(0xa0, 0x20);
	out(0x20, 0x20);
	assert_false(vpic_pending(&pic));
}

static void initialisation(void **state)
{
	(void)state;
	start(3);
	out(0x21, 0x55);
	pulse(1);
	out(0x20, 0x12); /* single, no ICW4: automatic EOI is off again, the mask clear */
	out(0x21, 0x4f);
	assert_int_equal(in(0x21), 0);
	assert_false(vpic_pending(&pic)); /* the edge is forgotten */
	pulse(1);
	assert_int_equal(vpic_ack(&pic), 0x49);
	assert_int_equal(isr(0x20), 2);
	vpic_reset(&pic);
	assert_int_equal(in(0x21), 0xff);
	assert_false(intr.high);
}

/* INTR always says what the registers say, and an acknowledged vector belongs to an open pin. */
static void invariants_hold(void **state)
{
	uint64_t seed = 5;
	(void)state;
	start(1);
	for (unsigned i = 0; i < 300000; i++) {
		static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 };
		uint64_t r = test_random(&seed);

		switch (r % 8) {
		case 0:
			if (r >> 20 & 7)
				out(r >> 8 & 1 ? 0x20 : 0xa0, 0x20 | (r >> 32 & 0xc7));
			else
				out(ports[(r >> 8) % 6], r >> 32 & 0xff);
			break;
		case 1:
			in(ports[(r >> 8) % 6]);
			break;
		case 2:
			if (vpic_pending(&pic)) {
				uint8_t imr = pic.chip[0].imr;
				unsigned vector = vpic_ack(&pic), pin = vector & 7;
				bool of_master = (vector & 0xf8) == pic.chip[0].base;
				if (of_master && pic.chip[0].base != pic.chip[1].base)
					assert_false(imr >> pin & 1);
			}
			break;
		default:
			set((unsigned)(r >> 8) & 15, r >> 16 & 1);
			break;
		}
		assert_int_equal(vpic_pending(&pic), intr.high);
		assert_true(!intr.high || pic.chip[0].imr != 0xff);
		assert_int_equal(pic.chip[0].irr & ~pic.chip[0].lines, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acknowledges_by_priority),
		cmocka_unit_test(cascades),
		cmocka_unit_test(spurious),
		cmocka_unit_test(edges_and_levels),
		cmocka_unit_test(automatic_eoi_and_rotation),
		cmocka_unit_test(special_modes),
		cmocka_unit_test(polling),
		cmocka_unit_test(initialisation),
		cmocka_unit_test(invariants_hold),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
