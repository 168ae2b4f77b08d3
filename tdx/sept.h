/*
 * The secure EPT of a TD as the table that a mirror root follows: struct mmu_external by SEAMCALL. A table is
 * SEPT.ADD, a page PAGE.ADD while the first image is built and PAGE.AUG after; taking one away is RANGE.BLOCK,
 * TRACK and PAGE.REMOVE, and splitting one PAGE.DEMOTE. Pages are never promoted.
 * TDX Module 1.5 base specification, "TD Private Memory Management".
 */
#ifndef TDX_SEPT_H
#define TDX_SEPT_H

#include "tdx/td.h"

/* Fills td->external. */
void sept_init(struct td *td);

/*
 * Takes a page of the TD back, which is no more: its key has been released. Cleared, in the hypervisor's map, and on
 * record as owner's, when it is ours again. False: the module keeps it, and it stays on record as the TD's.
 */
bool sept_take_back(const struct td *td, hpa_t page, uint64_t npages, frame_owner_t owner);
/* The two halves of that: the module's part, and ours. */
bool sept_reclaim(hpa_t page, uint64_t npages);
void sept_give_back(const struct td *td, hpa_t page, uint64_t npages, frame_owner_t owner);

/* Takes back the pages of which the module once left us in doubt. False: it keeps some. */
bool sept_settle_doubts(struct td *td);

/*
 * The mmu's level of the page that a guest wanted to accept, from RDX of the exit (extended exit qualification);
 * 0: it was no TDG.MEM.PAGE.ACCEPT.
 */
int sept_accept_level(uint64_t rdx);

#endif
