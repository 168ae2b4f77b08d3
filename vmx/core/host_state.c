/*
 * The host-state area of a VMCS. SDM volume 3C, "Host-State Area".
 */
#include "vmx/core/host_state.h"

#include "hv/base/machine.h"
#include "hv/base/msr.h"
#include "hv/base/percpu.h"
#include "hv/base/vectors.h"
#include "hv/base/x86.h"
#include "vmx/core/controls.h"
#include "vmx/core/vmcs.h"

struct table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static void write_selectors(void)
{
	vmwrite(VMCS_HOST_CS_SEL, SEL_CODE);
	vmwrite(VMCS_HOST_SS_SEL, SEL_DATA);
	vmwrite(VMCS_HOST_DS_SEL, SEL_DATA);
	vmwrite(VMCS_HOST_ES_SEL, SEL_DATA);
	vmwrite(VMCS_HOST_FS_SEL, 0);
	vmwrite(VMCS_HOST_GS_SEL, 0);
	vmwrite(VMCS_HOST_TR_SEL, SEL_TSS);
}

static void write_bases(const struct cpu *c)
{
	const struct cpu_machine *m = c->machine;
	struct table_register idtr;

	__asm__ volatile("sidt %0" : "=m"(idtr));
	vmwrite(VMCS_HOST_FS_BASE, 0);
	vmwrite(VMCS_HOST_GS_BASE, (uint64_t)c);
	vmwrite(VMCS_HOST_TR_BASE, (uint64_t)&m->tss);
	vmwrite(VMCS_HOST_GDTR_BASE, (uint64_t)m->gdt);
	vmwrite(VMCS_HOST_IDTR_BASE, idtr.base);
}

static void write_msrs(uint32_t exit_controls)
{
	vmwrite(VMCS_HOST_SYSENTER_CS, 0);
	vmwrite(VMCS_HOST_SYSENTER_ESP, 0);
	vmwrite(VMCS_HOST_SYSENTER_EIP, 0);
	if (exit_controls & EXIT_LOAD_EFER)
		vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	if (exit_controls & EXIT_LOAD_PAT)
		vmwrite(VMCS_HOST_PAT, rdmsr(MSR_PAT));
	if (exit_controls & EXIT_LOAD_PERF_GLOBAL)
		vmwrite(VMCS_HOST_PERF_GLOBAL, 0); /* the host counts nothing */
}

void vmx_host_state(uint32_t exit_controls, const char *exit)
{
	vmwrite(VMCS_HOST_CR0, read_cr0());
	vmwrite(VMCS_HOST_CR3, read_cr3());
	vmwrite(VMCS_HOST_CR4, read_cr4());
	vmwrite(VMCS_HOST_RIP, (uint64_t)exit);
	write_selectors();
	write_bases(this_cpu());
	write_msrs(exit_controls);
}
