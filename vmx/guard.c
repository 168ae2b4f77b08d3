/*
 * Which measures each CPU takes, the exit stub, and IA32_SPEC_CTRL between guests. The rest is in vmx/core/guard.c.
 */
#include "vmx/guard.h"

#include "hv/base/machine.h"
#include "hv/base/msr.h"
#include "hv/base/x86.h"
#include "hv/guest/msr.h"
#include "hv/monitor/line.h"
#include "vmx/core/leaks.h"
#include "vmx/multihit.h"

#define CPUID7_EDX_ARCH_CAPABILITIES BIT(29)
#define CPUID1_ECX_HYPERVISOR BIT(31)

static struct leak_facts facts_here(void)
{
	struct cpuid_regs leaf7 = cpuid(7, 0);
	struct leak_facts f = { .leaf7_ebx = leaf7.ebx, .leaf7_edx = leaf7.edx };

	if (cpuid(0, 0).eax < 7)
		return (struct leak_facts){ 0 };
	if (leaf7.edx & CPUID7_EDX_ARCH_CAPABILITIES)
		f.arch_capabilities = rdmsr(MSR_ARCH_CAPABILITIES);
	return f;
}

bool vmx_guard_multihit(void)
{
	struct cpuid_regs leaf1 = cpuid(1, 0);
	struct multihit_facts f = { .signature = leaf1.eax, .hypervisor = leaf1.ecx & CPUID1_ECX_HYPERVISOR,
				    .arch_capabilities = facts_here().arch_capabilities };

	return multihit_affects(&f);
}

static feature_set_t disabled(void)
{
	feature_set_t set = 0;

	for (int f = 0; f < FEATURE_COUNT; f++)
		if (!machine_feature_enabled((enum feature)f))
			set |= BIT(f);
	return set;
}

void vmx_guard_init(struct vmx_cpu *c)
{
	struct leak_facts f = facts_here();

	c->leaks = leaks_used(&f, disabled());
	c->spec_ctrl = leaks_spec_ctrl(&f, disabled());
	if (feature_in(c->leaks, FEATURE_SPEC_CTRL))
		wrmsr(MSR_SPEC_CTRL, c->spec_ctrl);
}

const char *vmx_guard_exit_stub(const struct vmx_cpu *c)
{
	return guard_exits(c) ? vmx_exit_stub_filling : vmx_exit_stub;
}

/* The next vCPU may be one that has not written the MSR yet. */
void vmx_guard_unload(const struct vmx_cpu *c, const struct vmx_vcpu *x)
{
	for (uint32_t i = 0; i < x->switched_count; i++)
		if (x->switched[i].msr == MSR_SPEC_CTRL)
			wrmsr(MSR_SPEC_CTRL, c->spec_ctrl);
}

static const char *state_of(const struct leak_facts *f, enum feature feature)
{
	if (!feature_in(leaks_offered(f), feature))
		return "no means";
	if (!feature_in(leaks_needed(f), feature))
		return "not needed";
	if (feature_in(leaks_used(f, disabled()), feature))
		return "used";
	return machine_feature_enabled(feature) ? "done by l1d-flush" : "needed, disabled";
}

void vmx_guard_describe(struct monitor_out *out)
{
	struct leak_facts f = facts_here();

	mon_printf(out, "measures against leaks (this CPU's IA32_ARCH_CAPABILITIES: %lx):\n", f.arch_capabilities);
	for (int i = 0; i < FEATURE_COUNT; i++)
		if (feature_in(leaks_scope(), (enum feature)i))
			mon_printf(out, "  %-18s %-18s %s\n", feature_names[i], state_of(&f, (enum feature)i),
				   feature_texts[i]);
}
