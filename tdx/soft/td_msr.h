/*
 * The MSRs of a TD: which it reaches without an exit, which the module answers, which are #GP and which #VE.
 * TDX Module 1.5 base specification, "MSR Virtualization". One table; an MSR that is not in it is #VE.
 */
#ifndef TDX_SOFT_TD_MSR_H
#define TDX_SOFT_TD_MSR_H

#include "tdx/soft/run.h"

/* MSRs that the guest reaches and that no VMCS field holds: vp->msr[] has them in this order, and the platform
 * switches those that its processors have. */
#define TD_SWITCHED_MSRS 6
extern const uint32_t td_switched_msrs[TD_SWITCHED_MSRS];

/* Fills the 4K bitmap. SDM "MSR-Bitmap Address". */
void td_msr_bitmap(const struct soft_controls *c, uint8_t *page);

/* Exits by RDMSR and WRMSR; the guest always goes on. */
bool td_msr_exit_read(struct run *r);
bool td_msr_exit_write(struct run *r);

#endif
