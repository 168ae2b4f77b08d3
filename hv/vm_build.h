/*
 * Building a VM's parts once, before its first start: RAM, MMU, devices, vCPUs.
 */
#ifndef HV_VM_BUILD_H
#define HV_VM_BUILD_H

#include "hv/base/failure.h"
#include "hv/vm.h"

/* All or nothing: what was allocated is freed again when something fails. Monitor's context. */
int vm_build(struct vm *vm, struct failure *f);
/* Gives all that back. Only of a VM that has never been powered on: after that a CPU knows its clock. */
void vm_unbuild(struct vm *vm);

#endif
