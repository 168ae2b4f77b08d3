/*
 * Reset and exit ports of a guest.
 */
#include "hv/devices/vreset.h"

#include "hv/guest/guest.h"

#define CF9_RESET BIT(2) /* a rising edge resets; bits 1 and 3 say how hard */
#define CF9_KEPT 0x0e
#define PORT92 0x92
#define PORT92_RESET BIT(0)
#define PORT92_A20 BIT(1) /* kept for software that asks; A20 is always on */

/* 8042 commands f0h..ffh pulse the output lines whose bit is 0; line 0 is the CPU's reset. */
static bool pulses_reset(uint8_t command) { return (command & 0xf1) == 0xf0; }

static void reset(struct vreset *r, const char *why) { r->events.reset(r->events.vm, why); }

uint8_t vreset_cf9_read(const struct vreset *r) { return r->cf9; }

void vreset_cf9_write(struct vreset *r, uint8_t value)
{
	bool rises = value & ~r->cf9 & CF9_RESET;
	r->cf9 = value & CF9_KEPT;
	if (rises)
		reset(r, "port cf9h");
}

static uint32_t kbd_read(void *dev, uint16_t port, unsigned size)
{
	(void)dev, (void)port, (void)size;
	return 0xff;
}

static void kbd_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	(void)port, (void)size;
	if (pulses_reset((uint8_t)value))
		reset(dev, "keyboard controller, port 64h");
}

static uint32_t port92_read(void *dev, uint16_t port, unsigned size)
{
	(void)port, (void)size;
	return ((struct vreset *)dev)->port92;
}

static void port92_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct vreset *r = dev;
	(void)port, (void)size;
	bool rises = value & ~r->port92 & PORT92_RESET;
	r->port92 = value & (PORT92_RESET | PORT92_A20);
	if (rises)
		reset(r, "port 92h");
}

static uint32_t all_ones(unsigned size) { return (uint32_t)(BITS(31, 0) >> (32 - 8 * size)); }

static uint32_t debug_read(void *dev, uint16_t port, unsigned size)
{
	(void)dev, (void)port;
	return all_ones(size);
}

static void debug_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct vreset *r = dev;
	(void)port;
	r->events.debug_exit(r->events.vm, value & all_ones(size));
}

void vreset_reset(struct vreset *r)
{
	r->cf9 = 0;
	r->port92 = PORT92_A20;
}

void vreset_init(struct vreset *r, const struct machine_events *events)
{
	r->events = *events;
	vreset_reset(r);
}

static const struct pio_ops kbd_ops = { kbd_read, kbd_write, 1 };
static const struct pio_ops port92_ops = { port92_read, port92_write, 1 };
static const struct pio_ops debug_ops = { debug_read, debug_write, 4 };

/* The debug port takes a value of any width at its first address. */
#define DEBUG_EXIT_PORTS 4

int vreset_attach(struct vreset *r, struct bus *b, struct failure *f)
{
	int err = bus_add_pio(b, GUEST_PORT_KBD_CMD, 1, &kbd_ops, r, "reset by 64h", f);
	if (!err)
		err = bus_add_pio(b, PORT92, 1, &port92_ops, r, "reset by 92h", f);
	if (!err)
		err = bus_add_pio(b, GUEST_PORT_DEBUG_EXIT, DEBUG_EXIT_PORTS, &debug_ops, r, "debug exit", f);
	return err;
}
