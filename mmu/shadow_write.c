/*
 * Writes to guest page tables that the hypervisor carries out or gives way to, and what else is done
 * to the shadow as a whole: counting, switching the fast skip, dropping all.
 */
#include "mmu/gpa.h"
#include "mmu/hugepage.h"
#include "mmu/rmap.h"
#include "mmu/shadow_gpte.h"
#include "mmu/shadow_page.h"
#include "mmu/shadow_write.h"
#include "mmu/track.h"

#define FLOOD 3     /* emulated writes in a row that make a page no page table any more */
#define ZAP_BATCH 16 /* pages dropped per hold of the lock */

/* ---- a write to a table ---- */

/* The entries of sp that are derived from entry `number` of the guest's table: how many, from *index on. */
static uint32_t derived(const struct sp *sp, uint64_t number, uint32_t *index)
{
	uint32_t each = sp->role.mode == PAGING_32 && sp->level > LEVEL_4K ? 2 : 1;
	uint64_t first = gpte_index(sp, 0);

	if (number < first || number - first >= SPTES_PER_TABLE / each)
		return 0; /* another quadrant's */
	*index = (uint32_t)(number - first) * each;
	return each;
}

static void drop_written(struct mmu *mmu, struct sp *sp, uint64_t offset, uint64_t len, struct flush_token *token)
{
	uint64_t bytes = gpte_bytes(sp), last = (offset + len - 1) / bytes;

	for (uint64_t number = offset / bytes; number <= last; number++) {
		uint32_t index, count = derived(sp, number, &index);

		for (; count > 0; count--, index++)
			if (spte_is_present(sp->table[index]))
				shadow_drop_entry(mmu, sp, index, token);
			else if (sp->table[index] != SPTE_EMPTY)
				shadow_mmio_drop(mmu, sp, index);
	}
}

/* A table that is written again and again without being walked, or in odd pieces, is none any more. But one that a
 * vCPU runs on is one: it would be made again at once, with all that is below. */
static bool is_flooded(struct sp *sp, uint64_t offset, uint64_t len)
{
	uint64_t bytes = gpte_bytes(sp);

	if (sp->root_count)
		return false;
	if (len < bytes || offset % bytes || len % bytes)
		return true;
	return sp->level > LEVEL_4K && ++sp->writes >= FLOOD;
}

static void write_one(struct mmu *mmu, struct sp *sp, uint64_t offset, uint64_t len, struct flush_token *token)
{
	if (is_flooded(sp, offset, len)) {
		mmu->shadow->counts.flooded++;
		shadow_zap(mmu, sp, token);
		return;
	}
	drop_written(mmu, sp, offset, len, token);
}

/* The first page of gfn that has not been seen to yet: pages may go with the entries dropped. */
static struct sp *next_page(struct mmu *mmu, gfn_t gfn, uint64_t stamp)
{
	struct sp *sp = *shadow_bucket(mmu, gfn);

	while (sp && (sp->gfn != gfn || sp->role.direct || sp->written == stamp))
		sp = sp->hash_next;
	return sp;
}

/* Bytes of a page of guest memory have been written: nothing derived from the old ones is left. */
static void written(struct mmu *mmu, gpa_t gpa, uint64_t len, struct flush_token *token)
{
	struct sp *sp;

	mmu->shadow->counts.emulated_writes++;
	mmu->shadow->stamp++;
	while ((sp = next_page(mmu, gpa >> PAGE_SHIFT, mmu->shadow->stamp))) {
		sp->written = mmu->shadow->stamp;
		write_one(mmu, sp, gpa & PAGE_MASK, len, token);
	}
}

/* Whether a page shadows gfn. While readers are inside none can begin to. */
static bool is_shadowed(const struct mmu *mmu, const struct slot *s, gfn_t gfn)
{
	if (*hugepage_word(s, gfn, LEVEL_2M) == 0)
		return false;
	for (const struct sp *sp = *shadow_bucket(mmu, gfn); sp; sp = sp->hash_next)
		if (sp->gfn == gfn && !sp->role.direct)
			return true;
	return false;
}

/* False: the change has to be made with the shadow. */
static bool change_unseen(struct mmu_vcpu *mv, gpa_t gpa, struct gpa_change *c)
{
	gfn_t first = gpa >> PAGE_SHIFT, last = (gpa + c->len - 1) >> PAGE_SHIFT;
	const struct slot *s;
	void *hva;
	bool seen;

	mmu_enter(mv);
	hva = gpa_to_hva_writable(mv, gpa, c->len);
	s = slot_find(mv, first);
	seen = hva && (is_shadowed(mv->mmu, s, first) || (last != first && is_shadowed(mv->mmu, s, last)));
	if (hva && !seen)
		c->apply(c, hva);
	mmu_leave(mv);
	return !seen;
}

void shadow_change(struct mmu_vcpu *mv, gpa_t gpa, struct gpa_change *c)
{
	uint64_t in_page = min_u64(c->len, PAGE_SIZE - (gpa & PAGE_MASK));
	struct flush_token token;
	void *hva;

	if (change_unseen(mv, gpa, c))
		return;
	mmu_exclusive_begin(mv->mmu);
	token = flush_token_new(mv->mmu);
	hva = gpa_to_hva_writable(mv, gpa, c->len);
	if (hva) {
		c->apply(c, hva);
		written(mv->mmu, gpa, in_page, &token);
		if (in_page < c->len)
			written(mv->mmu, gpa + in_page, c->len - in_page, &token);
	}
	flush_spend(mv->mmu, token);
	mmu_exclusive_end(mv->mmu);
}

