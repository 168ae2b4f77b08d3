/*
 * EPT violations of a TD: #VE, #PF, or the host's affair. TDX Module 1.5 base specification, "EPT Violations
 * Mutated into #VE" and "Secure EPT Violations"; SDM volume 3C, "Virtualization Exceptions".
 */
#include "tdx/soft/merged.h"
#include "tdx/soft/mem.h"
#include "tdx/abi/fields.h"
#include "tdx/soft/run.h"

#define PFEC_PRESENT BIT(0)
#define PFEC_WRITE BIT(1)
#define PFEC_USER BIT(2)
#define PFEC_RESERVED BIT(3)
#define PFEC_FETCH BIT(4)

#define VIOLATION_READ BIT(0)
#define VIOLATION_WRITE BIT(1)
#define VIOLATION_FETCH BIT(2)
#define VIOLATION_HIDDEN BITS(12, 7)

static bool leave(struct run *r, uint32_t reason, uint64_t qualification, gpa_t gpa, uint64_t extended)
{
	*r->exit = (struct vp_exit){
		.reason = reason,
		.qualification = qualification & ~VIOLATION_HIDDEN,
		.extended = extended,
		.gpa = align_down(gpa, PAGE_SIZE),
	};
	return false;
}

bool ept_leave(struct run *r, uint64_t qualification, gpa_t gpa, uint64_t extended)
{
	return leave(r, REASON_EPT_VIOLATION, qualification, gpa, extended);
}

/* An address wider than the TD's, which a CPU as wide as that would have found reserved in the guest's tables. */
static bool raise_reserved(struct run *r, uint64_t q)
{
	uint64_t error = PFEC_PRESENT | PFEC_RESERVED | (q & VIOLATION_WRITE ? PFEC_WRITE : 0) |
			 (q & VIOLATION_FETCH ? PFEC_FETCH : 0) | (run_cpl(r) == 3 ? PFEC_USER : 0);

	r->vp->cr2 = run_read(r, VMCS_GUEST_LINEAR);
	r->m->platform.apply(r->m->platform.ctx, r->vp, SOFT_CR2);
	event_exception(r, VEC_PF, (int64_t)error);
	return true;
}

static bool raise_ve(struct run *r, uint64_t q, gpa_t gpa)
{
	event_ve(r, REASON_EPT_VIOLATION, q, q & EPT_VIOLATION_LINEAR_VALID ? run_read(r, VMCS_GUEST_LINEAR) : 0, gpa);
	return true;
}

/* A page that waits to be accepted is the guest's affair, unless it said not to be told; while an event is being
 * delivered it cannot be. A page that is there was not yet in the copied root. */
static bool private_violation(struct run *r, uint64_t q, gpa_t gpa, bool delivering)
{
	struct sept_walk at;

	mem_walk(r->c, &r->v->td, gpa, SOFT_4K, &at);
	if (sept_is(at.value, SEPT_IN(TDX_SEPT_PENDING))) {
		if (!(r->tdcs->td_ctls & TDX_TD_CTLS_PENDING_VE_DISABLE) && !delivering)
			return raise_ve(r, q, gpa);
		return ept_leave(r, q, gpa, TDX_EEQ_PENDING_EPT_VIOLATION);
	}
	if (sept_is(at.value, SEPT_IN(TDX_SEPT_MAPPED))) {
		merged_refresh(r->m, &r->v->td, r->vp->shared_eptp);
		return true;
	}
	return ept_leave(r, q, gpa, TDX_EEQ_NONE);
}

/* What the CPU does where it has EPT-violation #VE: the entry that ends the walk does not suppress it, no event is
 * being delivered, and the guest has read the last one. */
static bool shared_violation(struct run *r, uint64_t q, gpa_t gpa, bool delivering)
{
	uint64_t entry;
	uint32_t level;

	if (merged_refresh(r->m, &r->v->td, r->vp->shared_eptp))
		return true;
	if (!delivering && !run_ve_info(r)->busy &&
	    merged_walk_shared(r->m, r->vp->shared_eptp, gpa, &entry, &level) && !(entry & SEPT_SUPPRESS_VE))
		return raise_ve(r, q, gpa);
	return ept_leave(r, q, gpa, TDX_EEQ_NONE);
}

bool ept_access(struct run *r, gpa_t gpa, bool write)
{
	uint64_t q = write ? VIOLATION_WRITE : VIOLATION_READ;

	if (gpa & td_shared_bit(r->tdcs))
		return shared_violation(r, q, gpa, false);
	return private_violation(r, q, gpa, false);
}

bool ept_exit_violation(struct run *r)
{
	uint64_t q = run_read(r, VMCS_EXIT_QUALIFICATION);
	gpa_t gpa = run_read(r, VMCS_GUEST_PHYSICAL);
	bool delivering = r->vp->event.info != 0;

	/* The IRET that removed NMI blocking will run again, or a fault comes before it. */
	if ((q & EPT_VIOLATION_NMI_UNBLOCK) && !delivering)
		run_write(r, VMCS_GUEST_INTERRUPTIBILITY,
			  run_read(r, VMCS_GUEST_INTERRUPTIBILITY) | BLOCKING_NMI);
	if (gpa >> r->tdcs->gpa_bits && (q & EPT_VIOLATION_LINEAR_VALID))
		return raise_reserved(r, q);
	if (gpa & td_shared_bit(r->tdcs))
		return shared_violation(r, q, gpa, delivering);
	return private_violation(r, q, gpa, delivering);
}

/* The secure EPT has no entry that is misconfigured; the host's tables may. */
bool ept_exit_misconfig(struct run *r)
{
	gpa_t gpa = run_read(r, VMCS_GUEST_PHYSICAL);

	if (gpa & td_shared_bit(r->tdcs))
		return leave(r, REASON_EPT_MISCONFIG, 0, gpa, TDX_EEQ_NONE);
	td_set_fatal(&r->v->td);
	return run_leave(r, TDX_NON_RECOVERABLE_TD, REASON_EPT_MISCONFIG);
}
