/* What TD_PARAMS may say: TDX Module 1.5 ABI specification, "TD_PARAMS". */
#ifndef TDX_SOFT_TD_PARAMS_H
#define TDX_SOFT_TD_PARAMS_H

#include "tdx/soft/module.h"

/* For SYS.RD: bits that may be 1, and bits that must be. */
uint64_t td_attributes_fixed0(const struct soft *m);
uint64_t td_attributes_fixed1(const struct soft *m);
uint64_t td_xfam_fixed0(const struct soft *m);
uint64_t td_xfam_fixed1(const struct soft *m);
uint64_t td_config_flags_fixed0(const struct soft *m);
uint64_t td_config_flags_fixed1(const struct soft *m);

/*
 * OPERAND_INVALID with the id of the parameter at fault, in the order of the specification. For CPUID_CONFIG,
 * *leaf is its leaf, with the subleaf in the upper half.
 */
uint64_t td_params_check(const struct soft *m, const struct tdx_td_params *p, uint64_t *leaf) MUST_CHECK;

#endif
