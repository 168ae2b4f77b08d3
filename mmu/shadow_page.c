/*
 * Shadow pages: hash, list, links, zapping.
 */
#include "mmu/shadow_page.h"

#include <string.h>

#include "hv/base/frame.h"
#include "hv/base/trace.h"
#include "mmu/hugepage.h"
#include "mmu/rmap.h"
#include "mmu/shadow_spte.h"
#include "mmu/track.h"
#include "mmu/unsync.h"

/* Address bits from the guest's MAXPHYADDR on; under PAE paging all up to bit 62. SDM "Paging", the formats. */
static uint64_t reserved_in(const struct mmu *mmu, enum paging_mode mode)
{
	return mode <= PAGING_32 ? 0 : BITS(mode == PAGING_PAE ? 62 : 51, mmu->config.gpa_bits);
}

static struct gpte_format format_for(const struct mmu *mmu, union role role)
{
	struct gpte_format f;

	f.set = PTE_P | PTE_A | SPTE_PRESENT | (role.access & ACCESS_EXEC ? 0 : PTE_XD);
	f.written = role.access & ACCESS_WRITE ? PTE_RW | PTE_D : ~(uint64_t)0;
	f.usable = PTE_P | PTE_A | reserved_in(mmu, role.mode);
	f.copied = role.access & ACCESS_USER;
	*(role.nx ? &f.copied : &f.usable) |= PTE_XD; /* entries of 4 bytes have no such bit */
	if (role.mode >= PAGING_4)
		f.copied |= PTE_PKEY; /* the CPU heeds it while CR4.PKE is set */
	f.same = PTE_ADDR | f.usable | (f.copied & ~f.set);
	return f;
}

static void set_formats(struct mmu *mmu)
{
	for (uint32_t mode = PAGING_32; mode <= PAGING_5; mode++)
		for (uint32_t access = 0; access <= ACCESS_ALL; access++)
			for (uint32_t nx = 0; nx < 2; nx++) {
				union role r = { .mode = mode & 7, .access = access & ACCESS_ALL, .nx = nx & 1 };

				mmu->shadow->format[role_format(r)] = format_for(mmu, r);
			}
}

int shadow_init(struct mmu *mmu)
{
	hpa_t home = frame_alloc_run(SHADOW_FRAMES, 1, OWNER_VM_META(mmu->config.vm_id));

	if (home == HPA_NONE)
		return -ENOMEM;
	mmu->shadow = phys_to_virt(home);
	mmu->shadow->generation = 1;
	set_formats(mmu);
	mmu->shadow->version = 1;
	mmu->shadow->skip = true;
	mmu->shadow->budget = mmu->config.shadow_pages ? mmu->config.shadow_pages : SHADOW_BUDGET_MIN;
	return 0;
}

void shadow_destroy(struct mmu *mmu)
{
	INVARIANT(mmu->shadow->pages == 0);
	seen_destroy(mmu);
	frame_free_run(virt_to_phys(mmu->shadow), SHADOW_FRAMES, OWNER_VM_META(mmu->config.vm_id));
	mmu->shadow = NULL;
}

void shadow_slots_changed(struct mmu *mmu)
{
	uint64_t pages = 0;

	mmu->shadow->aliased |= mmu->slots->aliased;
	for (uint32_t i = 0; i < mmu->slots->count; i++)
		pages += mmu->slots->entry[i].slot->npages;
	seen_limit(mmu, pages);
	if (mmu->config.shadow_pages)
		return;
	mmu->shadow->budget = max_u64(pages / SHADOW_BUDGET_PART, SHADOW_BUDGET_MIN);
}

/* ---- hash and list ---- */

static void hash_add(struct mmu *mmu, struct sp *sp)
{
	struct sp **bucket = shadow_bucket(mmu, sp->gfn);

	sp->hash_next = *bucket;
	*bucket = sp;
}

static void hash_remove(struct mmu *mmu, struct sp *sp)
{
	struct sp **link = shadow_bucket(mmu, sp->gfn);

	while (*link != sp) {
		INVARIANT(*link);
		link = &(*link)->hash_next;
	}
	*link = sp->hash_next;
}

