/*
 * Facts of the running CPU and fields of its current VMCS, for vmx/check.h.
 */
#include "vmx/explain.h"

#include "hv/base/format.h"
#include "hv/base/map.h"
#include "hv/base/msr.h"
#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "vmx/check.h"
#include "vmx/core/vmcs.h"
#include "vmx/vmx.h"

#define CPUID7_EBX_RTM BIT(11)
#define CPUID7_EBX_SGX BIT(2)
#define CPUID7_ECX_CET_SS BIT(7)
#define CPUID7_ECX_LA57 BIT(16)
#define EFER_MSR 0xc0000080
#define VMX_PROCBASED_CTLS3 0x492
#define VMX_EXIT_CTLS2 0x493
#define VMX_VMFUNC 0x491

/* A field this CPU does not have reads as 0: no rule about it can then be broken. */
static uint64_t read_field(void *ctx, uint32_t field)
{
	uint64_t value = 0;

	(void)ctx;
	vmcs_try_read(field, &value);
	return value;
}

static bool read_phys(void *ctx, hpa_t pa, uint64_t *value)
{
	(void)ctx;
	if (!map_has_ram(pa, sizeof *value))
		return false;
	__builtin_memcpy(value, phys_to_virt(pa), sizeof *value);
	return true;
}

static uint64_t msr_or_zero(uint32_t msr)
{
	uint64_t value;

	return rdmsr_safe(msr, &value) ? 0 : value;
}

int vmx_explain(hpa_t vmcs, char *out, size_t size)
{
	struct cpuid_regs leaf7 = cpuid(7, 0);
	struct check_result first;
	struct check_env env = {
		.read = read_field,
		.read_phys = read_phys,
		.caps = vmx_caps(),
		.tertiary_allowed = msr_or_zero(VMX_PROCBASED_CTLS3),
		.exit2_allowed = msr_or_zero(VMX_EXIT_CTLS2),
		.vmfunc_allowed = msr_or_zero(VMX_VMFUNC),
		.vmcs = vmcs,
		.physical_bits = cpuid(0x80000008, 0).eax & 0xff,
		.la57 = leaf7.ecx & CPUID7_ECX_LA57,
		.rtm = leaf7.ebx & CPUID7_EBX_RTM,
		.sgx = leaf7.ebx & CPUID7_EBX_SGX,
		.cet = leaf7.ecx & CPUID7_ECX_CET_SS,
		.long_mode = rdmsr(EFER_MSR) & EFER_LMA,
	};
	int broken = vmx_check(&env, &first);

	if (broken > 0)
		format(out, size, "%s", first.text);
	return broken;
}
