/*
 * A fault in shadow mode: the guest's own tables are walked, from the lowest one that is in the shadow already, then
 * shadow pages are linked from there down to the leaf. The guest may change its tables at any time, so every entry of
 * the walk is read again once the table it is in is write-protected, and before anything is derived from it.
 */
#include "mmu/hugepage.h"
#include "mmu/rmap.h"
#include "mmu/shadow_ahead.h"
#include "mmu/shadow_gpte.h"
#include "mmu/shadow_grant.h"
#include "mmu/shadow_leaf.h"
#include "mmu/shadow_near.h"
#include "mmu/shadow_page.h"
#include "mmu/shadow_write.h"

struct shadow_fault {
	struct mmu_vcpu *mv;
	const struct guest_paging *g;
	struct walk_result *r;
	struct sp *from;  /* the page of the shadow at whose table the walk began; NULL: there is no root */
	uint64_t version; /* of the shadow's links then: while it is the same, the page is where it was */
	const struct slot *slot;
	gva_t gva;
	gfn_t gfn;
	bool write, user;
	uint32_t access;  /* rights of the leaf */
	uint64_t pkey;
	struct flush_token token;
};

/* ---- rights of the leaf ---- */

/* CR0.WP = 0 lets the supervisor write where the guest's entries do not: the page becomes the
 * supervisor's, and the next user access brings it back. The CPU runs with CR0.WP = 1. */
static bool leaf_for_wp0(struct shadow_fault *f, union role role)
{
	if (f->r->user && role.strict_andnot_wp)
		return false; /* SMAP and protection keys would no longer see a user page */
	f->access |= ACCESS_WRITE;
	if (f->r->user && role.smep_andnot_wp)
		f->access &= ~ACCESS_EXEC;
	f->access &= ~ACCESS_USER;
	return true;
}

/* CR0.WP = 0 lets the supervisor write to user pages whose key forbids writing; the CPU, which runs with
 * CR0.WP = 1, does not. SDM "Protection Keys". */
static bool key_stops_wp0(const struct shadow_fault *f)
{
	const struct guest_paging *g = f->g;

	if (guest_paging_mode(g) < PAGING_4 || !(g->cr4 & CR4_PKE) || (g->cr0 & CR0_WP))
		return false;
	return f->write && !f->user && f->r->user && (g->pkru >> (2 * f->r->pkey) & 2);
}

/* False when no entry can express what the guest may do. */
static bool leaf_rights(struct shadow_fault *f, union role role)
{
	const struct walk_result *r = f->r;

	f->access = (r->user ? ACCESS_USER : 0) | (r->writable ? ACCESS_WRITE : 0) |
		    (r->executable ? ACCESS_EXEC : 0);
	f->pkey = role.mode >= PAGING_4 ? r->entry[r->leaf] & PTE_PKEY : 0;
	if (role.direct)
		return true;
	if (f->write && !r->writable)
		return leaf_for_wp0(f, role);
	/* The first write has to come here, so that the guest's dirty flag is set. */
	if (!f->write && !(r->entry[r->leaf] & PTE_D))
		f->access &= ~ACCESS_WRITE;
	return true;
}

/* ---- the leaf ---- */

/* Replaces what the entry holds by the leaf; the same page under the same key keeps its place. */
static void put_leaf(struct shadow_fault *f, struct sp *sp, uint32_t index, gfn_t gfn, uint64_t spte)
{
	struct mmu *mmu = f->mv->mmu;
	uint64_t old = sp->table[index];

	if (spte_is_present(old)) {
		if (spte_is_leaf(old, sp->level) && spte_hpa(old) == spte_hpa(spte) &&
		    rmap_key(mmu, sp, index) == gfn) {
			shadow_change_leaf(f->mv, sp, index, spte, &f->token);
			return;
		}
		shadow_drop_entry(mmu, sp, index, &f->token);
	} else if (UNLIKELY(old != SPTE_EMPTY)) {
		shadow_mmio_drop(mmu, sp, index);
	}
	shadow_set_leaf(mmu, f->slot, sp, index, gfn, spte, &f->token);
}

static enum fault_result map_leaf(struct shadow_fault *f, struct sp *sp, uint32_t index)
{
	gfn_t gfn = align_down(f->gfn, level_pages(sp->level));
	bool allowed = f->access & ACCESS_WRITE, writable;
	uint64_t spte;

	if (sp->level == LEVEL_4K && !rmap_reserve(f->mv, f->slot, gfn))
		return FAULT_OUT_OF_MEMORY;
	writable = allowed && shadow_may_write(f->mv, f->slot, f->gfn, UNSYNC_FAULT, f->write);
	spte = shadow_leaf_make(slot_hpa(f->slot, gfn), sp->level, f->access, f->pkey);
	spte = shadow_with_writing(f->slot, spte, allowed, writable);
	if (spte == sp->table[index])
		f->mv->stats.spurious++;
	else
		put_leaf(f, sp, index, gfn, spte);
	return f->write && !writable ? FAULT_WRITE_TRACKED : FAULT_MAPPED;
}

