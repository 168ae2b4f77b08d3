/*
 * A vCPU of the software TDX module on this CPU's VMX: which VMCS is current, entry and exit, and the state that
 * no VMCS field holds. All on the CPU that the vCPU is associated with, interrupts off.
 */
#ifndef TDX_SOFT_VP_HOST_H
#define TDX_SOFT_VP_HOST_H

#include "tdx/soft/soft.h"

/* What of td_switched_msrs[] the CPUs have. Once, before the first call. */
void soft_vp_init(void);

/* Fills the vCPU operations of the platform. */
void soft_vp_operations(struct soft_platform *p);

/* Around each SEAMCALL: the VMCS that was current before is so again after it. */
void soft_vp_call_begins(void);
void soft_vp_call_ends(void);

/* tdx/soft_enter.S: one VM entry and exit with those general registers, by encoding and but RSP. False: the entry
 * failed, and nothing has changed. */
bool soft_enter(uint64_t *gpr, bool launched);
extern const char soft_exit[], soft_exit_filling[];

#endif
