/*
 * Roots: which shadow page the CPU starts from, those a vCPU may come back to, and what the guest's
 * flushes of its TLB ask for.
 */
#include "hv/base/frame.h"
#include "mmu/rmap.h"
#include "mmu/shadow_page.h"
#include "mmu/shadow_spte.h"
#include "mmu/unsync.h"

#define PAE_PRESENT PTE_P /* SDM "PDPTE Registers": all rights are given below */

static bool has_four_roots(union role role) { return role.mode <= PAGING_PAE; }

/* ---- references ---- */

static void put_roots(struct mmu_vcpu *mv, struct flush_token *token)
{
	struct shadow_vcpu *sv = &mv->shadow;

	for (uint32_t i = 0; i < ARRAY_LEN(sv->root); i++)
		if (sv->root[i]) {
			shadow_root_put(mv->mmu, sv->root[i], token);
			sv->root[i] = NULL;
		}
	sv->loaded = false;
}

static void put_previous(struct mmu_vcpu *mv, struct shadow_root *p, struct flush_token *token)
{
	if (p->sp)
		shadow_root_put(mv->mmu, p->sp, token);
	*p = (struct shadow_root){ .left = 0 };
}

/* The root that becomes current, NULL for none, and the one that was change places. */
static inline void exchange_roots(struct shadow_vcpu *sv, struct shadow_root *p)
{
	struct sp *wanted = p->sp;

	*p = (struct shadow_root){ .sp = sv->root[0], .cr3 = sv->cr3, .role = sv->role, .left = sv->loads };
	sv->root[0] = wanted;
}

/* The current root becomes a previous one, instead of that left longest ago: where there is none, that is never. */
static void push_previous(struct mmu_vcpu *mv, struct flush_token *token)
{
	struct shadow_vcpu *sv = &mv->shadow;
	struct shadow_root *out = &sv->previous[0];

	if (!sv->loaded || sv->is_pae)
		return;
	for (uint32_t i = 1; i < SHADOW_PREVIOUS; i++)
		if (sv->previous[i].left < out->left)
			out = &sv->previous[i];
	put_previous(mv, out, token);
	exchange_roots(sv, out);
}

void shadow_vcpu_leave(struct mmu_vcpu *mv)
{
	struct flush_token token = flush_token_new(mv->mmu);

	put_roots(mv, &token);
	for (uint32_t i = 0; i < SHADOW_PREVIOUS; i++)
		put_previous(mv, &mv->shadow.previous[i], &token);
	flush_spend(mv->mmu, token);
	mv->mmu->shadow->counts.loads += mv->shadow.loads;
	mv->mmu->shadow->counts.loads_cached += mv->shadow.loads_cached;
	mv->mmu->shadow->counts.mmio_hits += mv->shadow.mmio_hits;
	rmap_drain(mv);
	seen_drain(mv);
	if (mv->shadow.pae)
		frame_free(virt_to_phys(mv->shadow.pae), OWNER_VM_META(mv->mmu->config.vm_id));
	mv->shadow.pae = NULL;
}

/* ---- loading ---- */

static struct sp *take_root(struct mmu_vcpu *mv, gfn_t gfn, union role role, struct flush_token *token)
{
	struct sp *sp = shadow_get(mv, gfn, role, token);

	if (sp)
		sp->root_count++;
	return sp;
}

/* The table of the quarter of the address space, and whether there is one. */
static bool quarter(const struct guest_paging *g, uint32_t i, union role *role, gfn_t *gfn)
{
	switch (role->mode) {
	case PAGING_NONE:
		*gfn = (gfn_t)i << (30 - PAGE_SHIFT);
		return true;
	case PAGING_32:
		role->quadrant = i & 3;
		*gfn = (g->cr3 & BITS(31, 12)) >> PAGE_SHIFT;
		return true;
	default:
		*gfn = (g->pdpte[i] & PTE_ADDR) >> PAGE_SHIFT;
		return g->pdpte[i] & PTE_P;
	}
}

