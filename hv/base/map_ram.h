/*
 * What is taken out of the hypervisor's map of RAM: frames that a TDX module holds. They are in no page table of
 * the hypervisor but, for as long as the software module needs one, in a window of one CPU (hv/base/window.h).
 */
#ifndef HV_BASE_MAP_RAM_H
#define HV_BASE_MAP_RAM_H

#include "hv/base/frame.h"
#include "hv/base/types.h"

/* Start-up: the interrupt by which other CPUs are told. */
void map_ram_init(void);

/*
 * Takes those frames out; their new owner goes on record after that. On return this CPU cannot reach them. Another
 * CPU may until it takes the interrupt that is on its way to it: at once when it runs a guest or idles, else before
 * it runs a guest again. -ENOMEM, with nothing changed: no frame for a table. Takes the map's lock and allocates; any
 * CPU, with no lock of the frames held.
 */
int map_hide(hpa_t first, uint64_t npages) MUST_CHECK;
/* Puts them back, once their owner on record is one that may see them; those that are not out stay as they are. Never
 * fails: pages that were split stay split. */
void map_show(hpa_t first, uint64_t npages);

/* Whether phys_to_virt() serves the page, by the record of its owner. */
bool map_shows(hpa_t page);
/* Who holds the frame that va would be in the map of RAM: an owner that is hidden, or OWNER_NONE. */
frame_owner_t map_hidden_owner(uint64_t va);

/*
 * Looks at all that the hypervisor's tables map, windows left out: calls found() for each page of 4K whose frame's
 * owner is hidden. Returns how many pages of 4K are mapped. Any CPU, while others hide and show.
 */
uint64_t map_find_hidden(void (*found)(void *ctx, uint64_t va, hpa_t frame), void *ctx);

/* Interrupts sent to other CPUs because of map_hide(). */
uint64_t map_flushes_sent(void);

#endif
