/*
 * Marking pages unsync, the fast skip, and bringing them up to date.
 */
#include "mmu/unsync.h"

#include "mmu/bitmap.h"
#include "mmu/gpa.h"
#include "mmu/hugepage.h"
#include "mmu/rmap.h"
#include "mmu/shadow_gpte.h"
#include "mmu/shadow_page.h"
#include "mmu/shadow_spte.h"
#include "mmu/track.h"

#define SYNC_BATCH 16
#define LIGHT_ENTRIES 8 /* of a page that is not protected again each time it is brought up to date */
#define LIGHT_SYNCS 8   /* but is after that many times */

/* ---- marking ---- */

void unsync_mark_parents(struct mmu *mmu, struct sp *sp)
{
	for (uint32_t ref = rmap_first(&sp->parents); !(ref & RMAP_END); ref = rmap_next(mmu, ref)) {
		struct sp *parent = sp_of_ref(mmu, ref);
		uint32_t index = ref % SPTES_PER_TABLE;

		if (sp_bit(sp_unsync_bits(parent), index))
			continue;
		sp_bit_set(sp_unsync_bits(parent), index);
		if (parent->unsync_children++ == 0)
			unsync_mark_parents(mmu, parent);
	}
}

static void mark(struct mmu *mmu, struct sp *sp)
{
	INVARIANT(sp->level == LEVEL_4K && !sp->role.direct && !sp->unsync);
	sp->unsync = true;
	sp->light_syncs = 0;
	mmu->shadow->counts.unsync++;
	mmu->shadow->counts.unsyncs++;
	unsync_mark_parents(mmu, sp);
}

bool unsync_try(struct mmu_vcpu *mv, const struct slot *s, gfn_t gfn, enum unsync_caller caller)
{
	struct mmu *mmu = mv->mmu;
	struct shadow_counts *c = &mmu->shadow->counts;

	c->unsync_calls[caller]++;
	if (track_is_tracked(s, gfn))
		return false;
	/*
	 * The fast skip. A page that shadows a table in this 2M frame would forbid a large page there;
	 * nothing forbids one, so there is no such page: nothing to mark and no hash to search. After the
	 * check above, so that it never decides about a table of a higher level.
	 */
	if (mmu->shadow->skip && *hugepage_word(s, gfn, LEVEL_2M) == 0) {
		c->unsync_skips[caller]++;
		return true;
	}
	c->hash_searches++;
	for (struct sp *sp = *shadow_bucket(mmu, gfn); sp; sp = sp->hash_next) {
		c->hash_nodes++;
		if (sp->gfn != gfn || sp->role.direct || !shadow_is_live(mmu, sp))
			continue;
		if (sp->unsync)
			continue;
		if (caller == UNSYNC_PREFETCH)
			return false;
		mark(mmu, sp);
	}
	/* Before the writable entry is: whoever sees the guest's write to its table sees the mark. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return true;
}

/* Whether a page shadows gfn as a 4K table in step. */
static inline bool has_page_in_step(const struct mmu *mmu, gfn_t gfn)
{
	struct sp *sp = *shadow_bucket(mmu, gfn);

	for (; UNLIKELY(sp != NULL); sp = sp->hash_next) {
		mmu->shadow->counts.hash_nodes++;
		if (sp->gfn == gfn && !sp->role.direct && !sp->unsync && shadow_is_live(mmu, sp))
			return true;
	}
	return false;
}

struct unsync_bits unsync_try_run(struct mmu *mmu, const struct slot *s, gfn_t first, uint32_t count)
{
	struct shadow_counts *c = &mmu->shadow->counts;
	bool skip = mmu->shadow->skip && *hugepage_word(s, first, LEVEL_2M) == 0;
	struct unsync_bits may = { 0 };
	uint64_t asked = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (UNLIKELY(track_is_tracked(s, first + i)))
			continue;
		asked++;
		if (skip || LIKELY(!has_page_in_step(mmu, first + i)))
			sp_bit_set(may.word, i);
	}
	c->unsync_calls[UNSYNC_PREFETCH] += count;
	*(skip ? &c->unsync_skips[UNSYNC_PREFETCH] : &c->hash_searches) += asked;
	return may;
}

/* ---- bringing up to date ---- */

/* An unsync page whose entries are read again. What is asked for every entry is kept at hand. */
struct refresh {
	struct mmu_vcpu *mv;
	struct sp *sp;
	struct flush_token *token;
	const uint32_t *links;
	struct gpte_format format;
	gfn_t base;                /* of the slot that the entry before led into; most lead into one */
	uint64_t npages, offset;
};

static struct refresh refresh_of(struct mmu_vcpu *mv, struct sp *sp, struct flush_token *token)
{
	return (struct refresh){ .mv = mv, .sp = sp, .token = token, .links = sp_links(sp),
				 .format = gpte_format_of(mv->mmu, sp) };
}

