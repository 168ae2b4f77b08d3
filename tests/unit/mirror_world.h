/*
 * What the tests of mirror roots share: a guest with private memory in front of the strict external
 * table, and how such a guest goes about its memory.
 */
#ifndef TESTS_UNIT_MIRROR_WORLD_H
#define TESTS_UNIT_MIRROR_WORLD_H

#include "mmu/inspect.h"
#include "mmu/mirror.h"
#include "tests/unit/external_fake.h"
#include "tests/unit/mmu_world.h"

#define SHARED_BIT 47
#define SHARED(gpa) ((gpa) | BIT(SHARED_BIT))
#define FRAME 512ul /* pages of 2 MiB */

extern struct mmu mirrored;
extern struct fake fake;
extern struct mmu_vcpu mirror_vcpus[FAKE_VCPUS];
extern uint64_t mirror_flushes; /* of the ordinary root */

/* max_level is what the external table and the CPU take. */
void mirror_world_start(int max_level);
/* cmocka's set-up for a guest with 2M pages: MIRROR_PAGES of private memory at 0, in the frames from MIRROR_RAM on. */
#define MIRROR_RAM GIB(1)
#define MIRROR_PAGES (8 * FRAME)
int mirror_setup(void **state);
/* Dismantles the guest. may_lose: pages may stay with the external table. */
void mirror_world_end(bool may_lose);

/* Dismantles the guest and makes another one in its memory. */
void mirror_world_renew(void);

void mirror_add(gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags);
/* The guest has started, and all vCPUs are in it. */
void mirror_run(void);

/* All invariants hold and both tables say the same; nothing was refused or rejected. */
void mirror_agrees(void);

/* vCPU 0 until the fault is no longer to be retried; a bound that no fault may reach. */
enum fault_result mirror_fault(gfn_t gfn);
/* The guest accepts one page; returns the level it ended with, 0 when memory was out. Exits must come to an end. */
int mirror_accept(gfn_t gfn, int level);
/* Private or shared from now on; until it is no longer to be retried. */
int mirror_convert(gfn_t gfn, uint64_t npages, bool private);

/* Of the leaf at gfn in the external table; 0: none. */
int mirror_level(gfn_t gfn);
enum fake_state mirror_state(gfn_t gfn);

struct mmu_counts mirror_counts(void);

#endif
