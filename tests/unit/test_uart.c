/* sources: drivers/uart.c hv/base/format.c */
/*
 * The driver of the host's 16550 on fake registers: at ports, in memory of every stride and width,
 * absent, stuck, without FIFO; waiting, by interrupt and polled.
 */
#include "drivers/uart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/uart16550.h"

#define IER 1
#define LCR 3
#define MCR 4

static struct uart16550 chip;
static unsigned notified;

static void notify(void) { notified++; }

static void at_com1(void)
{
	chip = (struct uart16550){ .port = 0x3f8, .stride = 1, .width = 1, .divisor = 12 };
	uart16550_start(&chip);
}

static void write_text(const char *text) { assert_int_equal(uart_write(text, strlen(text)), strlen(text)); }

/* First of all: nothing has said yet where the UART is. */
static void a_panic_before_anything_finds_com1(void **state)
{
	(void)state;
	at_com1();
	uart_panic_write("early\r\n", 7);
	assert_string_equal(chip.sent, "early\r\n");
	assert_int_equal(chip.divisor, 1);
	assert_int_equal(chip.overruns, 0);
}

static void a_port_is_set_up_and_waited_for(void **state)
{
	char text[101];

	(void)state;
	at_com1();
	memset(text, 'x', 100);
	text[100] = 0;
	assert_true(uart_init(&uart_com1));
	assert_int_equal(chip.divisor, 1);
	assert_int_equal(chip.regs[LCR], 3);
	assert_int_equal(chip.regs[MCR], 0x0b);
	assert_int_equal(chip.regs[IER], 0);
	write_text(text);
	assert_string_equal(chip.sent, text);
	assert_int_equal(chip.overruns + chip.wrong, 0);
	assert_int_equal(uart_poll_ms(), 0);
}

static void registers_in_memory(void **state)
{
	static const struct { uint8_t stride, width; } shapes[] = {
		{ 1, 1 }, { 2, 1 }, { 2, 2 }, { 4, 1 }, { 4, 2 }, { 4, 4 }, { 8, 4 },
	};
	void *window = UART16550_WINDOW;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(shapes); i++) {
		struct uart_place p = { .window = window, .stride = shapes[i].stride, .width = shapes[i].width };

		chip = (struct uart16550){ .window = window, .stride = p.stride, .width = p.width, .divisor = 0x1234,
					   .typed = "abc" };
		uart16550_start(&chip);
		assert_true(uart_init(&p));
		assert_int_equal(chip.divisor, 0x1234); /* as firmware set it */
		write_text("in memory");
		assert_string_equal(chip.sent, "in memory");
		uart_service();
		assert_int_equal(uart_read(), 'a');
		assert_int_equal(uart_read(), 'b');
		assert_int_equal(uart_read(), 'c');
		assert_int_equal(uart_read(), -1);
		assert_int_equal(chip.wrong + chip.overruns, 0);
	}
}

static void the_speed(void **state)
{
	struct uart_place p = uart_com1;

	(void)state;
	at_com1();
	p.divisor = 0x102;
	uart_init(&p);
	assert_int_equal(chip.divisor, 0x102);
	p.divisor = 0;
	uart_init(&p);
	assert_int_equal(chip.divisor, 0x102);
	chip.divisor = 0; /* would stop the line */
	uart_init(&p);
	assert_int_equal(chip.divisor, UART_DIVISOR_115200);
}

static void where_none_is_nothing_happens(void **state)
{
	unsigned before;

	(void)state;
	at_com1();
	chip.absent = true;
	assert_false(uart_init(&uart_com1));
	assert_true(chip.accesses < 5);
	before = chip.accesses;
	write_text("lost");
	uart_log_sink(LOG_INFO, "lost", 4);
	uart_panic_write("lost", 4);
	uart_start_interrupts();
	uart_start_polling();
	uart_service();
	uart_flush();
	assert_int_equal(uart_read(), -1);
	assert_int_equal(uart_poll_ms(), 0);
	assert_false(uart_init(NULL));
	uart_panic_write("lost", 4); /* told that there is none: no COM1 is tried */
	assert_int_equal(chip.accesses, before);
}

static void one_that_goes_away_sends_no_input(void **state)
{
	unsigned before;

	(void)state;
	at_com1();
	uart_init(&uart_com1);
	uart_start_polling();
	chip.absent = true; /* every read gives FFh from now on */
	before = chip.accesses;
	uart_service();
	assert_true(chip.accesses - before < 10);
	assert_int_equal(uart_read(), -1);
}

