/*
 * The entry checker applied to the VMCS that is current: for entries that the CPU refused.
 */
#ifndef VMX_EXPLAIN_H
#define VMX_EXPLAIN_H

#include "hv/base/types.h"

struct check_env; /* vmx/check.h */

/* Fills in what the checker wants to know of this CPU and of its current VMCS, which lies at vmcs. */
void vmx_check_env(hpa_t vmcs, struct check_env *env);

/* The first rule of the SDM that the current VMCS, at vmcs, breaks, in words. Number of rules broken; with
 * none, out is left alone. On the CPU where the entry failed. */
int vmx_explain(hpa_t vmcs, char *out, size_t size);

#endif
