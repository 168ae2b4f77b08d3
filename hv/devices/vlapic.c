/*
 * The core of a guest's local APIC: modes, acceptance of interrupts, priorities and EOI, and what
 * other CPUs may do to it: match destinations, post.
 */
#include "hv/devices/vlapic.h"

#include <string.h>

#include "hv/base/panic.h"
#include "hv/devices/vlapic_priv.h"
#include "hv/guest/guest.h"

void vlapic_init(struct vlapic *a, uint32_t id, bool bsp, const struct vlapic_host *host, void *ctx)
{
	INVARIANT(a->regs && a->posted && a->tsc_hz && a->timer_hz);
	a->host = host;
	a->ctx = ctx;
	a->id = id;
	a->apic_base = bsp ? VLAPIC_BASE_BSP : 0;
	a->events = 0;
	vlapic_reset(a, false);
}

static void drop_posted(struct vlapic *a)
{
	__atomic_store_n(&a->posted_other, 0, __ATOMIC_RELAXED);
	__atomic_and_fetch(&a->posted->control, ~(uint32_t)POSTED_ON, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 4; i++) {
		__atomic_store_n(&a->posted_level[i], 0, __ATOMIC_RELAXED);
		__atomic_store_n(&a->posted->pir[i], 0, __ATOMIC_RELAXED);
	}
}

/* SDM "Local APIC State After It Receives an INIT Reset" and "... After Power-Up or Reset". */
static void reset_state(struct vlapic *a)
{
	drop_posted(a);
	a->irr_pending = false;
	a->extint = false;
	a->esr_pending = 0;
	memset(a->eoi_exit, 0, sizeof(a->eoi_exit));
	a->eoi_exit_dirty = true;
	vlapic_timer_stop(a);
	vlapic_regs_reset(a);
}

void vlapic_reset(struct vlapic *a, bool init_only)
{
	if (!init_only)
		a->apic_base = GUEST_LAPIC_BASE | VLAPIC_BASE_EN | (a->apic_base & VLAPIC_BASE_BSP) |
			       (a->remote ? VLAPIC_BASE_EXTD : 0);
	reset_state(a);
}

void vlapic_virtual_wire(struct vlapic *a)
{
	*vlapic_reg(a, VLAPIC_SVR) |= SVR_ENABLE;
	*vlapic_reg(a, VLAPIC_LVT_LINT0) = APIC_EXTINT << 8;
	*vlapic_reg(a, VLAPIC_LVT_LINT1) = APIC_NMI << 8;
}

bool vlapic_enabled(const struct vlapic *a)
{
	return (a->apic_base & VLAPIC_BASE_EN) && vlapic_software_enabled(a);
}

/* SDM figure "Local x2APIC State Transitions with IA32_APIC_BASE, INIT, and Reset". */
static bool transition_allowed(uint64_t from, uint64_t to)
{
	const uint64_t both = VLAPIC_BASE_EN | VLAPIC_BASE_EXTD;
	if ((to & both) == VLAPIC_BASE_EXTD)
		return false;
	if ((from & both) == both)
		return (to & both) != VLAPIC_BASE_EN;
	return (from & VLAPIC_BASE_EN) || (to & both) != both;
}

bool vlapic_set_base(struct vlapic *a, uint64_t value)
{
	const uint64_t modes = VLAPIC_BASE_EN | VLAPIC_BASE_EXTD;
	if (a->remote)
		return value == a->apic_base;
	if ((value & ~(modes | VLAPIC_BASE_BSP)) != GUEST_LAPIC_BASE ||
	    !transition_allowed(a->apic_base, value))
		return false;
	uint64_t changed = (a->apic_base ^ value) & modes;
	a->apic_base = value;
	if (!changed)
		return true;
	if ((value & modes) == modes)
		vlapic_derive_ldr(a);
	else
		reset_state(a);
	a->host->mode_changed(a->ctx);
	return true;
}

