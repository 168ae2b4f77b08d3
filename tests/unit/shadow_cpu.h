/*
 * What the CPU does with a shadow: walks it from CR3 in the mode that mmu/mmu.h states, checking every
 * reserved bit, and remembers translations until it is told to forget them.
 */
#ifndef TESTS_UNIT_SHADOW_CPU_H
#define TESTS_UNIT_SHADOW_CPU_H

#include "tests/unit/shadow_oracle.h"

#define CPU_TLB 24

struct cpu_leaf {
	hpa_t hpa; /* of the 4K page, whatever the size of the leaf */
	uint32_t shift;
	struct rights rights;
	uint64_t entry; /* as the walk met it, accessed */
};

struct cpu {
	bool entered;      /* in the guest, with the PDPTEs that VM entry loaded */
	uint64_t cr3;
	uint64_t pdpte[4];
	struct {
		bool valid;
		gva_t page;
		struct cpu_leaf leaf;
	} tlb[CPU_TLB];
	uint32_t tlb_next;
	uint64_t walks, hits;
};

/* The host's MAXPHYADDR, and whether it has 1-GByte pages: what reserved bits depend on. */
extern uint32_t cpu_hpa_bits;
extern bool cpu_has_1g;

/* The registers that are in force while the guest, which believes in g, runs on a shadow. */
struct guest_paging cpu_registers(const struct guest_paging *g);

/* VM entry. A broken root ends the test. */
void cpu_enter(struct cpu *c, const struct guest_paging *g, uint64_t cr3);

/* 0 and the leaf, or the error code of the #PF. Sets accessed and dirty flags. tlb: may use what it remembers. */
#define CPU_OK 0xffffffffu
uint32_t cpu_access(struct cpu *c, const struct guest_paging *g, gva_t gva, uint32_t access, bool tlb,
		    struct cpu_leaf *leaf);

/* INVVPID of all, and of one address. */
void cpu_forget(struct cpu *c);
void cpu_forget_page(struct cpu *c, gva_t gva);

/* Calls fn for every page, or three pages of every larger leaf, that the shadow at c->cr3 reaches. */
typedef void cpu_leaf_fn(void *ctx, gva_t gva, const struct cpu_leaf *leaf);
void cpu_for_each_leaf(struct cpu *c, const struct guest_paging *g, cpu_leaf_fn *fn, void *ctx);

/* Says what is wrong and ends the process. */
NORETURN void world_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
