/* sources: hv/devices/vuart.c hv/bus.c hv/base/failure.c hv/base/format.c */
#include "hv/devices/vuart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/random.h"
#include "tests/unit/support/wire.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

static struct bus bus;
static struct vuart uart;
static struct wire irq4;
static char sent[1 << 20];
static size_t sent_count, room;
static unsigned wanted;

static size_t on_out(void *ctx, const uint8_t *bytes, size_t n)
{
	size_t take = n < room ? n : room;
	(void)ctx;

	memcpy(sent + sent_count, bytes, take);
	sent_count += take;
	room -= take;
	return take;
}

static void on_want(void *ctx)
{
	(void)ctx;
	wanted++;
}

static void wr(unsigned reg, uint32_t v) { assert_true(bus_pio_write(&bus, (uint16_t)(0x3f8 + reg), 1, v)); }

static uint32_t rd(unsigned reg)
{
	uint32_t v = 0;

	assert_true(bus_pio_read(&bus, (uint16_t)(0x3f8 + reg), 1, &v));
	return v;
}

static void start(void)
{
	struct irq_line l = wire_line(&irq4);
	struct vuart_host host = { on_out, on_want, NULL };

	irq4 = (struct wire){ 0 };
	sent_count = 0;
	wanted = 0;
	room = sizeof(sent);
	bus_init(&bus);
	vuart_init(&uart, 0x3f8, &host, &l);
	assert_int_equal(vuart_attach(&uart, &bus, NULL), 0);
}

/* As a driver leaves it: FIFOs on with trigger level 8, OUT2 set. */
static void start_driver(uint8_t ier)
{
	start();
	wr(FCR, 0x87);
	wr(LCR, 3);
	wr(MCR, 0x0b);
	wr(IER, ier);
}

static size_t rx(const char *s) { return vuart_rx(&uart, (const uint8_t *)s, strlen(s)); }

/* What Linux's 8250 driver does to find out what it has before it. */
static void probes_as_16550a(void **state)
{
	(void)state;
	start();
	wr(IER, 0);
	assert_int_equal(rd(IER) & 0x0f, 0);
	wr(IER, 0x0f);
	assert_int_equal(rd(IER), 0x0f);
	wr(IER, 0);
	wr(MCR, 0x1a);
	assert_int_equal(rd(MSR) & 0xf0, 0x90);
	wr(MCR, 0);
	wr(LCR, 0xbf); /* no enhanced features behind it */
	assert_int_equal(rd(2) & 0xc0, 0);
	wr(LCR, 0);
	wr(FCR, 1);
	assert_int_equal(rd(IIR) >> 6, 3);
	wr(LCR, 0x80);
	assert_true(rd(2) != 0); /* a 16650 reads 0 here */
	wr(FCR, 0x21);
	assert_int_equal(rd(IIR) >> 5, 6); /* no 64-byte FIFO */
	wr(LCR, 0);
	wr(FCR, 1);
	wr(IER, 0x40); /* no XScale */
	assert_int_equal(rd(IER), 0);
	wr(SCR, 0x5a);
	assert_int_equal(rd(SCR), 0x5a);
	wr(LCR, 0x83);
	wr(0, 1);
	wr(1, 2);
	assert_int_equal(rd(0) | rd(1) << 8, 0x201);
	wr(LCR, 3);
	assert_int_equal(rd(LSR), 0x60);
	assert_int_equal(rd(MSR), 0xb2); /* DSR has come back since loopback */
	assert_int_equal(rd(MSR), 0xb0);
	assert_int_equal(sent_count, 0);
}

/* Linux's tests for chips that forget the transmit interrupt. */
static void thre_comes_each_time_it_is_enabled(void **state)
{
	(void)state;
	start_driver(0);
	for (unsigned i = 0; i < 3; i++) {
		wr(IER, 2);
		assert_true(irq4.high);
		assert_int_equal(rd(IIR), 0xc2);
		assert_false(irq4.high);
		assert_int_equal(rd(IIR), 0xc1);
		wr(IER, 0);
	}
	wr(IER, 2);
	wr(IER, 0);
	assert_false(irq4.high);
	assert_int_equal(rd(IIR), 0xc1);
}

static void bursts_make_one_edge(void **state)
{
	(void)state;
	start_driver(2);
	rd(IIR);
	unsigned base = irq4.rises;
	for (unsigned i = 0; i < 16; i++)
		wr(DATA, 'a' + i);
	assert_int_equal(irq4.rises, base + 1);
	assert_true(irq4.high);
	assert_int_equal(rd(IIR), 0xc2);
	assert_false(irq4.high);
	assert_memory_equal(sent, "abcdefghijklmnop", 16);
}

static void refusal_withholds_thre(void **state)
{
	(void)state;
	start_driver(2);
	rd(IIR);
	room = 5;
	for (unsigned i = 0; i < 16; i++)
		wr(DATA, 'a' + i);
	assert_int_equal(rd(LSR), 0);
	assert_false(irq4.high);
	wr(FCR, 0x07); /* what the host has yet to take survives a clear */
	room = 4;
	vuart_output_ready(&uart);
	assert_int_equal(rd(LSR), 0);
	assert_false(irq4.high);
	room = 100;
	vuart_output_ready(&uart);
	assert_int_equal(rd(LSR), 0x60);
	assert_true(irq4.high);
	assert_int_equal(sent_count, 16);
	assert_memory_equal(sent, "abcdefghijklmnop", 16);
	unsigned base = irq4.rises;
	rd(IIR);
	vuart_output_ready(&uart); /* nothing was refused: nothing happens */
	assert_int_equal(irq4.rises, base);
}