/* Of ISR, empty is the common answer. */
static inline bool is_empty(const struct vlapic *a, uint32_t base)
{
	const uint32_t *w = vlapic_reg(a, base);
	return !(w[0] | w[4] | w[8] | w[12] | w[16] | w[20] | w[24] | w[28]);
}

/* The highest word that is not 0; the lowest, when all are. */
static inline uint32_t *top_word(const struct vlapic *a, uint32_t base)
{
	uint32_t *w = vlapic_reg(a, base) + 28;
	if (!(w[0] | w[-4] | w[-8] | w[-12]))
		w -= 16;
	for (unsigned left = 3; left && !*w; left--)
		w -= 4;
	return w;
}

static inline unsigned top_bit(uint32_t word) { return (unsigned)__builtin_clz(word) ^ 31; }

static inline int highest_vector(const struct vlapic *a, uint32_t base)
{
	const uint32_t *w = top_word(a, base);
	return *w ? (int)(w - vlapic_reg(a, base)) * 8 + (int)top_bit(*w) : -1;
}

NOINLINE static uint32_t nested_class(const struct vlapic *a)
{
	return (uint32_t)highest_vector(a, VLAPIC_ISR) & 0xf0;
}

int vlapic_highest_irr(const struct vlapic *a) { return highest_vector(a, VLAPIC_IRR); }
int vlapic_highest_isr(const struct vlapic *a) { return highest_vector(a, VLAPIC_ISR); }

static inline uint32_t isr_class(const struct vlapic *a)
{
	return is_empty(a, VLAPIC_ISR) ? 0 : nested_class(a);
}

/* SDM "Processor Priority Register"; on equal classes TPR wins, as in "PPR Virtualization". */
static inline void set_ppr(struct vlapic *a)
{
	uint32_t tpr = *vlapic_reg(a, VLAPIC_TPR), class = isr_class(a);
	*vlapic_reg(a, VLAPIC_PPR) = (tpr & 0xf0) >= class ? tpr : class;
}

void vlapic_update_ppr(struct vlapic *a) { set_ppr(a); }

int vlapic_pending_vector(struct vlapic *a)
{
	if (!a->irr_pending)
		return -1;
	int irrv = highest_vector(a, VLAPIC_IRR);
	if (irrv < 0) {
		a->irr_pending = false;
		return -1;
	}
	uint32_t class = (uint32_t)irrv & 0xf0;
	if (class <= (*vlapic_reg(a, VLAPIC_TPR) & 0xf0))
		return -1;
	return class > isr_class(a) ? irrv : -1;
}

void vlapic_accept(struct vlapic *a, uint8_t vector)
{
	uint32_t bit = vlapic_vector_bit(vector);
	*vlapic_vector_word(a, VLAPIC_IRR, vector) &= ~bit;
	*vlapic_vector_word(a, VLAPIC_ISR, vector) |= bit;
	*vlapic_reg(a, VLAPIC_PPR) = vector & 0xf0; /* its class is above TPR's, or it had not been taken */
	if (is_empty(a, VLAPIC_IRR))
		a->irr_pending = false;
}

void vlapic_eoi_level(struct vlapic *a, uint8_t vector)
{
	a->host->eoi(a->ctx, vector);
}

void vlapic_eoi(struct vlapic *a)
{
	uint32_t *w = top_word(a, VLAPIC_ISR);
	if (UNLIKELY(!*w))
		return;
	uint32_t bit = 1u << top_bit(*w);
	*w &= ~bit;
	set_ppr(a);
	if (UNLIKELY(w[(VLAPIC_TMR - VLAPIC_ISR) / 4] & bit))
		vlapic_eoi_level(a, (uint8_t)((w - vlapic_reg(a, VLAPIC_ISR)) * 8 + top_bit(bit)));
}

