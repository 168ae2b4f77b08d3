/*
 * What a CPU allows and does when CR0 or CR4 is written. Pure. SDM volume 2 "MOV - Move to/from
 * Control Registers", volume 3A "Control Registers" and "PAE Paging".
 */
#ifndef VMX_CR_RULES_H
#define VMX_CR_RULES_H

#include "hv/base/types.h"

/* The registers as the guest sees them. */
struct cr_state {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t cr4_allowed; /* bits not reserved for this guest */
	bool cs_long;         /* CS.L */
};

/* False: #GP(0). */
bool cr_change_valid(const struct cr_state *from, const struct cr_state *to);
bool cr_change_loads_pdptes(const struct cr_state *from, const struct cr_state *to);
bool cr_change_flushes(const struct cr_state *from, const struct cr_state *to);

#endif
