/*
 * The MC146818 of a guest: time registers, alarm, periodic and update interrupts, CMOS memory.
 * Motorola MC146818A data sheet; the century byte and memory sizes where PC firmware keeps them.
 */
#include "hv/devices/vrtc.h"

#include <string.h>

#include "hv/devices/vrtc_time.h"
#include "hv/guest/guest.h"

enum {
	REG_SECOND = 0,
	REG_SECOND_ALARM = 1,
	REG_MINUTE = 2,
	REG_MINUTE_ALARM = 3,
	REG_HOUR = 4,
	REG_HOUR_ALARM = 5,
	REG_WEEKDAY = 6,
	REG_DAY = 7,
	REG_MONTH = 8,
	REG_YEAR = 9,
	REG_A = 0xa,
	REG_B = 0xb,
	REG_C = 0xc,
	REG_D = 0xd,
};

#define A_UIP BIT(7)
#define A_DIVIDER(a) ((a) >> 4 & 7)
#define A_RATE(a) ((a) & 15)
#define B_24H BIT(1)
#define B_BINARY BIT(2)
#define B_SET BIT(7)
#define FLAG_UPDATE BIT(4) /* enable bits of B and flags of C sit alike */
#define FLAG_ALARM BIT(5)
#define FLAG_PERIODIC BIT(6)
#define FLAGS (FLAG_UPDATE | FLAG_ALARM | FLAG_PERIODIC)
#define C_IRQF BIT(7)
#define D_VALID BIT(7)

#define CMOS_EQUIPMENT 0x14
#define CMOS_BASE_KIB 0x15
#define CMOS_EXTENDED_KIB 0x17
#define CMOS_CHECKSUM 0x2e /* of 10h..2dh, high byte first */
#define CMOS_EXTENDED_KIB2 0x30
#define CMOS_ABOVE_16M 0x34 /* in 64 KiB */
#define CMOS_ABOVE_4G 0x5b  /* in 64 KiB, 3 bytes */

#define NS_PER_SECOND 1000000000ul
#define UPDATE_NS 244000ul /* UIP precedes the update by this much: table "Update Cycle Times" */
#define OSCILLATOR_HZ 32768u
#define LAST_SECOND 18000000000ul /* in the year 2540: later ones do not fit 64 bits of ns */

static bool is_binary(const struct vrtc *r) { return r->cmos[REG_B] & B_BINARY; }
static bool is_24h(const struct vrtc *r) { return r->cmos[REG_B] & B_24H; }

/* SET, or a divider chain that is off or held in reset, stops the clock. Only 010b is for 32768 Hz. */
static bool is_stopped(const struct vrtc *r)
{
	return (r->cmos[REG_B] & B_SET) || A_DIVIDER(r->cmos[REG_A]) != 2;
}

static uint64_t rtc_ns(const struct vrtc *r)
{
	return is_stopped(r) ? r->frozen_ns : vclock_now(r->clock) + r->bias_ns;
}

static bool is_time_reg(unsigned index)
{
	return index == REG_SECOND || index == REG_MINUTE || index == REG_HOUR ||
	       (index >= REG_WEEKDAY && index <= REG_YEAR) || index == VRTC_CENTURY;
}

/* The time registers from the running clock. */
static void store_time(struct vrtc *r)
{
	struct rtc_date d;
	bool bin = is_binary(r);
	rtc_date_from_seconds(rtc_ns(r) / NS_PER_SECOND, &d);
	r->cmos[REG_SECOND] = rtc_encode(d.second, bin);
	r->cmos[REG_MINUTE] = rtc_encode(d.minute, bin);
	r->cmos[REG_HOUR] = rtc_encode_hour(d.hour, bin, is_24h(r));
	r->cmos[REG_WEEKDAY] = rtc_encode(d.weekday, bin);
	r->cmos[REG_DAY] = rtc_encode(d.day, bin);
	r->cmos[REG_MONTH] = rtc_encode(d.month, bin);
	r->cmos[REG_YEAR] = rtc_encode(d.year % 100, bin);
	r->cmos[VRTC_CENTURY] = rtc_encode(d.year / 100, bin);
}

static uint64_t time_from_regs(const struct vrtc *r)
{
	bool bin = is_binary(r);
	struct rtc_date d = {
		.year = rtc_decode(r->cmos[VRTC_CENTURY], bin) % 100 * 100 +
			rtc_decode(r->cmos[REG_YEAR], bin) % 100,
		.month = rtc_decode(r->cmos[REG_MONTH], bin),
		.day = rtc_decode(r->cmos[REG_DAY], bin),
		.hour = rtc_decode_hour(r->cmos[REG_HOUR], bin, is_24h(r)),
		.minute = rtc_decode(r->cmos[REG_MINUTE], bin),
		.second = rtc_decode(r->cmos[REG_SECOND], bin),
	};
	return min_u64(rtc_date_to_seconds(&d), LAST_SECOND);
}

