/*
 * The map of physical memory that boot_info carries: sorted ranges without overlap. Pure.
 */
#ifndef BOOT_RANGES_H
#define BOOT_RANGES_H

#include "boot/boot_info.h"
#include "hv/base/types.h"

/* Forgets all ranges. */
void ranges_clear(struct boot_info *info);

/*
 * Adds a range; base and size are trimmed to whole pages, neighbours of one kind become one.
 * Where it overlaps what is there, the less usable of the two kinds wins: a firmware's map that
 * contradicts itself must not hand out memory twice. False: no room for one more range.
 */
bool ranges_add(struct boot_info *info, hpa_t base, uint64_t size, enum boot_range_kind kind);

/* Gives [base, base + size), whole pages inside RAM, another kind. False: no room. */
bool ranges_carve(struct boot_info *info, hpa_t base, uint64_t size, enum boot_range_kind kind);

/* The end of the highest range that is memory of any kind but BOOT_RANGE_RESERVED. */
hpa_t ranges_top(const struct boot_info *info);
uint64_t ranges_total(const struct boot_info *info, enum boot_range_kind kind);

#endif
