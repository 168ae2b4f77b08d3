/*
 * Which CPUs can stop with a machine check when a guest changes the size of a page it executes from without
 * a flush, so that large EPT pages must not be executable (mmu/nx.h). Pure: the caller reads CPUID and the MSR.
 *
 * Intel, "Machine Check Error Avoidance on Page Size Change" (CVE-2018-12207), with its list of processors.
 */
#ifndef VMX_MULTIHIT_H
#define VMX_MULTIHIT_H

#include "hv/base/types.h"

struct multihit_facts {
	uint32_t signature;         /* CPUID.1:EAX */
	bool hypervisor;            /* CPUID.1:ECX[31] */
	uint64_t arch_capabilities; /* 0 where the CPU has no such MSR */
};

/* Of an Intel CPU. Under another hypervisor it is that one's affair, and the signature tells nothing. */
bool multihit_affects(const struct multihit_facts *f);

#endif
