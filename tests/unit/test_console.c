/* sources: hv/console.c hv/base/format.c hv/base/failure.c */
/*
 * The shared serial line: who has the focus, what happens to the output of the others, and where
 * input goes. The line is a buffer with as much room as a test gives it. The console's state stays
 * from test to test, as it does from start-up on: the first test is the one before any key was used.
 */
#include "hv/console.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "drivers/fbcon.h"
#include "drivers/uart.h"
#include "hv/base/clock.h"
#include "hv/base/map.h"
#include "hv/base/panic.h"
#include "hv/monitor/monitor.h"
#include "hv/pc.h"
#include "hv/sched.h"
#include "hv/serial.h"
#include "hv/vm_life.h"
#include "tests/unit/support/support.h"

#include <cmocka.h>

#define KEY 0x1d
#define SCROLLBACK KIB(64)

static struct vm_config configs[2] = { { .name = "one" }, { .name = "two" } };
static struct pc pcs[2];
static struct vm vms[2] = { { .id = 1, .config = &configs[0], .pc = &pcs[0] },
			    { .id = 2, .config = &configs[1], .pc = &pcs[1] } };
static struct vuart_host ends[2];
static char line[2 * SCROLLBACK];
static size_t line_len, room; /* room: what the line takes besides the log's reserve */
static size_t refill;         /* room that comes back with every yield */
static const char *typed = "";
static uint8_t received[2][300];
static size_t received_len[2], rx_room;
static unsigned wakes, ready[2], shown, services, screen_sinks;
static uint32_t poll_ms;
static const char *serial;
static void *pixels; /* where the screen is drawn */
static bool no_memory;

/* The leak checker would wait by the C library's sched_yield(), whose name the scheduler's has here. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return 1; }

size_t uart_room(void) { return room + UART_LOG_RESERVE; }
size_t uart_write(const char *text, size_t len)
{
	assert_true(len <= room && line_len + len <= sizeof(line));
	memcpy(line + line_len, text, len);
	line_len += len;
	room -= len;
	return len;
}
int uart_read(void) { return *typed ? (uint8_t)*typed++ : -1; }
void uart_service(void) { services++; }
void uart_flush(void) {}
void uart_set_notify(void (*notify)(void)) { (void)notify; }
uint32_t uart_poll_ms(void) { return poll_ms; }
void serial_init_early(const struct serial_config *c) { (void)c; }
void serial_start(void) {}
const char *serial_describe(void) { return serial; }
void uart_log_sink(enum log_level level, const char *text, size_t len)
{
	(void)level;
	(void)text;
	(void)len;
}
int fbcon_init(const struct boot_framebuffer *fb, void *at, struct failure *f)
{
	pixels = at;
	(void)f;
	return fb->width ? 0 : -EINVAL;
}
void fbcon_set_pixels(void *at) { pixels = at; }
void fbcon_log_sink(enum log_level level, const char *text, size_t len) { uart_log_sink(level, text, len); }
void fbcon_panic_write(const char *text, size_t len) { uart_log_sink(LOG_ERROR, text, len); }
void *map_device(hpa_t pa, uint64_t size, enum map_cache cache)
{
	assert_int_equal(cache, MAP_WRITE_COMBINING);
	return pa && size && !no_memory ? line : NULL;
}
void monitor_wake(void) { wakes++; }
void monitor_show(void) { shown++; }
void sched_yield(void) { room += refill; }
uint32_t vms_count(void) { return 2; }
struct vm *vm_at(uint32_t index) { return &vms[index]; }
void panic_add_output(panic_output_fn output) { (void)output; }
int log_add_sink(log_sink_fn sink)
{
	screen_sinks += sink == fbcon_log_sink;
	return 0;
}
void log_set_level(enum log_level level) { (void)level; }
size_t vuart_rx(struct vuart *u, const uint8_t *bytes, size_t n)
{
	unsigned i = u == &pcs[1].com1;

	n = min_u64(n, rx_room);
	memcpy(received[i] + received_len[i], bytes, n);
	received_len[i] += n;
	rx_room -= n;
	return n;
}
void vuart_output_ready(struct vuart *u)
{
	unsigned i = u == &pcs[1].com1;

	ready[i]++;
}

static int start(void **state)
{
	(void)state;
	line_len = refill = 0;
	room = 1000;
	rx_room = 100;
	received_len[0] = received_len[1] = 0;
	ready[0] = ready[1] = shown = 0;
	return 0;
}

static int group_start(void **state)
{
	static struct boot_info bi = { .config = { .switch_key = KEY } };

	(void)state;
	test_phys_init(MIB(1), 64 * PAGE_SIZE);
	console_init_early(&bi);
	for (unsigned i = 0; i < 2; i++)
		ends[i] = console_vuart_host(console_guest(&vms[i]));
	return 0;
}

static int group_end(void **state)
{
	(void)state;
	test_phys_end();
	return 0;
}

static size_t say(unsigned guest, const char *text)
{
	return ends[guest].out(ends[guest].ctx, (const uint8_t *)text, strlen(text));
}

static void expect_line(const char *text)
{
	assert_int_equal(line_len, strlen(text));
	assert_memory_equal(line, text, line_len);
	line_len = 0;
}

/* Unasked, the first guest that starts gets the focus and keeps it until it stops. */
static void first_guest_gets_the_focus(void **state)
{
	(void)state;
	assert_null(console_focused());
	vms[0].state = vms[1].state = VM_RUNNING;
	console_guest_started(&vms[0]);
	console_guest_started(&vms[1]);
	assert_ptr_equal(console_focused(), &vms[0]);
	assert_int_equal(say(0, "hello"), 5);
	expect_line("hello");
	assert_int_equal(say(1, "behind"), 6); /* to its scrollback */
	expect_line("");
	vms[0].state = VM_STOPPED;
	console_guest_stopped(&vms[0]);
	assert_ptr_equal(console_focused(), &vms[1]);
	console_pump();
	expect_line("behind");
	vms[1].state = VM_STOPPED;
	console_guest_stopped(&vms[0]); /* not in focus: nothing changes */
	assert_ptr_equal(console_focused(), &vms[1]);
	console_guest_stopped(&vms[1]);
	assert_null(console_focused());
	assert_int_equal(shown, 1);
}

