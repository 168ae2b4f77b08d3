/*
 * The firmware's memory map, and the way out of boot services.
 */
#ifndef BOOT_EFI_MAP_H
#define BOOT_EFI_MAP_H

#include "boot/boot_info.h"
#include "hv/base/failure.h"
#include "hv/base/types.h"

/* Pages of our own that the map calls plain loader data, and what they are. */
void map_own(hpa_t base, uint64_t size, enum boot_range_kind kind);

/* Fills in info's ranges from the map as it is now. */
int map_read(struct boot_info *info, struct failure *f);

/*
 * Reads the map a last time and ends boot services, again as long as the map changes in between.
 * After the first try nothing but memory services may be called, so a failure is final.
 */
int map_exit_boot_services(struct boot_info *info, struct failure *f);

#endif
