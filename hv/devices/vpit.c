/*
 * The 8254 of a guest: modes 0 to 5, binary and BCD, latches, read-back, and port 61h with channel
 * 2's gate and output. Intel 8254 data sheet (231164).
 */
#include "hv/devices/vpit.h"

#include <string.h>

#include "hv/guest/guest.h"

/* 105/88 MHz: ticks = ns * 105 / 88000. */
#define TICK_MUL 105
#define TICK_DIV 88000

#define REFRESH_HALF_PERIOD_NS 15085
#define MIN_EDGE_NS 10000 /* periodic edges closer than this are skipped: no guest storms its host CPU */

#define SYSB_GATE2 BIT(0)
#define SYSB_WRITABLE 0x0f
#define SYSB_REFRESH BIT(4)
#define SYSB_OUT2 BIT(5)

#define STATUS_NULL_COUNT BIT(6)
#define STATUS_OUT BIT(7)

static uint64_t ticks_at(uint64_t ns) { return mul_div(ns, TICK_MUL, TICK_DIV); }
static uint64_t ticks_now(const struct vpit *p) { return ticks_at(vclock_now(p->clock)); }
/* A time at which ticks_at() has just reached tick. */
static uint64_t tick_to_ns(uint64_t tick) { return mul_div(tick, TICK_DIV, TICK_MUL) + 1; }

static bool is_periodic(const struct vpit_channel *c) { return c->mode == 2 || c->mode == 3; }
static bool is_triggered(const struct vpit_channel *c) { return c->mode == 1 || c->mode == 5; }

/* Whether the counter runs or stands somewhere in a round: loaded, and triggered where it must be. */
static bool is_started(const struct vpit_channel *c)
{
	return c->loaded && (!is_triggered(c) || c->triggered);
}

static bool is_paused(const struct vpit_channel *c) { return !c->gate && !is_triggered(c); }

/* Ticks since the count was loaded. */
static uint64_t elapsed(const struct vpit_channel *c, uint64_t now)
{
	if (is_paused(c))
		now = c->paused_at;
	return now > c->start ? now - c->start : 0;
}

static void take_next_count(struct vpit_channel *c)
{
	if (c->next_count)
		c->count = c->next_count;
	c->next_count = 0;
}

/* In modes 2 and 3 a new count takes its place when the round ends. */
static void settle(struct vpit_channel *c, uint64_t now)
{
	if (!c->next_count || !is_periodic(c) || elapsed(c, now) < c->count)
		return;
	c->start += c->count;
	take_next_count(c);
}

static bool channel_out(const struct vpit_channel *c, uint64_t now)
{
	if (!is_started(c))
		return c->mode != 0;
	uint64_t e = elapsed(c, now);
	switch (c->mode) {
	case 0:
	case 1:
		return e >= c->count;
	case 2:
		return is_paused(c) || e % c->count != c->count - 1;
	case 3:
		return is_paused(c) || e % c->count < (c->count + 1) / 2;
	default:
		return e != c->count;
	}
}

