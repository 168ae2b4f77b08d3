/*
 * The host-state area of a VMCS: what a VM exit loads.
 */
#ifndef VMX_CORE_HOST_STATE_H
#define VMX_CORE_HOST_STATE_H

#include "hv/base/types.h"

/*
 * Makes exits with the current VMCS load what this CPU has now, and go on at that instruction. exit_controls are
 * the VMCS's, and say which MSRs are loaded. RSP is written by who enters.
 */
void vmx_host_state(uint32_t exit_controls, const char *exit);

#endif
