/*
 * Entries that fail and exits that cannot be: the guest stops with a sentence, never in silence.
 */
#include "hv/base/format.h"
#include "hv/base/log.h"
#include "vmx/check.h"
#include "vmx/core/vmcs.h"
#include "vmx/explain.h"
#include "vmx/vmx.h"

enum exit_result vmx_exit_impossible(struct vcpu *v)
{
	vm_stop(v->vm, "vCPU %u left the guest for a reason that its VMX controls rule out: %u (%s), "
		"qualification %lx, RIP %lx", v->index, v->last_reason, vmx_exit_rows[v->last_reason].name,
		vmread(VMCS_EXIT_QUALIFICATION), vmread(VMCS_GUEST_RIP));
	return EXIT_RESUME;
}

static void explain(struct vmx_vcpu *x, const char *what)
{
	char why[sizeof ((struct check_result *)0)->text];

	if (vmx_explain(x->vmcs, why, sizeof why) > 0)
		log_error("vCPU %u of guest %s: %s: %s", x->v.index, x->v.vm->config->name, what, why);
	else
		format(why, sizeof why, "%s; no rule of the SDM that Gnomon checks is broken", what);
	vm_stop(x->v.vm, "vCPU %u: %s", x->v.index, why);
}

void vmx_entry_vmfail(struct vmx_vcpu *x)
{
	char what[140];
	uint64_t error = 0;

	vmx_left_guest(x);
	vmcs_try_read(VMCS_INSN_ERROR, &error);
	format(what, sizeof what, "VM entry failed: %s (error %lu)",
	       vmx_instruction_error((uint32_t)error), error);
	explain(x, what);
}

void vmx_entry_refused(struct vmx_vcpu *x, uint32_t reason)
{
	uint32_t basic = REASON_BASIC(reason);
	char what[140];

	if (!(reason & REASON_ENTRY_FAILED) || basic >= REASON_COUNT) {
		vm_stop(x->v.vm, "vCPU %u left the guest with the unknown reason %x", x->v.index, reason);
		return;
	}
	x->v.last_reason = basic;
	format(what, sizeof what, "VM %s (reason %u, qualification %lx)", vmx_exit_rows[basic].name, basic,
	       vmread(VMCS_EXIT_QUALIFICATION));
	explain(x, what);
}
