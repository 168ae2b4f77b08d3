/*
 * The dirty log: starting, stopping, fetching.
 *
 * Why nothing is lost. A page is marked inside the shared lock, together with its becoming writable or
 * being written; a word is fetched and its pages protected again inside one exclusive hold, which ends
 * with a flush. So a write that comes after the flush is noticed anew, and one that came before it is in
 * memory when the word is handed over. Model: tests/model/dirty_log.pml.
 */
#include "mmu/dirty.h"

#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "mmu/shadow_log.h"
#include "mmu/spte.h"
#include "mmu/tdp.h"
#include "mmu/tdp_work.h"
#include "mmu/track.h"

/* Words per hold of the lock. */
#define FETCH_WORDS 64

static uint64_t *log_alloc(struct mmu *mmu, const struct slot *s)
{
	uint64_t frames = align_up(s->npages, PAGE_SIZE * 8) / (PAGE_SIZE * 8);
	hpa_t run = frame_alloc_run(frames, 1, OWNER_VM_META(mmu->config.vm_id));

	return run == HPA_NONE ? NULL : phys_to_virt(run);
}

void dirty_destroy(struct mmu *mmu, struct slot *s)
{
	if (s->dirty)
		frame_free_run(virt_to_phys(s->dirty), dirty_frames(s), OWNER_VM_META(mmu->config.vm_id));
	s->dirty = NULL;
}

/* Switches the slot over, in one hold. Leafs made from now on are as the log wants them. */
static void set_logged(struct mmu *mmu, struct slot *s, bool logged)
{
	mmu_exclusive_begin(mmu);
	s->flags = logged ? s->flags | SLOT_LOGGED : s->flags & ~SLOT_LOGGED;
	slot_derive(mmu, s);
	mmu_exclusive_end(mmu);
}

/* The CPUs log while any slot is logged. changes is held, which no CPU waits for in the guest. */
static void one_more(struct mmu *mmu)
{
	if (mmu->logged_slots++ == 0 && mmu->config.pml)
		mmu->config.pml_switch(mmu->config.flush_ctx, true);
}

static void one_less(struct mmu *mmu)
{
	if (--mmu->logged_slots == 0 && mmu->config.pml)
		mmu->config.pml_switch(mmu->config.flush_ctx, false);
}

void dirty_slot_deleted(struct mmu *mmu, const struct slot *s)
{
	if (s->flags & SLOT_LOGGED)
		one_less(mmu);
}

/* Outside all locks: the vCPUs need them to hand over what their CPUs have logged. */
static void hand_over(struct mmu *mmu)
{
	if (mmu->config.pml)
		mmu->config.pml_sync(mmu->config.flush_ctx);
}

static int change(struct mmu *mmu, gfn_t gfn, int (*how)(struct mmu *mmu, struct slot *s, struct failure *f),
		  struct failure *f)
{
	struct slot *s;
	int err;

	spin_lock(&mmu->changes);
	s = slot_set_at(mmu->slots, gfn, f);
	err = s ? how(mmu, s, f) : -ENOENT;
	spin_unlock(&mmu->changes);
	return err;
}

static int start(struct mmu *mmu, struct slot *s, struct failure *f)
{
	if (s->flags & SLOT_LOGGED)
		return fail(f, -EALREADY, "writes to the slot at gfn %lx are logged already", s->base);
	s->dirty = log_alloc(mmu, s);
	if (!s->dirty)
		return fail(f, -ENOMEM, "no memory is left for the dirty log of %lu pages", s->npages);
	one_more(mmu);
	set_logged(mmu, s, true);
	if (!mmu->shadow)
		tdp_split_all(mmu, s->base, s->npages);
	tdp_work_run(mmu, tdp_work_of(s->base, s->npages, NULL),
		     mmu->shadow ? shadow_protect_some : tdp_protect_some);
	return 0;
}

/* What CPUs have logged up to now, for another slot's sake, is from before this slot's log. */
int mmu_dirty_start(struct mmu *mmu, gfn_t gfn, struct failure *f)
{
	hand_over(mmu);
	return change(mmu, gfn, start, f);
}

static int stop(struct mmu *mmu, struct slot *s, struct failure *f)
{
	if (!(s->flags & SLOT_LOGGED))
		return fail(f, -EALREADY, "writes to the slot at gfn %lx are not logged", s->base);
	set_logged(mmu, s, false);
	one_less(mmu);
	dirty_destroy(mmu, s);
	if (mmu->shadow)
		shadow_regrow(mmu, s);
	else
		tdp_work_run(mmu, tdp_work_of(s->base, s->npages, NULL), tdp_collapse_some);
	return 0;
}

int mmu_dirty_stop(struct mmu *mmu, gfn_t gfn, struct failure *f) { return change(mmu, gfn, stop, f); }

/* One word, and its pages protected again. */
static uint64_t fetch_word(struct mmu *mmu, const struct slot *s, uint64_t n, struct flush_token *token)
{
	uint64_t word = __atomic_exchange_n(&s->dirty[n], 0, __ATOMIC_ACQ_REL);

	for (uint64_t left = word; left; left &= left - 1) {
		gfn_t gfn = s->base + n * WORD_BITS + (uint64_t)__builtin_ctzl(left);

		if (mmu->shadow)
			track_write_protect(mmu, s, gfn, token);
		else
			tdp_protect(mmu, gfn, token);
	}
	return word;
}

static int64_t fetch(struct mmu *mmu, const struct slot *s, uint64_t first, uint64_t words, uint64_t *bitmap)
{
	struct flush_token token;
	uint64_t pages = 0;

	mmu_exclusive_begin(mmu);
	token = flush_token_new(mmu);
	for (uint64_t n = 0; n < words; n++) {
		uint64_t word = fetch_word(mmu, s, first + n, &token);

		pages += bitmap_weight(word);
		if (bitmap)
			bitmap[n] = word;
	}
	flush_spend(mmu, token);
	mmu_exclusive_end(mmu);
	mmu_let_in();
	return (int64_t)pages;
}

static int64_t judge_fetch(const struct slot *s, uint64_t first, uint64_t words)
{
	uint64_t all;

	if (!s)
		return -ENOENT;
	if (!(s->flags & SLOT_LOGGED))
		return -EALREADY;
	all = align_up(s->npages, WORD_BITS) / WORD_BITS;
	return first % WORD_BITS || first / WORD_BITS > all || words > all - first / WORD_BITS ? -EINVAL : 0;
}

int64_t mmu_dirty_fetch(struct mmu *mmu, gfn_t gfn, uint64_t first, uint64_t words, uint64_t *bitmap)
{
	const struct slot *s;
	int64_t pages;

	hand_over(mmu);
	spin_lock(&mmu->changes);
	s = slot_set_at(mmu->slots, gfn, NULL);
	pages = judge_fetch(s, first, words);
	for (uint64_t n = 0; pages >= 0 && n < words; n += FETCH_WORDS)
		pages += fetch(mmu, s, first / WORD_BITS + n, min_u64(words - n, FETCH_WORDS),
			       bitmap ? bitmap + n : NULL);
	spin_unlock(&mmu->changes);
	return pages;
}

void mmu_pml_drain(struct mmu_vcpu *mv, const uint64_t *gpas, uint32_t count)
{
	mmu_enter(mv);
	for (uint32_t i = 0; i < count; i++) {
		const struct slot *s = slot_find(mv, gpas[i] >> PAGE_SHIFT);

		if (s && (s->flags & SLOT_LOGGED))
			dirty_mark(s, gpas[i] >> PAGE_SHIFT);
	}
	mmu_leave(mv);
}
