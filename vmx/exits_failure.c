/*
 * Entries that fail and exits that cannot be: the guest stops with a sentence, never in silence.
 */
#include "hv/base/format.h"
#include "vmx/check.h"
#include "vmx/core/vmcs.h"
#include "vmx/vmx.h"

enum exit_result vmx_exit_impossible(struct vcpu *v)
{
	vm_stop(v->vm, "vCPU %u left the guest for a reason that its VMX controls rule out: %u (%s), qualification %lx, "
		"RIP %lx", v->index, v->last_reason, vmx_exit_rows[v->last_reason].name,
		vmread(VMCS_EXIT_QUALIFICATION), vmread(VMCS_GUEST_RIP));
	return EXIT_RESUME;
}

static void explain(struct vmx_vcpu *x, const char *what)
{
	char why[160];

	if (vmx_check_explain(why, sizeof why) <= 0)
		format(why, sizeof why, "no rule of the SDM that Gnomon checks is broken");
	vm_stop(x->v.vm, "vCPU %u: %s: %s", x->v.index, what, why);
}

void vmx_entry_vmfail(struct vmx_vcpu *x)
{
	char what[80];
	uint64_t error = 0;

	vmx_left_guest(x);
	vmcs_try_read(VMCS_INSN_ERROR, &error);
	format(what, sizeof what, "VM entry failed, VM-instruction error %lu", error);
	explain(x, what);
}

void vmx_entry_refused(struct vmx_vcpu *x, uint32_t reason)
{
	static const char *const words[] = { "invalid guest state", "loading of MSRs", "a machine check" };
	uint32_t basic = REASON_BASIC(reason);
	char what[80];

	if (!(reason & REASON_ENTRY_FAILED) || basic >= REASON_COUNT) {
		vm_stop(x->v.vm, "vCPU %u left the guest with the unknown reason %x", x->v.index, reason);
		return;
	}
	x->v.last_reason = basic;
	format(what, sizeof what, "VM entry failed for %s (reason %u, qualification %lx)",
	       words[basic == REASON_ENTRY_MSR_LOADING ? 1 : basic == REASON_ENTRY_MACHINE_CHECK ? 2 : 0], basic,
	       vmread(VMCS_EXIT_QUALIFICATION));
	explain(x, what);
}
