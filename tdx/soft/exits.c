/* The exits of a TD's vCPU; see the header. */
#include "tdx/soft/exits.h"

#include "tdx/soft/td_cpuid.h"
#include "tdx/soft/td_msr.h"

#define CR0_LMSW BITS(3, 1) /* PE cannot be cleared by it, and is 1 */
#define DR6_FIXED 0xffff0ff0ul
#define DR6_STATUS (BITS(3, 0) | BITS(15, 13))
#define DR6_RTM BIT(16)
#define DR7_GD BIT(13)
#define XCR0_X87 BIT(0)
#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)
#define XCR0_AVX512 BITS(7, 5)

/* ---- the host's ---- */

/* As it is: the reason, the qualification, and what interrupted. */
static bool exit_to_host(struct run *r)
{
	*r->exit = (struct vp_exit){
		.reason = (uint32_t)REASON_BASIC(run_read(r, VMCS_EXIT_REASON)),
		.qualification = run_read(r, VMCS_EXIT_QUALIFICATION),
	};
	return false;
}

static bool exit_event(struct run *r)
{
	exit_to_host(r);
	r->exit->intr_info = run_read(r, VMCS_EXIT_INTR_INFO);
	return false;
}

/* Acknowledged by the exit. The vCPU's notification has done its work by making it exit. */
static bool exit_interrupt(struct run *r)
{
	if (!apic_is_notification(r, run_read(r, VMCS_EXIT_INTR_INFO)))
		return exit_event(r);
	r->m->platform.end_of_interrupt(r->m->platform.ctx);
	return true;
}

static bool exit_triple_fault(struct run *r)
{
	return run_leave(r, TDX_NON_RECOVERABLE_VCPU, REASON_TRIPLE_FAULT);
}

/* Ruled out by the controls: whatever this vCPU has become, it does not go on. */
static bool exit_impossible(struct run *r)
{
	return run_leave(r, TDX_NON_RECOVERABLE_VCPU, (uint32_t)REASON_BASIC(run_read(r, VMCS_EXIT_REASON)));
}

/* ---- exceptions ---- */

static bool machine_check(struct run *r)
{
	exit_event(r);
	r->exit->status = TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE;
	td_set_fatal(&r->v->td);
	return false;
}

/* SDM "Information for VM Exits Due to Vectored Events": the qualification says what the exception would have put
 * into DR6 and DR7. RTM is inverted between the two. */
static bool reflect_debug(struct run *r)
{
	uint64_t q = run_read(r, VMCS_EXIT_QUALIFICATION);

	r->vp->dr6 = (DR6_FIXED | (q & DR6_STATUS)) ^ (q & DR6_RTM);
	r->m->platform.apply(r->m->platform.ctx, r->vp, SOFT_DR6);
	run_write(r, VMCS_GUEST_DR7, run_read(r, VMCS_GUEST_DR7) & ~DR7_GD);
	event_exception(r, VEC_DB, -1);
	run_write(r, VMCS_GUEST_PENDING_DB, 0);
	return true;
}

/* INT1 is a trap: RIP goes on behind it, which entry does by the instruction length. */
static bool reflect_int1(struct run *r, uint32_t info)
{
	r->vp->dr6 = DR6_FIXED;
	r->m->platform.apply(r->m->platform.ctx, r->vp, SOFT_DR6);
	r->vp->event = (struct vmx_event){ .info = info & ~INTR_NMI_UNBLOCK,
					   .length = (uint32_t)run_read(r, VMCS_EXIT_INSN_LENGTH) };
	return true;
}

/*
 * #UD for TDCALL, #MC, and those that a guest can make arise for ever while they are delivered, with no
 * instruction boundary in between at which an interrupt would be taken.
 */
static bool exit_exception(struct run *r)
{
	uint32_t info = (uint32_t)run_read(r, VMCS_EXIT_INTR_INFO);

	if (INTR_TYPE(info) == INTR_NMI)
		return exit_event(r);
	if (INTR_VECTOR(info) == VEC_MC)
		return machine_check(r);
	if ((info & INTR_NMI_UNBLOCK) && !r->vp->event.info)
		run_write(r, VMCS_GUEST_INTERRUPTIBILITY,
			  run_read(r, VMCS_GUEST_INTERRUPTIBILITY) | BLOCKING_NMI);
	if (INTR_TYPE(info) == INTR_PRIV_SOFT_EXCEPTION)
		return reflect_int1(r, info);
	if (INTR_VECTOR(info) == VEC_DB)
		return reflect_debug(r);
	if (INTR_VECTOR(info) == VEC_UD && !r->vp->event.info)
		return tdcall_exit_undefined(r);
	event_exception(r, INTR_VECTOR(info),
			info & INTR_ERROR_CODE ? (int64_t)run_read(r, VMCS_EXIT_ERROR_CODE) : -1);
	return true;
}

/* ---- instructions ---- */

static bool raise_ve(struct run *r)
{
	event_ve(r, (uint32_t)REASON_BASIC(run_read(r, VMCS_EXIT_REASON)), run_read(r, VMCS_EXIT_QUALIFICATION), 0, 0);
	return true;
}

static bool raise_ud(struct run *r)
{
	event_exception(r, VEC_UD, -1);
	return true;
}

static bool raise_gp(struct run *r)
{
	event_exception(r, VEC_GP, 0);
	return true;
}

static bool go_on(struct run *r)
{
	(void)r;
	return true;
}

