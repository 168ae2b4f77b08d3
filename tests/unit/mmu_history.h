/*
 * Random histories of an address space: the oracle, which is a list of ranges with a byte per page, a TLB
 * that is emptied only by the flush callback, and the operations on what is there. tests/unit/test_mmu_random.c.
 */
#ifndef TESTS_UNIT_MMU_HISTORY_H
#define TESTS_UNIT_MMU_HISTORY_H

#include "hv/base/failure.h"
#include "mmu/attr.h"
#include "mmu/check.h"
#include "mmu/dirty.h"
#include "mmu/gpa.h"
#include "mmu/inspect.h"
#include "mmu/nx.h"

#define VCPUS 4
#define MAX_RANGES 24
#define TLB_SIZE 64

struct range {
	gfn_t gfn;
	uint64_t npages;
	hpa_t hpa;
	bool readonly, logged;
	bool was_logged; /* leafs may still lack the right to write */
	uint8_t *private, *dirty; /* by page */
};

struct tlb_entry {
	gfn_t gfn;
	hpa_t hpa;
	bool writable, dirty, valid;
};

extern struct range ranges[MAX_RANGES];
extern uint32_t range_count;
extern struct mmu mmu;
extern struct mmu_vcpu vcpus[VCPUS];
extern bool vcpu_in[VCPUS];
extern struct failure why;
extern struct tlb_entry tlb[TLB_SIZE];

/* mmu_config callbacks; flush_ctx is tlb. */
void flush_all(void *ctx, const struct flush_range *range);
void pml_switch(void *ctx, bool on);
void pml_start(void);
void pml_sync(void *ctx);

struct range *oracle_find(gfn_t gfn);
bool oracle_overlaps(gfn_t gfn, uint64_t npages);
hpa_t oracle_hpa(const struct range *r, gfn_t gfn);
/* Whether the page of that level is wholly inside the range, aligned on both sides, and of one kind; the
 * largest such level. */
bool oracle_allows(const struct range *r, gfn_t gfn, int level);
int oracle_level(const struct range *r, gfn_t gfn);
void oracle_add(gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags);
void oracle_delete(struct range *r);
/* The guest or the hypervisor has written to the page. */
void oracle_write(gfn_t gfn);

/* Compares everything with the oracle and with itself. */
void all_agrees(void);
void history_start(void);
void history_end(void);

/* A gfn near something interesting: the edges of ranges, of large pages, of the address width. */
gfn_t random_gfn(void);
uint64_t random_size(void);
struct mmu_vcpu *random_vcpu(void);

/* The CPU translates gfn by this leaf and keeps that. */
void tlb_remember(gfn_t gfn, hpa_t hpa);

void op_zap(void);
void op_attributes(void);
void op_log(void);
void op_guest_write(void);
void op_move(void);
void op_flags(void);

#endif
