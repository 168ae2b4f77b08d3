/*
 * What real CPUs let leak from one guest to another or to the hypervisor's guests by speculation, and
 * which measures a CPU needs against it. Pure: the caller reads CPUID and the MSR.
 *
 * SDM volume 4, IA32_ARCH_CAPABILITIES; volume 2A "CPUID", leaf 7; Intel's guidance on L1 terminal
 * fault, microarchitectural data sampling, processor MMIO stale data and branch target injection.
 */
#ifndef VMX_CORE_LEAKS_H
#define VMX_CORE_LEAKS_H

#include "hv/base/features.h"
#include "hv/base/types.h"

struct leak_facts {
	uint32_t leaf7_ebx, leaf7_edx; /* CPUID.(7,0) */
	uint64_t arch_capabilities;    /* 0 where the CPU has no such MSR */
};

/* The optional features that are such measures. */
feature_set_t leaks_scope(void);
/* Of them, what this CPU has the means for. */
feature_set_t leaks_offered(const struct leak_facts *f);
/* What it has the means for and is not immune without. */
feature_set_t leaks_needed(const struct leak_facts *f);
/* What is done: needed, not disabled, and not done already by another measure. */
feature_set_t leaks_used(const struct leak_facts *f, feature_set_t disabled);
/* IA32_SPEC_CTRL for the hypervisor, and for guests that have not written it: IBRS where it is enhanced,
 * set once and for all, keeps guests from steering the hypervisor's indirect branches. */
uint64_t leaks_spec_ctrl(const struct leak_facts *f, feature_set_t disabled);

#endif