/* False: gfn is in no slot. */
static NOINLINE bool find_slot(struct refresh *r, gfn_t gfn)
{
	const struct slot *s = slot_find(r->mv, gfn);

	r->npages = 0;
	if (!s)
		return false;
	r->base = s->base;
	r->npages = s->npages;
	r->offset = s->offset;
	return true;
}

/* Whether the leaf is of the frame that the guest's entry means, and filed under that gfn. */
static inline bool is_same_page(struct refresh *r, uint32_t index, uint64_t spte, gfn_t gfn)
{
	if (UNLIKELY(gfn - r->base >= r->npages) && !find_slot(r, gfn))
		return false;
	if ((gfn << PAGE_SHIFT) + r->offset != spte_hpa(spte))
		return false;
	return LIKELY(r->links[index] == (RMAP_END | gfn)) || rmap_key(r->mv->mmu, r->sp, index) == gfn;
}

/* The leaf as the guest's entry now wants it; the right to write is kept or lost. */
static inline uint64_t wanted(const struct refresh *r, uint64_t gpte, uint64_t spte)
{
	uint64_t kept = gpte_is_written(&r->format, gpte) ? SHADOW_WRITABLE : SHADOW_HOST_WRITABLE;

	return gpte_leaf(&r->format, gpte, spte_hpa(spte)) | (spte & kept);
}

/* The leaf gets the rights that the guest's entry gives now. False: it is to be dropped. */
static bool sync_leaf(struct refresh *r, uint32_t index, uint64_t gpte)
{
	uint64_t *sptep = &r->sp->table[index], spte = *sptep, want;

	if (UNLIKELY(!gpte_is_usable(&r->format, gpte)) || UNLIKELY(!is_same_page(r, index, spte, gpte_gfn(gpte))))
		return false;
	want = wanted(r, gpte, spte);
	/* The CPU has set no flag in it: those it may set were set from the start. */
	if (LIKELY(spte == want))
		return true;
	spte_write(sptep, want);
	shadow_owe(r->token);
	return true;
}

static void sync_entry(struct refresh *r, uint32_t index, uint64_t gpte)
{
	if (!sync_leaf(r, index, gpte))
		shadow_drop_entry(r->mv->mmu, r->sp, index, r->token);
}

/*
 * Whether the leaf is as the entry wants it, told by a glance: of a usable entry whose page and rights it has, and not
 * writable if the entry is not. While no frame has two gfns, the frame is proof of the gfn. False says nothing.
 */
static inline bool is_in_step(const struct refresh *r, uint64_t gpte, uint64_t spte)
{
	uint64_t differ = (gpte + r->offset) ^ spte;

	return (gpte & r->format.usable) == (PTE_P | PTE_A) && gpte_gfn(gpte) - r->base < r->npages &&
	       !(differ & (PTE_ADDR | r->format.copied)) && (gpte_is_written(&r->format, gpte) || !(spte & PTE_D));
}

/*
 * Whether an entry for MMIO is as the guest's entry wants it: with another right to write it may have less. Its
 * generation is judged when it is used.
 */
static bool mmio_is_in_step(const struct refresh *r, uint64_t gpte, uint64_t spte)
{
	const uint64_t rights = PTE_US | PTE_PKEY | PTE_XD;

	return gpte_is_usable(&r->format, gpte) && gpte_gfn(gpte) == spte_mmio_gfn(spte) &&
	       !((gpte_leaf(&r->format, gpte, 0) ^ spte) & rights) &&
	       (!(spte & PTE_RW) || gpte_is_written(&r->format, gpte));
}

static void sync_mmio(struct refresh *r, uint32_t index, uint64_t gpte)
{
	if (!mmio_is_in_step(r, gpte, r->sp->table[index]))
		shadow_mmio_drop(r->mv->mmu, r->sp, index);
}

static NOINLINE void refresh_mmio(struct refresh *r)
{
	const uint64_t *there = sp_mmio_bits(r->sp);

	for (uint32_t w = 0; w < SP_BITMAP_WORDS; w++)
		for (uint64_t bits = there[w]; bits; bits &= bits - 1) {
			uint32_t index = w * 64 + (uint32_t)__builtin_ctzl(bits);

			sync_mmio(r, index, gpte_load(r->sp, index));
		}
}

/* Of the 64 entries at gptes and sptes those of bits that are not in step by a glance. */
static uint64_t out_of_step(const struct refresh *r, const uint64_t *gptes, const uint64_t *sptes, uint64_t bits)
{
	uint64_t out = 0;

	for (; bits; bits &= bits - 1) {
		uint32_t i = (uint32_t)__builtin_ctzl(bits);

		if (!is_in_step(r, gpte_at64(gptes, i), sptes[i]))
			out |= bits & -bits;
	}
	return out;
}

