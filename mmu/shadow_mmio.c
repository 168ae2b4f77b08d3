/*
 * Entries of the shadow for what is no memory: made, dropped, met by a fault.
 */
#include "mmu/shadow_mmio.h"

#include "mmu/shadow_page.h"
#include "mmu/slot.h"
#include "mmu/walk.h"

void shadow_mmio_set(struct mmu *mmu, struct sp *sp, uint32_t index, uint64_t spte)
{
	INVARIANT(sp->level == LEVEL_4K && !spte_is_present(sp->table[index]));
	if (sp->table[index] == SPTE_EMPTY) {
		sp_bit_set(sp_mmio_bits(sp), index);
		sp->mmios++;
		mmu->shadow->counts.mmio_live++;
	}
	spte_write(&sp->table[index], spte);
	mmu->shadow->counts.mmio_made++;
}

void shadow_mmio_drop(struct mmu *mmu, struct sp *sp, uint32_t index)
{
	INVARIANT(shadow_is_mmio(sp->table[index]));
	spte_write(&sp->table[index], SPTE_EMPTY);
	sp_bit_clear(sp_mmio_bits(sp), index);
	sp->mmios--;
	mmu->shadow->counts.mmio_live--;
}

void shadow_mmio_drop_page(struct mmu *mmu, struct sp *sp)
{
	const uint64_t *bits = sp_mmio_bits(sp);

	for (uint32_t w = 0; w < SP_BITMAP_WORDS; w++)
		while (bits[w])
			shadow_mmio_drop(mmu, sp, w * 64 + (uint32_t)__builtin_ctzl(bits[w]));
}

void shadow_mmio_drop_all(struct mmu *mmu)
{
	for (struct sp *sp = mmu->shadow->newest; sp; sp = sp->older)
		if (sp->mmios)
			shadow_mmio_drop_page(mmu, sp);
}

/* The entry where the CPU's walk for gva ends. */
static inline uint64_t entry_for(const struct sp *root, gva_t gva)
{
	const uint64_t *table = root->table;

	for (uint32_t shift = PAGE_SHIFT + 9u * (root->level - 1u);; shift -= 9) {
		uint64_t spte = spte_read(&table[(gva >> shift) % SPTES_PER_TABLE]);

		if (shift == PAGE_SHIFT || !spte_is_table(spte, LEVEL_2M)) /* the same at all levels above 4K */
			return spte;
		table = phys_to_virt(spte_hpa(spte));
	}
}

/* The entry for gva if it is one for MMIO, made of the slots as they are; else 0. */
static inline uint64_t find(struct mmu_vcpu *mv, gva_t gva)
{
	const struct sp *root;
	uint64_t spte = 0;

	mmu_enter(mv);
	root = shadow_root_for(mv, gva);
	if (LIKELY(root != NULL))
		spte = entry_for(root, gva);
	if (UNLIKELY(!shadow_is_mmio(spte) || !shadow_mmio_is_of(spte, slot_set_of(mv->mmu)->generation)))
		spte = 0;
	mmu_leave(mv);
	return spte;
}

bool shadow_mmio_hit(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva, uint32_t error_code,
		     struct walk_result *r)
{
	uint64_t spte = find(mv, gva);

	/* Without the right to write the guest's dirty flag may be clear, and has to be set. */
	if (UNLIKELY(!spte || ((error_code & PFERR_WRITE) && !(spte & PTE_RW))))
		return false;
	r->user = spte & PTE_US;
	r->writable = spte & PTE_RW;
	r->executable = !(spte & PTE_XD);
	r->leaf = LEVEL_4K;
	r->entry[LEVEL_4K] = spte;
	if (UNLIKELY(!guest_may(g, walk_kind_of(g, error_code), r)))
		return false;
	r->gva = gva;
	r->gpa = spte_mmio_gfn(spte) << PAGE_SHIFT | (gva & PAGE_MASK);
	mv->shadow.mmio_hits++;
	mv->stats.faults[FAULT_MMIO]++;
	return true;
}
