/*
 * Physical memory as the hypervisor sees it: all RAM is mapped, writable and not executable,
 * at one constant distance (hypervisor image frames excepted). Host tests supply a fake memory.
 */
#ifndef HV_BASE_PHYS_H
#define HV_BASE_PHYS_H

#include "hv/base/types.h"

#ifdef GNOMON_HOST_TEST
extern uintptr_t phys_map_base; /* tests point this at their arena minus its first hpa */
#define PHYS_MAP_BASE phys_map_base
#else
#define PHYS_MAP_BASE 0xffff800000000000ul
#endif

/* RAM only: device memory goes through map_device(). */
static inline void *phys_to_virt(hpa_t pa) { return (void *)(pa + PHYS_MAP_BASE); }
static inline hpa_t virt_to_phys(const void *va) { return (hpa_t)(uintptr_t)va - PHYS_MAP_BASE; }

#endif