/* eoi_exit[i] is a copy of TMR. */
void vlapic_accept_word(struct vlapic *a, unsigned i, uint64_t vectors, bool level)
{
	uint32_t *irr = vlapic_reg(a, VLAPIC_IRR + 32 * i);
	irr[0] |= (uint32_t)vectors;
	irr[4] |= (uint32_t)(vectors >> 32);
	uint64_t tmr = level ? a->eoi_exit[i] | vectors : a->eoi_exit[i] & ~vectors;
	if (UNLIKELY(tmr != a->eoi_exit[i])) {
		uint32_t *words = vlapic_reg(a, VLAPIC_TMR + 32 * i);
		words[0] = (uint32_t)tmr;
		words[4] = (uint32_t)(tmr >> 32);
		a->eoi_exit[i] = tmr;
		a->eoi_exit_dirty = true;
	}
	a->irr_pending = true;
}

NOINLINE static void sync_other(struct vlapic *a)
{
	uint32_t other = __atomic_exchange_n(&a->posted_other, 0, __ATOMIC_ACQ_REL);
	if (other & POSTED_LEVEL)
		for (unsigned i = 0; i < 4; i++) {
			uint64_t vectors = __atomic_exchange_n(&a->posted_level[i], 0, __ATOMIC_RELAXED);
			if (vectors)
				vlapic_accept_word(a, i, vectors, true);
		}
	if (other & POSTED_EXTINT)
		a->extint = true;
	if (other & POSTED_LINT(0))
		vlapic_local(a, VLAPIC_LVT_LINT0);
	if (other & POSTED_LINT(1))
		vlapic_local(a, VLAPIC_LVT_LINT1);
	if (other & POSTED_ILLEGAL)
		vlapic_error(a, ESR_RECEIVE_ILLEGAL);
}

/* ON first: a vector posted after this is seen below or notified anew. */
NOINLINE static void sync_descriptor(struct vlapic *a)
{
	__atomic_and_fetch(&a->posted->control, ~(uint32_t)POSTED_ON, __ATOMIC_ACQ_REL);
	for (unsigned i = 0; i < 4; i++) {
		uint64_t *pir = &a->posted->pir[i];
		if (__atomic_load_n(pir, __ATOMIC_RELAXED))
			vlapic_accept_word(a, i, __atomic_exchange_n(pir, 0, __ATOMIC_ACQ_REL), false);
	}
}

bool vlapic_sync_posted(struct vlapic *a)
{
	bool on = __atomic_load_n(&a->posted->control, __ATOMIC_RELAXED) & POSTED_ON;
	bool other = __atomic_load_n(&a->posted_other, __ATOMIC_RELAXED);
	if (UNLIKELY(other))
		sync_other(a);
	if (UNLIKELY(on && !a->remote))
		sync_descriptor(a);
	return on || other;
}

bool vlapic_takes_extint(const struct vlapic *a)
{
	if (!(a->apic_base & VLAPIC_BASE_EN) || a->extint)
		return true;
	uint32_t lint0 = *vlapic_reg(a, VLAPIC_LVT_LINT0);
	return !(lint0 & LVT_MASKED) && LVT_DELIVERY(lint0) == APIC_EXTINT;
}

void vlapic_extint_taken(struct vlapic *a) { a->extint = false; }

void vlapic_local(struct vlapic *a, uint32_t lvt_offset)
{
	uint32_t lvt = *vlapic_reg(a, lvt_offset);
	if (lvt & LVT_MASKED)
		return;
	switch (LVT_DELIVERY(lvt)) {
	case APIC_FIXED:
		vlapic_raise_lvt(a, lvt & LVT_VECTOR);
		break;
	case APIC_NMI:
		__atomic_or_fetch(&a->events, VLAPIC_PENDING_NMI, __ATOMIC_RELEASE);
		break;
	case APIC_INIT:
		__atomic_or_fetch(&a->events, VLAPIC_PENDING_INIT, __ATOMIC_RELEASE);
		break;
	default: /* ExtINT is vlapic_takes_extint's affair; there is no SMM to enter */
		break;
	}
}
