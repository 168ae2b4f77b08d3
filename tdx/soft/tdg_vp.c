/*
 * TDCALL leafs about the vCPU: TDG.VP.VMCALL, VP.INFO, VP.VEINFO.GET, VP.CPUIDVE.SET. TDX Module 1.5 ABI
 * specification, "Guest-Side (TDCALL) Interface Functions".
 */
#include "tdx/soft/run.h"

#define VMCALL_NEVER (BITS(63, 32) | BIT(TDX_RAX) | BIT(TDX_RCX) | BIT(TDX_RSP))
#define INFO_SYS_RD BIT(0) /* R10: TDG.SYS.RD is there */
#define CPUIDVE_SUPERVISOR BIT(0)
#define CPUIDVE_USER BIT(1)

static enum tdg_end done(struct tdg_call *t, uint64_t status)
{
	t->status = status;
	return TDG_DONE;
}

enum tdg_end tdg_vp_vmcall(struct tdg_call *t)
{
	uint64_t never = VMCALL_NEVER;

	if (t->v->td.tdcs->config_flags & TDX_CONFIG_NO_RBP_MOD)
		never |= BIT(TDX_RBP);
	if (t->v->vp->gpr[TDX_RCX] & never)
		return done(t, invalid(TDX_RCX));
	t->exit = (struct vp_exit){ .reason = TDX_EXIT_TDCALL };
	return TDG_EXIT;
}

enum tdg_end tdg_vp_info(struct tdg_call *t)
{
	const struct soft_tdcs *s = t->v->td.tdcs;
	uint64_t *gpr = t->v->vp->gpr;

	gpr[TDX_RCX] = s->gpa_bits;
	gpr[TDX_RDX] = s->attributes;
	gpr[TDX_R8] = s->num_vcpus | (uint64_t)s->max_vcpus << 32;
	gpr[TDX_R9] = t->v->vp->index;
	gpr[TDX_R10] = INFO_SYS_RD;
	gpr[TDX_R11] = 0;
	return done(t, TDX_SUCCESS);
}

/* The instruction's length and form are cleared too: those of a #VE that the CPU injects are not told. */
enum tdg_end tdg_vp_veinfo_get(struct tdg_call *t)
{
	struct ve_info *i = vp_page(t->c->m, t->v->vp, TDVPS_VE_INFO);
	uint64_t *gpr = t->v->vp->gpr;

	if (!i->busy)
		return done(t, TDX_NO_VALID_VE_INFO);
	gpr[TDX_RCX] = i->reason;
	gpr[TDX_RDX] = i->qualification;
	gpr[TDX_R8] = i->gla;
	gpr[TDX_R9] = i->gpa;
	gpr[TDX_R10] = i->length | (uint64_t)i->info << 32;
	i->length = 0;
	i->info = 0;
	i->busy = 0;
	return done(t, TDX_SUCCESS);
}

enum tdg_end tdg_vp_cpuidve_set(struct tdg_call *t)
{
	uint64_t rcx = t->v->vp->gpr[TDX_RCX];

	if (rcx & ~(CPUIDVE_SUPERVISOR | CPUIDVE_USER))
		return done(t, invalid(TDX_RCX));
	t->v->vp->cpuid_ve_supervisor = rcx & CPUIDVE_SUPERVISOR;
	t->v->vp->cpuid_ve_user = rcx & CPUIDVE_USER;
	return done(t, TDX_SUCCESS);
}
