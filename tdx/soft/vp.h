/*
 * A vCPU of a TD in the pages of its host: the TDVPR and the pages added to it, the checks of leafs that
 * work on one, and its association with an LP. TDX Module 1.5 base specification, "TD VCPU".
 *
 * Who runs it: VP.ENTER (vp_enter.c) checks, associates, counts the vCPU into the epoch, and loads what the
 * host passes; vp_run() (run.c) runs the guest until it is the host's turn and says why in a struct vp_exit;
 * VP.ENTER then writes that to the host's registers.
 */
#ifndef TDX_SOFT_VP_H
#define TDX_SOFT_VP_H

#include "tdx/soft/td.h"
#include "vmx/core/inject.h"

#define VP_MAX_PAGES 15
#define VP_NO_LP (~0u)

/* Pages of the TDVPS, by the order in which they were added. */
enum tdvps_page {
	TDVPS_BASE,    /* struct soft_vp: the TDVPR */
	TDVPS_VMCS,    /* of VMX */
	TDVPS_VAPIC,   /* virtual-APIC page */
	TDVPS_VE_INFO, /* as hardware writes it in bytes 0..39; what is above is the module's */
	TDVPS_XSAVE,   /* the guest's extended state, 2 pages */
	TDVPS_XSAVE_HIGH,
};

enum vp_state { VP_UNINITIALIZED, VP_READY, VP_ACTIVE, VP_DISABLED };

/* How the last run ended, which decides what the next VP.ENTER takes from the host. */
enum vp_last_exit { VP_EXIT_NONE, VP_EXIT_ASYNC, VP_EXIT_TRAP, VP_EXIT_VMCALL };

/*
 * The TDVPR's page. What a leaf other than VP.ENTER changes needs the TDVPR locked alone; VP.ENTER shares it and
 * has the vCPU by its state, ACTIVE.
 */
struct soft_vp {
	uint32_t state;         /* atomic, enum vp_state */
	uint32_t associated_lp; /* atomic; VP_NO_LP: none */
	uint32_t index;
	uint32_t num_pages;     /* the TDVPR is one of them */
	hpa_t page[VP_MAX_PAGES];

	uint64_t gpr[TDX_REGS]; /* the guest's, by encoding; RSP is in the VMCS */
	uint64_t initial_rcx;   /* of VP.INIT */
	uint64_t epoch;         /* TD epoch of its last entry; 0: has not run since it was last flushed */
	uint64_t last_tsc;      /* of the host at its last exit */
	uint32_t last_exit;     /* enum vp_last_exit */
	uint64_t vmcall_mask;   /* RCX of that VMCALL */

	uint32_t pend_nmi;      /* the host wants an NMI injected */
	bool cpuid_ve_user, cpuid_ve_supervisor; /* TDG.VP.CPUIDVE.SET */
	uint64_t dr[4], dr6;    /* the guest's while it is not running */
	uint64_t cr2;
	uint64_t xcr0, xss;
	uint64_t msr[16];       /* those that no VMCS field holds, in the order of td_switched_msrs[] */

	/* What the host has written by VP.WR, checked. */
	uint64_t shared_eptp;       /* 0: none yet */
	hpa_t posted_descriptor;    /* of 64 bytes, aligned to as many, in shared memory */
	uint32_t posted_vector;
	uint32_t pin_controls;      /* TDX_PIN_POSTED_INTERRUPTS, or 0 */
	uint32_t secondary_controls, instruction_timeout; /* read back, of no effect */

	uint64_t td; /* for the platform: what tells this TD from all others there are and were; bit 63 is set */
	bool launched; /* the platform's: its VMCS has been entered since it was last cleared */

	/* run.c's, from one entry to the next. */
	uint64_t host_waits_since;  /* TSC; 0: the host waits for no entry that the guest has locked */
	struct vmx_event event;     /* that the next entry delivers */
	uint32_t primary_controls;  /* as in the VMCS */
	uint32_t tpr_threshold;     /* likewise */
	bool shutdown;              /* a third fault: there is nothing left to deliver */
};
_Static_assert(sizeof(struct soft_vp) <= 4096, "TDVPR");

/* A vCPU that a call has at hand: its TDVPR locked, its TD locked shared and checked. */
struct soft_vcpu {
	hpa_t hpa;
	struct pamt_entry *pamt;
	struct soft_vp *vp;
	struct soft_td td;
};

/* What VP.ENTER tells the host of an exit. */
struct vp_exit {
	uint64_t status;        /* a TDX status, 0 for most; VP.ENTER adds the reason to bits 31:0 */
	uint32_t reason;        /* basic exit reason; TDX_EXIT_TDCALL: TDG.VP.VMCALL, the rest is not looked at */
	uint64_t qualification;
	uint64_t extended;      /* extended exit qualification: RDX */
	uint64_t gpa;
	uint64_t intr_info;
	bool trap;              /* RIP is past the instruction */
};

/*
 * Runs the guest until it is the host's turn, with every lock of VP.ENTER but the op state's held and the
 * vCPU ACTIVE on this LP. Leaves the guest's registers in vp->gpr and fills in all of *exit. May set the TD
 * fatal, or the vCPU's state to VP_DISABLED.
 */
void vp_run(struct soft_call *c, struct soft_vcpu *v, struct vp_exit *exit);

/* Makes the VMCS, and fills it and the vCPU's registers with the state of VP.INIT. Associated with this LP. */
void vp_reset(struct soft_call *c, struct soft_vcpu *v);

/*
 * Check 1 of the TDVPR in operand reg, locked in that mode; its TD's lock, shared (OPERAND_BUSY | TDX_OP_TDR);
 * and, in vcpu_open(), the ladder of td_check() with the op state shared.
 */
uint64_t vcpu_lock(struct soft_call *c, enum tdx_reg reg, enum lock_mode mode, struct soft_vcpu *v) MUST_CHECK;
uint64_t vcpu_open(struct soft_call *c, enum tdx_reg reg, enum lock_mode mode, struct soft_vcpu *v) MUST_CHECK;
/* The same for a page whose address is only a part of the operand. */
uint64_t vcpu_open_at(struct soft_call *c, hpa_t hpa, uint32_t operand, enum lock_mode mode,
	struct soft_vcpu *v) MUST_CHECK;

/* VCPU_STATE_INCORRECT unless it is READY, VCPU_ASSOCIATED if another LP has it; else this LP has it. */
uint64_t vcpu_associate(struct soft_call *c, struct soft_vcpu *v) MUST_CHECK;
/* This LP has it no longer. */
void vcpu_dissociate(struct soft_vcpu *v);

/* VCPU_STATE_DETAILS: an interrupt waits that the guest's priority does not hold back. */
bool vp_interrupt_pending(struct soft *m, struct soft_vp *vp);

void *vp_page(struct soft *m, const struct soft_vp *vp, enum tdvps_page page);

static inline uint64_t vp_vmcs_read(struct soft *m, struct soft_vp *vp, uint32_t field)
{
	return m->platform.vmcs_read(m->platform.ctx, vp, field);
}

static inline void vp_vmcs_write(struct soft *m, struct soft_vp *vp, uint32_t field, uint64_t value)
{
	m->platform.vmcs_write(m->platform.ctx, vp, field, value);
}

#endif
