/*
 * The measures of vmx/core/leaks.h carried out on the running CPU, for whoever enters guests on it: vmx/ and the
 * software TDX module. Which ones struct vmx_cpu says; a CPU that needs none has nothing to do.
 */
#ifndef VMX_CORE_GUARD_H
#define VMX_CORE_GUARD_H

#include "hv/base/features.h"
#include "vmx/core/vmxon.h"

/* Whether something has to be done before each entry. */
static inline bool guard_entries(const struct vmx_cpu *c)
{
	return feature_in(c->leaks, FEATURE_L1D_FLUSH) || feature_in(c->leaks, FEATURE_VERW);
}
/* Does it: last before the entry. */
void guard_entry(const struct vmx_cpu *c);

/* Whether exits have to begin with fill_return_stack of vmx/core/registers.inc. */
static inline bool guard_exits(const struct vmx_cpu *c) { return feature_in(c->leaks, FEATURE_RSB_FILL); }

/* The CPU is about to run that guest, which no other guest has the number of; not 0. */
void guard_turn(struct vmx_cpu *c, uint64_t guest);

#endif
