/*
 * VMX operation of one host CPU. SDM "Discovering Support for VMX", "Enabling and Entering VMX
 * Operation", "Restrictions on VMX Operation".
 */
#include "vmx/core/vmxon.h"

#include "hv/base/frame.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "vmx/core/msrs.h"
#include "vmx/core/vmcs.h"

#define CPUID_1_ECX_VMX BIT(5)

static const struct {
	uint32_t encoding;
	const char *name;
} fields[] = {
#define FIELD_NAME(sym, encoding, name) { encoding, name },
	VMCS_FIELDS(FIELD_NAME)
#undef FIELD_NAME
};

static const char *field_name(uint32_t encoding)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].encoding == encoding)
			return fields[i].name;
	return "unknown";
}

void vmcs_access_failed(uint32_t field, bool write)
{
	uint64_t error = 0;

	vmcs_try_read(VMCS_INSN_ERROR, &error);
	panic("%s of the VMCS field \"%s\" (%04x) failed: error %lu, current VMCS %lx",
	      write ? "VMWRITE" : "VMREAD", field_name(field), field, error, vmcs_current());
}

int vmx_unlock(struct failure *f)
{
	uint64_t wanted;

	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_VMX))
		return fail(f, -ENODEV, "this CPU has no VMX (CPUID.1:ECX.VMX is 0): Gnomon needs an Intel CPU "
			    "with VT-x; inside another hypervisor, allow nested virtualisation there");
	switch (vmx_feature_control(rdmsr(MSR_FEATURE_CONTROL), &wanted)) {
	case FEATURE_CONTROL_READY:
		return 0;
	case FEATURE_CONTROL_SET:
		if (wrmsr_safe(MSR_FEATURE_CONTROL, wanted))
			return fail(f, -EIO, "IA32_FEATURE_CONTROL is open, yet the CPU refused %lx in it",
				    wanted);
		return 0;
	case FEATURE_CONTROL_LOCKED_OFF:
		break;
	}
	return fail(f, -ENODEV, "the firmware has locked VMX off (IA32_FEATURE_CONTROL is %lx): enable "
		    "\"Intel Virtualization Technology\" (VT-x, VMX) in the firmware set-up, then power off and on",
		    rdmsr(MSR_FEATURE_CONTROL));
}

void vmx_read_caps(struct vmx_caps *caps)
{
	bool exact;

	caps->basic = rdmsr(MSR_VMX_BASIC);
	exact = (caps->basic & VMX_BASIC_TRUE_CONTROLS) != 0;
	caps->pin = rdmsr(exact ? MSR_VMX_TRUE_PIN : MSR_VMX_PIN);
	caps->primary = rdmsr(exact ? MSR_VMX_TRUE_PRIMARY : MSR_VMX_PRIMARY);
	caps->exit = rdmsr(exact ? MSR_VMX_TRUE_EXIT : MSR_VMX_EXIT);
	caps->entry = rdmsr(exact ? MSR_VMX_TRUE_ENTRY : MSR_VMX_ENTRY);
	caps->misc = rdmsr(MSR_VMX_MISC);
	caps->cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0);
	caps->cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1);
	caps->cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0);
	caps->cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1);
	caps->secondary = 0;
	caps->ept_vpid = 0;
	if (caps->primary >> 32 & PRIMARY_SECONDARY)
		caps->secondary = rdmsr(MSR_VMX_SECONDARY);
	/* The EPT and VPID MSR exists where either is offered. */
	if (caps->secondary >> 32 & (SECONDARY_EPT | SECONDARY_VPID))
		caps->ept_vpid = rdmsr(MSR_VMX_EPT_VPID);
}

hpa_t vmcs_alloc(const struct vmx_caps *caps, uint16_t owner)
{
	hpa_t frame = frame_alloc(owner);

	if (frame != HPA_NONE)
		*(uint32_t *)phys_to_virt(frame) = VMX_BASIC_REVISION(caps->basic);
	return frame;
}

int vmx_on(struct vmx_cpu *c, struct failure *f)
{
	uint64_t cr0 = (read_cr0() | c->caps.cr0_fixed0) & c->caps.cr0_fixed1;
	uint64_t cr4 = (read_cr4() | c->caps.cr4_fixed0 | CR4_VMXE) & c->caps.cr4_fixed1;

	if (c->region == HPA_NONE)
		c->region = vmcs_alloc(&c->caps, OWNER_HV);
	if (c->region == HPA_NONE)
		return fail(f, -ENOMEM, "no memory for a VMXON region");
	write_cr0(cr0);
	write_cr4(cr4);
	if (!vmxon(c->region))
		return fail(f, -EIO, "VMXON failed with CR0 %lx and CR4 %lx", cr0, cr4);
	c->on = true;
	/* What another system may have left in this CPU's caches of guest mappings. SDM "Guidelines for
	 * Use of the INVEPT Instruction". */
	if (c->caps.ept_vpid & EPT_CAP_INVEPT_ALL)
		invept(INVEPT_ALL, 0);
	if (c->caps.ept_vpid & EPT_CAP_INVVPID_ALL)
		invvpid(INVVPID_ALL, 0);
	return 0;
}

void vmx_off(struct vmx_cpu *c)
{
	if (!c->on)
		return;
	vmxoff();
	write_cr4(read_cr4() & ~CR4_VMXE);
	c->on = false;
}