static uint16_t to_bcd(uint32_t v)
{
	return (uint16_t)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

static uint32_t from_bcd(uint16_t v)
{
	return (v & 15u) + 10 * (v >> 4 & 15u) + 100 * (v >> 8 & 15u) + 1000 * (v >> 12 & 15u);
}

/* The counting element. Mode 3 counts down by two, an odd count as in "Mode 3: Square Wave Mode". */
static uint16_t counter_value(const struct vpit_channel *c, uint64_t now)
{
	uint32_t wrap = c->bcd ? 10000 : 65536;
	if (!c->count)
		return 0;
	uint64_t e = is_started(c) ? elapsed(c, now) : 0;
	uint32_t v;
	if (c->mode == 3) {
		uint32_t even = c->count & ~1u, high = (c->count + 1) / 2, at = (uint32_t)(e % c->count);
		v = even - 2 * (at < high ? at : at - high) % even;
	} else if (c->mode == 2) {
		v = c->count - (uint32_t)(e % c->count);
	} else {
		v = (uint32_t)((c->count % wrap + wrap - e % wrap) % wrap);
	}
	return c->bcd ? to_bcd(v) : (uint16_t)v;
}

static uint32_t decode_count(const struct vpit_channel *c, uint16_t raw)
{
	uint32_t n = c->bcd ? from_bcd(raw) : raw;
	uint32_t max = c->bcd ? 10000 : 65536;
	if (n == 0 || n > max)
		return max;
	/* 1 is illegal in modes 2 and 3; the chip never ends such a round. */
	return n == 1 && is_periodic(c) ? max : n;
}

/* The tick of the next rising edge of OUT after now, VTIMER_OFF when none is due by itself. */
static uint64_t next_rising_edge(const struct vpit_channel *c, uint64_t now)
{
	if (!is_started(c) || is_paused(c))
		return VTIMER_OFF;
	if (is_periodic(c)) {
		if (now < c->start)
			return c->start + c->count;
		return c->start + ((now - c->start) / c->count + 1) * c->count;
	}
	uint64_t edge = c->start + c->count + (c->mode >= 4);
	return edge > now ? edge : VTIMER_OFF;
}

static void arm(struct vpit *p, uint64_t after)
{
	p->next_edge = next_rising_edge(&p->ch[0], after);
	if (p->next_edge == VTIMER_OFF)
		vtimer_cancel(&p->timer);
	else
		vtimer_set(&p->timer, tick_to_ns(p->next_edge));
}

/* Follows a change of channel 0: the line takes OUT's level, the timer its next edge. */
static void update_irq(struct vpit *p)
{
	uint64_t now = ticks_now(p);
	irq_line_set(&p->irq, channel_out(&p->ch[0], now));
	arm(p, now);
}

static void on_timer(void *dev)
{
	struct vpit *p = dev;
	struct vpit_channel *c = &p->ch[0];
	spin_lock(&p->lock);
	uint64_t now = vclock_now(p->clock), tick = ticks_at(now);
	if (tick >= p->next_edge) {
		settle(c, tick);
		/* Only the rising edge is shown: what falls before it interrupts nobody. */
		irq_line_set(&p->irq, false);
		irq_line_set(&p->irq, true);
		arm(p, is_periodic(c) ? max_u64(tick, ticks_at(now + MIN_EDGE_NS) - 1) : tick);
	}
	spin_unlock(&p->lock);
}

static void load_count(struct vpit *p, unsigned n, uint16_t raw)
{
	struct vpit_channel *c = &p->ch[n];
	uint64_t now = ticks_now(p);
	uint32_t count = decode_count(c, raw);
	bool in_round = is_started(c) && !is_paused(c);
	if (in_round && (is_periodic(c) || is_triggered(c))) {
		settle(c, now);
		if (is_periodic(c)) /* to the round under way, whose end settle() waits for */
			c->start += elapsed(c, now) / c->count * c->count;
		c->next_count = count;
		return;
	}
	c->count = count;
	c->next_count = 0;
	c->loaded = true;
	/* Loaded by the next clock pulse; modes 1 and 5 load with their trigger. */
	if (!is_triggered(c))
		c->start = c->paused_at = now + 1;
	if (n == 0)
		update_irq(p);
}

static void write_count(struct vpit *p, unsigned n, uint8_t v)
{
	struct vpit_channel *c = &p->ch[n];
	switch (c->access) {
	case 1:
		load_count(p, n, v);
		return;
	case 2:
		load_count(p, n, (uint16_t)(v << 8));
		return;
	default:
		break;
	}
	c->write_high_next = !c->write_high_next;
	if (c->write_high_next) {
		c->write_low = v;
		if (c->mode == 0) {
			c->loaded = false; /* "Mode 0": the first byte stops counting and lowers OUT */
			if (n == 0)
				update_irq(p);
		}
	} else {
		load_count(p, n, (uint16_t)(v << 8 | c->write_low));
	}
}

static void latch_count(struct vpit *p, struct vpit_channel *c)
{
	if (c->latched)
		return;
	uint64_t now = ticks_now(p);
	settle(c, now);
	c->latch = counter_value(c, now);
	c->latched = c->access == 3 ? 2 : 1;
}

static void latch_status(struct vpit *p, struct vpit_channel *c)
{
	if (c->status_latched)
		return;
	uint64_t now = ticks_now(p);
	settle(c, now);
	c->status_latched = true;
	c->status = (uint8_t)(c->bcd | c->mode << 1 | c->access << 4);
	if (!c->loaded || c->next_count || now < c->start)
		c->status |= STATUS_NULL_COUNT;
	if (channel_out(c, now))
		c->status |= STATUS_OUT;
}

/* "Read-Back Command": bits 5 and 4 low select count and status, bits 3:1 the channels. */
static void read_back(struct vpit *p, uint8_t v)
{
	for (unsigned n = 0; n < 3; n++) {
		if (!(v >> (n + 1) & 1))
			continue;
		if (!(v & BIT(5)))
			latch_count(p, &p->ch[n]);
		if (!(v & BIT(4)))
			latch_status(p, &p->ch[n]);
	}
}

static void write_control(struct vpit *p, uint8_t v)
{
	unsigned n = v >> 6;
	if (n == 3) {
		read_back(p, v);
		return;
	}
	struct vpit_channel *c = &p->ch[n];
	uint8_t access = v >> 4 & 3;
	if (access == 0) {
		latch_count(p, c);
		return;
	}
	uint8_t mode = v >> 1 & 7;
	*c = (struct vpit_channel){
		.mode = mode > 5 ? mode & 3 : mode, /* 6 and 7 are 2 and 3 */
		.access = access,
		.bcd = v & 1,
		.gate = c->gate,
		.paused_at = ticks_now(p),
		.count = c->count,
	};
	if (n == 0)
		update_irq(p);
}

static uint8_t read_count(struct vpit *p, struct vpit_channel *c)
{
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	uint16_t v = c->latch;
	if (!c->latched) {
		uint64_t now = ticks_now(p);
		settle(c, now);
		v = counter_value(c, now);
	} else {
		c->latched--;
	}
	if (c->access != 3)
		return (uint8_t)(c->access == 2 ? v >> 8 : v);
	c->read_high_next = !c->read_high_next;
	return (uint8_t)(c->read_high_next ? v : v >> 8);
}

/* "Gate Pin Operations Summary". */
static void set_gate(struct vpit *p, struct vpit_channel *c, bool gate)
{
	uint64_t now = ticks_now(p);
	if (gate == c->gate)
		return;
	settle(c, now);
	if (!gate) {
		c->paused_at = now;
	} else if (is_triggered(c) || is_periodic(c)) {
		take_next_count(c);
		c->triggered = c->loaded;
		c->start = now + 1;
	} else if (now > c->paused_at) {
		c->start += now - c->paused_at;
	}
	c->gate = gate;
}

static uint32_t pit_read(void *dev, uint16_t port, unsigned size)
{
	struct vpit *p = dev;
	(void)size;
	if ((port & 3) == 3)
		return 0xff; /* the control word cannot be read */
	spin_lock(&p->lock);
	uint8_t v = read_count(p, &p->ch[port & 3]);
	spin_unlock(&p->lock);
	return v;
}

static void pit_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct vpit *p = dev;
	(void)size;
	spin_lock(&p->lock);
	if ((port & 3) == 3)
		write_control(p, (uint8_t)value);
	else
		write_count(p, port & 3, (uint8_t)value);
	spin_unlock(&p->lock);
}

