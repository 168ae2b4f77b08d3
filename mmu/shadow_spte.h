/*
 * Shadow entries: ordinary 64-bit page-table entries (SDM "Paging"), with SPTE_PRESENT of mmu/spte.h
 * at the same place, so that what an entry is can be told in the same way. Tables let
 * everything through; the leaf has the rights of the whole translation.
 *
 * Accessed is always set. Dirty says that the guest's tables allow writing, whatever else is against it:
 * the guest's own flags are set by the walk of its tables, and a page whose guest entry is not dirty yet
 * is not writable.
 * Bit 8 (global) stays clear. PWT, PCD and PAT stay clear: guest memory is write-back.
 *
 * An entry for MMIO (mmu/shadow_mmio.h) is present to the CPU and not to us. The complement of the gfn is in its
 * address field, as in the EPT's: of that the bits beyond the host's width are set, and reserved in every paging mode,
 * so that every access is a page fault that says so; and what a CPU with the L1 terminal fault may look up in its
 * cache is the upper half of the physical space, where no RAM is. The guest's rights and its key are at their places;
 * the right to write only if its dirty flag is set, too. The slots' generation is in 10:3 and 58:52.
 */
#ifndef MMU_SHADOW_SPTE_H
#define MMU_SHADOW_SPTE_H

#include "mmu/role.h"
#include "mmu/spte.h"

/* Not where the EPT has them: under PAE paging bits 62:52 are reserved. */
#define SHADOW_HOST_WRITABLE BIT(9) /* the slot lets the guest write; constant while present */
#define SHADOW_MMU_WRITABLE BIT(10) /* nothing about tables of the guest is against writing */
#define SHADOW_WRITABLE (PTE_RW | SHADOW_HOST_WRITABLE | SHADOW_MMU_WRITABLE | PTE_D)

#define SHADOW_MMIO_TEST (PTE_P | SPTE_PRESENT)
#define SHADOW_MMIO_LOW_SHIFT 3
#define SHADOW_MMIO_LOW_BITS 8
#define SHADOW_MMIO_HIGH_SHIFT 52
#define SHADOW_MMIO_GENERATION_BITS 15
#define SHADOW_MMIO_GENERATION_MASK (BIT(SHADOW_MMIO_GENERATION_BITS) - 1)
#define SHADOW_MMIO_GENERATION (BITS(10, 3) | BITS(58, 52))

static inline bool shadow_is_mmio(uint64_t spte) { return (spte & SHADOW_MMIO_TEST) == PTE_P; }

/* Where the generation is in an entry. */
static inline uint64_t shadow_mmio_stamp(uint64_t generation)
{
	uint64_t low = generation & (BIT(SHADOW_MMIO_LOW_BITS) - 1);
	uint64_t high = (generation & SHADOW_MMIO_GENERATION_MASK) >> SHADOW_MMIO_LOW_BITS;

	return low << SHADOW_MMIO_LOW_SHIFT | high << SHADOW_MMIO_HIGH_SHIFT;
}

static inline bool shadow_mmio_is_of(uint64_t spte, uint64_t generation)
{
	return (spte & SHADOW_MMIO_GENERATION) == shadow_mmio_stamp(generation);
}

/* access: with ACCESS_WRITE only if the guest's dirty flag is set. pkey is the guest entry's, in place. */
static inline uint64_t shadow_mmio_make(gfn_t gfn, uint32_t access, uint64_t pkey, uint64_t generation)
{
	return PTE_P | (~(gfn << PAGE_SHIFT) & SPTE_ADDR) | (access & (ACCESS_WRITE | ACCESS_USER)) |
	       (access & ACCESS_EXEC ? 0 : PTE_XD) | pkey | shadow_mmio_stamp(generation);
}

/* A leaf that may be written as far as guest and slot are concerned, and is not writable. */
static inline bool shadow_is_held_back(uint64_t spte)
{
	const uint64_t allowed = SPTE_PRESENT | PTE_D | SHADOW_HOST_WRITABLE;

	return (spte & (allowed | PTE_RW)) == allowed;
}

static inline uint64_t shadow_table_make(hpa_t table)
{
	return table | PTE_P | PTE_RW | PTE_US | PTE_A | SPTE_PRESENT;
}

/* A leaf with the rights of access but for writing. pkey is the guest entry's, in place. */
static inline uint64_t shadow_leaf_make(hpa_t page, int level, uint32_t access, uint64_t pkey)
{
	uint64_t spte = page | PTE_P | PTE_A | SPTE_PRESENT | pkey;

	if (access & ACCESS_USER)
		spte |= PTE_US;
	if (!(access & ACCESS_EXEC))
		spte |= PTE_XD;
	if (level > LEVEL_4K)
		spte |= PTE_PS;
	return spte;
}

/* Rights that a guest entry gives. xd: the bit that forbids fetches, or 0. */
static inline uint32_t guest_entry_access(uint64_t entry, uint64_t xd)
{
	return (entry & (PTE_RW | PTE_US)) | (entry & xd ? 0 : ACCESS_EXEC);
}
_Static_assert(PTE_RW == ACCESS_WRITE && PTE_US == ACCESS_USER, "rights are at the places of the entry's bits");

/*
 * Whether a present shadow entry breaks a rule: reserved bits of its level for the host's width and
 * page sizes, or one of the software bits' own. NULL, or the rule in words.
 */
const char *shadow_fault_in(uint64_t spte, int level, const struct mmu_config *config);

#endif
