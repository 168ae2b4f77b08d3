/*
 * What CPUID says to a TD: a table of leaves, computed once for each TD out of the host's CPUID, the profile of
 * this module, and the bits that TD_PARAMS may set. A leaf that is not in the table is #VE.
 * TDX Module 1.5 base specification, "CPUID Virtualization".
 */
#ifndef TDX_SOFT_TD_CPUID_H
#define TDX_SOFT_TD_CPUID_H

#include "tdx/soft/td.h"

#define TD_CPUID_NO_SUBLEAF UINT32_MAX

/* Bits that the host chooses, all others being 0 in CPUID_CONFIG. */
struct td_cpuid_config {
	uint32_t leaf, subleaf; /* TD_CPUID_NO_SUBLEAF: the leaf has none */
	struct tdx_cpuid_values mask;
};

/* In the order of SYS.RD CPUID_CONFIG_LEAVES and of TD_PARAMS; NULL past the end. */
const struct td_cpuid_config *td_cpuid_config(uint32_t index);

#define TD_CPUID_MAX_ROWS 64

/* The TDCS_CPUID page. */
struct td_cpuid {
	struct tdx_cpuid_values value[TD_CPUID_MAX_ROWS]; /* by row of the table */
};
_Static_assert(sizeof(struct td_cpuid) <= 4096, "TDCS_CPUID");

/* For a TD whose parameters are in its TDCS. */
void td_cpuid_build(struct soft *m, const struct soft_tdcs *tdcs, struct td_cpuid *out);

/* What the answer depends on besides. */
struct td_cpuid_now {
	uint32_t vcpu_index;
	uint64_t cr4, xcr0, xss;
	bool in_64bit;
};

/* False: #VE. */
bool td_cpuid_answer(const struct td_cpuid *t, uint32_t leaf, uint32_t subleaf, const struct td_cpuid_now *now,
		     struct tdx_cpuid_values *out);

/* One bit as the table has it: leaf, subleaf, EAX..EDX as 0..3. */
bool td_cpuid_has(const struct td_cpuid *t, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit);

#endif