/* Entries of 8 bytes in memory, as nearly all are: the guest's table is read as it stands. */
static void refresh_64(struct refresh *r)
{
	const uint64_t *present = sp_present_bits(r->sp), *gptes = r->sp->guest;

	(void)find_slot(r, r->sp->gfn); /* a guess: where the table is, there is what it leads to */
	for (uint32_t w = 0; w < SP_BITMAP_WORDS; w++) {
		uint64_t out = out_of_step(r, &gptes[w * 64], &r->sp->table[w * 64], present[w]), gone = 0;

		for (; out; out &= out - 1) {
			uint32_t index = w * 64 + (uint32_t)__builtin_ctzl(out);

			if (!sync_leaf(r, index, gpte_at64(gptes, index)))
				gone |= out & -out;
		}
		if (gone)
			shadow_drop_word(r->mv->mmu, r->sp, w, gone, r->token);
	}
}

static void refresh_any(struct refresh *r)
{
	for (uint32_t index = 0; index < SPTES_PER_TABLE; index++)
		if (sp_bit(sp_present_bits(r->sp), index))
			sync_entry(r, index, gpte_load(r->sp, index));
}

static uint32_t present_count(const struct sp *sp)
{
	const uint64_t *present = sp_present_bits(sp);
	uint32_t count = 0;

	for (uint32_t w = 0; w < SP_BITMAP_WORDS; w++)
		if (present[w])
			count += bitmap_weight(present[w]);
	return count;
}

void unsync_refresh(struct mmu_vcpu *mv, struct sp *sp, struct flush_token *token)
{
	struct refresh r = refresh_of(mv, sp, token);

	mv->mmu->shadow->counts.syncs++;
	mv->mmu->shadow->counts.synced_entries += present_count(sp);
	if (LIKELY(sp->role.mode != PAGING_32 && sp->guest && !mv->mmu->slots->aliased))
		refresh_64(&r);
	else
		refresh_any(&r);
	if (UNLIKELY(sp->mmios))
		refresh_mmio(&r);
}

struct sync {
	struct mmu_vcpu *mv;
	struct flush_token *token;
	uint32_t count;
	struct sp *page[SYNC_BATCH];
};

/* Protects all tables of the batch, flushes once, then reads them. */
static void sync_batch(struct sync *b)
{
	struct mmu *mmu = b->mv->mmu;
	struct flush_token before = flush_token_new(mmu);

	for (uint32_t i = 0; i < b->count; i++) {
		const struct slot *s = track_slot(mmu, b->page[i]);

		if (s)
			track_write_protect(mmu, s, b->page[i]->gfn, &before);
		mmu->shadow->counts.unsync -= b->page[i]->unsync; /* reached by two parents, it is there twice */
		b->page[i]->unsync = false;
	}
	flush_spend(mmu, before);
	for (uint32_t i = 0; i < b->count; i++)
		unsync_refresh(b->mv, b->page[i], b->token);
	b->count = 0;
}

/*
 * A table with few entries in the shadow is only read again: the guest may go on writing to it, without the fault that
 * a protected table costs, which is more than this. One that is left alone is protected in the end. Linux writes one
 * entry of such a table for every instruction that it patches.
 */
static bool sync_lightly(struct sync *b, struct sp *sp)
{
	if (sp->light_syncs == LIGHT_SYNCS || present_count(sp) > LIGHT_ENTRIES)
		return false;
	sp->light_syncs++;
	unsync_refresh(b->mv, sp, b->token);
	return true;
}

/*
 * Gathers the unsync pages below sp, whose bits are cleared as they are met unless they stay unsync: other parents'
 * bits may be left set for nothing, never clear for something.
 */
static void gather(struct sync *b, struct sp *sp)
{
	uint64_t *bits = sp_unsync_bits(sp);

	for (uint32_t w = 0; w < SP_BITMAP_WORDS; w++)
		for (uint64_t left = bits[w]; left; left &= left - 1) {
			uint32_t index = w * 64 + (uint32_t)__builtin_ctzl(left);
			struct sp *child = sp_of(spte_hpa(sp->table[index]));

			if (child->unsync_children)
				gather(b, child);
			if (child->unsync_children || (child->unsync && sync_lightly(b, child)))
				continue;
			sp_bit_clear(bits, index);
			sp->unsync_children--;
			if (child->unsync)
				b->page[b->count++] = child;
			if (b->count == SYNC_BATCH)
				sync_batch(b);
		}
}

void unsync_sync_below(struct mmu_vcpu *mv, struct sp *sp, struct flush_token *token)
{
	struct sync b = { .mv = mv, .token = token };

	if (!sp->unsync_children)
		return;
	gather(&b, sp);
	if (b.count)
		sync_batch(&b);
}

void unsync_sync_entry(struct mmu_vcpu *mv, struct sp *sp, uint32_t index, struct flush_token *token)
{
	struct refresh r;

	if (!sp->unsync || sp->table[index] == SPTE_EMPTY)
		return;
	r = refresh_of(mv, sp, token);
	if (LIKELY(spte_is_present(sp->table[index])))
		sync_entry(&r, index, gpte_load(sp, index));
	else
		sync_mmio(&r, index, gpte_load(sp, index));
}