static bool load_four(struct mmu_vcpu *mv, const struct guest_paging *g, union role role,
		      struct flush_token *token)
{
	struct shadow_vcpu *sv = &mv->shadow;

	for (uint32_t i = 0; i < 4; i++) {
		gfn_t gfn;

		sv->pae[i] = 0;
		if (!quarter(g, i, &role, &gfn))
			continue;
		sv->root[i] = take_root(mv, gfn, role, token);
		if (!sv->root[i])
			return false;
		sv->pae[i] = sp_hpa(sv->root[i]) | PAE_PRESENT;
	}
	return true;
}

/* The previous root for that CR3 and role that is still good, or NULL. None is one of four. */
static inline struct shadow_root *find_previous(struct mmu_vcpu *mv, uint64_t cr3, union role role)
{
	for (uint32_t i = 0; i < SHADOW_PREVIOUS; i++) {
		struct shadow_root *p = &mv->shadow.previous[i];

		if (p->cr3 == cr3 && p->sp && p->role == role.word && shadow_is_live(mv->mmu, p->sp))
			return p;
	}
	return NULL;
}

/*
 * A flush is of a PCID, or of all there is while there are none, whichever tables it was used with. PCIDs share
 * places: the CPU, too, may flush more than it is asked to.
 */
static inline void note_flush(struct shadow_vcpu *sv, const struct guest_paging *g)
{
	if (g->cr4 & CR4_PCIDE)
		sv->flushed[g->cr3 % SHADOW_PCIDS] = sv->loads;
	else
		sv->flushed_all = sv->loads;
}

/* Whether its PCID was flushed since it was left, by the load that left it at the earliest. */
static inline bool is_behind(const struct shadow_vcpu *sv, const struct shadow_root *p)
{
	return p->left <= sv->flushed_all || p->left <= sv->flushed[p->cr3 % SHADOW_PCIDS];
}

/* A previous root becomes current. */
static bool load_previous(struct mmu_vcpu *mv, uint64_t cr3, union role role, struct flush_token *token)
{
	struct shadow_vcpu *sv = &mv->shadow;
	struct shadow_root *p = find_previous(mv, cr3, role);
	bool behind;

	if (!p)
		return false;
	behind = is_behind(sv, p);
	if (sv->loaded && !sv->is_pae) {
		exchange_roots(sv, p);
	} else {
		put_roots(mv, token);
		sv->root[0] = p->sp;
		*p = (struct shadow_root){ .left = 0 };
	}
	if (behind)
		unsync_sync_below(mv, sv->root[0], token);
	sv->loads_cached++;
	return true;
}

static bool load_one(struct mmu_vcpu *mv, uint64_t cr3, union role role, struct flush_token *token)
{
	struct shadow_vcpu *sv = &mv->shadow;

	if (load_previous(mv, cr3, role, token))
		return true;
	push_previous(mv, token);
	put_roots(mv, token);
	sv->root[0] = take_root(mv, (cr3 & PTE_ADDR) >> PAGE_SHIFT, role, token);
	/* While it was nobody's, flushes of single addresses have passed it by. */
	if (sv->root[0])
		unsync_sync_below(mv, sv->root[0], token);
	return sv->root[0] != NULL;
}

/* Whether there is a current root that may be kept. Four roots are always looked up again: they are cheap. */
static inline bool has_root(const struct shadow_vcpu *sv) { return sv->loaded && !sv->stale && !sv->is_pae; }

static inline bool is_current(const struct shadow_vcpu *sv, uint64_t cr3, union role role)
{
	return has_root(sv) && sv->cr3 == cr3 && sv->role == role.word;
}

