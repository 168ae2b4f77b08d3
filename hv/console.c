/*
 * Who has the host's serial line: log lines always, then the guest or monitor in focus. The boot
 * CPU's monitor context moves what could not go straight through.
 */
#include "hv/console.h"

#include <string.h>

#include "drivers/fbcon.h"
#include "drivers/uart.h"
#include "hv/base/clock.h"
#include "hv/base/format.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/map.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/spin.h"
#include "hv/monitor/monitor.h"
#include "hv/pc.h"
#include "hv/sched.h"
#include "hv/serial.h"
#include "hv/vm_life.h"

#define SCROLLBACK_SIZE KIB(64)
#define INPUT_SIZE 256u
#define FLUSH_MS 60000

/* A guest's output that is not on the line yet. head counts bytes ever put in, tail bytes shown. */
struct console_guest {
	struct vm *vm;
	struct spinlock lock; /* innermost but the UART's */
	uint64_t head, tail;
	uint64_t lost;        /* out of focus, overwritten */
	bool refused;         /* the guest waits for vuart_output_ready */
	char *scrollback;     /* SCROLLBACK_SIZE bytes */
	struct console_tap *tap; /* NULL: nobody reads along */
};

static struct console_guest guests[CONFIG_MAX_VMS];
static struct console_guest *volatile focus; /* NULL: the monitor; changed by the monitor's context alone */
static bool chosen; /* the operator has used the switch key */
static struct monitor_out out;
static uint8_t switch_key;
static struct {
	uint8_t bytes[INPUT_SIZE];
	uint32_t head, tail;
} monitor_input;

/* ---- the guest's side ---- */

static bool in_focus(const struct console_guest *g) { return g == focus; }

/* Room for guest output; the rest of the ring is the log's. */
static size_t line_room(void)
{
	size_t room = uart_room();

	return room > UART_LOG_RESERVE ? room - UART_LOG_RESERVE : 0;
}

static size_t scrollback_put(struct console_guest *g, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		g->scrollback[g->head++ % SCROLLBACK_SIZE] = (char)bytes[i];
	if (g->head - g->tail > SCROLLBACK_SIZE) {
		g->lost += g->head - g->tail - SCROLLBACK_SIZE;
		g->tail = g->head - SCROLLBACK_SIZE;
	}
	return n;
}

/* Copies n bytes; true when the reader is to be woken. */
static bool tap_put(struct console_tap *tap, const uint8_t *bytes, size_t n)
{
	bool wake = !tap->told && n;

	for (size_t i = 0; i < n; i++)
		tap->bytes[tap->head++ % tap->size] = (char)bytes[i];
	if (tap->head - tap->tail > tap->size) {
		tap->lost += tap->head - tap->tail - tap->size;
		tap->tail = tap->head - tap->size;
	}
	tap->told |= wake;
	return wake;
}

static size_t guest_out(void *ctx, const uint8_t *bytes, size_t n)
{
	struct console_guest *g = ctx;
	size_t taken;
	bool wake;

	spin_lock(&g->lock);
	if (!in_focus(g))
		taken = g->scrollback ? scrollback_put(g, bytes, n) : 0;
	else if (g->head != g->tail) /* older output first */
		taken = 0;
	else
		taken = uart_write((const char *)bytes, min_u64(n, line_room()));
	g->refused = taken < n;
	wake = UNLIKELY(g->tap != NULL) && tap_put(g->tap, bytes, taken);
	spin_unlock(&g->lock);
	if (wake)
		monitor_wake();
	return taken;
}

static void guest_wants_input(void *ctx)
{
	(void)ctx;
	monitor_wake();
}

struct console_guest *console_guest(struct vm *vm)
{
	struct console_guest *g = &guests[vm->id - 1];

	if (!g->scrollback) {
		hpa_t pa = frame_alloc_run(SCROLLBACK_SIZE >> PAGE_SHIFT, 1, OWNER_HV);

		g->scrollback = pa == HPA_NONE ? NULL : phys_to_virt(pa);
	}
	g->vm = vm;
	return g;
}

struct vuart_host console_vuart_host(struct console_guest *g)
{
	return (struct vuart_host){ .out = guest_out, .want_input = guest_wants_input, .ctx = g };
}

/* ---- the second reader's side ---- */

