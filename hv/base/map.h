/*
 * The hypervisor's own address space: W^X, NX, guard pages under every stack, SMEP and SMAP.
 * Regions: PHYS_MAP_BASE all RAM but what hv/base/map_ram.h takes out; HV_IMAGE_BASE the image; HV_DEVICE_BASE
 * what map_device and map_stack hand out, each followed by an unmapped guard page; HV_WINDOW_BASE each CPU's
 * windows (hv/base/window.h).
 */
#ifndef HV_BASE_MAP_H
#define HV_BASE_MAP_H

#include "hv/base/types.h"

struct boot_info; /* boot/boot_info.h */

#define HV_IMAGE_BASE 0xffffffff80000000ul
#define HV_DEVICE_BASE 0xffffc00000000000ul
#define HV_WINDOW_BASE 0xffffd00000000000ul

enum map_cache { MAP_UNCACHED, MAP_WRITE_COMBINING, MAP_WRITE_BACK };

/* Maps device memory read-write, not executable, for good. NULL when no table page is left.
 * Start-up and monitor only; takes the map's lock. */
void *map_device(hpa_t pa, uint64_t len, enum map_cache cache);

/* A stack of npages with a guard page below; returns its top (16-byte aligned), NULL when out of memory. */
void *map_stack(uint64_t npages);
/* Gives it back, cleared, for the next map_stack of that size: it stays mapped, so that no CPU's TLB
 * has to be flushed. */
void unmap_stack(void *top, uint64_t npages);

/* Builds the page tables and switches the running CPU to them. Boot CPU, after frames_init. */
void map_init(const struct boot_info *bi);
/* CR3 of root mode, the same on every CPU. */
hpa_t map_root(void);
/* Where the hypervisor's own tables map va; HPA_NONE when they do not. No lock: also in a panic. */
hpa_t map_translate(const void *va);
/* Whether va lies in a page left unmapped on purpose, below a stack or between device mappings. */
bool map_is_guard(uint64_t va);
/* Whether [pa, pa + len) is all RAM or ACPI tables outside the image, so that phys_to_virt() serves what of it is
 * not taken out. */
bool map_has_ram(hpa_t pa, uint64_t len);
/* Whether pa is in the image, whose frames the map of RAM leaves out. */
bool map_is_image(hpa_t pa);

/*
 * A second root that shares the hypervisor's half and maps [0, 4 GiB) and the given ranges of
 * physical memory to themselves, writable and executable: for firmware's ResetSystem only.
 * HPA_NONE when out of memory. Boot CPU, start-up.
 */
hpa_t map_build_identity(const struct boot_info *bi);
/*
 * The same with nothing but one page, read and executed, below 4 GiB itself: for the trampoline.
 * Freed with map_free_trampoline.
 */
hpa_t map_build_trampoline(hpa_t page);
void map_free_trampoline(hpa_t root);

#endif
