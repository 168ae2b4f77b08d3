/* Drives fixed-function counter 1, core cycles while not halted. State is per CPU in hardware. */
#include "drivers/pmu.h"

#include "drivers/lapic.h"
#include "hv/base/msr.h"
#include "hv/base/x86.h"

#define LEAF_PERFMON 0xa
#define COUNTER 1
#define CONTROL_SHIFT (4 * COUNTER)
#define CONTROL_RING0 BIT(0)
#define CONTROL_PMI BIT(3)
#define GLOBAL_BIT BIT(32 + COUNTER)

/* Version in EAX, number of fixed-function counters in EDX. */
bool pmu_offers(const struct cpuid_regs *leaf) { return (leaf->eax & 0xff) >= 2 && (leaf->edx & 0x1f) > COUNTER; }

/* The counter's width is in EDX as well. */
uint64_t pmu_start_value(const struct cpuid_regs *leaf, uint64_t cycles)
{
	uint64_t mask = BITS(max_u64(leaf->edx >> 5 & 0xff, 32) - 1, 0);

	return -min_u64(cycles, mask) & mask;
}

bool pmu_present(void)
{
	struct cpuid_regs leaf = cpuid(LEAF_PERFMON, 0);

	return cpuid(0, 0).eax >= LEAF_PERFMON && pmu_offers(&leaf);
}

bool pmu_alarm_start(void)
{
	if (wrmsr_safe(MSR_PERF_GLOBAL_CTRL, 0) || wrmsr_safe(MSR_FIXED_CTR0 + COUNTER, 0) ||
	    wrmsr_safe(MSR_FIXED_CTR_CTRL, (CONTROL_RING0 | CONTROL_PMI) << CONTROL_SHIFT) ||
	    wrmsr_safe(MSR_PERF_GLOBAL_OVF_CTRL, GLOBAL_BIT))
		return false;
	lapic_counter_nmi();
	return wrmsr_safe(MSR_PERF_GLOBAL_CTRL, GLOBAL_BIT) == 0;
}

void pmu_alarm_set(uint64_t cycles)
{
	struct cpuid_regs leaf = cpuid(LEAF_PERFMON, 0);

	wrmsr(MSR_FIXED_CTR0 + COUNTER, pmu_start_value(&leaf, cycles));
}

/* The local APIC masks its entry when the interrupt is delivered: SDM vol. 3A, "Local Vector Table". */
bool pmu_alarm_rang(void)
{
	if (!(rdmsr(MSR_PERF_GLOBAL_STATUS) & GLOBAL_BIT))
		return false;
	wrmsr(MSR_PERF_GLOBAL_OVF_CTRL, GLOBAL_BIT);
	lapic_counter_nmi();
	return true;
}
