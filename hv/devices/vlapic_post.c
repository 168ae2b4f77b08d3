/*
 * The part of a guest's local APIC that runs on any CPU: whether a message is for it, which of
 * several takes it, and leaving it where the owner finds it.
 */
#include "hv/devices/vlapic.h"
#include "hv/devices/vlapic_priv.h"

#define BROADCAST_8 0xffu
#define BROADCAST_32 0xffffffffu

static uint32_t read_reg(const struct vlapic *a, uint32_t offset)
{
	return __atomic_load_n(vlapic_reg(a, offset), __ATOMIC_RELAXED);
}

/* SDM "Logical Destination Mode" and "Logical Destination Mode in x2APIC Mode". */
static bool matches_logical(const struct vlapic *a, uint32_t dest)
{
	uint32_t ldr = read_reg(a, VLAPIC_LDR);
	if (vlapic_x2apic(a))
		return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
	if (dest > 0xff)
		return false;
	ldr >>= 24;
	if (read_reg(a, VLAPIC_DFR) >> 28 == 0xf)
		return dest & ldr;
	return (dest >> 4 == ldr >> 4 || dest >> 4 == 0xf) && (dest & ldr & 0xf);
}

static bool is_on(const struct vlapic *a)
{
	return __atomic_load_n(&a->apic_base, __ATOMIC_RELAXED) & VLAPIC_BASE_EN;
}

bool vlapic_matches(const struct vlapic *a, const struct apic_msg *m)
{
	if (!is_on(a))
		return false;
	if (m->dest == (m->x2apic_dest ? BROADCAST_32 : BROADCAST_8))
		return true;
	return m->logical ? matches_logical(a, m->dest) : m->dest == a->id;
}

/* The class the APIC is busy with: what "Arbitration Priority Register" compares, without IRR's part. */
static uint32_t busy_class(const struct vlapic *a) { return read_reg(a, VLAPIC_PPR) >> 4; }

struct vlapic *vlapic_arbitrate(struct vlapic *best, struct vlapic *candidate)
{
	if (!(read_reg(candidate, VLAPIC_SVR) & SVR_ENABLE))
		return best;
	return best && busy_class(best) <= busy_class(candidate) ? best : candidate;
}

static void post_other(struct vlapic *a, uint32_t what)
{
	if (!(__atomic_fetch_or(&a->posted_other, what, __ATOMIC_ACQ_REL) & what))
		a->host->kick(a->ctx);
}

static void post_event(struct vlapic *a, uint32_t event)
{
	uint32_t old = __atomic_load_n(&a->events, __ATOMIC_RELAXED);
	uint32_t now;
	do {
		/* A SIPI still pending when INIT comes was meant for the wait before it. */
		now = event == VLAPIC_PENDING_INIT ? old & ~(uint32_t)VLAPIC_PENDING_SIPI : old;
		now |= event;
	} while (!__atomic_compare_exchange_n(&a->events, &old, now, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	a->host->kick(a->ctx);
}

static void post_fixed(struct vlapic *a, uint8_t vector, bool level)
{
	if (!(read_reg(a, VLAPIC_SVR) & SVR_ENABLE))
		return;
	if (UNLIKELY(vector < APIC_FIRST_VECTOR)) {
		post_other(a, POSTED_ILLEGAL);
		return;
	}
	if (level && !a->remote) {
		__atomic_or_fetch(&a->posted_level[vector / 64], BIT(vector & 63), __ATOMIC_RELAXED);
		post_other(a, POSTED_LEVEL);
		return;
	}
	__atomic_or_fetch(&a->posted->pir[vector / 64], BIT(vector & 63), __ATOMIC_RELAXED);
	if (!(__atomic_fetch_or(&a->posted->control, POSTED_ON, __ATOMIC_ACQ_REL) & POSTED_ON))
		a->host->kick(a->ctx);
}

void vlapic_post(struct vlapic *a, const struct apic_msg *m)
{
	if (UNLIKELY(!is_on(a)))
		return;
	switch (m->mode) {
	case APIC_FIXED:
	case APIC_LOWEST:
		post_fixed(a, m->vector, m->level_triggered);
		break;
	case APIC_NMI:
		post_event(a, VLAPIC_PENDING_NMI);
		break;
	case APIC_INIT:
		if (m->assert && !a->remote)
			post_event(a, VLAPIC_PENDING_INIT);
		break;
	case APIC_SIPI:
		if (a->remote)
			break;
		__atomic_store_n(&a->sipi_vector, m->vector, __ATOMIC_RELAXED);
		post_event(a, VLAPIC_PENDING_SIPI);
		break;
	case APIC_EXTINT:
		if (!a->remote)
			post_other(a, POSTED_EXTINT);
		break;
	case APIC_SMI: /* there is no SMM to enter */
		break;
	}
}

void vlapic_post_lint(struct vlapic *a, unsigned pin) { post_other(a, POSTED_LINT(pin)); }

bool vlapic_needs_exit(const struct vlapic *a)
{
	return __atomic_load_n(&a->posted_other, __ATOMIC_RELAXED) ||
	       __atomic_load_n(&a->events, __ATOMIC_RELAXED);
}
