/*
 * The memory of a fake guest under shadow paging: slots over host RAM, and for every word of it the
 * values it has had and when, because a translation may be as old as the guest's last flush.
 */
#ifndef TESTS_UNIT_SHADOW_MEM_H
#define TESTS_UNIT_SHADOW_MEM_H

#include "mmu/mmu.h"

#define MEM_RAM_HPA GIB(1)   /* above what mmu_world.h hands out as frames */
#define MEM_RAM_BYTES GIB(4)
#define MEM_SLOTS 12
#define MEM_VALUES 64

struct mem_slot {
	gfn_t gfn;
	uint64_t npages;
	hpa_t hpa;
	bool readonly;
};

extern struct mem_slot mem_slots[MEM_SLOTS];
extern uint32_t mem_slot_count;
extern uint64_t mem_now; /* the number of changes so far */

/* Between world_start_ram() and world_end(): no slots, no past. */
void mem_start(void);

const struct mem_slot *mem_slot_of(gpa_t gpa);
/* Where the byte at gpa is; HPA_NONE when no RAM answers. */
hpa_t mem_hpa(gpa_t gpa);
/* Whether the frame is seen at more than one gfn. */
bool mem_aliased(hpa_t at);

/* bytes is 1, 2, 4 or 8, aligned. */
uint64_t mem_read(hpa_t at, uint32_t bytes);
/* A change that the hypervisor may not have seen is untracked: what was there before may be used for ever. */
void mem_write(hpa_t at, uint32_t bytes, uint64_t value, bool untracked);
/* Somebody else has just changed the aligned 8 bytes at, which were old. */
void mem_changed(hpa_t at, uint64_t old, bool untracked);

struct mem_value {
	uint64_t value;
	uint64_t from; /* the time it was written; 0 when a translation of any age may use it */
};

/* The values of 4 or 8 bytes since a time, newest first and none twice in a row; returns how many. */
uint32_t mem_values(hpa_t at, uint32_t bytes, uint64_t since, struct mem_value values[MEM_VALUES]);

#endif
