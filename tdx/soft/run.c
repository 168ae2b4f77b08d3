/*
 * Runs a TD's vCPU: everything around each VM entry, and the guest's execution state. What an exit means is
 * exits.c's. TDX Module 1.5 base specification, "TD Entry and Exit".
 */
#include "tdx/soft/run.h"

#include "tdx/soft/exits.h"
#include "tdx/soft/merged.h"
#include "tdx/soft/td_cpuid.h"
#include "tdx/soft/td_msr.h"

#define DEBUGCTL_BTF BIT(1)
#define SHADOWS (BLOCKING_STI | BLOCKING_MOV_SS)

/* ---- the guest's state ---- */

bool run_in_64bit(struct run *r)
{
	return (run_read(r, VMCS_GUEST_EFER) & EFER_LMA) && (run_read(r, VMCS_GUEST_CS_AR) & AR_CS_LONG);
}

/* SDM "Guest Register State": the DPL of SS is the CPL. */
unsigned run_cpl(struct run *r) { return (unsigned)AR_DPL(run_read(r, VMCS_GUEST_SS_AR)); }

static void end_shadows(struct run *r)
{
	uint64_t state = run_read(r, VMCS_GUEST_INTERRUPTIBILITY);

	if (state & SHADOWS)
		run_write(r, VMCS_GUEST_INTERRUPTIBILITY, state & ~SHADOWS);
}

/* RFLAGS.TF: a trap after each instruction, or after branches only with BTF. */
static void single_step(struct run *r)
{
	if (!(run_read(r, VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF))
		run_write(r, VMCS_GUEST_PENDING_DB, run_read(r, VMCS_GUEST_PENDING_DB) | PENDING_DB_BS);
}

void run_skip(struct run *r, uint64_t length)
{
	uint64_t rip = run_read(r, VMCS_GUEST_RIP) + length, flags = run_read(r, VMCS_GUEST_RFLAGS);

	run_write(r, VMCS_GUEST_RIP, run_in_64bit(r) ? rip : (uint32_t)rip);
	if (flags & RFLAGS_RF)
		run_write(r, VMCS_GUEST_RFLAGS, flags & ~RFLAGS_RF);
	end_shadows(r);
	if (flags & RFLAGS_TF)
		single_step(r);
}

void run_skip_instruction(struct run *r) { run_skip(r, run_read(r, VMCS_EXIT_INSN_LENGTH)); }

/* ---- leaving ---- */

bool run_leave(struct run *r, uint64_t status, uint32_t reason)
{
	*r->exit = (struct vp_exit){ .status = status, .reason = reason };
	if (tdx_status_is(status, TDX_NON_RECOVERABLE_VCPU))
		__atomic_store_n(&r->vp->state, VP_DISABLED, __ATOMIC_RELEASE);
	return false;
}

/* ---- the loop ---- */

/* XMM registers that the guest's VMCALL shares with the host. */
static uint32_t shared_xmm(const struct soft_vp *vp, bool vmcall)
{
	return vmcall ? vp->vmcall_mask >> 16 & 0xffff : 0;
}

static bool enter_and_handle(struct run *r)
{
	apic_prepare(r);
	event_prepare(r);
	r->m->platform.run(r->m->platform.ctx, r->vp);
	if (!exits_handle(r))
		return false;
	return r->vp->shutdown ? run_leave(r, TDX_NON_RECOVERABLE_VCPU, REASON_TRIPLE_FAULT) : true;
}

/* There is no end to the exits of one VP.ENTER: none leaves a page mapped. */
static bool one_run(struct run *r)
{
	uint32_t mark = hpa_mark(r->m);
	bool again = enter_and_handle(r);

	hpa_release(r->m, mark);
	return again;
}

void vp_run(struct soft_call *c, struct soft_vcpu *v, struct vp_exit *exit)
{
	struct run r = { .c = c, .m = c->m, .v = v, .vp = v->vp, .tdcs = v->td.tdcs, .exit = exit };
	const struct soft_platform *p = &c->m->platform;

	merged_refresh(r.m, &v->td, r.vp->shared_eptp);
	p->load(p->ctx, r.vp, shared_xmm(r.vp, r.vp->last_exit == VP_EXIT_VMCALL));
	while (one_run(&r))
		;
	if (exit->reason == TDX_EXIT_TDCALL && !exit->status)
		r.vp->vmcall_mask = r.vp->gpr[TDX_RCX];
	p->save(p->ctx, r.vp, shared_xmm(r.vp, exit->reason == TDX_EXIT_TDCALL && !exit->status));
}

/* ---- the TD ---- */

void run_td_init(struct soft *m, const struct soft_td *td)
{
	td_cpuid_build(m, td->tdcs, td_page(m, td, TDCS_CPUID));
	td_msr_bitmap(&m->controls, td_page(m, td, TDCS_MSR_BITMAP));
}