static bool load(struct mmu_vcpu *mv, const struct guest_paging *g, union role role, struct flush_token *token)
{
	struct shadow_vcpu *sv = &mv->shadow;

	sv->stale = false;
	shadow_make_room(mv->mmu, token);
	if (has_four_roots(role)) {
		push_previous(mv, token);
		put_roots(mv, token);
		sv->loaded = load_four(mv, g, role, token);
	} else {
		sv->loaded = load_one(mv, g->cr3, role, token);
	}
	sv->is_pae = has_four_roots(role);
	sv->cr3 = g->cr3;
	sv->role = role.word;
	if (!sv->loaded) {
		put_roots(mv, token);
		return false;
	}
	sv->hardware_cr3 = sv->is_pae ? virt_to_phys(sv->pae) : sp_hpa(sv->root[0]);
	return true;
}

static void sync_roots(struct mmu_vcpu *mv, struct flush_token *token)
{
	for (uint32_t i = 0; i < (mv->shadow.is_pae ? ARRAY_LEN(mv->shadow.root) : 1); i++)
		if (mv->shadow.root[i])
			unsync_sync_below(mv, mv->shadow.root[i], token);
}

/* The frame of four PDPTEs has to be below 4 GiB: CR3 has 32 bits under PAE paging. */
static int pae_alloc(struct mmu_vcpu *mv)
{
	frame_owner_t owner = OWNER_VM_META(mv->mmu->config.vm_id);
	hpa_t frame;

	if (mv->shadow.pae)
		return 0;
	frame = frame_alloc_run(1, 1, owner); /* the lowest there is */
	if (frame == HPA_NONE)
		return -ENOMEM;
	if (frame >= GIB(4)) {
		frame_free(frame, owner);
		return -ENOMEM;
	}
	mv->shadow.pae = phys_to_virt(frame);
	return 0;
}

/*
 * The common loads, of a root the vCPU holds a reference on, and with nothing to be brought up to date below it:
 * this changes nothing but what is its own, so the shared lock does. Negative: not so.
 */
static inline int load_held(struct mmu_vcpu *mv, uint64_t cr3, union role role, bool flush)
{
	struct shadow_vcpu *sv = &mv->shadow;
	struct shadow_root *p;

	if (!has_root(sv))
		return -EAGAIN;
	if (is_current(sv, cr3, role))
		return flush && sv->root[0]->unsync_children ? -EAGAIN : MMU_LOAD_SAME;
	p = find_previous(mv, cr3, role);
	if (!p || (p->sp->unsync_children && (flush || is_behind(sv, p))))
		return -EAGAIN;
	exchange_roots(sv, p);
	sv->cr3 = cr3;
	sv->role = role.word;
	sv->hardware_cr3 = sp_hpa(sv->root[0]);
	sv->loads_cached++;
	return 0;
}

/* Most loads change CR3 alone, and the role is that of the load before. */
static union role role_now(struct mmu_vcpu *mv, const struct guest_paging *g)
{
	struct shadow_vcpu *sv = &mv->shadow;
	union role role = { .word = sv->role };

	if (LIKELY(sv->loaded && sv->cr0 == g->cr0 && sv->cr4 == g->cr4 && sv->efer == g->efer))
		return role;
	sv->cr0 = g->cr0;
	sv->cr4 = g->cr4;
	sv->efer = g->efer;
	return role_of_root(g);
}

/* All others. Apart, so that the common ones need no more registers. */
static NOINLINE int load_any(struct mmu_vcpu *mv, const struct guest_paging *g, union role role, bool flush)
{
	struct flush_token token;
	bool good = true;

	if (has_four_roots(role) && pae_alloc(mv))
		return -ENOMEM;
	if (mv->spare_count < SHADOW_SPARES)
		sp_topup(mv, MMU_SPARES);
	seen_topup(mv);
	mmu_exclusive_begin(mv->mmu);
	token = flush_token_new(mv->mmu);
	if (!is_current(&mv->shadow, g->cr3, role))
		good = load(mv, g, role, &token);
	if (good && flush)
		sync_roots(mv, &token);
	flush_spend(mv->mmu, token);
	mmu_exclusive_end(mv->mmu);
	return good ? 0 : -ENOMEM;
}