static void list_add(struct shadow *s, struct sp *sp)
{
	sp->newer = NULL;
	sp->older = s->newest;
	if (s->newest)
		s->newest->newer = sp;
	else
		s->oldest = sp;
	s->newest = sp;
	s->pages++;
}

static void list_remove(struct shadow *s, struct sp *sp)
{
	if (sp->newer)
		sp->newer->older = sp->older;
	else
		s->newest = sp->older;
	if (sp->older)
		sp->older->newer = sp->newer;
	else
		s->oldest = sp->newer;
	s->pages--;
}

/*
 * Looks for the page. For one above level 4K, pages of the same gfn that are unsync have to go: the
 * table is about to be write-tracked, or is so already, and a tracked table is never written unseen.
 */
static struct sp *find(struct mmu *mmu, gfn_t gfn, union role role, struct flush_token *token)
{
	struct shadow_counts *c = &mmu->shadow->counts;
	struct sp *sp = *shadow_bucket(mmu, gfn), *next, *found = NULL;

	for (; sp; sp = next) {
		next = sp->hash_next;
		if (!shadow_is_live(mmu, sp))
			continue;
		if (sp->gfn != gfn) {
			c->collisions++;
			continue;
		}
		if (sp->role.word == role.word)
			found = sp;
		else if (sp->unsync && role.level > LEVEL_4K && !role.direct)
			shadow_zap(mmu, sp, token); /* it has nothing below: the rest of the chain stays */
	}
	return found;
}

static struct sp *make(struct mmu_vcpu *mv, gfn_t gfn, union role role, struct flush_token *token)
{
	struct mmu *mmu = mv->mmu;
	struct sp *sp = sp_take(mv, gfn, role.level);

	if (!sp)
		return NULL;
	sp->gfn = gfn;
	sp->role = role;
	sp->generation = mmu->shadow->generation;
	sp->parents = 0;
	sp->unsync = false;
	sp->seen = 0;
	sp->unsync_children = 0;
	sp->unsync_words = 0;
	sp->writes = 0;
	sp->guest = NULL;
	hash_add(mmu, sp);
	list_add(mmu->shadow, sp);
	mmu->shadow->counts.created++;
	trace_mmu(TRACE_SHADOW_NEW, mmu->config.vm_id, gfn, role.level);
	mmu->host.stats.tables++;
	if (!role.direct)
		track_account(mmu, sp, token);
	return sp;
}

struct sp *shadow_get(struct mmu_vcpu *mv, gfn_t gfn, union role role, struct flush_token *token)
{
	struct sp *sp = find(mv->mmu, gfn, role, token);

	if (!sp)
		return make(mv, gfn, role, token);
	mv->mmu->shadow->counts.reused++;
	sp->writes = 0;
	if (sp->unsync)
		unsync_refresh(mv, sp, token);
	else if (sp->unsync_children)
		unsync_sync_below(mv, sp, token);
	return sp;
}

/* ---- entries ---- */

void shadow_link(struct mmu *mmu, struct sp *parent, uint32_t index, struct sp *child)
{
	INVARIANT(parent->table[index] == SPTE_EMPTY && child->level == parent->level - 1);
	INVARIANT(child->state == SP_LINKED);
	spte_write(&parent->table[index], shadow_table_make(sp_hpa(child)));
	sp_bit_set(sp_present_bits(parent), index);
	parents_add(child, parent, index);
	if (child->unsync || child->unsync_children)
		unsync_mark_parents(mmu, child);
}

/* So many that removing one of them costs too much. */
void shadow_drop_others(struct mmu *mmu, const uint32_t *head, struct flush_token *token)
{
	uint32_t ref;

	while ((ref = rmap_next(mmu, *head)), !(ref & RMAP_END))
		shadow_drop_entry(mmu, sp_of_ref(mmu, ref), ref % SPTES_PER_TABLE, token);
}

