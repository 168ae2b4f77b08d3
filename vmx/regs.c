/*
 * Guest registers by name: which VMCS field each is, and the few that are more than a field.
 */
#include "vmx/vmx.h"

#include "hv/base/panic.h"
#include "hv/base/x86.h"
#include "mmu/walk.h"
#include "vmx/core/vmcs.h"

static const uint16_t fields[REG_COUNT] = {
	[REG_RIP] = VMCS_GUEST_RIP, [REG_RSP] = VMCS_GUEST_RSP, [REG_RFLAGS] = VMCS_GUEST_RFLAGS,
	[REG_CR3] = VMCS_GUEST_CR3, [REG_EFER] = VMCS_GUEST_EFER, [REG_DR7] = VMCS_GUEST_DR7,
	[REG_ES_BASE] = VMCS_GUEST_ES_BASE, [REG_CS_BASE] = VMCS_GUEST_CS_BASE,
	[REG_SS_BASE] = VMCS_GUEST_SS_BASE, [REG_DS_BASE] = VMCS_GUEST_DS_BASE,
	[REG_FS_BASE] = VMCS_GUEST_FS_BASE, [REG_GS_BASE] = VMCS_GUEST_GS_BASE,
	[REG_ES_AR] = VMCS_GUEST_ES_AR, [REG_CS_AR] = VMCS_GUEST_CS_AR, [REG_SS_AR] = VMCS_GUEST_SS_AR,
	[REG_DS_AR] = VMCS_GUEST_DS_AR, [REG_FS_AR] = VMCS_GUEST_FS_AR, [REG_GS_AR] = VMCS_GUEST_GS_AR,
	[REG_ES_LIMIT] = VMCS_GUEST_ES_LIMIT, [REG_CS_LIMIT] = VMCS_GUEST_CS_LIMIT,
	[REG_SS_LIMIT] = VMCS_GUEST_SS_LIMIT, [REG_DS_LIMIT] = VMCS_GUEST_DS_LIMIT,
	[REG_FS_LIMIT] = VMCS_GUEST_FS_LIMIT, [REG_GS_LIMIT] = VMCS_GUEST_GS_LIMIT,
	[REG_CS_SEL] = VMCS_GUEST_CS_SEL, [REG_SS_SEL] = VMCS_GUEST_SS_SEL, [REG_DS_SEL] = VMCS_GUEST_DS_SEL,
	[REG_ES_SEL] = VMCS_GUEST_ES_SEL, [REG_FS_SEL] = VMCS_GUEST_FS_SEL, [REG_GS_SEL] = VMCS_GUEST_GS_SEL,
	[REG_GDTR_BASE] = VMCS_GUEST_GDTR_BASE, [REG_GDTR_LIMIT] = VMCS_GUEST_GDTR_LIMIT,
	[REG_IDTR_BASE] = VMCS_GUEST_IDTR_BASE, [REG_IDTR_LIMIT] = VMCS_GUEST_IDTR_LIMIT,
	[REG_TR_SEL] = VMCS_GUEST_TR_SEL, [REG_TR_BASE] = VMCS_GUEST_TR_BASE,
	[REG_LDTR_SEL] = VMCS_GUEST_LDTR_SEL, [REG_LDTR_BASE] = VMCS_GUEST_LDTR_BASE,
	[REG_SYSENTER_CS] = VMCS_GUEST_SYSENTER_CS, [REG_SYSENTER_ESP] = VMCS_GUEST_SYSENTER_ESP,
	[REG_SYSENTER_EIP] = VMCS_GUEST_SYSENTER_EIP, [REG_DEBUGCTL] = VMCS_GUEST_DEBUGCTL,
	[REG_PAT] = VMCS_GUEST_PAT, [REG_PDPTE0] = VMCS_GUEST_PDPTE0,
	[REG_PDPTE1] = VMCS_GUEST_PDPTE1, [REG_PDPTE2] = VMCS_GUEST_PDPTE2, [REG_PDPTE3] = VMCS_GUEST_PDPTE3,
};

/* Where a register is that shadow paging keeps out of the VMCS; NULL: it is in there. */
static uint64_t *kept(struct vmx_vcpu *x, enum guest_reg r)
{
	if (!x->shadow)
		return NULL;
	switch (r) {
	case REG_CR3:
		return &x->paging.cr3;
	case REG_EFER:
		return &x->paging.efer;
	case REG_PAT:
		return &x->pat;
	case REG_PDPTE0:
	case REG_PDPTE1:
	case REG_PDPTE2:
	case REG_PDPTE3:
		return &x->paging.pdpte[r - REG_PDPTE0];
	default:
		return NULL;
	}
}

uint64_t vmx_get_reg(struct vcpu *v, enum guest_reg r)
{
	const uint64_t *place;

	switch (r) {
	case REG_CR0:
		return vmx_cr0(to_vmx(v));
	case REG_CR4:
		return vmx_cr4(to_vmx(v));
	case REG_DR7:
		return to_vmx(v)->debug.registers ? to_vmx(v)->debug.guest_dr7 : vmread(VMCS_GUEST_DR7);
	case REG_CPL: /* SS.DPL, in every mode: SDM "Guest Register State" */
		return vmread(VMCS_GUEST_SS_AR) >> 5 & 3;
	default:
		INVARIANT(r < REG_COUNT && fields[r]);
		place = kept(to_vmx(v), r);
		return place ? *place : vmread(fields[r]);
	}
}

uint64_t vmx_get_code_state(struct vcpu *v, struct guest_paging *g, uint32_t *cs_ar)
{
	struct vmx_vcpu *x = to_vmx(v);

	g->rflags = vmread_always(VMCS_GUEST_RFLAGS);
	g->cr0 = vmx_cr0(x);
	g->cr3 = vmx_cr3(x);
	g->cr4 = vmx_cr4(x);
	g->efer = vmx_efer(x);
	g->cpl = (uint32_t)vmread_always(VMCS_GUEST_SS_AR) >> 5 & 3; /* SS.DPL: SDM "Guest Register State" */
	*cs_ar = (uint32_t)vmread_always(VMCS_GUEST_CS_AR);
	return vmread_always(VMCS_GUEST_RIP);
}

void vmx_set_reg(struct vcpu *v, enum guest_reg r, uint64_t value)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint64_t *place;

	switch (r) {
	case REG_CR0:
		vmx_put_cr0(x, value);
		break;
	case REG_CR4:
		vmx_put_cr4(x, value);
		break;
	case REG_EFER:
		vmx_put_efer(x, value);
		break;
	default:
		INVARIANT(r < REG_COUNT && fields[r]);
		place = kept(x, r);
		if (LIKELY(!place)) {
			vmwrite(fields[r], value);
			return;
		}
		*place = value;
	}
	if (x->shadow)
		vmx_shadow_load(x, true);
}
