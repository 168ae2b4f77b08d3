/*
 * Remembered translations: looking one up for a gpa, and filling a line.
 */
#include "mmu/walk_cache.h"

#include "mmu/gpa.h"

const uint64_t walk_line_unused = 0;

/* The entries of a walk and where they are; false when one of them is no RAM. Inside the lock. */
static bool remember_entries(struct mmu_vcpu *mv, struct walk_line *l, const struct walk_result *r)
{
	int i = 0;

	for (int level = r->top; level >= r->leaf; level--, i++) {
		l->where[i] = gpa_to_hva(mv, r->entry_gpa[level], sizeof(uint64_t));
		l->entry[i] = r->entry[level];
		if (!l->where[i])
			return false;
	}
	for (; i < WALK_MAX_LEVELS; i++) {
		l->where[i] = &walk_line_unused;
		l->entry[i] = walk_line_unused;
	}
	return true;
}

static void fill(struct mmu_vcpu *mv, struct walk_line *l, const struct guest_paging *g,
		 const struct walk_result *r, uint32_t access)
{
	l->generation = 0;
	if (r->top < 4) /* no paging, or entries of another size */
		return;
	mmu_enter(mv);
	if (remember_entries(mv, l, r)) {
		l->page = r->gva >> PAGE_SHIFT;
		l->cr3 = g->cr3;
		l->modes = walk_modes(g);
		l->rights = walk_rights(g, access);
		l->frame = r->gpa & ~PAGE_MASK;
		l->host = gpa_to_hva(mv, l->frame, PAGE_SIZE);
		l->generation = slot_set_of(mv->mmu)->generation;
	}
	mmu_leave(mv);
}

const uint64_t *walk_line_top_under(struct mmu_vcpu *mv, const struct walk_line *l, uint64_t cr3)
{
	const uint64_t *top = gpa_to_hva(mv, (cr3 & PTE_ADDR) | ((uint64_t)l->where[0] & PAGE_MASK), sizeof(*top));

	return top && __atomic_load_n(top, __ATOMIC_RELAXED) == l->entry[0] ? top : NULL;
}

enum walk_status guest_walk_cached(struct mmu_vcpu *mv, struct walk_cache *cache, const struct guest_paging *g,
				   gva_t gva, uint32_t access, gpa_t *gpa, struct walk_result *r)
{
	const struct walk_line *l;
	enum walk_status status;

	mmu_enter(mv);
	l = walk_line_find(mv, cache, g, gva, access);
	if (LIKELY(l != NULL))
		*gpa = l->frame | (gva & PAGE_MASK);
	mmu_leave(mv);
	if (LIKELY(l != NULL))
		return WALK_OK;
	status = guest_walk(mv, g, gva, access, r);
	if (status != WALK_OK)
		return status;
	*gpa = r->gpa;
	fill(mv, walk_line_of(cache, gva, access), g, r, access);
	return WALK_OK;
}
