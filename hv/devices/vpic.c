/*
 * The 8259A pair of a guest: initialisation and operation command words, priorities, EOI modes,
 * poll, cascade. Intel 8259A data sheet (231468).
 */
#include "hv/devices/vpic.h"

#include <string.h>

#include "hv/guest/guest.h"

#define CASCADE_PIN 2
#define SPURIOUS_PIN 7

/* Pins that may be level-triggered: not the timer, keyboard, cascade, RTC and FPU. */
static const uint8_t elcr_mask[2] = { 0xf8, 0xde };

#define ICW1_NEEDS_ICW4 BIT(0)
#define ICW1_SINGLE BIT(1)
#define ICW1 BIT(4)
#define ICW4_AUTO_EOI BIT(1)
#define ICW4_FULLY_NESTED BIT(4)
#define OCW3 BIT(3)
#define OCW3_READ_ISR BIT(0)
#define OCW3_READ BIT(1)
#define OCW3_POLL BIT(2)
#define OCW3_SMM BIT(5)
#define OCW3_SET_SMM BIT(6)

static void chip_reset(struct vpic_chip *c)
{
	*c = (struct vpic_chip){ .lines = c->lines, .lowest = 7, .imr = 0xff };
}

/* bits turned so that bit 0 is the pin of highest priority. */
static unsigned by_priority(const struct vpic_chip *c, uint8_t bits)
{
	unsigned shift = (c->lowest + 1u) & 7;
	return ((unsigned)bits >> shift | (unsigned)bits << (8 - shift)) & 0xff;
}

static unsigned highest_pin(const struct vpic_chip *c, uint8_t bits)
{
	return ((unsigned)__builtin_ctz(by_priority(c, bits)) + c->lowest + 1) & 7;
}

/* A level pin requests while it is high, an edge pin from its edge until it falls or is acknowledged. */
static uint8_t requests(const struct vpic_chip *c)
{
	return (uint8_t)((c->irr & ~c->elcr) | (c->lines & c->elcr));
}

/* The pin whose request beats what is in service, or -1. */
static int chip_request(const struct vpic_chip *c, bool master)
{
	uint8_t pending = requests(c) & (uint8_t)~c->imr;
	uint8_t blocking = c->isr;
	if (!pending)
		return -1;
	if (c->special_mask)
		blocking &= (uint8_t)~c->imr;
	if (c->fully_nested && master)
		blocking &= (uint8_t)~BIT(CASCADE_PIN);
	unsigned want = by_priority(c, pending), have = by_priority(c, blocking);
	if (have && __builtin_ctz(want) >= __builtin_ctz(have))
		return -1;
	return (int)highest_pin(c, pending);
}

static void chip_set(struct vpic_chip *c, unsigned pin, bool high)
{
	uint8_t bit = (uint8_t)BIT(pin);
	if (high && !(c->lines & bit))
		c->irr |= bit;
	if (high)
		c->lines |= bit;
	else {
		c->lines &= (uint8_t)~bit;
		c->irr &= (uint8_t)~bit;
	}
}

/* The slave's output drives the master's cascade pin, the master's output INTR. */
static void update_output(struct vpic *p)
{
	chip_set(&p->chip[0], CASCADE_PIN, chip_request(&p->chip[1], false) >= 0);
	bool out = chip_request(&p->chip[0], true) >= 0;
	if (out == p->out)
		return;
	__atomic_store_n(&p->out, out, __ATOMIC_RELAXED);
	irq_line_set(&p->intr, out);
}

void vpic_reset(struct vpic *p)
{
	spin_lock(&p->lock);
	chip_reset(&p->chip[0]);
	chip_reset(&p->chip[1]);
	update_output(p);
	spin_unlock(&p->lock);
}

void vpic_init(struct vpic *p, const struct irq_line *intr)
{
	memset(p, 0, sizeof(*p));
	p->intr = *intr;
	vpic_reset(p);
}

static void set_pin(void *chip, unsigned pin, bool high)
{
	struct vpic *p = chip;
	spin_lock(&p->lock);
	if (pin != CASCADE_PIN)
		chip_set(&p->chip[pin >> 3 & 1], pin & 7, high);
	update_output(p);
	spin_unlock(&p->lock);
}

struct irq_line vpic_line(struct vpic *p, unsigned pin)
{
	return (struct irq_line){ set_pin, p, pin };
}

bool vpic_pending(const struct vpic *p) { return __atomic_load_n(&p->out, __ATOMIC_RELAXED); }

static void chip_ack(struct vpic_chip *c, unsigned pin)
{
	uint8_t bit = (uint8_t)BIT(pin);
	c->irr &= (uint8_t)~bit;
	if (!c->auto_eoi)
		c->isr |= bit;
	else if (c->rotate_on_auto_eoi)
		c->lowest = (uint8_t)pin;
}

uint8_t vpic_ack(struct vpic *p)
{
	struct vpic_chip *master = &p->chip[0], *slave = &p->chip[1];
	spin_lock(&p->lock);
	int pin = chip_request(master, true);
	uint8_t vector = master->base + SPURIOUS_PIN;
	if (pin >= 0) {
		chip_ack(master, (unsigned)pin);
		vector = (uint8_t)(master->base + pin);
	}
	if (pin == CASCADE_PIN) {
		int slave_pin = chip_request(slave, false);
		if (slave_pin >= 0)
			chip_ack(slave, (unsigned)slave_pin);
		vector = (uint8_t)(slave->base + (slave_pin >= 0 ? slave_pin : SPURIOUS_PIN));
		/* The slave's output falls with INTA and rises again for the next request: an edge. */
		chip_set(master, CASCADE_PIN, false);
	}
	update_output(p);
	spin_unlock(&p->lock);
	return vector;
}

