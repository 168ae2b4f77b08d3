/*
 * The hypervisor's own address space: W^X, NX, guard pages under every stack, SMEP and SMAP.
 * Regions: PHYS_MAP_BASE all RAM; HV_IMAGE_BASE the image; HV_DEVICE_BASE what map_device and
 * map_stack hand out, each followed by an unmapped guard page.
 */
#ifndef HV_BASE_MAP_H
#define HV_BASE_MAP_H

#include "hv/base/types.h"

#define HV_IMAGE_BASE 0xffffffff80000000ul
#define HV_DEVICE_BASE 0xffffc00000000000ul

enum map_cache { MAP_UNCACHED, MAP_WRITE_COMBINING, MAP_WRITE_BACK };

/* Maps device memory read-write, not executable, for good. NULL when no table page is left.
 * Start-up and monitor only; takes the map's lock. */
void *map_device(hpa_t pa, uint64_t len, enum map_cache cache);

/* A stack of npages with a guard page below; returns its top (16-byte aligned), NULL when out of memory. */
void *map_stack(uint64_t npages);
void unmap_stack(void *top, uint64_t npages);

#endif
