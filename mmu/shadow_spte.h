/*
 * Shadow entries: ordinary 64-bit page-table entries (SDM "Paging"), with SPTE_PRESENT of mmu/spte.h
 * at the same place, so that what an entry is can be told in the same way. Tables let
 * everything through; the leaf has the rights of the whole translation.
 *
 * Accessed is always set. Dirty says that the guest's tables allow writing, whatever else is against it:
 * the guest's own flags are set by the walk of its tables, and a page whose guest entry is not dirty yet
 * is not writable.
 * Bit 8 (global) stays clear. PWT, PCD and PAT stay clear: guest memory is write-back.
 */
#ifndef MMU_SHADOW_SPTE_H
#define MMU_SHADOW_SPTE_H

#include "mmu/role.h"
#include "mmu/spte.h"

/* Not where the EPT has them: under PAE paging bits 62:52 are reserved. */
#define SHADOW_HOST_WRITABLE BIT(9) /* the slot lets the guest write; constant while present */
#define SHADOW_MMU_WRITABLE BIT(10) /* nothing about tables of the guest is against writing */
#define SHADOW_WRITABLE (PTE_RW | SHADOW_HOST_WRITABLE | SHADOW_MMU_WRITABLE | PTE_D)

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