static void receives_in_order(void **state)
{
	(void)state;
	start_driver(1);
	assert_int_equal(rx("abc"), 3);
	assert_true(irq4.high);
	assert_int_equal(rd(IIR), 0xcc); /* below the trigger level: timeout */
	assert_int_equal(rx("defgh"), 5);
	assert_int_equal(rd(IIR), 0xc4);
	assert_int_equal(rd(LSR), 0x61);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(rd(DATA), 'a' + i);
	assert_false(irq4.high);
	assert_int_equal(rd(LSR), 0x60);
	assert_int_equal(wanted, 0);
	assert_int_equal(rx("0123456789abcdefXYZ"), 16);
	while (rd(LSR) & 1)
		rd(DATA);
	assert_int_equal(wanted, 1);
	assert_int_equal(rd(DATA), 0);
	/* Without FIFOs one byte fits. */
	wr(FCR, 0);
	assert_int_equal(rx("ab"), 1);
	assert_int_equal(rd(IIR), 0x04);
	wr(FCR, 1); /* switching empties them */
	assert_int_equal(wanted, 2);
	assert_int_equal(rd(LSR), 0x60);
}

static void priorities(void **state)
{
	(void)state;
	start_driver(0);
	wr(MCR, 0x10); /* loopback, all modem lines change */
	for (unsigned i = 0; i < 17; i++)
		wr(DATA, i);
	wr(IER, 0x0f);
	assert_false(irq4.high); /* OUT2 does not reach the pin in loopback */
	assert_int_equal(rd(IIR), 0xc6);
	assert_int_equal(rd(LSR), 0x63);
	assert_int_equal(rd(IIR), 0xc4);
	wr(FCR, 0x83);
	assert_int_equal(rd(IIR), 0xc2);
	assert_int_equal(rd(IIR), 0xc0);
	assert_int_equal(rd(MSR), 0x0b);
	assert_int_equal(rd(IIR), 0xc1);
	wr(MCR, 0x14); /* RI alone: only its trailing edge counts */
	assert_int_equal(rd(MSR), 0x40);
	wr(MCR, 0x10);
	assert_int_equal(rd(MSR), 0x04);
	wr(LCR, 0x43); /* break */
	assert_int_equal(rd(LSR), 0x71);
	assert_int_equal(sent_count, 0);
}

static void out2_gates(void **state)
{
	(void)state;
	start_driver(1);
	wr(MCR, 0x03);
	rx("a");
	assert_false(irq4.high);
	wr(MCR, 0x0b);
	assert_true(irq4.high);
	vuart_reset(&uart);
	assert_false(irq4.high);
	assert_int_equal(rd(LSR), 0x60);
}

/* A loopback guest gets no input meanwhile, and the host hears when it may offer it again. */
static void loopback_keeps_input_waiting(void **state)
{
	(void)state;
	start_driver(1);
	wr(MCR, 0x1b);
	assert_int_equal(rx("x"), 0);
	assert_int_equal(wanted, 0);
	wr(MCR, 0x0b);
	assert_int_equal(wanted, 1);
	assert_int_equal(rx("x"), 1);
}

/* A driver that obeys THRE against a host that takes what it likes: every byte arrives, in order,
 * and the interrupt-driven writer never stalls. */
static void nothing_is_lost(void **state)
{
	uint64_t seed = 77;
	unsigned written = 0;
	(void)state;
	start_driver(2);
	room = 0;
	while (written < 200000) {
		uint64_t r = test_random(&seed);

		if (r & 1) {
			room = r >> 8 & 31;
			vuart_output_ready(&uart);
		}
		if (irq4.high && (rd(IIR) & 0xf) == 2)
			for (unsigned i = r >> 16 & 15; i < 16; i++)
				wr(DATA, (uint8_t)written++);
		else if (!irq4.high)
			assert_true(uart.refused); /* only the host can be what it waits for */
	}
	room = 1000;
	vuart_output_ready(&uart);
	assert_int_equal(sent_count, written);
	for (unsigned i = 0; i < written; i++)
		assert_int_equal((uint8_t)sent[i], (uint8_t)i);
}

static void any_write_is_survived(void **state)
{
	uint64_t seed = 13;
	(void)state;
	start();
	for (unsigned i = 0; i < 500000; i++) {
		uint64_t r = test_random(&seed);

		switch (r % 4) {
		case 0:
			rd(r >> 8 & 7);
			break;
		case 1:
			vuart_rx(&uart, (const uint8_t *)"0123456789", r >> 8 & 7);
			break;
		case 2:
			room = r >> 16 & 3;
			sent_count = 0;
			vuart_output_ready(&uart);
			break;
		default:
			wr(r >> 8 & 7, r >> 16 & 0xff);
			break;
		}
		assert_true(uart.rx.count <= VUART_FIFO && uart.tx.count <= VUART_FIFO);
		assert_int_equal(irq4.high, uart.irq_high);
		assert_true(uart.tx.count == 0 || uart.refused);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probes_as_16550a),
		cmocka_unit_test(thre_comes_each_time_it_is_enabled),
		cmocka_unit_test(bursts_make_one_edge),
		cmocka_unit_test(refusal_withholds_thre),
		cmocka_unit_test(receives_in_order),
		cmocka_unit_test(priorities),
		cmocka_unit_test(out2_gates),
		cmocka_unit_test(loopback_keeps_input_waiting),
		cmocka_unit_test(nothing_is_lost),
		cmocka_unit_test(any_write_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
