/*
 * The page tables the hypervisor is entered on (boot_info.h says what they map). They serve until
 * it has built its own.
 */
#ifndef BOOT_PAGING_H
#define BOOT_PAGING_H

#include "hv/base/types.h"

struct page_tables {
	hpa_t root;       /* for CR3 */
	hpa_t pages;      /* first page of what is given to them, cleared */
	uint64_t count;   /* how many pages that is */
	uint64_t used;
	bool five_levels; /* CR4.LA57 is on and stays on: it cannot be changed in 64-bit mode */
};

/* How many pages the tables need to map [0, top) and an image of at most 64 MiB. */
uint64_t paging_pages(hpa_t top);

/* Builds them; pages must be reachable at their physical address. top is at least 4 GiB. */
void paging_build(struct page_tables *t, hpa_t top, hpa_t image_base, uint64_t image_size);

#endif