/* What the line does not take, the guest keeps, and is told when there is room; the log's part stays free. */
static void full_line(void **state)
{
	(void)state;
	console_focus(&vms[0]);
	room = 3;
	assert_int_equal(say(0, "abcdef"), 3);
	console_pump();
	assert_int_equal(ready[0], 0);
	room = 10;
	console_pump();
	assert_int_equal(ready[0], 1);
	assert_int_equal(say(0, "def"), 3);
	expect_line("abcdef");
	console_pump();
	assert_int_equal(ready[0], 1); /* once for each refusal */
}

/* The scrollback comes before what the guest writes next. */
static void order_is_kept(void **state)
{
	(void)state;
	console_focus(NULL);
	assert_int_equal(say(0, "older"), 5);
	console_focus(&vms[0]);
	assert_int_equal(say(0, "newer"), 0);
	room = 2;
	console_pump();
	expect_line("ol");
	assert_int_equal(ready[0], 0);
	room = 100;
	console_pump();
	expect_line("der");
	assert_int_equal(ready[0], 1);
	assert_int_equal(say(0, "newer"), 5);
	expect_line("newer");
}

static void scrollback_keeps_the_last(void **state)
{
	char text[65] = "";

	(void)state;
	console_focus(NULL);
	for (unsigned i = 0; i < SCROLLBACK / 64 + 2; i++) {
		memset(text, 'A' + (int)(i % 26), 64);
		assert_int_equal(say(1, text), 64);
	}
	room = sizeof(line);
	console_focus(&vms[1]);
	console_pump();
	assert_int_equal(line_len, SCROLLBACK);
	assert_int_equal(line[0], 'A' + 2); /* two pieces were pushed out */
	assert_int_equal(line[line_len - 1], 'A' + (int)((SCROLLBACK / 64 + 1) % 26));
}

/* From guest to guest, then the monitor; from then on nobody gets the focus unasked. */
static void switch_key(void **state)
{
	(void)state;
	console_focus(NULL);
	typed = "\x1d";
	console_pump();
	assert_ptr_equal(console_focused(), &vms[0]);
	typed = "a\x1d" "b\x1d" "c";
	console_pump();
	assert_null(console_focused());
	assert_true(received_len[0] == 1 && received[0][0] == 'a');
	assert_true(received_len[1] == 1 && received[1][0] == 'b');
	uint8_t byte = 0;
	assert_true(console_monitor_byte(&byte) && byte == 'c');
	assert_false(console_monitor_byte(&byte));
	console_guest_started(&vms[0]);
	assert_null(console_focused());
}

/* A byte that nobody takes now is neither lost nor passed over. */
static void input_waits(void **state)
{
	(void)state;
	console_focus(&vms[0]);
	rx_room = 1;
	typed = "xyz";
	console_pump();
	console_pump();
	assert_int_equal(received_len[0], 1);
	rx_room = 10;
	console_pump();
	assert_int_equal(received_len[0], 3);
	assert_memory_equal(received[0], "xyz", 3);
}

/* Lines of the monitor end in CR LF, and wait for room instead of being cut. */
static void monitor_lines(void **state)
{
	struct monitor_out *out = console_monitor_out();

	(void)state;
	out->write(out->ctx, "one\ntwo", 7);
	expect_line("one\r\ntwo");
	room = 0;
	refill = 2;
	out->write(out->ctx, "three\n", 6);
	expect_line("three\r\n");
}