/* "Initialization Command Words 1 and 2". */
static void write_icw1(struct vpic_chip *c, uint8_t v)
{
	*c = (struct vpic_chip){
		.lines = c->lines,
		.elcr = c->elcr,
		.base = c->base,
		.lowest = 7,
		.init = VPIC_WANTS_ICW2,
		.single = v & ICW1_SINGLE,
		.wants_icw4 = v & ICW1_NEEDS_ICW4,
	};
}

static void end_of_interrupt(struct vpic_chip *c, unsigned pin, bool rotate)
{
	c->isr &= (uint8_t)~BIT(pin);
	if (rotate)
		c->lowest = (uint8_t)pin;
}

/* "Operation Command Word 2": bits R, SL, EOI. */
static void write_ocw2(struct vpic_chip *c, uint8_t v)
{
	unsigned pin = v & 7;
	/* In special mask mode a non-specific EOI passes over masked levels. */
	uint8_t candidates = c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr;
	switch (v >> 5) {
	case 0: /* clear rotation in automatic EOI mode */
	case 4: /* set it */
		c->rotate_on_auto_eoi = v >> 7;
		break;
	case 1: /* non-specific EOI */
	case 5: /* with rotation */
		if (candidates)
			end_of_interrupt(c, highest_pin(c, candidates), v >> 7);
		break;
	case 3: /* specific EOI */
	case 7: /* with rotation */
		end_of_interrupt(c, pin, v >> 7);
		break;
	case 6: /* set priority */
		c->lowest = (uint8_t)pin;
		break;
	default: /* 2: no operation */
		break;
	}
}

static void write_ocw3(struct vpic_chip *c, uint8_t v)
{
	c->poll = v & OCW3_POLL;
	if (v & OCW3_READ)
		c->read_isr = v & OCW3_READ_ISR;
	if (v & OCW3_SET_SMM)
		c->special_mask = v & OCW3_SMM;
}

static void write_command(struct vpic_chip *c, uint8_t v)
{
	if (v & ICW1)
		write_icw1(c, v);
	else if (v & OCW3)
		write_ocw3(c, v);
	else
		write_ocw2(c, v);
}

static void write_data(struct vpic_chip *c, uint8_t v)
{
	switch (c->init) {
	case VPIC_READY:
		c->imr = v;
		break;
	case VPIC_WANTS_ICW2:
		c->base = v & 0xf8;
		c->init = !c->single ? VPIC_WANTS_ICW3 : c->wants_icw4 ? VPIC_WANTS_ICW4 : VPIC_READY;
		break;
	case VPIC_WANTS_ICW3: /* the cascade is wired */
		c->init = c->wants_icw4 ? VPIC_WANTS_ICW4 : VPIC_READY;
		break;
	case VPIC_WANTS_ICW4:
		c->auto_eoi = v & ICW4_AUTO_EOI;
		c->fully_nested = v & ICW4_FULLY_NESTED;
		c->init = VPIC_READY;
		break;
	}
}

static void vpic_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct vpic *p = dev;
	struct vpic_chip *c = &p->chip[port >= GUEST_PORT_PIC2];
	(void)size;
	spin_lock(&p->lock);
	if (port & 1)
		write_data(c, (uint8_t)value);
	else
		write_command(c, (uint8_t)value);
	update_output(p);
	spin_unlock(&p->lock);
}

/* "Poll Command": the read acknowledges the highest request. */
NOINLINE static uint32_t read_poll(struct vpic *p, struct vpic_chip *c)
{
	spin_lock(&p->lock);
	c->poll = false;
	int pin = chip_request(c, c == &p->chip[0]);
	if (pin >= 0)
		chip_ack(c, (unsigned)pin);
	if (pin >= 0 && c == &p->chip[1])
		chip_set(&p->chip[0], CASCADE_PIN, false);
	update_output(p);
	spin_unlock(&p->lock);
	return pin >= 0 ? 0x80 | (uint32_t)pin : 0;
}

/* Without the lock but for a poll: each value is one byte. */
static uint32_t vpic_read(void *dev, uint16_t port, unsigned size)
{
	struct vpic *p = dev;
	struct vpic_chip *c = &p->chip[port >= GUEST_PORT_PIC2];
	(void)size;
	if (UNLIKELY(c->poll))
		return read_poll(p, c);
	if (port & 1)
		return c->imr;
	return c->read_isr ? c->isr : requests(c);
}

static uint32_t elcr_read(void *dev, uint16_t port, unsigned size)
{
	(void)size;
	return ((struct vpic *)dev)->chip[port & 1].elcr;
}

static void elcr_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct vpic *p = dev;
	(void)size;
	spin_lock(&p->lock);
	p->chip[port & 1].elcr = (uint8_t)value & elcr_mask[port & 1];
	update_output(p);
	spin_unlock(&p->lock);
}

static const struct pio_ops vpic_ops = { vpic_read, vpic_write, 1 };
static const struct pio_ops elcr_ops = { elcr_read, elcr_write, 1 };

int vpic_attach(struct vpic *p, struct bus *b, struct failure *f)
{
	int err = bus_add_pio(b, GUEST_PORT_PIC1, 2, &vpic_ops, p, "PIC master", f);
	if (!err)
		err = bus_add_pio(b, GUEST_PORT_PIC2, 2, &vpic_ops, p, "PIC slave", f);
	if (!err)
		err = bus_add_pio(b, GUEST_PORT_ELCR, 2, &elcr_ops, p, "ELCR", f);
	return err;
}
