/*
 * One address space with one vCPU, for tests that drive mmu/ by hand: what they start with, end with and
 * look at after each step. Histories of many vCPUs have worlds of their own.
 */
#ifndef TESTS_UNIT_MMU_SPACE_H
#define TESTS_UNIT_MMU_SPACE_H

#include "mmu/mmu.h"
#include "tests/unit/mmu_world.h"

extern struct mmu mmu;
extern struct mmu_vcpu vcpu;
extern struct failure why;
extern uint32_t flushes;            /* asked for since the start */
extern struct flush_range flushed;  /* by the last of them */

/* An EPT with pages of 1 GiB and accessed and dirty flags; both kinds of addresses have that many bits. */
struct mmu_config space_config(uint32_t bits);
void space_start(const struct mmu_config *config);
/* A teardown of cmocka's. */
int space_end(void **state);

void space_add(gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags);
/* mmu_check() finds every invariant to hold. */
void space_is_good(void);

static inline enum fault_result touch(gfn_t gfn, uint32_t access)
{
	return mmu_fault(&vcpu, gfn << PAGE_SHIFT, access);
}

#endif
