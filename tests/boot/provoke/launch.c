/*
 * The CPU's part in trying a VMCS: the host state an exit comes back to, the entry, and what came of it.
 */
#include "tests/boot/provoke/provoke.h"

#include "hv/base/format.h"
#include "hv/base/machine.h"
#include "hv/base/x86.h"
#include "vmx/core/msrs.h"
#include "vmx/core/vmcs.h"
#include "vmx/vmx.h"

struct table_register {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static const uint32_t host_zero[] = {
	VMCS_HOST_FS_BASE, VMCS_HOST_SYSENTER_CS, VMCS_HOST_SYSENTER_ESP, VMCS_HOST_SYSENTER_EIP, VMCS_HOST_PERF_GLOBAL,
	VMCS_HOST_PKRS, VMCS_HOST_S_CET, VMCS_HOST_SSP, VMCS_HOST_SSP_TABLE,
};

/* The CPU as it was at first. An exit loads what the VMCS says, be it broken where the CPU lets that pass. */
static struct {
	uint64_t cr0, cr3, cr4, efer, pat, gs_base, idt;
} host;

void provoke_host_init(void)
{
	struct table_register idtr;

	__asm__ volatile("sidt %0" : "=m"(idtr));
	host.cr0 = read_cr0();
	host.cr3 = read_cr3();
	host.cr4 = read_cr4();
	host.efer = rdmsr(MSR_EFER);
	host.pat = rdmsr(MSR_PAT);
	host.gs_base = (uint64_t)this_cpu();
	host.idt = idtr.base;
}

/* CR4.CET wants CR0.WP to be set as long as it is. */
static void restore_host(void)
{
	write_cr4(host.cr4);
	write_cr0(host.cr0);
	wrmsr(MSR_EFER, host.efer);
	wrmsr(MSR_PAT, host.pat);
}

void provoke_host_state(void (*set)(uint32_t field, uint64_t value))
{
	struct cpu_machine *m = this_cpu()->machine;

	set(VMCS_HOST_CR0, host.cr0);
	set(VMCS_HOST_CR3, host.cr3);
	set(VMCS_HOST_CR4, host.cr4);
	set(VMCS_HOST_EFER, host.efer);
	set(VMCS_HOST_PAT, host.pat);
	set(VMCS_HOST_RIP, (uint64_t)provoke_exit_stub);
	set(VMCS_HOST_CS_SEL, SEL_CODE);
	set(VMCS_HOST_SS_SEL, SEL_DATA);
	set(VMCS_HOST_DS_SEL, SEL_DATA);
	set(VMCS_HOST_ES_SEL, SEL_DATA);
	set(VMCS_HOST_FS_SEL, 0);
	set(VMCS_HOST_GS_SEL, 0);
	set(VMCS_HOST_TR_SEL, SEL_TSS);
	set(VMCS_HOST_GS_BASE, host.gs_base);
	set(VMCS_HOST_TR_BASE, (uint64_t)&m->tss);
	set(VMCS_HOST_GDTR_BASE, (uint64_t)m->gdt);
	set(VMCS_HOST_IDTR_BASE, host.idt);
	for (size_t i = 0; i < ARRAY_LEN(host_zero); i++)
		set(host_zero[i], 0);
}

enum outcome provoke_enter(char *how, size_t size)
{
	uint32_t reason;

	if (provoke_launch()) {
		uint64_t error = 0;

		vmcs_try_read(VMCS_INSN_ERROR, &error);
		format(how, size, "refused, error %lu", error);
		return REFUSED_BY_VMFAIL;
	}
	restore_host();
	reason = (uint32_t)vmread(VMCS_EXIT_REASON);
	if (reason & REASON_ENTRY_FAILED) {
		format(how, size, "refused, reason %u, qualification %lx", REASON_BASIC(reason),
		       vmread(VMCS_EXIT_QUALIFICATION));
		return REFUSED_BY_EXIT;
	}
	format(how, size, "entered, then %s", vmx_reason_name(REASON_BASIC(reason)));
	return ENTERED;
}
