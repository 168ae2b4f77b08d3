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
	uint64_t timer = x->v.lapic.timer_deadline, event = x->v.cpu->sched->next_event;

	if (UNLIKELY(timer <= guest_now || event <= now))
		return 0;
	return min_u64(timer - guest_now, event - now);
}

/* Deadline has come: runs what is due. True when the run loop should be left. */
bool vmx_timers_due(struct vmx_vcpu *x, uint64_t now);
void vmx_timer_lapic(struct vmx_vcpu *x, uint64_t deadline);

/* Makes the guest exit after `left` ticks. The timer counts TSC >> rate, and is loaded anew by every
 * entry; rounded up, so that the exit never comes before the moment. */
static inline void vmx_timer_set(struct vmx_vcpu *x, uint64_t now, uint64_t left)
{
	unsigned rate = x->timer_rate;
	uint64_t count;

	if (UNLIKELY(rate == VMX_NO_TIMER)) {
		vmx_timer_lapic(x, left > NEVER - now ? NEVER : now + left);
		return;
	}
	count = (left >> rate) + 1;
	vmwrite(VMCS_PREEMPTION_TIMER, LIKELY(count <= UINT32_MAX) ? count : UINT32_MAX);
}

#endif