/* Sets the clock to the registers, with the given fraction of the second. */
static void load_time(struct vrtc *r, uint64_t fraction_ns)
{
	uint64_t ns = time_from_regs(r) * NS_PER_SECOND + fraction_ns;
	r->frozen_ns = ns;
	r->bias_ns = ns - vclock_now(r->clock);
	r->update_seen = ns / NS_PER_SECOND;
}

/* 32768 Hz ticks per periodic interrupt, 0: none. Rates 1 and 2 repeat 8 and 9. */
static unsigned periodic_ticks(const struct vrtc *r)
{
	unsigned rate = A_RATE(r->cmos[REG_A]);
	if (rate == 0 || A_DIVIDER(r->cmos[REG_A]) != 2)
		return 0;
	return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

static uint64_t oscillator_ticks(const struct vrtc *r)
{
	return mul_div(vclock_now(r->clock), OSCILLATOR_HZ, NS_PER_SECOND);
}

static uint64_t periods_now(const struct vrtc *r)
{
	unsigned ticks = periodic_ticks(r);
	return ticks ? oscillator_ticks(r) / ticks : 0;
}

static int alarm_field(const struct vrtc *r, unsigned index, unsigned limit)
{
	uint8_t v = r->cmos[index];
	if ((v & 0xc0) == 0xc0)
		return RTC_ANY;
	unsigned n = index == REG_HOUR_ALARM ? rtc_decode_hour(v, is_binary(r), is_24h(r)) :
					       rtc_decode(v, is_binary(r));
	return n < limit ? (int)n : RTC_INVALID;
}

static uint64_t next_alarm(const struct vrtc *r, uint64_t after)
{
	return rtc_next_alarm(after, alarm_field(r, REG_HOUR_ALARM, 24), alarm_field(r, REG_MINUTE_ALARM, 60),
			      alarm_field(r, REG_SECOND_ALARM, 60));
}

/* Brings register C up to now and the line to what it says. */
static void update_flags(struct vrtc *r)
{
	uint64_t second = rtc_ns(r) / NS_PER_SECOND;
	uint64_t period = periods_now(r);
	uint8_t *c = &r->cmos[REG_C];
	if (!is_stopped(r) && second > r->update_seen) {
		*c |= FLAG_UPDATE;
		if (next_alarm(r, r->update_seen) <= second)
			*c |= FLAG_ALARM;
		r->update_seen = second;
	}
	if (period > r->period_seen) {
		*c |= FLAG_PERIODIC;
		r->period_seen = period;
	}
	if (*c & r->cmos[REG_B] & FLAGS)
		*c |= C_IRQF;
	irq_line_set(&r->irq, *c & C_IRQF);
}

static uint64_t second_to_guest_ns(const struct vrtc *r, uint64_t second)
{
	return second * NS_PER_SECOND - r->bias_ns;
}

/* The timer stands at the next flag that would interrupt and is not up yet. */
static void arm(struct vrtc *r)
{
	uint8_t wanted = r->cmos[REG_B] & (uint8_t)~r->cmos[REG_C] & FLAGS;
	uint64_t when = VTIMER_OFF;
	if (!is_stopped(r) && (wanted & FLAG_UPDATE))
		when = second_to_guest_ns(r, r->update_seen + 1);
	else if (!is_stopped(r) && (wanted & FLAG_ALARM)) {
		uint64_t alarm = next_alarm(r, r->update_seen);
		when = alarm == RTC_NEVER ? VTIMER_OFF : second_to_guest_ns(r, alarm);
	}
	if ((wanted & FLAG_PERIODIC) && periodic_ticks(r)) {
		uint64_t tick = (r->period_seen + 1) * periodic_ticks(r);
		when = min_u64(when, mul_div(tick, NS_PER_SECOND, OSCILLATOR_HZ) + 1);
	}
	if (when == VTIMER_OFF)
		vtimer_cancel(&r->timer);
	else
		vtimer_set(&r->timer, when);
}

static void on_timer(void *dev)
{
	struct vrtc *r = dev;
	spin_lock(&r->lock);
	update_flags(r);
	arm(r);
	spin_unlock(&r->lock);
}

/* The divider chain runs on under SET; the first update after its own reset comes half a second
 * later: "Divider Control". */
static uint64_t start_fraction(const struct vrtc *r, bool divider_was_off)
{
	return divider_was_off ? NS_PER_SECOND / 2 : (vclock_now(r->clock) + r->bias_ns) % NS_PER_SECOND;
}

static void write_control(struct vrtc *r, unsigned index, uint8_t v)
{
	bool stopped = is_stopped(r), divider_off = A_DIVIDER(r->cmos[REG_A]) != 2;
	uint64_t ns = rtc_ns(r);
	update_flags(r);
	if (!stopped)
		store_time(r);
	if (index == REG_A)
		v &= (uint8_t)~A_UIP;
	else if (v & B_SET)
		v &= (uint8_t)~FLAG_UPDATE; /* SET clears UIE */
	r->cmos[index] = v;
	if (!stopped && is_stopped(r))
		r->frozen_ns = ns;
	else if (stopped && !is_stopped(r))
		load_time(r, start_fraction(r, divider_off));
	r->period_seen = periods_now(r);
	update_flags(r);
	arm(r);
}

static void write_time(struct vrtc *r, unsigned index, uint8_t v)
{
	if (is_stopped(r)) {
		r->cmos[index] = v;
		return;
	}
	uint64_t fraction = rtc_ns(r) % NS_PER_SECOND;
	update_flags(r);
	store_time(r);
	r->cmos[index] = v;
	load_time(r, fraction);
	arm(r);
}

static void write_reg(struct vrtc *r, unsigned index, uint8_t v)
{
	if (index == REG_A || index == REG_B) {
		write_control(r, index, v);
	} else if (is_time_reg(index)) {
		write_time(r, index, v);
	} else if (index != REG_C && index != REG_D) {
		update_flags(r);
		r->cmos[index] = v;
		arm(r);
	}
}

static uint8_t read_c(struct vrtc *r)
{
	update_flags(r);
	uint8_t v = r->cmos[REG_C];
	r->cmos[REG_C] = 0;
	irq_line_set(&r->irq, false);
	arm(r);
	return v;
}

static uint8_t read_reg(struct vrtc *r, unsigned index)
{
	if (index == REG_C)
		return read_c(r);
	if (index == REG_A && !is_stopped(r) && rtc_ns(r) % NS_PER_SECOND >= NS_PER_SECOND - UPDATE_NS)
		return r->cmos[REG_A] | A_UIP;
	if (is_time_reg(index) && !is_stopped(r))
		store_time(r);
	return r->cmos[index];
}

static uint32_t rtc_read(void *dev, uint16_t port, unsigned size)
{
	struct vrtc *r = dev;
	(void)size;
	if (!(port & 1))
		return 0xff; /* the index cannot be read */
	spin_lock(&r->lock);
	uint8_t v = read_reg(r, r->index);
	spin_unlock(&r->lock);
	return v;
}

static void rtc_write(void *dev, uint16_t port, unsigned size, uint32_t value)
{
	struct vrtc *r = dev;
	(void)size;
	spin_lock(&r->lock);
	if (port & 1)
		write_reg(r, r->index, (uint8_t)value);
	else
		r->index = value & 0x7f;
	spin_unlock(&r->lock);
}

void vrtc_reset(struct vrtc *r)
{
	spin_lock(&r->lock);
	r->cmos[REG_A] = 0x26; /* 32768 Hz, 1024 Hz periodic: what firmware leaves */
	r->cmos[REG_B] = B_24H;
	r->cmos[REG_C] = 0;
	r->index = 0;
	r->bias_ns = vclock_epoch(r->clock) * NS_PER_SECOND;
	r->update_seen = rtc_ns(r) / NS_PER_SECOND;
	r->period_seen = periods_now(r);
	store_time(r);
	irq_line_set(&r->irq, false);
	arm(r);
	spin_unlock(&r->lock);
}

void vrtc_init(struct vrtc *r, struct vclock *clock, const struct irq_line *irq)
{
	memset(r, 0, sizeof(*r));
	r->clock = clock;
	r->irq = *irq;
	vtimer_init(&r->timer, clock, on_timer, r);
	r->cmos[REG_D] = D_VALID;
	vrtc_set_memory(r, 0, 0);
	vrtc_reset(r);
}

static void store_le(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

void vrtc_set_memory(struct vrtc *r, uint64_t below_4g, uint64_t above_4g)
{
	uint64_t extended = below_4g > MIB(1) ? min_u64((below_4g - MIB(1)) / KIB(1), 0xffff) : 0;
	uint64_t above_16m = below_4g > MIB(16) ? min_u64((below_4g - MIB(16)) / KIB(64), 0xffff) : 0;
	unsigned sum = 0;
	r->cmos[CMOS_EQUIPMENT] = 0x02; /* FPU; no floppy, no display adapter */
	store_le(&r->cmos[CMOS_BASE_KIB], 640, 2);
	store_le(&r->cmos[CMOS_EXTENDED_KIB], extended, 2);
	store_le(&r->cmos[CMOS_EXTENDED_KIB2], extended, 2);
	store_le(&r->cmos[CMOS_ABOVE_16M], above_16m, 2);
	store_le(&r->cmos[CMOS_ABOVE_4G], min_u64(above_4g / KIB(64), 0xffffff), 3);
	for (unsigned i = 0x10; i < CMOS_CHECKSUM; i++)
		sum += r->cmos[i];
	r->cmos[CMOS_CHECKSUM] = (uint8_t)(sum >> 8);
	r->cmos[CMOS_CHECKSUM + 1] = (uint8_t)sum;
}

static const struct pio_ops rtc_ops = { rtc_read, rtc_write, 1 };

int vrtc_attach(struct vrtc *r, struct bus *b, struct failure *f)
{
	return bus_add_pio(b, GUEST_PORT_RTC, 2, &rtc_ops, r, "RTC", f);
}