int mmu_shadow_load(struct mmu_vcpu *mv, const struct guest_paging *g, bool flush)
{
	union role role = role_now(mv, g);
	int result;

	mv->shadow.loads++;
	mmu_enter(mv);
	result = load_held(mv, g->cr3, role, flush);
	mmu_leave(mv);
	if (UNLIKELY(result < 0))
		result = load_any(mv, g, role, flush);
	if (UNLIKELY(result < 0))
		mv->shadow.cr0 = 0; /* no guest's: the role kept is not the one of these registers */
	if (flush)
		note_flush(&mv->shadow, g);
	return result;
}

/* ---- flushes by the guest ---- */

/* The entry for gva below root is brought up to date, if its page is unsync. */
static inline void sync_address(struct mmu_vcpu *mv, struct sp *root, gva_t gva, struct flush_token *token)
{
	struct sp *sp = root;

	for (uint32_t shift = PAGE_SHIFT + 9u * (sp->level - 1u); sp->unsync_children; shift -= 9) {
		uint64_t spte = spte_read(&sp->table[(gva >> shift) % SPTES_PER_TABLE]);

		if (!spte_is_table(spte, LEVEL_2M)) /* a table looks the same at all levels above 4K */
			return;
		sp = sp_of(spte_hpa(spte));
	}
	if (sp->unsync)
		unsync_sync_entry(mv, sp, spte_index(gva >> PAGE_SHIFT, LEVEL_4K), token);
}

/* Global translations are in no address space, so previous roots are seen to as well: where their way to gva is not the
 * current one's from the top on, as it is for a kernel that all of them have. */
static inline void sync_address_before(struct mmu_vcpu *mv, const struct sp *now, gva_t gva, struct flush_token *token)
{
	for (uint32_t i = 0; i < SHADOW_PREVIOUS; i++) {
		struct sp *root = mv->shadow.previous[i].sp;
		uint32_t index;

		if (!root || !root->unsync_children)
			continue;
		index = spte_index(gva >> PAGE_SHIFT, root->level);
		if (!now || now->level != root->level || now->table[index] != root->table[index])
			sync_address(mv, root, gva, token);
	}
}

/* Outside long mode there are no other addresses. */
static bool is_address(const struct guest_paging *g, gva_t gva)
{
	enum paging_mode mode = guest_paging_mode(g);

	return mode < PAGING_4 || is_canonical(gva, mode == PAGING_5 ? 57 : 48);
}

void mmu_shadow_invlpg(struct mmu_vcpu *mv, const struct guest_paging *g, gva_t gva)
{
	struct shadow_vcpu *sv = &mv->shadow;
	struct flush_token token;
	struct sp *root;

	if (!is_address(g, gva))
		return;
	mmu_exclusive_begin(mv->mmu);
	mv->mmu->shadow->counts.invlpgs++;
	token = flush_token_new(mv->mmu);
	root = sv->loaded ? shadow_root_for(mv, gva) : NULL;
	if (root)
		sync_address(mv, root, gva, &token);
	sync_address_before(mv, root, gva, &token);
	flush_spend(mv->mmu, token);
	mmu_exclusive_end(mv->mmu);
}

void mmu_shadow_flush(struct mmu_vcpu *mv)
{
	struct flush_token token;

	mmu_exclusive_begin(mv->mmu);
	mv->mmu->shadow->counts.flushes++;
	token = flush_token_new(mv->mmu);
	sync_roots(mv, &token);
	for (uint32_t i = 0; i < SHADOW_PREVIOUS; i++)
		if (mv->shadow.previous[i].sp)
			unsync_sync_below(mv, mv->shadow.previous[i].sp, &token);
	flush_spend(mv->mmu, token);
	mmu_exclusive_end(mv->mmu);
}
