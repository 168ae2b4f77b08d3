/*
 * L1D flush, VERW, and IBPB between guests.
 */
#include "vmx/core/guard.h"

#include "hv/base/machine.h"
#include "hv/base/x86.h"
#include "vmx/core/msrs.h"

#define FLUSH_CMD_L1D BIT(0)
#define PRED_CMD_IBPB BIT(0)

/* What the CPU loads after this are the guest's own registers. SDM volume 2B "VERR/VERW": the form with
 * a memory operand and a valid selector is the one that clears. */
void guard_entry(const struct vmx_cpu *c)
{
	static const uint16_t selector = SEL_DATA;

	if (feature_in(c->leaks, FEATURE_L1D_FLUSH))
		wrmsr(MSR_FLUSH_CMD, FLUSH_CMD_L1D);
	else
		__asm__ volatile("verw %0" : : "m"(selector) : "cc");
}

/* Branch predictions of one guest shall not steer another. vCPUs of one guest trust each other. */
void guard_turn(struct vmx_cpu *c, uint64_t guest)
{
	if (c->predicted == guest)
		return;
	if (feature_in(c->leaks, FEATURE_IBPB) && c->predicted)
		wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
	c->predicted = guest;
}
