/*
 * The guest's entries behind a shadow page: where they are, and what one of a 4K table means.
 */
#ifndef MMU_SHADOW_GPTE_H
#define MMU_SHADOW_GPTE_H

#include "mmu/shadow_page.h"
#include "mmu/shadow_spte.h"

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

static inline uint32_t gpte_at32(const void *table, uint32_t i)
{
	return __atomic_load_n((const uint32_t *)table + i, __ATOMIC_RELAXED);
}

static inline uint64_t gpte_at64(const void *table, uint32_t i)
{
	return __atomic_load_n((const uint64_t *)table + i, __ATOMIC_RELAXED);
}

/* The guest's entry that entry index is derived from. Tables outside memory read as ones, as an empty bus does. */
static inline uint64_t gpte_load(const struct sp *sp, uint32_t index)
{
	uint32_t i = gpte_index(sp, index);

	if (sp->role.mode == PAGING_32)
		return sp->guest ? gpte_at32(sp->guest, i) : ~(uint32_t)0;
	return sp->guest ? gpte_at64(sp->guest, i) : ~(uint64_t)0;
}

/* How entries of that page's 4K table become leafs. */
static inline const struct gpte_format *gpte_format_of(const struct mmu *mmu, const struct sp *sp)
{
	return &mmu->shadow->format[role_format(sp->role)];
}

static inline bool gpte_was_used(uint64_t gpte) { return (gpte & (PTE_P | PTE_A)) == (PTE_P | PTE_A); }

/* Present, used before, and no reserved bit set. */
static inline bool gpte_is_usable(const struct gpte_format *f, uint64_t gpte)
{
	return (gpte & f->usable) == (PTE_P | PTE_A);
}

/* Whether the translation that ends with the entry lets the guest write, and has been written through. */
static inline bool gpte_is_written(const struct gpte_format *f, uint64_t gpte)
{
	return (gpte & (PTE_RW | PTE_D)) == f->written;
}

/* The leaf for that page, but for the right to write. */
static inline uint64_t gpte_leaf(const struct gpte_format *f, uint64_t gpte, hpa_t page)
{
	return page | f->set | (gpte & f->copied);
}

static inline gfn_t gpte_gfn(uint64_t gpte) { return (gpte & PTE_ADDR) >> PAGE_SHIFT; }

#endif