static void a_stuck_one_is_given_up(void **state)
{
	unsigned before;

	(void)state;
	at_com1();
	uart_init(&uart_com1);
	chip.stuck = true;
	chip.in_fifo = 16;
	write_text("waited for once");
	assert_true(chip.accesses < 200000);
	before = chip.accesses;
	for (unsigned i = 0; i < 100; i++)
		write_text("not again");
	uart_panic_write("nor in a panic", 14);
	assert_true(chip.accesses - before < 1000);
	chip.stuck = false;
	uart16550_send(&chip);
	uart_flush();
	assert_memory_equal(chip.sent, "waited for oncenot again", 24);
}

static void by_interrupt_the_fifo_is_filled_when_empty(void **state)
{
	char text[41];

	(void)state;
	at_com1();
	memset(text, 'y', 40);
	text[40] = 0;
	uart_init(&uart_com1);
	uart_start_interrupts();
	assert_int_equal(chip.regs[IER], 3); /* asks at once */
	uart_service();
	assert_int_equal(chip.regs[IER], 1); /* nothing to send */
	chip.stuck = true;                   /* the line takes its time */
	write_text(text);
	assert_int_equal(chip.sent_len, 16);
	assert_int_equal(chip.regs[IER], 3);
	write_text("z");
	assert_int_equal(chip.sent_len, 16);
	uart16550_send(&chip);
	uart_service();
	assert_int_equal(chip.sent_len, 32);
	uart16550_send(&chip);
	uart_service();
	assert_int_equal(chip.sent_len, 41);
	assert_int_equal(chip.regs[IER], 1);
	assert_int_equal(chip.overruns, 0);
	assert_int_equal(uart_poll_ms(), 0);
}

static void polled_it_is_looked_at_by_the_clock(void **state)
{
	(void)state;
	at_com1();
	chip.no_fifo = true;
	uart_init(&uart_com1);
	uart_set_notify(notify);
	uart_start_polling();
	assert_int_equal(chip.regs[IER], 0);
	assert_int_equal(uart_poll_ms(), 10);
	chip.stuck = true;
	notified = 0;
	write_text("abc");
	assert_string_equal(chip.sent, "a");
	assert_int_equal(uart_poll_ms(), 1);
	for (unsigned i = 0; i < 3; i++) {
		uart16550_send(&chip);
		uart_service();
	}
	assert_string_equal(chip.sent, "abc");
	assert_int_equal(uart_poll_ms(), 10);
	assert_int_equal(notified, 0);
	chip.typed = "k";
	uart_service();
	assert_int_equal(notified, 1);
	assert_int_equal(uart_read(), 'k');
	assert_int_equal(chip.overruns, 0);
	uart_set_notify(NULL);
}

static void lines_that_find_no_room_are_counted(void **state)
{
	char line[1000], sentence[] = "gnomon: 3 lines found no room here";
	unsigned i;

	(void)state;
	at_com1();
	memset(line, 'l', sizeof line);
	uart_init(&uart_com1);
	uart_start_polling();
	chip.stuck = true;
	chip.in_fifo = 1;
	for (i = 0; uart_room() >= sizeof line; i++)
		uart_log_sink(LOG_INFO, line, sizeof line);
	for (i = 0; i < 3; i++)
		uart_log_sink(LOG_INFO, line, sizeof line);
	chip.stuck = false;
	uart_flush();
	chip.sent_len = 0;
	uart_log_sink(LOG_INFO, "on", 2);
	uart_flush();
	assert_memory_equal(chip.sent, sentence, sizeof sentence - 1);
}

/* From COM1 to another one, which gets what the first did not send. */
static void the_line_moves(void **state)
{
	struct uart_place p = { .window = UART16550_WINDOW, .stride = 4, .width = 4 };

	(void)state;
	at_com1();
	uart_init(&uart_com1);
	chip.stuck = true;
	chip.in_fifo = 16;
	write_text("held back, ");
	assert_int_equal(chip.sent_len, 0);
	chip = (struct uart16550){ .window = (void *)(uintptr_t)p.window, .stride = 4, .width = 4 };
	assert_true(uart_init(&p));
	write_text("sent");
	assert_string_equal(chip.sent, "held back, sent");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_panic_before_anything_finds_com1),
		cmocka_unit_test(a_port_is_set_up_and_waited_for),
		cmocka_unit_test(registers_in_memory),
		cmocka_unit_test(the_speed),
		cmocka_unit_test(where_none_is_nothing_happens),
		cmocka_unit_test(one_that_goes_away_sends_no_input),
		cmocka_unit_test(a_stuck_one_is_given_up),
		cmocka_unit_test(by_interrupt_the_fifo_is_filled_when_empty),
		cmocka_unit_test(polled_it_is_looked_at_by_the_clock),
		cmocka_unit_test(lines_that_find_no_room_are_counted),
		cmocka_unit_test(the_line_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
