/*
 * The parts of the guest's time limit that every entry runs through.
 */
#ifndef VMX_TIMER_H
#define VMX_TIMER_H

#include "vmx/core/vmcs.h"
#include "vmx/vmx.h"

/*
 * TSC ticks until the guest must be left, for the CPU's next event or the guest's APIC timer; 0: now, or
 * event_due must be found anew. All in guest time, since a guest may ask its timer for any value.
 */
static inline uint64_t vmx_time_left(const struct vmx_vcpu *x, uint64_t now)
{
	uint64_t guest_now = now + x->v.tsc_offset;
	uint64_t due = min_u64(x->v.lapic.timer_deadline, x->event_due);

	return LIKELY(due > guest_now) ? due - guest_now : 0;
}

/* Finds event_due: after whatever may have changed the CPU's next event or the guest's time. */
static inline void vmx_time_event(struct vmx_vcpu *x, uint64_t now)
{
	uint64_t event = x->sched->next_event, guest_now = now + x->v.tsc_offset;
	uint64_t left = event > now ? min_u64(event - now, x->timer_reach) : 0;

	x->event_due = left < NEVER - guest_now ? guest_now + left : NEVER; /* it may be about to wrap */
}

/* The guest's own timer, whose expiry concerns nobody else: not on a path that every entry takes. */
static inline void vmx_timer_own(struct vmx_vcpu *x, uint64_t now)
{
	uint64_t guest_now = now + x->v.tsc_offset;

	if (x->v.lapic.timer_deadline <= guest_now)
		vlapic_timer_expired(&x->v.lapic, guest_now);
}

/* Deadline has come: runs what is due. True when the run loop should be left. */
bool vmx_timers_due(struct vmx_vcpu *x, uint64_t now);
/* The same as vmx_timer_set by the host's local APIC timer. */
void vmx_timer_lapic(struct vmx_vcpu *x, uint64_t now, uint64_t left);

/* Makes the guest exit after `left` ticks, at most timer_reach. The timer is loaded anew by every entry;
 * rounded up, so that the exit never comes before the moment. */
static inline void vmx_timer_set(const struct vmx_vcpu *x, uint64_t left)
{
	uint64_t count = left + x->timer_step;

	__asm__("" : "+r"(count)); /* in a register that the shift leaves alone: one move less */
	vmwrite_always(VMCS_PREEMPTION_TIMER, count >> x->timer_rate);
}

#endif