/* A guest whose building failed must not be looked at again; it may be built anew. */
static void guest_gone(void **state)
{
	(void)state;
	console_focus(&vms[1]);
	console_guest_gone(&vms[1]);
	assert_null(console_focused());
	vms[1].pc = NULL;
	typed = "\x1d\x1d";
	console_pump();
	assert_null(console_focused()); /* one guest, then the monitor */
	vms[1].pc = &pcs[1];
	ends[1] = console_vuart_host(console_guest(&vms[1]));
	assert_int_equal(say(1, "again"), 5);
}

static void polled_serial_sets_a_deadline(void **state)
{
	uint64_t now = __builtin_ia32_rdtsc();

	(void)state;
	services = 0;
	assert_int_equal(console_deadline(), NEVER);
	console_pump();
	assert_int_equal(services, 0);
	poll_ms = 10;
	assert_in_range(console_deadline() - now, 10 * tsc_khz, 1000 * tsc_khz);
	console_pump();
	assert_int_equal(services, 1);
	poll_ms = 0;
}

static void start_up(struct boot_info *bi)
{
	screen_sinks = 0;
	pixels = NULL;
	console_init_early(bi);
}

/* From boot's mapping, if there is one, to the hypervisor's, and never in between. */
static void the_screen_moves(void **state)
{
	static struct boot_info bi = { .config = { .switch_key = KEY } };
	struct boot_framebuffer *fb = &bi.framebuffer;

	(void)state;
	*fb = (struct boot_framebuffer){ .base = 0x80000000, .size = 0x1000, .width = 640, .height = 480 };
	fb->base = GIB(4); /* beyond what boot maps */
	start_up(&bi);
	assert_int_equal(screen_sinks, 0);
	console_leave_screen();
	console_init_screen(fb);
	assert_int_equal(screen_sinks, 1);
	assert_ptr_equal(pixels, line);
	fb->base = 0x80000000;
	start_up(&bi);
	assert_int_equal(screen_sinks, 1);
	assert_ptr_equal(pixels, (void *)0x80000000);
	console_leave_screen();
	assert_null(pixels);
	console_init_screen(fb);
	assert_int_equal(screen_sinks, 1);
	assert_ptr_equal(pixels, line);
	serial = "I/O port 3f8h, by interrupt";
	console_start();
	assert_string_equal(test_last_log, "console: serial line at I/O port 3f8h, by interrupt; screen of 640 x 480");
	no_memory = true;
	console_leave_screen();
	console_init_screen(fb);
	assert_null(pixels);
	no_memory = false;
	console_start();
	assert_string_equal(test_last_log, "console: serial line at I/O port 3f8h, by interrupt; no screen");
	serial = NULL;
	console_start();
	assert_string_equal(test_last_log, "console: no UART answers and there is no screen: the log waits for the"
			    " network");
}

/* A second reader gets what the first got, once, and is woken once; a slow one loses the oldest, the guest nothing. */
static void second_reader(void **state)
{
	static char bytes[64];
	struct console_tap tap = { .bytes = bytes, .size = sizeof bytes };
	char text[101];

	(void)state;
	console_focus(&vms[0]);
	line_len = 0;
	assert_int_equal(say(0, "before"), 6);
	console_set_tap(&vms[0], &tap);
	assert_false(console_tap_waits(&vms[0]));
	wakes = 0;
	room = 2;
	assert_int_equal(say(0, "abcdef"), 2);
	room = 1000;
	assert_int_equal(say(0, "cdef"), 4);
	assert_int_equal(wakes, 1);
	assert_true(console_tap_waits(&vms[0]));
	assert_int_equal(console_tap_read(&vms[0], text, 4), 4);
	assert_int_equal(say(0, "g"), 1);
	assert_int_equal(wakes, 1); /* it has not come to the end */
	assert_int_equal(console_tap_read(&vms[0], text + 4, 100), 3);
	assert_memory_equal(text, "abcdefg", 7);
	assert_int_equal(console_tap_read(&vms[0], text, 100), 0);
	console_focus(NULL); /* out of focus it is the same */
	memset(text, 'x', 100);
	text[100] = 0;
	assert_int_equal(say(0, text), 100);
	assert_int_equal(wakes, 2);
	assert_int_equal(tap.lost, 36);
	assert_int_equal(console_tap_read(&vms[0], text, 100), 64);
	console_set_tap(&vms[0], NULL);
	assert_int_equal(say(0, "behind"), 6);
	assert_int_equal(console_tap_read(&vms[0], text, 100), 0);
	rx_room = 3;
	assert_int_equal(console_guest_input(&vms[0], (const uint8_t *)"typed", 5), 3);
	assert_memory_equal(received[0], "typ", 3);
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_guest_gets_the_focus), TEST(full_line), TEST(order_is_kept),
		TEST(scrollback_keeps_the_last), TEST(switch_key), TEST(input_waits), TEST(monitor_lines),
		TEST(second_reader), TEST(guest_gone), TEST(polled_serial_sets_a_deadline), TEST(the_screen_moves),
	};

	return cmocka_run_group_tests(tests, group_start, group_end);
}