void shadow_set_leaf(struct mmu *mmu, const struct slot *s, struct sp *sp, uint32_t index, gfn_t gfn,
		     uint64_t spte, struct flush_token *token)
{
	uint32_t *head = rmap_head(s, gfn, sp->level);

	INVARIANT(head);
	shadow_run_leaf(mmu, shadow_run_of(sp), index, head, gfn, spte, token);
	shadow_count_leafs(mmu, sp->level, 1);
}

static void unlink_child(struct mmu *mmu, struct sp *parent, uint32_t index, struct sp *child)
{
	if (sp_bit(sp_unsync_bits(parent), index)) {
		sp_bit_clear(sp_unsync_bits(parent), index);
		parent->unsync_children--;
	}
	parents_remove(mmu, child, parent, index);
	__atomic_store_n(&mmu->shadow->version, mmu->shadow->version + 1, __ATOMIC_RELAXED);
}

void shadow_drop_entry(struct mmu *mmu, struct sp *sp, uint32_t index, struct flush_token *token)
{
	uint64_t spte = sp->table[index];
	struct sp *child;

	INVARIANT(spte_is_present(spte));
	sp_bit_clear(sp_present_bits(sp), index);
	shadow_owe(token);
	if (spte_is_leaf(spte, sp->level)) {
		if (sp->level == LEVEL_4K)
			sp_bit_clear(sp_seen_bits(sp), index);
		rmap_remove(mmu, sp, index);
		spte_write(&sp->table[index], SPTE_EMPTY);
		mmu->host.stats.mapped[sp->level]--;
		return;
	}
	child = sp_of(spte_hpa(spte));
	unlink_child(mmu, sp, index, child);
	spte_write(&sp->table[index], SPTE_EMPTY);
	/* The guest has freed the table as a rule: its frame shall be an ordinary one again. */
	if (!child->parents && !child->root_count)
		shadow_zap(mmu, child, token);
}

/* ---- zapping ---- */

void shadow_drop_word(struct mmu *mmu, struct sp *sp, uint32_t w, uint64_t bits, struct flush_token *token)
{
	mmu->host.stats.mapped[LEVEL_4K] -= rmap_remove_word(mmu, sp, w, bits);
	shadow_owe(token);
}

static void drop_all_entries(struct mmu *mmu, struct sp *sp, struct flush_token *token)
{
	uint64_t *present = sp_present_bits(sp);

	if (UNLIKELY(sp->mmios))
		shadow_mmio_drop_page(mmu, sp);
	for (uint32_t w = 0; w < SP_BITMAP_WORDS; w++) {
		if (sp->level == LEVEL_4K && present[w]) /* there are many, and all are leafs */
			shadow_drop_word(mmu, sp, w, present[w], token);
		while (present[w])
			shadow_drop_entry(mmu, sp, w * 64 + (uint32_t)__builtin_ctzl(present[w]), token);
	}
}

static void leave_parents(struct mmu *mmu, struct sp *sp, struct flush_token *token)
{
	while (sp->parents) {
		uint32_t ref = sp->parents, index = ref % SPTES_PER_TABLE;
		struct sp *parent = sp_of_ref(mmu, ref);

		unlink_child(mmu, parent, index, sp);
		sp_bit_clear(sp_present_bits(parent), index);
		spte_write(&parent->table[index], SPTE_EMPTY);
		shadow_owe(token);
	}
}

static void doom(struct mmu *mmu, struct sp *sp)
{
	sp->state = SP_DOOMED;
	sp->next = mmu->flush.doomed;
	mmu->flush.doomed = sp;
}

/* vCPUs that hold the root have to load again before they enter. */
static void invalidate_root(struct mmu *mmu, struct sp *sp)
{
	for (struct rw_reader *r = mmu->lock.readers; r; r = r->next) {
		struct mmu_vcpu *mv = CONTAINER_OF(r, struct mmu_vcpu, reader);

		for (uint32_t i = 0; i < ARRAY_LEN(mv->shadow.root); i++)
			if (mv->shadow.root[i] == sp)
				__atomic_store_n(&mv->shadow.stale, true, __ATOMIC_RELAXED);
	}
}

