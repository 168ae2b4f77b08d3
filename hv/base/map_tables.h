/*
 * The format of the hypervisor's page tables, for those who write them: hv/base/map.c, map_ram.c and window.c.
 * SDM vol. 3A, "4-Level Paging and 5-Level Paging".
 */
#ifndef HV_BASE_MAP_TABLES_H
#define HV_BASE_MAP_TABLES_H

#include "hv/base/map.h"
#include "hv/base/x86.h"

#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_LARGE BIT(7)     /* at levels 2 and 3 */
#define PTE_PAT_4K BIT(7)    /* at level 1 */
#define PTE_GLOBAL BIT(8)
#define PTE_NX BIT(63)
#define PTE_ADDRESS BITS(51, 12)

/* Of the map of RAM, at every level. */
#define PTE_RAM (PTE_PRESENT | PTE_WRITE | PTE_GLOBAL | PTE_NX)

static inline unsigned map_index(uint64_t va, unsigned level) { return (va >> (12 + 9 * (level - 1))) & 511; }
static inline uint64_t map_size(unsigned level) { return PAGE_SIZE << (9 * (level - 1)); }
/* 4, or 5 on CPUs that run so. */
unsigned map_top_level(void);

/* This CPU's TLB forgets the page that va is in, of whatever size; all pages, global ones included. */
void map_forget(uint64_t va);
void map_forget_all(void);

/* The entry for va at that level of the hypervisor's tables, those above it made as needed; NULL when out of memory.
 * Nothing larger may be mapped there. Start-up, or who owns the region with its lock held. */
uint64_t *map_entry(uint64_t va, unsigned level);

#endif
