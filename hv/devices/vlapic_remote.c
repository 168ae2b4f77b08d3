/*
 * The second front end of the virtual local APIC: for a guest whose interrupts somebody else delivers.
 * TDX Module 1.5 base specification, "Virtual APIC": of the x2APIC registers TPR, PPR, EOI, ISR, TMR, IRR
 * and SELF IPI are the module's, all others reach the host as MSR accesses that the guest asks for.
 */
#include "hv/devices/vlapic.h"

#include "hv/devices/vlapic_priv.h"

#define X2APIC_MSR_BASE 0x800u
#define OFFSET_OF(msr) (((msr) - X2APIC_MSR_BASE) * 16)

/* As vlapic_post(), but nobody has to be woken: the owner looks at the descriptor before each entry. */
void vlapic_remote_raise(struct vlapic *a, uint8_t vector)
{
	__atomic_or_fetch(&a->posted->pir[vector / 64], BIT(vector & 63), __ATOMIC_RELAXED);
	__atomic_or_fetch(&a->posted->control, (uint32_t)POSTED_ON, __ATOMIC_ACQ_REL);
}

bool vlapic_remote_pending(const struct vlapic *a)
{
	return __atomic_load_n(&a->posted->control, __ATOMIC_ACQUIRE) & POSTED_ON;
}

static bool is_deliverers(uint32_t msr)
{
	uint32_t offset = OFFSET_OF(msr);
	bool vectors = offset >= VLAPIC_ISR && offset < VLAPIC_ESR;

	return vectors || offset == VLAPIC_TPR || offset == VLAPIC_PPR || offset == VLAPIC_EOI ||
	       offset == VLAPIC_SELF_IPI;
}

bool vlapic_remote_msr_read(struct vlapic *a, uint32_t msr, uint64_t *value)
{
	return !is_deliverers(msr) && vlapic_msr_read(a, msr, value);
}

bool vlapic_remote_msr_write(struct vlapic *a, uint32_t msr, uint64_t value)
{
	return !is_deliverers(msr) && vlapic_msr_write(a, msr, value);
}
