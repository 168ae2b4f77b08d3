/*
 * VP.ENTER: the checks before a vCPU may run, its association with the LP, its part in TLB tracking, and which
 * registers pass between host and guest. TDX Module 1.5 base specification, "TD Entry and Exit", "TLB
 * Tracking"; ABI specification, "TDH.VP.ENTER".
 */
#include <string.h>

#include "tdx/soft/vp.h"
#include "vmx/core/reasons.h"

#define HINTS (TDX_ENTER_HOST_RECOVERABLE_HINT | TDX_ENTER_RESUME_L1)

/* What the host may see of an EPT violation's qualification: not what the guest's own paging was doing. */
#define EPT_QUALIFICATION_HIDDEN BITS(12, 7)

/* Registers that VMCALL can pass: all but RAX, RCX and RSP. */
#define VMCALL_GPRS (BITS(15, 0) & ~(BIT(TDX_RAX) | BIT(TDX_RCX) | BIT(TDX_RSP)))

/* There are no L2 guests to resume past, and a hint must be about an exit that has left the instruction behind. */
static uint64_t check_hints(const struct soft_vp *vp, uint64_t rcx)
{
	if (rcx & TDX_ENTER_RESUME_L1)
		return invalid(TDX_RCX);
	if ((rcx & TDX_ENTER_HOST_RECOVERABLE_HINT) && vp->last_exit != VP_EXIT_TRAP)
		return invalid(TDX_RCX);
	return TDX_SUCCESS;
}

static uint64_t check_vcpu(struct soft_call *c, struct soft_vcpu *v)
{
	uint64_t status;

	if (v->vp->num_pages < TDX_TDVPS_PAGES)
		return TDX_TDCX_NUM_INCORRECT;
	status = vcpu_associate(c, v);
	if (!status)
		status = check_hints(v->vp, call_arg(c, TDX_RCX));
	if (!status && c->m->platform.now(c->m->platform.ctx) < v->vp->last_tsc)
		status = TDX_TSC_ROLLBACK;
	return status;
}

/*
 * The vCPU counts itself into the current epoch. Translations it may have left on this LP in an older one, or
 * before it was flushed, are of no worth.
 */
static uint64_t join_epoch(struct soft_call *c, struct soft_vcpu *v)
{
	struct soft_tdcs *t = v->td.tdcs;
	uint64_t status = call_lock(c, &t->epoch_lock, LOCK_SHARED, TDX_OP_TD_EPOCH);

	if (status)
		return status;
	__atomic_fetch_add(&t->refcount[t->epoch & 1], 1, __ATOMIC_SEQ_CST);
	if (v->vp->epoch != t->epoch)
		c->m->platform.flush_tlb(c->m->platform.ctx, v->vp);
	v->vp->epoch = t->epoch;
	call_unlock(c, &t->epoch_lock);
	return TDX_SUCCESS;
}

static void leave_epoch(struct soft_vcpu *v)
{
	__atomic_fetch_sub(&v->td.tdcs->refcount[v->vp->epoch & 1], 1, __ATOMIC_RELEASE);
}

/* The host's answer to a VMCALL: what the guest let it see, it may change. */
static void take_registers(const struct soft_call *c, struct soft_vp *vp)
{
	if (vp->last_exit != VP_EXIT_VMCALL)
		return;
	for (uint32_t i = 0; i < TDX_REGS; i++)
		if (vp->vmcall_mask & VMCALL_GPRS & BIT(i))
			vp->gpr[i] = call_arg(c, i);
	vp->gpr[TDX_RAX] = TDX_SUCCESS;
	vp->gpr[TDX_RCX] = vp->vmcall_mask;
}

/* Nothing of the guest, and nothing of what was there before; RBP only where the TD's host can do without it. */
static void clear_registers(struct soft_call *c, const struct soft_tdcs *t)
{
	for (uint32_t i = 0; i < TDX_REGS; i++)
		if (i != TDX_RSP && !(i == TDX_RBP && (t->config_flags & TDX_CONFIG_NO_RBP_MOD)))
			call_set(c, i, 0);
}

static void give_vmcall(struct soft_call *c, struct soft_vp *vp)
{
	vp->last_exit = VP_EXIT_VMCALL;
	vp->vmcall_mask = vp->gpr[TDX_RCX];
	for (uint32_t i = 0; i < TDX_REGS; i++)
		if (vp->vmcall_mask & VMCALL_GPRS & BIT(i))
			call_set(c, i, vp->gpr[i]);
	call_set(c, TDX_RCX, vp->vmcall_mask);
}

static void give_exit(struct soft_call *c, struct soft_vp *vp, const struct vp_exit *exit)
{
	uint64_t hidden = exit->reason == REASON_EPT_VIOLATION ? EPT_QUALIFICATION_HIDDEN : 0;

	vp->last_exit = exit->trap ? VP_EXIT_TRAP : VP_EXIT_ASYNC;
	call_set(c, TDX_RCX, exit->qualification & ~hidden & BITS(31, 0));
	call_set(c, TDX_RDX, exit->extended);
	call_set(c, TDX_R8, align_down(exit->gpa, PAGE_SIZE));
	call_set(c, TDX_R9, exit->intr_info);
}

static uint64_t run(struct soft_call *c, struct soft_vcpu *v)
{
	struct soft_vp *vp = v->vp;
	struct vp_exit exit = { 0 };

	take_registers(c, vp);
	__atomic_store_n(&vp->state, VP_ACTIVE, __ATOMIC_RELEASE);
	call_unlock(c, &v->td.tdcs->op_state_lock);
	vp_run(c, v, &exit);
	leave_epoch(v);
	vp->last_tsc = c->m->platform.now(c->m->platform.ctx);
	clear_registers(c, v->td.tdcs);
	if (exit.reason == TDX_EXIT_TDCALL && !exit.status)
		give_vmcall(c, vp);
	else
		give_exit(c, vp, &exit);
	if (vp->state == VP_ACTIVE)
		__atomic_store_n(&vp->state, VP_READY, __ATOMIC_RELEASE);
	return exit.status | exit.reason;
}

uint64_t tdh_vp_enter(struct soft_call *c)
{
	struct soft_vcpu v;
	uint64_t status = vcpu_open_at(c, call_arg(c, TDX_RCX) & ~HINTS, TDX_RCX, LOCK_SHARED, &v);

	if (!status)
		status = check_vcpu(c, &v);
	if (!status)
		status = join_epoch(c, &v);
	return status ? status : run(c, &v);
}
