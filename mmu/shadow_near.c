/*
 * Faults that one entry of the guest's decides. What the levels above it allow is in the role of its page: their tables
 * are write-tracked, and what was derived from an entry goes with a write to it.
 */
#include "mmu/shadow_near.h"

#include "mmu/flush.h"
#include "mmu/rmap.h"
#include "mmu/shadow_ahead.h"
#include "mmu/shadow_gpte.h"
#include "mmu/shadow_leaf.h"
#include "mmu/shadow_page.h"

struct near {
	struct mmu_vcpu *mv;
	struct sp *sp;
	uint32_t index;
	bool write;
	uint64_t gpte, version; /* of the shadow's links, when the entry was read */
	const struct gpte_format *format;
};

/* ---- looking ---- */

/* Faults come one after the other in the same 2M as a rule: the guest's own, and that of the access tried again. */
static inline bool is_found(const struct shadow_found *f, const struct shadow *shadow, const struct sp *root, gva_t gva)
{
	return ((f->region ^ gva >> 21) | (f->version ^ shadow->version) | (f->stamp ^ shadow->stamp)) == 0 &&
	       f->root == root;
}

/* Where two gfns have one frame, tables above may have been written unseen. */
static inline struct sp *find_page(struct mmu_vcpu *mv, gva_t gva)
{
	const struct shadow *shadow = mv->mmu->shadow;
	struct sp *root = shadow_root_for(mv, gva);
	struct shadow_found *found = &mv->shadow.found;
	struct sp *sp;

	if (UNLIKELY(!root || shadow->aliased))
		return NULL;
	if (LIKELY(is_found(found, shadow, root, gva)))
		return found->sp;
	sp = shadow_lowest(root, gva, SHADOW_TABLES);
	if (sp->level == LEVEL_4K)
		*found = (struct shadow_found){ root, sp, gva >> 21, shadow->version, shadow->stamp };
	return sp;
}

/* The 4K table on the way to gva, with entries of 8 bytes, and its entry for gva. False: the shadow has none such. */
static inline bool find_entry(struct near *n, gva_t gva)
{
	struct sp *sp;

	mmu_enter(n->mv);
	sp = find_page(n->mv, gva);
	n->version = n->mv->mmu->shadow->version;
	if (UNLIKELY(!sp || sp->level > LEVEL_4K || !sp->guest || sp->role.mode == PAGING_32)) {
		mmu_leave(n->mv);
		return false;
	}
	n->sp = sp;
	n->index = spte_index(gva >> PAGE_SHIFT, LEVEL_4K);
	n->gpte = gpte_at64(sp->guest, n->index);
	n->format = gpte_format_of(n->mv->mmu, sp);
	mmu_leave(n->mv);
	return true;
}

/* SDM "Determination of Access Rights". leaf: the entry's rights together with those above it, but for writing. */
static inline bool is_allowed(const struct guest_paging *g, uint32_t error_code, uint64_t leaf, bool writable)
{
	bool fetch = error_code & PFERR_FETCH, write = error_code & PFERR_WRITE;

	if (error_code & PFERR_USER)
		return (leaf & PTE_US) && (writable || !write) && !(fetch && (leaf & PTE_XD));
	if (leaf & PTE_US) {
		bool implicit = g->cpl == 3, smap = (g->cr4 & CR4_SMAP) && (implicit || !(g->rflags & RFLAGS_AC));

		if (fetch ? (g->cr4 & CR4_SMEP) != 0 : smap)
			return false;
	}
	return (writable || !write || !(g->cr0 & CR0_WP)) && !(fetch && (leaf & PTE_XD));
}

static enum fault_result guests_own(const struct guest_paging *g, gva_t gva, uint32_t error_code, uint32_t present,
				    struct walk_result *r)
{
	r->gva = gva;
	r->error_code = present | (error_code & (PFERR_WRITE | PFERR_USER)) | walk_fetch_code(g, error_code);
	return FAULT_GUEST;
}

/* ---- mapping ---- */

