/*
 * Leaving the guest in time: by the VMX-preemption timer, else by the host's local APIC timer.
 * SDM "VMX-Preemption Timer".
 */
#include "vmx/timer.h"

#include "drivers/lapic.h"
#include "mmu/mmu.h"
#include "vmx/vmx.h"

bool vmx_timers_due(struct vmx_vcpu *x, uint64_t now)
{
	vmx_timer_own(x, now);
	if (now < x->sched->tick_from)
		return false;
	mmu_vcpu_topup(x->v.mmu); /* a few times in a slice at most: the next faults need not */
	if (sched_tick(now))
		return true;
	vmx_time_event(x, now);
	return false;
}

void vmx_timer_lapic(struct vmx_vcpu *x, uint64_t now, uint64_t left)
{
	struct vmx_cpu *c = x->v.cpu->vmx;
	uint64_t deadline = left > NEVER - now ? NEVER : now + left;

	if (c->timer_armed == deadline)
		return;
	c->timer_armed = deadline;
	lapic_timer_arm(deadline);
}