/* ---- no memory ---- */

/* What CR0.WP = 0 alone allows is no right of the guest's entries. */
static bool mmio_may_have_entry(const struct shadow_fault *f)
{
	return shadow_mmio_fits(f->gfn, f->mv->mmu->config.hpa_bits) && !(f->write && !f->r->writable);
}

/* The access is carried out in any case, for the walk has allowed it: the entry is for those to come. */
static NOINLINE enum fault_result map_mmio(struct shadow_fault *f, struct sp *sp, uint32_t index)
{
	struct mmu *mmu = f->mv->mmu;
	uint64_t spte = shadow_mmio_make(f->gfn, f->access, f->pkey, slot_set_of(mmu)->generation);

	if (spte_is_present(sp->table[index]))
		shadow_drop_entry(mmu, sp, index, &f->token);
	if (spte != sp->table[index]) {
		shadow_mmio_set(mmu, sp, index, spte);
		f->mv->stats.installed[0]++;
	}
	return FAULT_MMIO;
}

/* ---- the walk ---- */

/*
 * Tables above the lowest page of the shadow on the way to gva are write-tracked, and what was derived from an entry
 * goes with a write to it. So the guest's entries that led to that page are what they were, and a walk may begin at
 * its table: unless another gfn of a table's frame could be written unseen.
 */
static struct sp *find_start(const struct mmu_vcpu *mv, gva_t gva)
{
	struct sp *root = shadow_root_for(mv, gva);

	return LIKELY(root && !mv->mmu->shadow->aliased) ? shadow_lowest(root, gva, SHADOW_TABLES) : root;
}

static enum walk_status walk_from(struct shadow_fault *f, uint32_t kind)
{
	const struct sp *from = f->from;
	struct walk_start start;

	if (!from || from->role.direct)
		return guest_walk_inside(f->mv, f->g, f->gva, kind, NULL, f->r);
	start = (struct walk_start){ .table = from->gfn << PAGE_SHIFT, .level = from->level,
				     .rights = from->role.access & (ACCESS_WRITE | ACCESS_USER),
				     .executable = from->role.access & ACCESS_EXEC };
	return guest_walk_inside(f->mv, f->g, f->gva, kind, &start, f->r);
}

static enum walk_status walk(struct shadow_fault *f, uint32_t kind)
{
	enum walk_status status;

	mmu_enter(f->mv);
	f->from = find_start(f->mv, f->gva);
	f->version = f->mv->mmu->shadow->version;
	status = walk_from(f, kind);
	mmu_leave(f->mv);
	shadow_tell_flags(f->mv);
	return status;
}

/* ---- down to the leaf ---- */

/* The guest's entry of that level, in a table that is protected by now, is still what the walk read. */
static bool gpte_unchanged(const struct shadow_fault *f, const struct sp *sp, uint32_t index)
{
	return sp->role.direct || gpte_load(sp, index) == f->r->entry[sp->level];
}

/* Which page has to be below entry index of sp. */
static union role wanted_child(const struct shadow_fault *f, const struct sp *sp, uint32_t index, gfn_t *gfn)
{
	const struct walk_result *r = f->r;
	uint64_t xd = sp->role.nx ? PTE_XD : 0, entry;

	if (!sp->role.direct && sp->level > r->leaf) {
		entry = r->entry[sp->level];
		*gfn = (entry & PTE_ADDR) >> PAGE_SHIFT;
		return role_of_table(sp->role, index, sp->role.access & guest_entry_access(entry, xd));
	}
	*gfn = align_down(f->gfn, level_pages(sp->level));
	return role_of_part(sp->role, f->access, (uint32_t)(f->pkey >> PTE_PKEY_SHIFT));
}

/*
 * The page below entry index: the one that is linked, if it is of the wanted gfn and role, else that
 * is dropped and the right one linked. NULL: out of spares, or (*result) the guest changed its table.
 */
static struct sp *child_of(struct shadow_fault *f, struct sp *sp, uint32_t index, enum fault_result *result)
{
	struct mmu *mmu = f->mv->mmu;
	uint64_t spte = sp->table[index];
	union role role;
	struct sp *child;
	gfn_t gfn;

	role = wanted_child(f, sp, index, &gfn);
	if (spte_is_table(spte, sp->level)) {
		child = sp_of(spte_hpa(spte));
		if (LIKELY(child->gfn == gfn && child->role.word == role.word)) {
			child->writes = 0;
			return child;
		}
	}
	if (spte_is_present(spte))
		shadow_drop_entry(mmu, sp, index, &f->token);
	*result = FAULT_OUT_OF_MEMORY;
	child = shadow_get(f->mv, gfn, role, &f->token);
	if (!child)
		return NULL;
	/* What other CPUs have cached of a table that is now protected goes before its entries are read. */
	flush_spend(mmu, f->token);
	f->token = flush_token_new(mmu);
	*result = FAULT_RETRY;
	if (!gpte_unchanged(f, sp, index)) {
		if (!child->parents && !child->root_count)
			shadow_zap(mmu, child, &f->token);
		return NULL;
	}
	shadow_link(mmu, sp, index, child);
	return child;
}

