/*
 * The CPUs that ACPI lists: RSDP, XSDT or RSDT, MADT. Pure, but for the one function that follows
 * the tables' physical addresses, which boot services map one to one.
 */
#ifndef BOOT_MADT_H
#define BOOT_MADT_H

#include "boot/boot_info.h"
#include "hv/base/types.h"

/* Adds every usable CPU of the MADT at table (len bytes, any content) to info->cpus. */
void madt_list_cpus(const void *table, size_t len, struct boot_info *info);

/* The MADT, checksum good, reached from the RSDP; NULL when there is none. *len is its length. */
const void *madt_find(hpa_t rsdp, size_t *len);

#endif