void console_set_tap(struct vm *vm, struct console_tap *tap)
{
	struct console_guest *g = &guests[vm->id - 1];

	if (tap) {
		tap->head = tap->tail = tap->lost = 0;
		tap->told = false;
	}
	spin_lock(&g->lock);
	g->tap = tap;
	spin_unlock(&g->lock);
}

bool console_tap_waits(struct vm *vm)
{
	struct console_guest *g = &guests[vm->id - 1];
	bool waits;

	spin_lock(&g->lock);
	waits = g->tap && g->tap->head != g->tap->tail;
	spin_unlock(&g->lock);
	return waits;
}

size_t console_tap_read(struct vm *vm, void *to, size_t n)
{
	struct console_guest *g = &guests[vm->id - 1];
	struct console_tap *tap;
	size_t i = 0;

	spin_lock(&g->lock);
	tap = g->tap;
	for (; tap && i < n && tap->tail != tap->head; i++)
		((char *)to)[i] = tap->bytes[tap->tail++ % tap->size];
	if (tap && tap->tail == tap->head)
		tap->told = false;
	spin_unlock(&g->lock);
	return i;
}

size_t console_guest_input(struct vm *vm, const uint8_t *bytes, size_t n)
{
	return guests[vm->id - 1].vm && vm->pc ? vuart_rx(&vm->pc->com1, bytes, n) : n;
}

/* ---- the operator's side ---- */

static void write_line(const char *text, size_t len)
{
	uint64_t give_up = __builtin_ia32_rdtsc() + FLUSH_MS * tsc_khz;

	while (len && __builtin_ia32_rdtsc() < give_up) {
		size_t n = uart_write(text, min_u64(len, line_room()));

		text += n;
		len -= n;
		if (len) {
			uart_service();
			sched_yield();
		}
	}
}

static void monitor_write(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	while (len) {
		const char *end = memchr(text, '\n', len);
		size_t part = end ? (size_t)(end - text) : len;

		write_line(text, part);
		if (end)
			write_line("\r\n", 2);
		part += end ? 1 : 0;
		text += part;
		len -= part;
	}
}

struct monitor_out *console_monitor_out(void)
{
	out.write = monitor_write;
	out.trusted = true;
	return &out;
}

bool console_monitor_byte(uint8_t *byte)
{
	if (monitor_input.head == monitor_input.tail)
		return false;
	*byte = monitor_input.bytes[monitor_input.tail++ % INPUT_SIZE];
	return true;
}

struct vm *console_focused(void) { return focus ? focus->vm : NULL; }

void console_focus(struct vm *vm)
{
	struct console_guest *g = vm ? &guests[vm->id - 1] : NULL;

	if (g == focus)
		return;
	focus = g;
	if (g)
		log_info("console: guest %s (Ctrl-%c switches)", vm->config->name, switch_key + '@');
	else
		log_info("console: monitor, `help` lists commands (Ctrl-%c switches)", switch_key + '@');
	if (!g)
		monitor_show();
}

static void pump_scrollback(struct console_guest *g)
{
	spin_lock(&g->lock);
	while (g->tail != g->head) {
		size_t at = g->tail % SCROLLBACK_SIZE;
		size_t n = min_u64(g->head - g->tail, SCROLLBACK_SIZE - at);
		size_t done = uart_write(g->scrollback + at, min_u64(n, line_room()));

		g->tail += done;
		if (done == 0)
			break;
	}
	spin_unlock(&g->lock);
}

/* The same, waiting for the line. */
static void pump_wait(struct console_guest *g)
{
	pump_scrollback(g);
	uart_service();
	sched_yield();
}

/* From guest to guest that has been started, then the monitor. */
static void next_focus(void)
{
	uint32_t i = focus ? (uint32_t)(focus - guests) + 1 : 0;

	while (i < vms_count() && !guests[i].vm)
		i++;
	console_focus(i < vms_count() ? guests[i].vm : NULL);
}

void console_guest_started(struct vm *vm)
{
	if (!focus && !chosen)
		console_focus(vm);
}

/* The next guest that still runs, and what it wrote meanwhile is shown; when none does, the monitor. */
void console_guest_stopped(struct vm *vm)
{
	if (!focus || focus->vm != vm)
		return;
	while (focus->head != focus->tail)
		pump_wait(focus);
	for (uint32_t i = 0; i < vms_count(); i++)
		if (vm_at(i)->state == VM_RUNNING) {
			console_focus(vm_at(i));
			return;
		}
	if (!vm->reset_wanted)
		console_focus(NULL);
}

