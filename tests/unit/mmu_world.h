/*
 * What the tests of mmu/ share: a frame allocator that may be called from threads, poisons what is
 * freed and fails on demand; a random generator; and a walk of the EPT written a second time.
 */
#ifndef TESTS_UNIT_MMU_WORLD_H
#define TESTS_UNIT_MMU_WORLD_H

#include "mmu/mmu.h"

#define WORLD_FIRST_HPA MIB(64)
#define WORLD_BYTES MIB(64)
#define WORLD_VM 7

/* An arena of RAM at WORLD_FIRST_HPA, all of it free. */
void world_start(void);
/* The same with RAM up to end above it, zero and backed only where it is touched. */
void world_start_ram(hpa_t end);
/* Ends it; every frame must have been freed. */
void world_end(void);

/* Frames of that owner are free from now on: they were lost on purpose. */
void world_forget(uint16_t owner);

/* Allocations that still succeed; decremented by each. ~0: no limit. */
extern uint64_t world_allocs_left;

extern bool world_verbose; /* tell what happens, for the report of a failure */

#define SAY(...)                                                                                    \
	do {                                                                                        \
		if (world_verbose)                                                                  \
			printf(__VA_ARGS__);                                                        \
	} while (0)

uint64_t world_seed(void); /* from MMU_TEST_SEED, else from the clock; printed */
uint64_t rnd(uint64_t below);
void rnd_seed(uint64_t seed);

/* What the CPU would make of gpa: 0 nothing mapped, -1 misconfigured, else the level of the leaf. */
int world_ept_walk(const struct mmu *mmu, gpa_t gpa, hpa_t *hpa, uint32_t *rwx);

/* Calls fn for every leaf the CPU can reach. */
void world_for_each_leaf(const struct mmu *mmu, void (*fn)(gfn_t gfn, int level, uint64_t entry));

#endif