void shadow_zap(struct mmu *mmu, struct sp *sp, struct flush_token *token)
{
	INVARIANT(sp->state == SP_LINKED);
	hash_remove(mmu, sp);
	list_remove(mmu->shadow, sp);
	mmu->shadow->counts.zapped++;
	trace_mmu(TRACE_SHADOW_GONE, mmu->config.vm_id, sp->gfn, (uint64_t)sp->level);
	mmu->host.stats.tables--;
	if (sp->unsync)
		mmu->shadow->counts.unsync--;
	sp->unsync = false;
	sp->state = SP_INVALID; /* so that a table that leads to itself does not come here again */
	leave_parents(mmu, sp, token);
	drop_all_entries(mmu, sp, token);
	seen_put(mmu, sp);
	INVARIANT(sp->unsync_children == 0);
	if (!sp->role.direct)
		track_unaccount(mmu, sp);
	shadow_owe(token);
	if (sp->root_count)
		invalidate_root(mmu, sp);
	else
		doom(mmu, sp);
}

void shadow_root_put(struct mmu *mmu, struct sp *sp, struct flush_token *token)
{
	INVARIANT(sp->root_count > 0);
	if (--sp->root_count || sp->state != SP_INVALID)
		return;
	shadow_owe(token);
	doom(mmu, sp);
}

bool shadow_zap_gfn(struct mmu *mmu, gfn_t gfn, struct flush_token *token)
{
	struct sp *sp = *shadow_bucket(mmu, gfn);
	bool any = false;

	while (sp) {
		if (sp->gfn == gfn && !sp->role.direct) {
			shadow_zap(mmu, sp, token);
			sp = *shadow_bucket(mmu, gfn);
			any = true;
		} else {
			sp = sp->hash_next;
		}
	}
	return any;
}

void shadow_drop_leafs(struct mmu *mmu, const struct slot *s, gfn_t gfn, int level, struct flush_token *token)
{
	uint32_t *head = rmap_head(s, gfn, level), ref;

	while (!((ref = rmap_first(head)) & RMAP_END))
		shadow_drop_entry(mmu, sp_of_ref(mmu, ref), ref % SPTES_PER_TABLE, token);
}

static void zap_leafs_in_slot(struct mmu *mmu, const struct slot *s, gfn_t first, gfn_t end,
			      struct flush_token *token)
{
	for (int level = LEVEL_2M; level <= s->shape_level; level++)
		for (gfn_t g = align_down(first, level_pages(level)); g < end; g += level_pages(level))
			shadow_drop_leafs(mmu, s, max_u64(g, s->base), level, token);
	for (gfn_t g = first; g < end; g++) {
		if (!rmap_head(s, g, LEVEL_4K)) /* nor has any other of the frame of heads */
			g |= BIT(RMAP_CHUNK_SHIFT) - 1;
		else
			shadow_drop_leafs(mmu, s, g, LEVEL_4K, token);
	}
}

void shadow_zap_range(struct mmu *mmu, gfn_t first, uint64_t npages, struct flush_token *token)
{
	gfn_t end = first + npages;
	struct sp *sp = mmu->shadow->newest;

	while (sp) {
		if (!sp->role.direct && sp->gfn - first < npages) {
			shadow_zap(mmu, sp, token);
			sp = mmu->shadow->newest;
		} else {
			sp = sp->older;
		}
	}
	for (uint32_t i = 0; i < mmu->slots->count; i++) {
		const struct slot *s = mmu->slots->entry[i].slot;

		if (s->base < end && slot_end(s) > first)
			zap_leafs_in_slot(mmu, s, max_u64(s->base, first), min_u64(slot_end(s), end), token);
	}
}

void shadow_make_room(struct mmu *mmu, struct flush_token *token)
{
	struct shadow *s = mmu->shadow;
	struct sp *sp = s->oldest;
	uint64_t goal = s->budget - min_u64(s->budget / 2, SHADOW_RECYCLE);

	if (LIKELY(s->pages + SHADOW_RESERVE <= s->budget))
		return;
	while (sp && s->pages > goal) {
		if (sp->root_count) {
			sp = sp->newer;
			continue;
		}
		s->counts.recycled++;
		shadow_zap(mmu, sp, token);
		sp = s->oldest; /* its neighbours may have gone with it */
	}
}