static uint32_t sysb_read(void *dev, uint16_t port, unsigned size)
{
	struct vpit *p = dev;
	(void)port, (void)size;
	spin_lock(&p->lock);
	uint64_t now = vclock_now(p->clock);
	uint32_t v = p->sysb;
	if (now / REFRESH_HALF_PERIOD_NS & 1)
		v |= SYSB_REFRESH;
	settle(&p->ch[2], ticks_at(now));
	if (channel_out(&p->ch[2], ticks_at(now)))
		v |= SYSB_OUT2;
	spin_unlock(&p->lock);
	return v;
}

static void sysb_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct vpit *p = dev;
	(void)port, (void)size;
	spin_lock(&p->lock);
	p->sysb = value & SYSB_WRITABLE;
	set_gate(p, &p->ch[2], value & SYSB_GATE2);
	spin_unlock(&p->lock);
}

void vpit_reset(struct vpit *p)
{
	spin_lock(&p->lock);
	for (unsigned n = 0; n < 3; n++)
		p->ch[n] = (struct vpit_channel){ .access = 3, .gate = n != 2 };
	p->sysb = 0;
	update_irq(p);
	spin_unlock(&p->lock);
}

void vpit_init(struct vpit *p, struct vclock *clock, const struct irq_line *irq)
{
	memset(p, 0, sizeof(*p));
	p->clock = clock;
	p->irq = *irq;
	vtimer_init(&p->timer, clock, on_timer, p);
	vpit_reset(p);
}

static const struct pio_ops pit_ops = { pit_read, pit_write, 1 };
static const struct pio_ops sysb_ops = { sysb_read, sysb_write, 1 };

int vpit_attach(struct vpit *p, struct bus *b, struct failure *f)
{
	int err = bus_add_pio(b, GUEST_PORT_PIT, 4, &pit_ops, p, "PIT", f);
	if (!err)
		err = bus_add_pio(b, GUEST_PORT_SYSB, 1, &sysb_ops, p, "port 61h", f);
	return err;
}
