/*
 * PM1 registers, SCI and PM timer of a guest. ACPI specification 6.4, section "ACPI Register Model".
 */
#include "hv/devices/vpm.h"

#include <string.h>

#include "hv/guest/guest.h"

#define STS_TIMER BIT(0)
#define STS_GLOBAL BIT(5)
#define STS_POWER_BUTTON BIT(8)
#define STS_SLEEP_BUTTON BIT(9)
#define STS_RTC BIT(10)
#define ENABLE_ALL (STS_TIMER | STS_GLOBAL | STS_POWER_BUTTON | STS_SLEEP_BUTTON | STS_RTC)

#define CNT_SCI_EN BIT(0)
#define CNT_BM_RLD BIT(1)
#define CNT_SLEEP_TYPE(c) ((c) >> 10 & 7)
#define CNT_SLEEP_EN BIT(13) /* write-only */
#define CNT_KEPT (CNT_BM_RLD | BITS(12, 10))

#define TIMER_MUL 315 /* 315/88 MHz */
#define TIMER_DIV 88000
#define TIMER_BITS 24
#define TIMER_CARRY_BIT (TIMER_BITS - 1) /* TMR_STS: the top bit changed */

static uint64_t timer_ticks(const struct vpm *pm)
{
	return mul_div(vclock_now(pm->clock), TIMER_MUL, TIMER_DIV);
}

/* Brings TMR_STS up to now, SCI to what status and enable say, and the timer to the next carry. */
static void update(struct vpm *pm)
{
	uint64_t carry = timer_ticks(pm) >> TIMER_CARRY_BIT;
	if (carry != pm->carry_seen)
		pm->status |= STS_TIMER;
	pm->carry_seen = carry;
	bool high = pm->status & pm->enable & ENABLE_ALL;
	if (high != pm->sci_high) {
		pm->sci_high = high;
		irq_line_set(&pm->sci, high);
	}
	if (pm->enable & ~pm->status & STS_TIMER)
		vtimer_set(&pm->timer, mul_div((carry + 1) << TIMER_CARRY_BIT, TIMER_DIV, TIMER_MUL) + 1);
	else
		vtimer_cancel(&pm->timer);
}

static void on_timer(void *dev)
{
	struct vpm *pm = dev;
	spin_lock(&pm->lock);
	update(pm);
	spin_unlock(&pm->lock);
}

/* Registers of 16 bits are reached by bytes too, and status with enable as 32 bits: an access is
 * turned into a mask and a value in the register block's own bits. */
static uint32_t event_read(void *dev, uint16_t port, unsigned size)
{
	struct vpm *pm = dev;
	(void)size;
	spin_lock(&pm->lock);
	update(pm);
	uint32_t v = pm->status | (uint32_t)pm->enable << 16;
	spin_unlock(&pm->lock);
	return v >> 8 * (port - GUEST_PORT_PM1_EVT);
}

static uint32_t access_mask(unsigned size, unsigned shift)
{
	return (uint32_t)(BITS(31, 0) >> (32 - 8 * size) << shift);
}

static void event_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct vpm *pm = dev;
	unsigned shift = 8u * (port - GUEST_PORT_PM1_EVT);
	uint32_t mask = access_mask(size, shift);
	uint32_t v = value << shift & mask;
	spin_lock(&pm->lock);
	update(pm);
	pm->status &= (uint16_t)~v; /* written ones clear */
	pm->enable = (uint16_t)(((pm->enable & ~(mask >> 16)) | v >> 16) & ENABLE_ALL);
	update(pm);
	spin_unlock(&pm->lock);
}

static uint32_t control_read(void *dev, uint16_t port, unsigned size)
{
	struct vpm *pm = dev;
	(void)size;
	return (uint32_t)(pm->control | CNT_SCI_EN) >> 8 * (port - GUEST_PORT_PM1_CNT);
}

static void control_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct vpm *pm = dev;
	unsigned shift = 8u * (port - GUEST_PORT_PM1_CNT);
	uint32_t mask = access_mask(size, shift);
	uint32_t v = value << shift & mask;
	spin_lock(&pm->lock);
	pm->control = (uint16_t)(((pm->control & ~mask) | v) & CNT_KEPT);
	bool off = (v & CNT_SLEEP_EN) && CNT_SLEEP_TYPE(pm->control) == GUEST_SLEEP_TYPE_S5;
	spin_unlock(&pm->lock);
	if (off)
		pm->events.power_off(pm->events.vm);
}

static uint32_t timer_read(void *dev, uint16_t port, unsigned size)
{
	struct vpm *pm = dev;
	(void)size;
	return (uint32_t)(timer_ticks(pm) & BITS(TIMER_BITS - 1, 0)) >> 8 * (port - GUEST_PORT_PM_TMR);
}

static void timer_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	(void)dev, (void)port, (void)size, (void)value; /* read-only */
}

void vpm_reset(struct vpm *pm)
{
	spin_lock(&pm->lock);
	pm->status = pm->enable = pm->control = 0;
	pm->carry_seen = timer_ticks(pm) >> TIMER_CARRY_BIT;
	update(pm);
	spin_unlock(&pm->lock);
}

void vpm_init(struct vpm *pm, struct vclock *clock, const struct irq_line *sci,
	      const struct machine_events *events)
{
	memset(pm, 0, sizeof(*pm));
	pm->clock = clock;
	pm->sci = *sci;
	pm->events = *events;
	vtimer_init(&pm->timer, clock, on_timer, pm);
	vpm_reset(pm);
}

static const struct pio_ops event_ops = { event_read, event_write, 4 };
static const struct pio_ops control_ops = { control_read, control_write, 2 };
static const struct pio_ops timer_ops = { timer_read, timer_write, 4 };

int vpm_attach(struct vpm *pm, struct bus *b, struct failure *f)
{
	int err = bus_add_pio(b, GUEST_PORT_PM1_EVT, 4, &event_ops, pm, "ACPI PM1 event", f);
	if (!err)
		err = bus_add_pio(b, GUEST_PORT_PM1_CNT, 2, &control_ops, pm, "ACPI PM1 control", f);
	if (!err)
		err = bus_add_pio(b, GUEST_PORT_PM_TMR, 4, &timer_ops, pm, "ACPI PM timer", f);
	return err;
}