static bool exit_cpuid(struct run *r)
{
	const struct td_cpuid *t = td_page(r->m, &r->v->td, TDCS_CPUID);
	struct td_cpuid_now now = {
		.vcpu_index = r->vp->index,
		.cr4 = run_read(r, VMCS_GUEST_CR4),
		.xcr0 = r->vp->xcr0,
		.xss = r->vp->xss,
		.in_64bit = run_in_64bit(r),
	};
	uint64_t *gpr = r->vp->gpr;
	struct tdx_cpuid_values v;

	if (run_cpl(r) ? r->vp->cpuid_ve_user : r->vp->cpuid_ve_supervisor)
		return raise_ve(r);
	if (!td_cpuid_answer(t, (uint32_t)gpr[TDX_RAX], (uint32_t)gpr[TDX_RCX], &now, &v))
		return raise_ve(r);
	gpr[TDX_RAX] = v.eax;
	gpr[TDX_RBX] = v.ebx;
	gpr[TDX_RCX] = v.ecx;
	gpr[TDX_RDX] = v.edx;
	run_skip_instruction(r);
	return true;
}

/* The masks leave the guest all bits that it may change, so what exits is a value it may not have, or LMSW, whose
 * source is wider than what it writes. */
static bool exit_cr(struct run *r)
{
	struct cr_access a = cr_access_decode(run_read(r, VMCS_EXIT_QUALIFICATION));
	uint64_t cr0 = run_read(r, VMCS_GUEST_CR0);

	if (a.type != CR_LMSW)
		return raise_gp(r);
	run_write(r, VMCS_GUEST_CR0, (cr0 & ~CR0_LMSW) | (a.lmsw_source & CR0_LMSW));
	run_skip_instruction(r);
	return true;
}

/* SDM volume 2, "XSETBV": components come with those they build on. */
static bool xcr0_valid(const struct run *r, uint64_t value)
{
	uint64_t avx512 = value & XCR0_AVX512;

	if ((value & ~r->tdcs->xfam) || !(value & XCR0_X87))
		return false;
	if ((value & XCR0_AVX) && !(value & XCR0_SSE))
		return false;
	return !avx512 || (avx512 == XCR0_AVX512 && (value & XCR0_AVX));
}

static bool exit_xsetbv(struct run *r)
{
	uint64_t value = r->vp->gpr[TDX_RDX] << 32 | (uint32_t)r->vp->gpr[TDX_RAX];

	if (run_cpl(r) || (uint32_t)r->vp->gpr[TDX_RCX] || !xcr0_valid(r, value))
		return raise_gp(r);
	r->vp->xcr0 = value;
	r->m->platform.apply(r->m->platform.ctx, r->vp, SOFT_XCR0);
	run_skip_instruction(r);
	return true;
}

/* ---- the table ---- */

typedef bool (*exit_fn)(struct run *r);

/* Reasons without a row are impossible. */
static const exit_fn handlers[REASON_COUNT] = {
	[REASON_EXCEPTION_NMI] = exit_exception,
	[REASON_EXTERNAL_INTERRUPT] = exit_interrupt,
	[REASON_TRIPLE_FAULT] = exit_triple_fault,
	[REASON_INIT] = exit_to_host,
	[REASON_IO_SMI] = exit_to_host,
	[REASON_OTHER_SMI] = exit_to_host,
	[REASON_INTERRUPT_WINDOW] = go_on,
	[REASON_NMI_WINDOW] = go_on,
	[REASON_TASK_SWITCH] = exit_to_host,
	[REASON_CPUID] = exit_cpuid,
	[REASON_GETSEC] = raise_ud,
	[REASON_HLT] = raise_ve,
	[REASON_INVD] = raise_ve,
	[REASON_RDPMC] = raise_gp,
	[REASON_RSM] = raise_ud,
	[REASON_VMCALL] = raise_ve,
	[REASON_VMCLEAR] = raise_ud,
	[REASON_VMLAUNCH] = raise_ud,
	[REASON_VMPTRLD] = raise_ud,
	[REASON_VMPTRST] = raise_ud,
	[REASON_VMREAD] = raise_ud,
	[REASON_VMRESUME] = raise_ud,
	[REASON_VMWRITE] = raise_ud,
	[REASON_VMXOFF] = raise_ud,
	[REASON_VMXON] = raise_ud,
	[REASON_CR_ACCESS] = exit_cr,
	[REASON_IO] = raise_ve,
	[REASON_RDMSR] = td_msr_exit_read,
	[REASON_WRMSR] = td_msr_exit_write,
	[REASON_MWAIT] = raise_ve,
	[REASON_MONITOR] = raise_ve,
	[REASON_TPR_BELOW_THRESHOLD] = go_on,
	[REASON_EPT_VIOLATION] = ept_exit_violation,
	[REASON_EPT_MISCONFIG] = ept_exit_misconfig,
	[REASON_INVEPT] = raise_ud,
	[REASON_INVVPID] = raise_ud,
	[REASON_WBINVD] = raise_ve,
	[REASON_XSETBV] = exit_xsetbv,
	[REASON_APIC_WRITE] = raise_ve,
	[REASON_VMFUNC] = raise_ud,
	[REASON_ENCLS] = raise_ud,
	[REASON_PCONFIG] = raise_ve,
	[REASON_ENCLV] = raise_ud,
	[REASON_BUS_LOCK] = exit_to_host,
	[REASON_INSN_TIMEOUT] = exit_to_host,
	[REASON_SEAMCALL] = raise_ud,
	[REASON_TDCALL] = tdcall_exit,
};

bool exits_handle(struct run *r)
{
	uint64_t reason = run_read(r, VMCS_EXIT_REASON);

	if (reason >= REASON_COUNT || !handlers[reason])
		return exit_impossible(r);
	event_keep_delivery(r);
	return handlers[reason](r);
}
