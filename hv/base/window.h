/*
 * Windows: virtual addresses that each CPU has to itself, for pages that the map of RAM leaves out. A page is in a
 * window for a few instructions or one operation, on one CPU, with interrupts off; that CPU's TLB forgets it when it
 * is dropped, and no other CPU's ever knew it, as nobody uses another CPU's windows.
 */
#ifndef HV_BASE_WINDOW_H
#define HV_BASE_WINDOW_H

#include "hv/base/types.h"

#define WINDOW_PAGES 64 /* of a CPU */

/* Page tables for the windows of all CPUs. -ENOMEM. Once, boot CPU, when all CPUs are known. */
int windows_init(void);

/* A 4K page, write-back, writable, until window_release() of what window_mark() said before. No more than
 * WINDOW_PAGES at a time. */
void *window_map(hpa_t page);
/* A 2M page, of which there is one at a time, until any window_release(). */
void *window_map_large(hpa_t page);
uint32_t window_mark(void);
/* Drops all that was mapped since that mark; 0: all. */
void window_release(uint32_t mark);

/* How many pages of 4K that CPU's windows show; any CPU may ask. */
uint64_t window_pages(uint32_t cpu);

#endif
