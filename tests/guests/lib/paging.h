/*
 * A tiny guest's own page tables: 4K pages in addition to the 2 MiB identity map of lib/start.S.
 */
#ifndef TESTS_GUESTS_LIB_PAGING_H
#define TESTS_GUESTS_LIB_PAGING_H

#include "hv/base/types.h"

#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_PS BIT(7)
#define PTE_NX BIT(63)

/* Maps one page (splitting a large one where needed) and flushes it from the TLB; flags 0 unmaps. */
void page_map(uint64_t va, uint64_t pa, uint64_t flags);
/* The entry that maps va with a 4K page now, and where it is. */
uint64_t page_entry(uint64_t va);
uint64_t *page_entry_at(uint64_t va);
/* Memory no one has touched yet, each call 2 MiB further; from FREE_MEMORY on. */
uint64_t fresh_memory(void);
/* Bytes of RAM from 1 MiB on, without a hole, as the loader reports them; 0 when it does not. */
uint64_t memory_above_1m(void);

#endif
