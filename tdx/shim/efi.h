/*
 * What of EFI a kernel is shown that is to accept memory by itself: a system table whose one configuration table
 * is that of unaccepted memory, and a memory map. There are no run-time services, and none are announced.
 * UEFI Specification 2.10, "EFI System Table" and "EFI Configuration Table".
 */
#ifndef TDX_SHIM_EFI_H
#define TDX_SHIM_EFI_H

#include "hv/base/failure.h"
#include "hv/guest/guest_mem.h"

/* Writes the tables at LAZY_EFI and names them in boot_params. -ENOMEM: one of both is no RAM. */
MUST_CHECK int efi_build(const struct guest_mem *m, gpa_t boot_params, struct failure *f);

#endif
