/*
 * Remembered translations: the check of a line, and filling one.
 */
#include "mmu/walk_cache.h"

#include "hv/base/x86.h"
#include "mmu/gpa.h"

static inline uint64_t modes_of(const struct guest_paging *g) { return g->cr0 << 32 | (uint32_t)g->cr4; }

static inline uint64_t rights_of(const struct guest_paging *g, uint32_t access)
{
	return (uint64_t)g->pkru << 32 | (g->rflags & RFLAGS_AC) | access << 20 | g->cpl << 24 | (g->efer & 0xffff);
}

static inline struct walk_line *line_of(struct walk_cache *cache, gva_t gva, uint32_t access)
{
	return &cache->line[((gva >> PAGE_SHIFT) ^ access) % WALK_CACHE_LINES];
}

static inline bool unchanged(const struct walk_line *l)
{
	for (uint32_t i = 0; i < l->count; i++)
		if (__atomic_load_n(l->where[i], __ATOMIC_RELAXED) != l->entry[i])
			return false;
	return true;
}

static void fill(struct mmu_vcpu *mv, struct walk_line *l, const struct guest_paging *g,
		 const struct walk_result *r, uint32_t access)
{
	l->generation = 0;
	if (r->top < 4) /* no paging, or entries of another size */
		return;
	mmu_enter(mv);
	l->count = 0;
	for (int level = r->top; level >= r->leaf; level--) {
		const uint64_t *where = gpa_to_hva(mv, r->entry_gpa[level], sizeof *where);

		if (!where)
			break;
		l->where[l->count] = where;
		l->entry[l->count++] = r->entry[level];
	}
	if (l->count == (uint32_t)(r->top - r->leaf + 1)) {
		l->page = r->gva >> PAGE_SHIFT;
		l->cr3 = g->cr3;
		l->modes = modes_of(g);
		l->rights = rights_of(g, access);
		l->frame = r->gpa & ~PAGE_MASK;
		l->generation = slot_set_of(mv->mmu)->generation;
	}
	mmu_leave(mv);
}

enum walk_status guest_walk_cached(struct mmu_vcpu *mv, struct walk_cache *cache, const struct guest_paging *g,
				   gva_t gva, uint32_t access, gpa_t *gpa, struct walk_result *r)
{
	struct walk_line *l = line_of(cache, gva, access);
	enum walk_status status;
	bool good;

	if (LIKELY(l->page == gva >> PAGE_SHIFT && l->cr3 == g->cr3 && l->modes == modes_of(g) &&
		   l->rights == rights_of(g, access))) {
		mmu_enter(mv);
		good = l->generation == slot_set_of(mv->mmu)->generation && unchanged(l);
		mmu_leave(mv);
		*gpa = l->frame | (gva & PAGE_MASK);
		if (LIKELY(good))
			return WALK_OK;
	}
	status = guest_walk(mv, g, gva, access, r);
	if (status == WALK_OK) {
		*gpa = r->gpa;
		fill(mv, l, g, r, access);
	}
	return status;
}