static bool is_leaf_level(const struct shadow_fault *f, const struct sp *sp)
{
	if (sp->level == LEVEL_4K)
		return true;
	if (!sp->role.direct && sp->level > f->r->leaf)
		return false;
	return f->slot && sp->level <= hugepage_max_level(f->slot, f->gfn);
}

/* Links pages from the root down and maps the leaf. Reasons against a large page are looked up on the
 * way, when the tables of this very walk are already accounted. */
static enum fault_result fetch(struct shadow_fault *f, struct sp *sp)
{
	enum fault_result result = FAULT_RETRY;
	uint32_t index;

	while (index = spte_index(f->gva >> PAGE_SHIFT, sp->level), !is_leaf_level(f, sp)) {
		sp = child_of(f, sp, index, &result);
		if (!sp)
			return f->slot ? result : FAULT_MMIO; /* an entry for that need not be */
	}
	if (!gpte_unchanged(f, sp, index))
		return FAULT_RETRY;
	result = LIKELY(f->slot) ? map_leaf(f, sp, index) : map_mmio(f, sp, index);
	if (result == FAULT_MAPPED && sp->level == LEVEL_4K)
		shadow_ahead(&(struct shadow_ahead){ f->mv, f->slot, f->access, f->pkey, &f->token }, sp, index);
	return result;
}

/* With the lock held exclusively, and the walk done. */
static enum fault_result handle(struct shadow_fault *f)
{
	union role role = { .word = f->mv->shadow.role };

	f->slot = slot_find(f->mv, f->gfn);
	if (UNLIKELY(!f->slot)) {
		if (!mmio_may_have_entry(f))
			return FAULT_MMIO;
	} else if (f->write && (f->slot->flags & SLOT_READONLY)) {
		return FAULT_READONLY_WRITE;
	}
	if (!leaf_rights(f, role) || key_stops_wp0(f))
		return f->slot ? FAULT_EMULATE_WRITE : FAULT_MMIO;
	return fetch(f, f->from);
}

static void top_up(struct mmu_vcpu *mv)
{
	if (UNLIKELY(mv->spare_count < SHADOW_SPARES))
		sp_topup(mv, MMU_SPARES);
	if (UNLIKELY(mv->shadow.chunk_count < SHADOW_CHUNKS))
		rmap_topup(mv);
}

static enum fault_result map(struct shadow_fault *f)
{
	struct mmu_vcpu *mv = f->mv;
	struct shadow *shadow = mv->mmu->shadow;
	enum fault_result result = FAULT_RETRY;

	top_up(mv);
	mmu_exclusive_begin(mv->mmu);
	f->token = flush_token_new(mv->mmu);
	if (f->from && f->from->level > LEVEL_4K)
		shadow_make_room(mv->mmu, &f->token);
	if (f->from && f->version == shadow->version && !mv->shadow.stale)
		result = handle(f);
	flush_spend(mv->mmu, f->token);
	mmu_exclusive_end(mv->mmu);
	return result;
}

static enum fault_result walk_and_map(struct shadow_fault *f, uint32_t error_code)
{
	enum walk_status status = walk(f, walk_kind_of(f->g, error_code));

	if (status != WALK_OK)
		return status == WALK_RETRY ? FAULT_RETRY : FAULT_GUEST;
	f->gfn = f->r->gpa >> PAGE_SHIFT;
	return map(f);
}

/* One whose table or leaf the shadow has not, or that needs more than a look at one entry. */
static NOINLINE enum fault_result fault_far(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva,
					    uint32_t error_code, struct walk_result *r)
{
	struct shadow_fault f = { .mv = mv, .g = g, .r = r, .gva = gva, .write = error_code & PFERR_WRITE,
				  .user = error_code & PFERR_USER };

	/* No entry of the shadow has reserved bits set but those that stand for MMIO. */
	if (UNLIKELY(error_code & PFERR_RESERVED) && LIKELY(shadow_mmio_hit(mv, g, gva, error_code, r)))
		return FAULT_MMIO;
	return walk_and_map(&f, error_code);
}

enum fault_result mmu_shadow_fault(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva,
				   uint32_t error_code, struct walk_result *r)
{
	enum fault_result result = FAULT_RETRY;

	mv->shadow.widened = false;
	if (shadow_may_grant(error_code)) {
		result = shadow_grant(mv, gva, r);
		mv->shadow.widened = result == FAULT_MAPPED;
	}
	if (result == FAULT_RETRY && LIKELY(!(error_code & PFERR_RESERVED)))
		result = shadow_near(mv, g, gva, error_code, r);
	if (result == FAULT_RETRY)
		result = fault_far(mv, g, gva, error_code, r);
	mv->stats.faults[result]++;
	return result;
}
