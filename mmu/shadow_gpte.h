/*
 * The guest's entries behind a shadow page: where they are, and what one of a 4K table means.
 */
#ifndef MMU_SHADOW_GPTE_H
#define MMU_SHADOW_GPTE_H

#include "mmu/gpa.h"
#include "mmu/shadow_spte.h"
#include "mmu/sp.h"

static inline uint32_t gpte_bytes(const struct sp *sp) { return sp->role.mode == PAGING_32 ? 4 : 8; }

/* Number, in the guest's table, of the entry that index is derived from. A 4-byte directory entry maps
 * 4 MiB and so has two shadow entries. */
static inline uint32_t gpte_index(const struct sp *sp, uint32_t index)
{
	if (sp->role.mode != PAGING_32)
		return index;
	return sp->level == LEVEL_4K ? sp->role.quadrant * SPTES_PER_TABLE + index :
				       sp->role.quadrant * (SPTES_PER_TABLE / 2) + index / 2;
}

/* The guest's table itself; NULL when there is no memory. Inside the lock, either way. */
static inline const void *gpte_table(struct mmu_vcpu *mv, const struct sp *sp)
{
	return gpa_to_hva(mv, sp->gfn << PAGE_SHIFT, PAGE_SIZE);
}

/* Tables outside memory read as ones, as an empty bus does. */
static inline uint64_t gpte_load(const struct sp *sp, const void *table, uint32_t index)
{
	uint32_t i = gpte_index(sp, index);

	if (sp->role.mode == PAGING_32)
		return table ? __atomic_load_n((const uint32_t *)table + i, __ATOMIC_RELAXED) : ~(uint32_t)0;
	return table ? __atomic_load_n((const uint64_t *)table + i, __ATOMIC_RELAXED) : ~(uint64_t)0;
}

/* Of an entry of a 4K table: rights, together with those of the levels above. */
static inline uint32_t gpte_access(const struct sp *sp, uint64_t gpte)
{
	return guest_entry_access(gpte, sp->role.nx ? PTE_XD : 0) & sp->role.access;
}

/* The protection key, where entries have one; the CPU heeds it while CR4.PKE is set. */
static inline uint64_t gpte_pkey(const struct sp *sp, uint64_t gpte)
{
	return sp->role.mode >= PAGING_4 ? gpte & PTE_PKEY : 0;
}

/* Of an entry of a 4K table: present, used before, and no reserved bit set. */
static inline bool gpte_is_usable(const struct mmu *mmu, const struct sp *sp, uint64_t gpte)
{
	uint32_t top = sp->role.mode == PAGING_PAE ? 62 : 51;
	uint64_t reserved = sp->role.nx ? 0 : PTE_XD;

	if ((gpte & (PTE_P | PTE_A)) != (PTE_P | PTE_A))
		return false;
	if (sp->role.mode == PAGING_32)
		return true;
	if (mmu->config.gpa_bits <= top)
		reserved |= BITS(top, mmu->config.gpa_bits);
	return !(gpte & reserved);
}

#endif