/* The leaf that is there is of the same page: its rights alone are other ones now. */
static bool is_same_page(const struct near *n, const struct slot *s, uint64_t spte)
{
	gfn_t gfn = gpte_gfn(n->gpte);

	return spte_is_present(spte) && spte_hpa(spte) == slot_hpa(s, gfn) && rmap_key(n->mv->mmu, n->sp, n->index) == gfn;
}

static inline enum fault_result put(struct near *n, const struct slot *s, uint64_t old, struct flush_token *token)
{
	struct mmu_vcpu *mv = n->mv;
	gfn_t gfn = gpte_gfn(n->gpte);
	bool allowed = gpte_is_written(n->format, n->gpte), writable;
	uint32_t *head = rmap_head(s, gfn, LEVEL_4K), first, used;
	uint64_t spte;

	if (UNLIKELY(!head))
		return FAULT_RETRY;
	writable = allowed && unsync_try(mv, s, gfn, UNSYNC_FAULT);
	spte = shadow_with_writing(s, gpte_leaf(n->format, n->gpte, slot_hpa(s, gfn)), allowed, writable);
	if (UNLIKELY(old != SPTE_EMPTY)) {
		shadow_change_leaf(mv, n->sp, n->index, spte, token);
	} else {
		shadow_run_leaf(mv->mmu, shadow_run_of(n->sp), n->index, head, gfn, spte, token);
		shadow_count_leafs(mv->mmu, LEVEL_4K, 1);
	}
	if (UNLIKELY(n->write && !writable))
		return FAULT_WRITE_TRACKED;
	used = shadow_window_used(n->sp, n->index, &first);
	if (used)
		shadow_make_window(mv, s, n->sp, n->format, first, used, token);
	return FAULT_MAPPED;
}

/* With the lock held exclusively. */
static inline enum fault_result map(struct near *n, struct flush_token *token)
{
	const struct sp *sp = n->sp;
	const struct slot *s;
	uint64_t old;

	if (UNLIKELY(n->version != n->mv->mmu->shadow->version || n->mv->shadow.stale))
		return FAULT_RETRY;
	if (UNLIKELY(gpte_at64(sp->guest, n->index) != n->gpte))
		return FAULT_RETRY;
	s = slot_find(n->mv, gpte_gfn(n->gpte));
	if (UNLIKELY(!s || (s->flags & (SLOT_READONLY | SLOT_LOGGED))))
		return FAULT_RETRY;
	old = sp->table[n->index];
	if (UNLIKELY(old != SPTE_EMPTY) && !is_same_page(n, s, old))
		return FAULT_RETRY;
	return put(n, s, old, token);
}

static inline enum fault_result lock_and_map(struct near *n)
{
	struct mmu *mmu = n->mv->mmu;
	enum fault_result result;
	struct flush_token token;

	mmu_exclusive_begin(mmu);
	token = flush_token_new(mmu);
	result = map(n, &token);
	flush_spend(mmu, token);
	mmu_exclusive_end(mmu);
	return result;
}

enum fault_result shadow_near(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva, uint32_t error_code,
			      struct walk_result *r)
{
	struct near n = { .mv = mv, .write = error_code & PFERR_WRITE };
	uint64_t leaf;

	if (UNLIKELY(!find_entry(&n, gva)))
		return FAULT_RETRY;
	if (!(n.gpte & PTE_P))
		return guests_own(g, gva, error_code, 0, r);
	leaf = gpte_leaf(n.format, n.gpte, 0);
	if (UNLIKELY(!gpte_is_usable(n.format, n.gpte) || ((g->cr4 & CR4_PKE) && (leaf & PTE_US))))
		return FAULT_RETRY;
	if (!is_allowed(g, error_code, leaf, (n.gpte & PTE_RW) && (n.sp->role.access & ACCESS_WRITE)))
		return guests_own(g, gva, error_code, PFERR_PRESENT, r);
	if (n.write && UNLIKELY(!gpte_is_written(n.format, n.gpte)))
		return FAULT_RETRY;
	r->gva = gva;
	r->gpa = (n.gpte & PTE_ADDR) | (gva & PAGE_MASK);
	return lock_and_map(&n);
}
