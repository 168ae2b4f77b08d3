/* The rules that the host's TDMRs must keep: TDX Module 1.5 base specification, "TDMR Requirements". */
#ifndef TDX_SOFT_TDMR_CHECK_H
#define TDX_SOFT_TDMR_CHECK_H

#include "tdx/soft/module.h"

/* Of tdmr[i] beside those before it: the status, with i, the PAMT's level or the area's number in its details. */
uint64_t tdmr_check(const struct soft_platform *p, const struct soft_tdmr *tdmr, uint32_t i) MUST_CHECK;
/* Of all PAMTs beside all TDMRs and all other PAMTs. */
uint64_t tdmr_check_pamts(const struct soft_tdmr *tdmr, uint32_t n) MUST_CHECK;

#endif
