/*
 * Shadow paging, as the rest of the hypervisor sees it: an address space of kind MMU_SHADOW, for
 * CPUs without EPT and for those who want to see every page fault. The CPU walks 64-bit tables that
 * are derived from the guest's own and from the slots.
 *
 * While the guest runs, the hardware has CR0.PG = PE = WP = 1, CR4.PAE = 1, EFER.NXE = 1, EFER.LMA and
 * LME as the guest's LMA, CR4.PCIDE = 0, and in CR3 what mmu_shadow_cr3() says. CR4.SMEP, SMAP, PKE and
 * LA57 are as the guest has them, but for CR4.SMEP, SMAP and PKE while its paging is off: those are 0.
 *
 * All functions are called on the vCPU's own CPU, outside mmu_enter(), and take the lock themselves.
 * g has all of the guest's own registers.
 */
#ifndef MMU_SHADOW_H
#define MMU_SHADOW_H

#include "mmu/mmu.h"
#include "mmu/walk.h"

/*
 * A page fault at gva; error_code is the CPU's. *r is the result of the walk of the guest's tables: on FAULT_GUEST
 * inject r->error_code, CR2 = r->gva; on FAULT_MMIO and the writes to be emulated the access is to r->gpa. Most faults
 * are judged without a whole walk: then *r has what is named here for the result, and nothing else.
 */
enum fault_result mmu_shadow_fault(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva,
				   uint32_t error_code, struct walk_result *r);

#define MMU_LOAD_SAME 1

/*
 * Whether the fault just handled gave an entry that was present more rights: the CPU may still have it
 * with the old ones, and a page fault that exits need not have dropped them. The caller does.
 */
static inline bool mmu_shadow_widened(const struct mmu_vcpu *mv) { return mv->shadow.widened; }

/*
 * The guest has loaded CR3, or changed CR0, CR4 or EFER in a way that matters to paging: the root for
 * g becomes current. flush: the load flushes the guest's translations. The caller drops this vCPU's
 * own cached translations whenever 0 is returned. MMU_LOAD_SAME: nothing has changed, what the CPU has
 * cached and mmu_shadow_cr3() are good. -ENOMEM: the guest cannot go on.
 */
int mmu_shadow_load(struct mmu_vcpu *mv, const struct guest_paging *g, bool flush);

/* The CR3 to run on, of the root loaded last. */
static inline uint64_t mmu_shadow_cr3(const struct mmu_vcpu *mv) { return mv->shadow.hardware_cr3; }

/* Whether the current root was taken away: mmu_shadow_load(..., false) is due before the next entry.
 * Whoever takes it away has the vCPU flushed. */
static inline bool mmu_shadow_stale(const struct mmu_vcpu *mv)
{
	return __atomic_load_n(&mv->shadow.stale, __ATOMIC_RELAXED);
}

/* INVLPG, and INVPCID of an address: in all address spaces, which is more than asked for in the second case.
 * The caller invalidates gva in its own TLB. */
void mmu_shadow_invlpg(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva);

/* All that the guest may have cached, for all its PCIDs. The caller drops its own translations. */
void mmu_shadow_flush(struct mmu_vcpu *mv);

/*
 * The emulator cannot carry out a write to gpa: pages that shadow it are dropped, so that the next
 * attempt goes through. False when there was none.
 */
bool mmu_shadow_unprotect(struct mmu_vcpu *mv, gpa_t gpa);

/* The unsync fast skip, on from the start. */
void mmu_shadow_set_skip(struct mmu *mmu, bool on);

/* Drops every shadow page, a few at a time with the lock released between. */
void mmu_shadow_zap_all(struct mmu *mmu);

struct shadow_counts {
	uint64_t pages, indirect, unsync; /* live now: all, those of a guest table, unsync ones of these */
	uint64_t budget;
	uint64_t created, reused, zapped, recycled, flooded;
	uint64_t loads, loads_cached, invlpgs, flushes, emulated_writes, prefetched;
	uint64_t unsync_calls[2], unsync_skips[2]; /* for a fault, and ahead of one */
	uint64_t hash_searches, hash_nodes, collisions;
	uint64_t unsyncs, syncs, synced_entries;
	uint64_t metadata_bytes;          /* all but the shadow pages themselves */
	uint64_t mmio_live, mmio_made, mmio_hits; /* entries for MMIO: now, ever, and accesses that met one */
};
void mmu_shadow_count(struct mmu *mmu, struct shadow_counts *counts);

#endif
