/*
 * The host's one serial line and screen, shared: log lines, the monitor, and the guest in focus.
 * The switch key (Ctrl-] unless configured) moves the focus from guest to guest and to the monitor.
 * A guest out of focus writes to its own scrollback, which is shown when it gets the focus.
 */
#ifndef HV_CONSOLE_H
#define HV_CONSOLE_H

#include "boot/boot_info.h"
#include "hv/devices/vuart.h"
#include "hv/monitor/line.h"
#include "hv/vm.h"

struct console_guest; /* one per VM */

/* Start-up, in this order. The first: serial, and the screen as boot's page tables map it. */
void console_init_early(const struct boot_info *bi);
/* Before map_init: that mapping goes. */
void console_leave_screen(void);
/* After it: the screen in the hypervisor's own tables. */
void console_init_screen(const struct boot_framebuffer *fb);
/* Once interrupts and clock are set up: serial no longer waits. Says what there is, in one line. */
void console_start(void);

/* The guest's end, made at the first call for the VM. Never NULL: without memory for a scrollback
 * the guest has none, and waits for the focus instead. Monitor's context. */
struct console_guest *console_guest(struct vm *vm);
/* The VM's devices go, because building it failed: its end is closed. Monitor's context. */
void console_guest_gone(struct vm *vm);
struct vuart_host console_vuart_host(struct console_guest *g);

/*
 * A copy of what a guest writes, for a second reader: a ring that the guest's CPU fills without ever waiting for it.
 * The reader is woken (monitor_wake) when something is put into it for the first time after it was empty.
 */
struct console_tap {
	char *bytes;
	uint32_t size;       /* a power of two */
	bool told;           /* the reader has been woken */
	uint64_t head, tail; /* bytes ever put in, and taken out or overwritten */
	uint64_t lost;       /* overwritten */
};
/* NULL: none. It stays when the guest stops and starts again. Monitor's context, as the next three. */
void console_set_tap(struct vm *vm, struct console_tap *tap);
bool console_tap_waits(struct vm *vm);
/* Takes up to n bytes; returns how many, 0 when none wait or there is no tap. */
size_t console_tap_read(struct vm *vm, void *to, size_t n);
/* Input for the guest besides the line's; returns how many bytes it took: all while it has no devices. */
size_t console_guest_input(struct vm *vm, const uint8_t *bytes, size_t n);

/* A guest gets the focus when it starts and the monitor has it unasked; one that stops gives it to the
 * next that runs. Monitor's context. */
void console_guest_started(struct vm *vm);
void console_guest_stopped(struct vm *vm);
/* NULL: the monitor. Monitor's context. */
void console_focus(struct vm *vm);
struct vm *console_focused(void);
/* Moves what waits (scrollback, input, a pressed switch key) as far as the other side takes it. */
void console_pump(void);
/* When console_pump is wanted again unasked, in host TSC: NEVER when serial interrupts. */
uint64_t console_deadline(void);
/* Waits until all output is on the line; bounded by the line's own speed. Monitor's context. */
void console_flush(void);

/* Input for the monitor: false when there is none. */
bool console_monitor_byte(uint8_t *byte);
struct monitor_out *console_monitor_out(void);

#endif