void console_guest_gone(struct vm *vm)
{
	struct console_guest *g = &guests[vm->id - 1];

	if (focus == g)
		console_focus(NULL);
	g->vm = NULL;
}

/* Input goes to whoever has the focus; a byte a guest has no room for stays where it is. */
static bool route_byte(uint8_t byte)
{
	if (byte == switch_key) {
		chosen = true;
		next_focus();
		return true;
	}
	if (focus)
		return vuart_rx(&focus->vm->pc->com1, &byte, 1) == 1;
	if (monitor_input.head - monitor_input.tail == INPUT_SIZE)
		return false;
	monitor_input.bytes[monitor_input.head++ % INPUT_SIZE] = byte;
	return true;
}

static void pump_input(void)
{
	static int held = -1; /* read from the line, not taken yet */

	for (;;) {
		if (held < 0)
			held = uart_read();
		if (held < 0 || !route_byte((uint8_t)held))
			return;
		held = -1;
	}
}

/* A guest that was refused may go on when its way is free: the line, or its scrollback. */
static void pump_guest(struct console_guest *g)
{
	if (in_focus(g))
		pump_scrollback(g);
	if (g->refused && g->head == g->tail && (!in_focus(g) || line_room()))
		vuart_output_ready(&g->vm->pc->com1);
}

void console_pump(void)
{
	if (uart_poll_ms())
		uart_service();
	pump_input();
	for (uint32_t i = 0; i < vms_count(); i++)
		if (guests[i].vm && guests[i].vm->pc)
			pump_guest(&guests[i]);
}

uint64_t console_deadline(void)
{
	uint32_t ms = uart_poll_ms();

	return ms ? __builtin_ia32_rdtsc() + ms * tsc_khz : NEVER;
}

void console_flush(void)
{
	uint64_t give_up = __builtin_ia32_rdtsc() + FLUSH_MS * tsc_khz;

	for (uint32_t i = 0; i < vms_count(); i++) {
		if (!guests[i].vm || guests[i].head == guests[i].tail)
			continue;
		console_focus(guests[i].vm);
		while (guests[i].head != guests[i].tail && __builtin_ia32_rdtsc() < give_up)
			pump_wait(&guests[i]);
	}
	uart_flush();
}

/* ---- start-up ---- */

#define BOOT_MAPS_BELOW GIB(4) /* one to one, boot/boot_info.h */

static const struct boot_framebuffer *screen; /* NULL: none that can be used */

static bool boot_maps(const struct boot_framebuffer *fb)
{
	return fb->base < BOOT_MAPS_BELOW && fb->size <= BOOT_MAPS_BELOW - fb->base;
}

static void start_screen(const struct boot_framebuffer *fb, void *pixels)
{
	struct failure f = { 0 };

	if (fbcon_init(fb, pixels, &f)) {
		log_warn("no log on the screen: %s", f.text);
		return;
	}
	screen = fb;
	log_add_sink(fbcon_log_sink);
	panic_add_output(fbcon_panic_write);
}

void console_init_early(const struct boot_info *bi)
{
	const struct boot_framebuffer *fb = &bi->framebuffer;

	switch_key = bi->config.switch_key;
	log_set_level(bi->config.loglevel);
	serial_init_early(&bi->config.serial);
	if (fb->base && boot_maps(fb))
		start_screen(fb, (void *)fb->base);
}

void console_leave_screen(void) { fbcon_set_pixels(NULL); }

void console_init_screen(const struct boot_framebuffer *fb)
{
	void *pixels;

	if (!fb->base || (!screen && boot_maps(fb))) /* none, or refused before */
		return;
	pixels = map_device(fb->base, fb->size, MAP_WRITE_COMBINING);
	if (!pixels) {
		log_warn("no log on the screen: no memory to map the framebuffer");
		screen = NULL;
	} else if (screen) {
		fbcon_set_pixels(pixels);
	} else {
		start_screen(fb, pixels);
	}
}

static void say_what_there_is(void)
{
	const char *serial = serial_describe();
	char size[40] = "no screen";

	if (screen)
		format(size, sizeof size, "screen of %u x %u", screen->width, screen->height);
	if (serial || screen)
		log_info("console: serial line %s%s; %s", serial ? "at " : "none", serial ? serial : "", size);
	else
		log_warn("console: no UART answers and there is no screen: the log waits for the network");
}

void console_start(void)
{
	uart_set_notify(monitor_wake);
	serial_start();
	say_what_there_is();
}
