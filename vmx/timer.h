/*
 * The parts of the guest's time limit that every entry runs through.
 */
#ifndef VMX_TIMER_H
#define VMX_TIMER_H

#include "vmx/core/vmcs.h"
#include "vmx/vmx.h"

/* TSC ticks until the guest must be left, for the CPU's next event or the guest's APIC timer; 0: now.
 * The timer's deadline is compared in guest time: a guest may ask for any value. NEVER is never due. */
static inline uint64_t vmx_time_left(const struct vmx_vcpu *x, uint64_t now)
{
	uint64_t guest_now = now + x->v.tsc_offset;
	uint64_t timer = x->v.lapic.timer_deadline, event = x->sched->next_event;

	if (UNLIKELY(timer <= guest_now || event <= now))
		return 0;
	return min_u64(timer - guest_now, event - now);
}

/* Deadline has come: runs what is due. True when the run loop should be left. */
bool vmx_timers_due(struct vmx_vcpu *x, uint64_t now);
/* The same as vmx_timer_set by the host's local APIC timer. */
void vmx_timer_lapic(struct vmx_vcpu *x, uint64_t now, uint64_t left);

/* Makes the guest exit after `left` ticks. The timer is loaded anew by every entry; rounded up, so
 * that the exit never comes before the moment. */
static inline void vmx_timer_set(const struct vmx_vcpu *x, uint64_t left)
{
	vmwrite_always(VMCS_PREEMPTION_TIMER, min_u64((left >> x->timer_rate) + 1, UINT32_MAX));
}

#endif
