/*
 * The local APIC timer of a guest: one-shot, periodic and TSC-deadline. It counts guest TSC ticks;
 * nothing ticks here, the owner compares timer_deadline with the TSC before it enters the guest.
 * SDM "APIC Timer".
 */
#include "hv/devices/vlapic.h"
#include "hv/devices/vlapic_priv.h"

#define NEVER UINT64_MAX
#define MAX_EXPIRIES_PER_SECOND 100000 /* so that no guest storms its host CPU */

void vlapic_timer_stop(struct vlapic *a)
{
	a->tsc_deadline = 0;
	a->timer_deadline = NEVER;
	a->timer_period = 0;
}

/* Counts of the divided clock to guest TSC ticks. At most 2^39 undivided counts: no overflow. */
static uint64_t counts_to_tsc(const struct vlapic *a, uint64_t counts)
{
	return mul_div(counts << a->timer_shift, a->tsc_hz, a->timer_hz);
}

/* Ticks left until the counter reaches zero; a periodic counter that was not yet seen to expire has
 * been reloaded. */
static uint64_t ticks_left(const struct vlapic *a)
{
	uint64_t now = a->host->tsc(a->ctx);
	if (now < a->timer_deadline)
		return a->timer_deadline - now;
	if (a->timer_mode != TIMER_PERIODIC || a->timer_period == 0)
		return 0;
	return a->timer_period - (now - a->timer_deadline) % a->timer_period;
}

uint32_t vlapic_timer_count(const struct vlapic *a)
{
	if (a->timer_deadline == NEVER || a->timer_mode == TIMER_TSC_DEADLINE)
		return 0;
	uint64_t counts = mul_div(ticks_left(a), a->timer_hz, a->tsc_hz) >> a->timer_shift;
	return (uint32_t)min_u64(counts, *vlapic_reg(a, VLAPIC_TIMER_INIT));
}

void vlapic_timer_start(struct vlapic *a, uint32_t count)
{
	if (a->timer_mode == TIMER_TSC_DEADLINE || a->timer_mode == TIMER_RESERVED)
		return;
	*vlapic_reg(a, VLAPIC_TIMER_INIT) = count;
	if (count == 0) {
		vlapic_timer_stop(a);
		return;
	}
	a->timer_period = max_u64(counts_to_tsc(a, count), 1);
	a->timer_deadline = a->host->tsc(a->ctx) + a->timer_period;
}

/* SDM "Divide Configuration Register": bits 3, 1, 0; 000b is 2, 110b is 128, 111b is 1. */
static uint8_t divider_shift(uint32_t value)
{
	return (uint8_t)(((value & 3) + (value >> 1 & 4) + 1) & 7);
}

void vlapic_timer_set_divider(struct vlapic *a, uint32_t value)
{
	bool running = a->timer_deadline != NEVER && a->timer_mode != TIMER_TSC_DEADLINE;
	uint32_t left = running ? vlapic_timer_count(a) : 0;
	a->timer_shift = divider_shift(value);
	if (!running)
		return;
	a->timer_period = max_u64(counts_to_tsc(a, *vlapic_reg(a, VLAPIC_TIMER_INIT)), 1);
	a->timer_deadline = a->host->tsc(a->ctx) + counts_to_tsc(a, left);
}

/* Crossing between TSC-deadline mode and the others disarms; one-shot and periodic share a counter. */
void vlapic_timer_set_mode(struct vlapic *a, uint32_t lvt)
{
	uint8_t mode = LVT_TIMER_MODE(lvt);
	if (mode == a->timer_mode)
		return;
	if ((mode | a->timer_mode) & TIMER_TSC_DEADLINE) {
		vlapic_timer_stop(a);
		*vlapic_reg(a, VLAPIC_TIMER_INIT) = 0;
	}
	a->timer_mode = mode;
}

uint64_t vlapic_get_tsc_deadline(const struct vlapic *a) { return a->tsc_deadline; }

void vlapic_set_tsc_deadline(struct vlapic *a, uint64_t value)
{
	if (a->timer_mode != TIMER_TSC_DEADLINE)
		return;
	a->tsc_deadline = value;
	a->timer_deadline = value ? value : NEVER;
}

/* The first multiple of the period that lies at least the shortest interval ahead. */
static void rearm_periodic(struct vlapic *a, uint64_t now)
{
	uint64_t soonest = now + a->tsc_hz / MAX_EXPIRIES_PER_SECOND;
	a->timer_deadline += a->timer_period;
	if (UNLIKELY(a->timer_deadline < soonest)) {
		uint64_t missed = (soonest - a->timer_deadline + a->timer_period - 1) / a->timer_period;
		a->timer_deadline += missed * a->timer_period;
	}
}

void vlapic_timer_expired(struct vlapic *a, uint64_t now_tsc)
{
	if (a->timer_deadline == NEVER || now_tsc < a->timer_deadline)
		return;
	if (a->timer_mode == TIMER_PERIODIC)
		rearm_periodic(a, now_tsc);
	else
		vlapic_timer_stop(a);
	uint32_t lvt = *vlapic_reg(a, VLAPIC_LVT_TIMER);
	if (!(lvt & LVT_MASKED))
		vlapic_raise_lvt(a, lvt & LVT_VECTOR);
}
