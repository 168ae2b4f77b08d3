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
#define LEAF_PERFMON 0xa
#define PERF_METRICS 48
#define RTIT_CTL 0x570
#define RTIT_CTL_TRACE BIT(0)
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

/* SDM volume 4, IA32_PERF_GLOBAL_CTRL: the counters of leaf 0ah, and PERF_METRICS. */
static uint64_t perf_global_valid(void)
{
	struct cpuid_regs leaf = cpuid(LEAF_PERFMON, 0);
	unsigned version = leaf.eax & 0xff, general = leaf.eax >> 8 & 0xff, fixed = leaf.edx & 0x1f;

	if (!version)
		return 0;
	return (BIT(general) - 1) | (BIT(fixed) - 1) << 32 | (version >= 5 ? (uint64_t)leaf.ecx << 32 : 0) |
	       BIT(PERF_METRICS);
}

void vmx_check_env(hpa_t vmcs, struct check_env *env)
{
	struct cpuid_regs leaf7 = cpuid(7, 0);

	*env = (struct check_env){
		.read = read_field,
		.read_phys = read_phys,
		.read_guest = read_phys, /* asked without EPT alone: CR3 is a host address then */
		.caps = vmx_caps(),
		.tertiary_allowed = msr_or_zero(VMX_PROCBASED_CTLS3),
		.exit2_allowed = msr_or_zero(VMX_EXIT_CTLS2),
		.vmfunc_allowed = msr_or_zero(VMX_VMFUNC),
		.perf_global_valid = perf_global_valid(),
		/* Gnomon never lets these be other than 0, so their reserved bits are not looked up. */
		.rtit_ctl_valid = ~0ul,
		.lbr_ctl_valid = ~0ul,
		.vmcs = vmcs,
		.physical_bits = cpuid(0x80000008, 0).eax & 0xff,
		.la57 = leaf7.ecx & CPUID7_ECX_LA57,
		.rtm = leaf7.ebx & CPUID7_EBX_RTM,
		.sgx = leaf7.ebx & CPUID7_EBX_SGX,
		.cet = leaf7.ecx & CPUID7_ECX_CET_SS,
		.tracing = msr_or_zero(RTIT_CTL) & RTIT_CTL_TRACE,
		.long_mode = rdmsr(MSR_EFER) & EFER_LMA,
	};
}

int vmx_explain(hpa_t vmcs, char *out, size_t size)
{
	struct check_result first;
	struct check_env env;
	int broken;

	vmx_check_env(vmcs, &env);
	broken = vmx_check(&env, &first);
	if (broken > 0)
		format(out, size, "%s", first.text);
	return broken;
}
