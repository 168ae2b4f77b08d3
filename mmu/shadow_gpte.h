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

static inline uint32_t gpte_at32(const void *table, uint32_t i)
{
	return __atomic_load_n((const uint32_t *)table + i, __ATOMIC_RELAXED);
}

static inline uint64_t gpte_at64(const void *table, uint32_t i)
{
	return __atomic_load_n((const uint64_t *)table + i, __ATOMIC_RELAXED);
}

/* Tables outside memory read as ones, as an empty bus does. */
static inline uint64_t gpte_load(const struct sp *sp, const void *table, uint32_t index)
{
	uint32_t i = gpte_index(sp, index);

	if (sp->role.mode == PAGING_32)
		return table ? gpte_at32(table, i) : ~(uint32_t)0;
	return table ? gpte_at64(table, i) : ~(uint64_t)0;
}

/* What the entries of the guest's 4K table behind a shadow page have in common. */
struct gpte_format {
	uint64_t reserved; /* bits that must be clear */
	uint64_t xd;       /* the bit that forbids fetches, or 0 */
	uint64_t pkey;     /* where the protection key is; the CPU heeds it while CR4.PKE is set */
	uint32_t access;   /* rights of the levels above, together */
};

static inline struct gpte_format gpte_format_of(const struct mmu *mmu, const struct sp *sp)
{
	struct gpte_format f = { .access = sp->role.access };
	uint32_t top = sp->role.mode == PAGING_PAE ? 62 : 51;

	if (sp->role.mode == PAGING_32)
		return f;
	f.xd = sp->role.nx ? PTE_XD : 0;
	f.reserved = PTE_XD & ~f.xd;
	if (mmu->config.gpa_bits <= top)
		f.reserved |= BITS(top, mmu->config.gpa_bits);
	if (sp->role.mode >= PAGING_4)
		f.pkey = PTE_PKEY;
	return f;
}

static inline bool gpte_was_used(uint64_t gpte) { return (gpte & (PTE_P | PTE_A)) == (PTE_P | PTE_A); }

/* Present, used before, and no reserved bit set. */
static inline bool gpte_is_usable(const struct gpte_format *f, uint64_t gpte)
{
	return (gpte & (PTE_P | PTE_A | f->reserved)) == (PTE_P | PTE_A);
}

/* Rights of the translation that ends with the entry. */
static inline uint32_t gpte_access(const struct gpte_format *f, uint64_t gpte)
{
	return guest_entry_access(gpte, f->xd) & f->access;
}

static inline gfn_t gpte_gfn(uint64_t gpte) { return (gpte & PTE_ADDR) >> PAGE_SHIFT; }

#endif
