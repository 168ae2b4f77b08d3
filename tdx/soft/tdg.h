/*
 * TDCALL leafs that work on the TD's memory and measurements. The caller has the vCPU inside the TD (counted
 * in its epoch), has read which leaf it is, and does with the guest what tdg_end says.
 */
#ifndef TDX_SOFT_TDG_H
#define TDX_SOFT_TDG_H

#include "tdx/soft/vp.h"

enum tdg_end {
	TDG_DONE,  /* RAX = status; RIP is past the TDCALL */
	TDG_AGAIN, /* an interrupt is due: the guest goes on at the TDCALL, and makes it again after it */
	TDG_EXIT,  /* exit says what the host must see to; RIP stays at the TDCALL */
	TDG_FAULT, /* as if the guest had gone to gpa itself: EPT violation; RIP stays at the TDCALL */
};

/*
 * One TDCALL. Operands are in v->vp->gpr. OPERAND_BUSY_HOST_PRIORITY is for the caller to count: the guest is
 * told OPERAND_BUSY, and the TD exits when that goes on for longer than HP_LOCK_TIMEOUT.
 */
struct tdg_call {
	struct soft_call *c; /* the VP.ENTER that the vCPU is inside of */
	struct soft_vcpu *v;
	uint64_t status;
	struct vp_exit exit;
	gpa_t gpa;
	bool write;
};

enum tdg_end tdg_mem_page_accept(struct tdg_call *t);
enum tdg_end tdg_mr_report(struct tdg_call *t);
enum tdg_end tdg_mr_rtmr_extend(struct tdg_call *t);

#endif
