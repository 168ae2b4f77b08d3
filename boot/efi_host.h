/*
 * What only firmware knows of the machine: CPUs, framebuffer, ACPI's root, ResetSystem.
 */
#ifndef BOOT_EFI_HOST_H
#define BOOT_EFI_HOST_H

#include "boot/boot_info.h"

/* The RSDP of the configuration table (0: none), the system table and ResetSystem. */
void host_find_tables(struct boot_info *info);

/* The mode that is on now; base stays 0 when there is none with plain 32-bit pixels. */
void host_find_framebuffer(struct boot_info *info);

/* The CPUs of MP Services, else of the MADT, else this one alone. Entry 0 is the CPU that runs. */
void host_list_cpus(struct boot_info *info);

#endif
