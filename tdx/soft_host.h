/*
 * The software TDX module inside the hypervisor: its memory is the machine's RAM, its logical processors are
 * the host's CPUs, and its vCPUs run on plain VMX. It stands in where the machine has no TDX, and protects nobody.
 */
#ifndef TDX_SOFT_HOST_H
#define TDX_SOFT_HOST_H

#include "hv/base/failure.h"
#include "tdx/module.h"

/*
 * Makes the module ready for its first SEAMCALL. *machine has what the CPUs are: hpa_bits, cpus, package_of and
 * ctx are used; ops, the key ids and gpaw become the module's. -ENODEV, -EINVAL: a sentence says what is missing.
 * Boot CPU, once, when all CPUs are up and in VMX operation.
 */
int soft_host_init(struct tdx_machine *machine, struct failure *f);

#endif
