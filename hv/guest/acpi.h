/*
 * The guest's ACPI tables: RSDP, XSDT, FADT with FACS, MADT, and the DSDT compiled from dsdt.asl.
 */
#ifndef HV_GUEST_ACPI_H
#define HV_GUEST_ACPI_H

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "hv/guest/guest.h"
#include "hv/guest/guest_mem.h"

/* Writes the tables for vcpus CPUs (1..GUEST_MAX_VCPUS; APIC id = index) at GUEST_ACPI_BASE and stores
 * the RSDP's address. Where the platform has the mailbox of hv/guest/wakeup.h, the MADT names it.
 * -ENOSPC when they do not fit there, -ENOMEM when that is not RAM. */
MUST_CHECK int acpi_build(const struct guest_mem *m, unsigned vcpus, enum guest_platform platform, gpa_t *rsdp,
			  struct failure *f);

#endif
