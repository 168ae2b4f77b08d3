/*
 * The shortest way to run a vCPU: each VM exit is the host's, as it is. For platforms without a guest side;
 * run.c takes this file's place.
 */
#include "tdx/soft/vp.h"
#include "vmx/core/fields.h"

void vp_reset(struct soft_call *c, struct soft_vcpu *v)
{
	c->m->platform.vmcs_create(c->m->platform.ctx, v->vp);
	v->vp->gpr[TDX_RBX] = v->td.tdcs->gpa_bits;
	v->vp->gpr[TDX_RCX] = v->vp->gpr[TDX_R8] = v->vp->initial_rcx;
	v->vp->gpr[TDX_RSI] = v->vp->index;
}

void vp_run(struct soft_call *c, struct soft_vcpu *v, struct vp_exit *exit)
{
	c->m->platform.run(c->m->platform.ctx, v->vp);
	exit->reason = vp_vmcs_read(c->m, v->vp, VMCS_EXIT_REASON) & 0xffff;
	exit->qualification = vp_vmcs_read(c->m, v->vp, VMCS_EXIT_QUALIFICATION);
	exit->gpa = vp_vmcs_read(c->m, v->vp, VMCS_GUEST_PHYSICAL);
	exit->intr_info = vp_vmcs_read(c->m, v->vp, VMCS_EXIT_INTR_INFO);
}

bool vp_interrupt_pending(struct soft *m, struct soft_vp *vp)
{
	return vp_vmcs_read(m, vp, VMCS_GUEST_INTR_STATUS) & 0xff;
}
