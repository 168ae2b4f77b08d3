/*
 * Entries of the shadow for what is no memory: the CPU finds reserved bits set in one (mmu/shadow_spte.h), so the
 * page fault says by itself that the access is to a device, and to which address, without a walk of the guest's
 * tables. An entry has the rights that the guest's tables gave when it was made, and goes or stays with the guest's
 * entry as a leaf does: it is as good as a TLB entry. It is on no list, and no TLB ever holds it.
 *
 * Only pages of level 4K have such entries; where they are is in a bitmap of the page, how many in its header.
 */
#ifndef MMU_SHADOW_MMIO_H
#define MMU_SHADOW_MMIO_H

#include "mmu/shadow_spte.h"
#include "mmu/sp.h"

/* Whether an access to gfn can have an entry: one whose address is beyond the host's width, and in whose cached part no
 * memory lies. Of a CPU with 52 bits none is. */
static inline bool shadow_mmio_fits(gfn_t gfn, uint32_t hpa_bits)
{
	return hpa_bits < 52 && spte_mmio_is_safe(gfn << PAGE_SHIFT, hpa_bits);
}

/* ---- under the exclusive lock ---- */

/* Makes the entry, which is empty or one for MMIO. */
void shadow_mmio_set(struct mmu *mmu, struct sp *sp, uint32_t index, uint64_t spte);
/* Empties the entry, which is one for MMIO. Nothing has to be flushed for it. */
void shadow_mmio_drop(struct mmu *mmu, struct sp *sp, uint32_t index);
/* Empties all of a page, and of all pages: the generation that entries carry begins anew. */
void shadow_mmio_drop_page(struct mmu *mmu, struct sp *sp);
void shadow_mmio_drop_all(struct mmu *mmu);

/* ---- outside the lock ---- */

/*
 * A page fault with reserved bits: whether an entry for MMIO says that the guest may access gva in that way, and that
 * no memory is there. Then the fault is counted, and *r has gva and gpa. False: go on with a walk.
 */
bool shadow_mmio_hit(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva, uint32_t error_code,
		     struct walk_result *r);

#endif
