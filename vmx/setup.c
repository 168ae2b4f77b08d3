/*
 * The VMCS of a vCPU: host state, then the controls, in the order of the SDM's sections. Written
 * once per power-on, on the vCPU's own CPU. SDM volume 3C, chapter "Virtual Machine Control Structures".
 */
#include "vmx/vmx.h"

#include "hv/base/machine.h"
#include "hv/base/phys.h"
#include "hv/base/vectors.h"
#include "hv/base/x86.h"
#include "mmu/mmu.h"
#include "vmx/core/host_state.h"
#include "vmx/core/msrs.h"
#include "vmx/core/vmcs.h"
#include "vmx/guard.h"
#include "vmx/pml.h"
#include "vmx/vm.h"

/* SDM "Pin-Based VM-Execution Controls" and "Processor-Based VM-Execution Controls". */
static void execution_controls(struct vmx_vcpu *x)
{
	x->primary = x->words[CONTROL_PRIMARY];
	x->secondary = x->words[CONTROL_SECONDARY] | (x->logging ? SECONDARY_PML : 0);
	/* RDRAND and RDSEED that CPUID hides do not exist. */
	if (!machine_feature_enabled(FEATURE_RDRAND))
		x->secondary |= (SECONDARY_RDRAND | SECONDARY_RDSEED) & vmx_caps()->secondary >> 32;
	vmwrite(VMCS_PIN_CONTROLS, x->words[CONTROL_PIN]);
	vmwrite(VMCS_PRIMARY_CONTROLS, x->primary);
	vmwrite(VMCS_SECONDARY_CONTROLS, x->secondary);
}

/*
 * SDM "Exception Bitmap". Machine checks are the host's. #DB and #AC are looked at because a guest
 * can make their delivery raise them again for ever, with no instruction boundary in between at
 * which an interrupt would be taken. The rest is the guest's affair, but for page faults under shadow
 * paging: all of them, whatever their error code.
 */
#define EXCEPTIONS (BIT(VEC_MC) | BIT(VEC_DB) | BIT(VEC_AC))

uint64_t vmx_exception_bitmap(const struct vmx_vcpu *x) { return EXCEPTIONS | (x->shadow ? BIT(VEC_PF) : 0); }

static void address_fields(struct vmx_vcpu *x)
{
	vmwrite(VMCS_MSR_BITMAP, x->msr_bitmap);
	if (!x->shadow)
		vmwrite(VMCS_EPTP, x->eptp);
	if (vmx_uses(FEATURE_VPID))
		vmwrite(VMCS_VPID, vmx_vpid(x));
	if (vmx_uses(FEATURE_TPR_SHADOW))
		vmwrite(VMCS_VIRTUAL_APIC, virt_to_phys(x->v.lapic.regs));
	if (vmx_uses(FEATURE_VIRT_APIC_ACCESS))
		vmwrite(VMCS_APIC_ACCESS, vmx_apic_page(x->v.vm));
	if (vmx_uses(FEATURE_POSTED_INTERRUPTS)) {
		vmwrite(VMCS_POSTED_DESC, virt_to_phys(x->v.lapic.posted));
		vmwrite(VMCS_POSTED_VECTOR, HOST_VECTOR_POSTED);
	}
	vmx_pml_setup(x);
}

static void execution_fields(struct vmx_vcpu *x)
{
	vmwrite(VMCS_EXCEPTION_BITMAP, vmx_exception_bitmap(x));
	vmwrite(VMCS_PF_ERROR_MASK, 0);
	vmwrite(VMCS_PF_ERROR_MATCH, 0);
	vmwrite(VMCS_TSC_OFFSET, x->v.tsc_offset);
	vmwrite(VMCS_CR3_TARGET_COUNT, 0);
	vmx_cr_masks(x);
	address_fields(x);
	if (x->secondary & SECONDARY_XSAVES)
		vmwrite(VMCS_XSS_EXITING, 0);
	if (x->secondary & SECONDARY_ENCLS)
		vmwrite(VMCS_ENCLS_EXITING, UINT64_MAX);
	if (vmx_uses(FEATURE_PREEMPTION_TIMER))
		vmwrite(VMCS_PREEMPTION_TIMER, UINT32_MAX);
}

/* SDM "VM-Exit Control Fields" and "VM-Entry Control Fields". */
static void exit_and_entry(const struct vmx_vcpu *x)
{
	uint32_t exit = x->words[CONTROL_EXIT];

	/* Posted-interrupt processing wants interrupts acknowledged by the exit. */
	if (vmx_uses(FEATURE_POSTED_INTERRUPTS))
		exit |= EXIT_ACK_INTERRUPT;
	vmwrite(VMCS_EXIT_CONTROLS, exit);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_CONTROLS, x->words[CONTROL_ENTRY]);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_ENTRY_INTR_INFO, 0);
}

void vmx_setup_vmcs(struct vmx_vcpu *x)
{
	x->words = vmx_controls()->word[x->shadow ? PAGING_SHADOW : PAGING_EPT];
	if (!x->shadow)
		x->eptp = mmu_eptp(x->v.vm->mmu);
	vmx_msrs_init(x);
	vmx_host_state((uint32_t)x->words[CONTROL_EXIT], vmx_guard_exit_stub(x->v.cpu->vmx));
	execution_controls(x);
	execution_fields(x);
	exit_and_entry(x);
	vmwrite(VMCS_VMCS_LINK, UINT64_MAX);
	x->timer_rate = (uint8_t)MISC_TIMER_RATE(vmx_caps()->misc);
	x->timer_step = BIT(x->timer_rate);
	x->timer_reach = (UINT32_MAX - 1) * x->timer_step;
	x->sched = x->v.cpu->sched;
	x->ready = true;
}
