/*
 * Entries made ahead of faults, beside the one that a fault has just mapped.
 */
#ifndef MMU_SHADOW_AHEAD_H
#define MMU_SHADOW_AHEAD_H

#include "mmu/flush.h"
#include "mmu/shadow_gpte.h"
#include "mmu/slot.h"
#include "mmu/sp.h"

/* The leaf of the fault. */
struct shadow_ahead {
	struct mmu_vcpu *mv;
	const struct slot *slot;
	uint32_t access;
	uint64_t pkey;
	struct flush_token *token;
};

/*
 * The leaf is entry `at` of the 4K-level page sp. Of a guest's table those entries near by are made that the
 * guest has used before; a direct page is filled as a whole with its first entry, for it stands where a large
 * leaf had to go. Marks no page unsync. Under the exclusive lock.
 */
void shadow_ahead(const struct shadow_ahead *a, struct sp *sp, uint32_t at);

/* ---- in two steps, of a guest's table: which entries, and making them ---- */

#define SHADOW_WINDOW 8

/* Accessed and present are five bits apart: of their product the lowest bit. */
static inline uint32_t gpte_used_at(const uint64_t *gptes, uint32_t i)
{
	uint64_t gpte = gpte_at64(gptes, i);

	return (uint32_t)(gpte & gpte >> 5) & 1;
}
_Static_assert(PTE_P == BIT(0) && PTE_A == BIT(5), "gpte_used_at() shifts the one to the other");

/* Of the entries of the window from first on, which the guest has used: bit i stands for number first + i. */
static inline uint32_t shadow_used_from(const struct sp *sp, uint32_t first)
{
	const uint64_t *wide = (const uint64_t *)sp->guest + first;
	uint32_t used = 0;

	if (LIKELY(sp->role.mode != PAGING_32)) {
		_Static_assert(SHADOW_WINDOW == 8, "one term for each entry");
		return gpte_used_at(wide, 0) | gpte_used_at(wide, 1) << 1 | gpte_used_at(wide, 2) << 2 |
		       gpte_used_at(wide, 3) << 3 | gpte_used_at(wide, 4) << 4 | gpte_used_at(wide, 5) << 5 |
		       gpte_used_at(wide, 6) << 6 | gpte_used_at(wide, 7) << 7;
	}
	for (uint32_t i = 0; i < SHADOW_WINDOW; i++)
		used |= (uint32_t)gpte_was_used(gpte_load(sp, first + i)) << i;
	return used;
}

static inline uint32_t shadow_window_of(const uint64_t *bits, uint32_t first)
{
	return (uint32_t)(bits[first / 64] >> (first % 64)) & (BIT(SHADOW_WINDOW) - 1);
}

/*
 * Of the entries near number `at`, from *first on, those that are missing and that the guest has used: of most faults
 * none. An entry for MMIO stays until a fault finds something else.
 */
static inline uint32_t shadow_window_used(const struct sp *sp, uint32_t at, uint32_t *first)
{
	uint32_t used;

	*first = (uint32_t)align_down(at, SHADOW_WINDOW);
	if (UNLIKELY(!sp->guest))
		return 0;
	used = shadow_used_from(sp, *first) & ~shadow_window_of(sp_present_bits(sp), *first);
	if (UNLIKELY(used && sp->mmios))
		used &= ~shadow_window_of(sp_mmio_bits(sp), *first);
	return used;
}

/* Makes those of them that can be made without more; s: the slot that most of them lead into. */
void shadow_make_window(struct mmu_vcpu *mv, const struct slot *s, struct sp *sp, const struct gpte_format *format,
			uint32_t first, uint32_t which, struct flush_token *token);

#endif