/* ---- flags set by a walk ---- */

/* The page of 8-byte entries that shadows gfn. */
static struct sp *wide_page(const struct mmu *mmu, gfn_t gfn)
{
	struct sp *sp = *shadow_bucket(mmu, gfn);

	while (sp && (sp->gfn != gfn || sp->role.direct || sp->role.mode == PAGING_32))
		sp = sp->hash_next;
	return sp;
}

/* The lower half of an 8-byte entry has its flags at the same places. */
void shadow_note_flag(struct mmu_vcpu *mv, gpa_t gpa, int level)
{
	if ((gpa & 4) && wide_page(mv->mmu, gpa >> PAGE_SHIFT))
		mv->shadow.flagged[level - LEVEL_4K] = gpa;
}

void shadow_drop_noted(struct mmu_vcpu *mv)
{
	struct flush_token token;
	struct sp *sp;

	mmu_exclusive_begin(mv->mmu);
	token = flush_token_new(mv->mmu);
	for (uint32_t i = 0; i < ARRAY_LEN(mv->shadow.flagged); i++) {
		while (mv->shadow.flagged[i] && (sp = wide_page(mv->mmu, mv->shadow.flagged[i] >> PAGE_SHIFT)))
			shadow_zap(mv->mmu, sp, &token);
		mv->shadow.flagged[i] = 0;
	}
	flush_spend(mv->mmu, token);
	mmu_exclusive_end(mv->mmu);
}

bool mmu_shadow_unprotect(struct mmu_vcpu *mv, gpa_t gpa)
{
	struct flush_token token;
	bool any;

	mmu_exclusive_begin(mv->mmu);
	token = flush_token_new(mv->mmu);
	any = shadow_zap_gfn(mv->mmu, gpa >> PAGE_SHIFT, &token);
	flush_spend(mv->mmu, token);
	mmu_exclusive_end(mv->mmu);
	return any;
}

/* ---- the whole ---- */

void mmu_shadow_set_skip(struct mmu *mmu, bool on)
{
	mmu_exclusive_begin(mmu);
	mmu->shadow->skip = on;
	mmu_exclusive_end(mmu);
}

static void forget_roots(struct mmu *mmu)
{
	for (struct rw_reader *r = mmu->lock.readers; r; r = r->next)
		__atomic_store_n(&CONTAINER_OF(r, struct mmu_vcpu, reader)->shadow.stale, true, __ATOMIC_RELAXED);
}

/* From the oldest on, which are of former generations until the first that is not. */
static bool zap_some(struct mmu *mmu, struct flush_token *token)
{
	struct shadow *s = mmu->shadow;

	for (uint32_t i = 0; i < ZAP_BATCH; i++) {
		if (!s->oldest || s->oldest->generation == s->generation)
			return false;
		shadow_zap(mmu, s->oldest, token);
	}
	return true;
}

/* Nothing can be found of the old generation from the first step on, so vCPUs that come back between
 * two steps begin with new pages. */
void mmu_shadow_zap_all(struct mmu *mmu)
{
	bool more = true;

	for (bool first = true; more; first = false) {
		struct flush_token token;

		mmu_exclusive_begin(mmu);
		token = flush_token_new(mmu);
		if (first) {
			mmu->shadow->generation++;
			forget_roots(mmu);
			shadow_owe(&token);
		}
		more = zap_some(mmu, &token);
		flush_spend(mmu, token);
		mmu_exclusive_end(mmu);
	}
}

static uint64_t slot_bytes(const struct mmu *mmu)
{
	uint64_t frames = 0;

	for (uint32_t i = 0; i < mmu->slots->count; i++)
		frames += mmu->slots->entry[i].slot->run_pages;
	return frames * PAGE_SIZE;
}

void mmu_shadow_count(struct mmu *mmu, struct shadow_counts *counts)
{
	uint64_t links_and_headers = (SP_BLOCK_FRAMES - SP_SHADOW_TABLES) * PAGE_SIZE;

	mmu_exclusive_begin(mmu);
	*counts = mmu->shadow->counts;
	for (const struct rw_reader *r = mmu->lock.readers; r; r = r->next) {
		counts->loads += CONTAINER_OF(r, struct mmu_vcpu, reader)->shadow.loads;
		counts->loads_cached += CONTAINER_OF(r, struct mmu_vcpu, reader)->shadow.loads_cached;
		counts->mmio_hits += CONTAINER_OF(r, struct mmu_vcpu, reader)->shadow.mmio_hits;
	}
	counts->pages = mmu->shadow->pages;
	counts->budget = mmu->shadow->budget;
	counts->metadata_bytes = sizeof(struct shadow) + PAGE_SIZE + slot_bytes(mmu) +
				 (mmu->chunks + mmu->shadow->seen.count) * PAGE_SIZE + mmu->pool.block_count * links_and_headers;
	mmu_exclusive_end(mmu);
}
