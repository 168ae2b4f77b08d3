/*
 * What a debugger does to a vCPU: breakpoints in its debug registers, single steps, #BP seen. On the vCPU's
 * own CPU. Nothing here runs while no debugger is attached.
 */
#ifndef VMX_DEBUG_H
#define VMX_DEBUG_H

#include "hv/debug.h"
#include "vmx/vmx.h"

/* struct backend's debug. */
void vmx_debug(struct vcpu *v, const struct debug_plan *plan);
/* After a reset of the vCPU: its own debug registers are as after power-on, the debugger's stay. */
void vmx_debug_reset(struct vmx_vcpu *x);
/* An exception that made the guest exit. True: it was the debugger's alone. */
bool vmx_debug_exception(struct vmx_vcpu *x, uint32_t info);
enum exit_result vmx_exit_mov_dr(struct vcpu *v);

/* With ATTENTION_STEP. First thing before an entry: has what was injected last been delivered, which is a
 * step of its own? */
void vmx_debug_landed(struct vmx_vcpu *x);
/* In place of vmx_deliver_events(): the next entry executes one instruction, or delivers an event. */
void vmx_debug_entry(struct vmx_vcpu *x);
/* Last thing before an entry that delivers an event: out again before the first instruction. */
void vmx_debug_limit(const struct vmx_vcpu *x);

#endif
