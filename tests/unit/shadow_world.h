/*
 * A fake guest under shadow paging: vCPUs with registers, TLB and a shadow, that access memory as
 * instructions do, store to their own tables, load CR3 and invalidate. Whatever they are let do is compared
 * with the oracle at once.
 */
#ifndef TESTS_UNIT_SHADOW_WORLD_H
#define TESTS_UNIT_SHADOW_WORLD_H

#include "hv/base/x86.h"
#include "mmu/shadow.h"
#include "tests/unit/mmu_world.h"
#include "tests/unit/shadow_cpu.h"

#define VCPUS 3
#define PCIDS 4
#define INVLPGS 16

struct vcpu {
	struct mmu_vcpu mv;
	struct guest_paging g;
	struct cpu cpu;
	bool has_root;
	uint64_t flushed[PCIDS]; /* when the guest last flushed each */
	struct {
		gva_t page;
		uint32_t pcid;
		uint64_t time;
	} invlpg[INVLPGS];
	uint32_t invlpg_next;
};

extern struct mmu world_mmu;
extern struct vcpu world_vcpus[VCPUS];
extern uint64_t world_flushes; /* that the hypervisor ordered */
extern void (*world_before_flush)(void); /* what vCPUs still in the guest do then; NULL: nothing of its own */

struct world_options {
	int max_level;
	uint64_t shadow_pages; /* budget; 0: the default */
	uint32_t maxphyaddr;
};

/* Memory without slots, vCPUs with paging off. And the end: all frames must be free. */
void guests_start(const struct world_options *o);
void guests_end(void);

/* The hypervisor's calls with the world's own records kept up. hpa: where in RAM, as an offset. */
void guest_slot_add(gfn_t gfn, uint64_t npages, uint64_t offset, bool readonly);
void guest_slot_delete(gfn_t gfn);
void guest_slot_move(gfn_t gfn, gfn_t to);
void guest_slot_flags(gfn_t gfn, bool readonly);
void guest_attributes(gfn_t gfn, uint64_t npages, bool private); /* which no such guest can change */

static inline uint32_t vcpu_pcid(const struct vcpu *v)
{
	return v->g.cr4 & CR4_PCIDE ? (uint32_t)v->g.cr3 % PCIDS : 0;
}

/* How far back a translation of gva may come from on that vCPU. */
uint64_t vcpu_since(const struct vcpu *v, gva_t gva);
/* The guest has just flushed one PCID, or all of them. */
void vcpu_flushed(struct vcpu *v, uint32_t pcid);
void vcpu_flushed_all(struct vcpu *v);

/* mmu_shadow_load(), again with memory when there was none. */
void vcpu_load(struct vcpu *v, bool flush);
/* VM entry when an exit or a flush took the vCPU out. */
void vcpu_enter(struct vcpu *v);

enum outcome {
	DONE,      /* through the shadow or the TLB */
	REFUSED,   /* #PF for the guest */
	EMULATED,  /* a write that the hypervisor carried out */
	DEVICE,    /* no RAM there */
	DROPPED,   /* a write to ROM */
	NO_MEMORY, /* the hypervisor has none */
	NO_ADDRESS /* not canonical */
};

struct guest_access {
	gva_t gva;
	uint32_t kind;   /* WALK_READ, WALK_WRITE, WALK_FETCH */
	uint32_t bytes;  /* of a write, aligned */
	uint64_t value;
	bool tlb;        /* a remembered translation may be used */
	bool unprotect;  /* when told to emulate, try mmu_shadow_unprotect() first */
	uint32_t error;  /* REFUSED: the error code */
	uint32_t faults; /* exits that it took */
};

/* Carries out the access as the CPU and the hypervisor together do. */
enum outcome guest_access(struct vcpu *v, struct guest_access *a);

/* A write by a device, which the hypervisor carries out. */
void guest_dma(gpa_t gpa, uint32_t bytes, uint64_t value);

/* INVLPG, and all that INVPCID 1 to 3 and CR4.PGE can do. */
void guest_invlpg(struct vcpu *v, gva_t gva);

/* All invariants, and everything that vCPU can reach by its shadow or its TLB. */
void guests_check(void);
void vcpu_check(struct vcpu *v);

/* What the vCPU can reach, as a number. */
uint64_t vcpu_digest(struct vcpu *v);

#endif
