/*
 * Judging EPT entries: the reserved bits of the SDM and the rules of our own software bits.
 */
#include "mmu/spte.h"

#include "mmu/hugepage.h"

const char *const spte_kind_names[] = {
	[SPTE_KIND_EMPTY] = "empty", [SPTE_KIND_FROZEN] = "frozen", [SPTE_KIND_MMIO] = "MMIO",
	[SPTE_KIND_TABLE] = "table", [SPTE_KIND_LEAF] = "leaf",	    [SPTE_KIND_BROKEN] = "broken",
};

enum spte_kind spte_kind(uint64_t spte, int level)
{
	if (spte_is_present(spte))
		return spte_is_leaf(spte, level) ? SPTE_KIND_LEAF : SPTE_KIND_TABLE;
	if (spte == SPTE_EMPTY)
		return SPTE_KIND_EMPTY;
	if (spte == SPTE_FROZEN)
		return SPTE_KIND_FROZEN;
	return spte_is_mmio(spte) ? SPTE_KIND_MMIO : SPTE_KIND_BROKEN;
}

static const char *leaf_fault_in(uint64_t spte, int level, int max_level)
{
	uint64_t type = (spte & EPT_MEMTYPE) >> 3;
	bool host = spte & SPTE_HOST_WRITABLE, mmu = spte & SPTE_MMU_WRITABLE, w = spte & EPT_WRITE;

	if (level > max_level)
		return "a page of this size is not offered by the CPU";
	if (spte_hpa(spte) & ((level_pages(level) << PAGE_SHIFT) - 1))
		return "a large page is not aligned to its size (reserved address bits)";
	if (type == 2 || type == 3 || type == 7)
		return "the memory type is reserved";
	if ((w && !mmu) || (mmu && !host))
		return "the writable bits are none of 111, 110, 100, 000";
	return NULL;
}

static const char *table_fault_in(uint64_t spte, int level)
{
	if (level == ROOT_LEVEL && (spte & EPT_LARGE))
		return "bit 7 is reserved at the top level";
	if (spte & (EPT_MEMTYPE | EPT_IGNORE_PAT))
		return "bits 6:3 are reserved in an entry that points at a table";
	return NULL;
}

const char *spte_fault_in(uint64_t spte, int level, const struct mmu_config *config)
{
	uint64_t rwx = spte & EPT_RWX;

	if (!(spte & EPT_SUPPRESS_VE))
		return "suppress-#VE is clear";
	if (rwx == 0)
		return "it is present to us but not to the CPU";
	if ((rwx & EPT_WRITE) && !(rwx & EPT_READ))
		return "it allows writes without reads";
	if (rwx == EPT_EXEC && !config->execute_only)
		return "it is execute-only and the CPU does not offer that";
	if (config->hpa_bits < 52 && (spte & BITS(51, config->hpa_bits)))
		return "it has address bits beyond the host's width";
	if (level == ROOT_LEVEL || !spte_is_leaf(spte, level))
		return table_fault_in(spte, level);
	return leaf_fault_in(spte, level, config->max_level);
}
