/*
 * The guest's memory map, in the form of the BIOS call E820h that boot_params, PVH and Multiboot
 * all derive from.
 */
#ifndef HV_GUEST_E820_H
#define HV_GUEST_E820_H

#include "hv/base/types.h"
#include "hv/guest/guest.h"

#define E820_RAM 1
#define E820_RESERVED 2
#define E820_ACPI 3
#define E820_ACPI_NVS 4

#define E820_MAX_ENTRIES 8

/* As it lies in boot_params: 20 bytes. */
struct e820_entry {
	uint64_t base;
	uint64_t size; /* bytes */
	uint32_t type;
} __attribute__((packed));

/* Fills map, sorted and without overlap, for a guest of ram_size bytes (at least 1 MiB), with the area of
 * hv/guest/wakeup.h when its vCPUs wait there; returns the number of entries. */
unsigned e820_build(uint64_t ram_size, enum guest_platform platform, struct e820_entry map[E820_MAX_ENTRIES]);

#endif
