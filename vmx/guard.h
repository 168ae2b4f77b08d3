/*
 * The measures of vmx/core/leaks.h carried out on a CPU. A CPU that needs none executes nothing for them on
 * its exits: attention and the exit stub are chosen when a vCPU is powered on.
 */
#ifndef VMX_GUARD_H
#define VMX_GUARD_H

#include "vmx/core/guard.h"
#include "vmx/vmx.h"

/* Decides for the running CPU, whose structure c is. Before it runs guests. */
void vmx_guard_init(struct vmx_cpu *c);
/* Whether the running CPU has the erratum of vmx/multihit.h. */
bool vmx_guard_multihit(void);
/* Where VM exits go. */
const char *vmx_guard_exit_stub(const struct vmx_cpu *c);
/* x has stopped being the vCPU of this CPU. */
void vmx_guard_unload(const struct vmx_cpu *c, const struct vmx_vcpu *x);
/* For `caps`: the running CPU's. */
void vmx_guard_describe(struct monitor_out *out);

#endif
