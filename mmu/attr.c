/*
 * The private/shared attribute: storage, the mixed flag, and changing it.
 *
 * A change works through its range by pieces of at most 1 GiB, one hold of the lock each: exactly the
 * pages that change kind are zapped, split off from large pages that reach beyond, then come attributes
 * and flags. What can fail has been done before.
 */
#include "mmu/attr.h"

#include <string.h>

#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "mmu/flush.h"
#include "mmu/hugepage.h"
#include "mmu/mirror.h"
#include "mmu/sp.h"
#include "mmu/tdp.h"
#include "mmu/tdp_work.h"

/* ---- storage ---- */

size_t attr_chunks(gfn_t base, uint64_t npages)
{
	return ((base + npages - 1) >> ATTR_CHUNK_SHIFT) - (base >> ATTR_CHUNK_SHIFT) + 1;
}

/* The chunk's part of the slot. */
static gfn_t chunk_first(const struct slot *s, uint64_t i)
{
	return max_u64(s->base, ((s->base >> ATTR_CHUNK_SHIFT) + i) << ATTR_CHUNK_SHIFT);
}

static gfn_t chunk_end(const struct slot *s, uint64_t i)
{
	return min_u64(slot_end(s), ((s->base >> ATTR_CHUNK_SHIFT) + i + 1) << ATTR_CHUNK_SHIFT);
}

void attr_init(struct slot *s, struct attr_chunk *chunks, bool private)
{
	size_t count = attr_chunks(s->base, s->npages);

	s->attr = chunks;
	for (uint64_t i = 0; i < count; i++) {
		chunks[i].bits = NULL;
		chunks[i].private_pages = private ? chunk_end(s, i) - chunk_first(s, i) : 0;
	}
}

static void bits_free(struct mmu *mmu, struct attr_chunk *c)
{
	if (c->bits)
		frame_free(virt_to_phys(c->bits), OWNER_VM_META(mmu->config.vm_id));
	c->bits = NULL;
}

uint64_t attr_frames(const struct slot *s)
{
	size_t count = attr_chunks(s->base, s->npages);
	uint64_t frames = 0;

	for (uint64_t i = 0; i < count; i++)
		frames += s->attr[i].bits != NULL;
	return frames;
}

void attr_destroy(struct mmu *mmu, struct slot *s)
{
	size_t count = attr_chunks(s->base, s->npages);

	for (uint64_t i = 0; i < count; i++)
		bits_free(mmu, &s->attr[i]);
}

/* Within one chunk that has bits. */
static gfn_t find_bit(const struct attr_chunk *c, gfn_t first, gfn_t end, bool private)
{
	gfn_t base = align_down(first, ATTR_CHUNK_PAGES);
	uint64_t at = first - base, to = end - base;

	for (uint64_t n = at / WORD_BITS; n * WORD_BITS < to; n++) {
		uint64_t word = (private ? c->bits[n] : ~c->bits[n]) & bitmap_mask(n, at, to);

		if (word)
			return base + n * WORD_BITS + (uint64_t)__builtin_ctzl(word);
	}
	return end;
}

gfn_t attr_find(const struct slot *s, gfn_t first, gfn_t end, bool private)
{
	while (first < end) {
		uint64_t i = attr_chunk_index(s, first);
		gfn_t upto = min_u64(end, chunk_end(s, i));

		if (s->attr[i].bits)
			first = find_bit(&s->attr[i], first, upto, private);
		else if ((s->attr[i].private_pages != 0) != private)
			first = upto;
		if (first < upto)
			return first;
	}
	return end;
}

/* Frames prepared for the chunks at the two ends of a range. */
struct spare_bits {
	hpa_t frame[2];
};

/* Whether setting [first, end) makes a chunk of one kind mixed. */
static bool needs_bits(const struct slot *s, uint64_t i, gfn_t first, gfn_t end, bool private)
{
	const struct attr_chunk *c = &s->attr[i];

	return !c->bits && (c->private_pages != 0) != private &&
	       (first > chunk_first(s, i) || end < chunk_end(s, i));
}

static void spare_free(struct mmu *mmu, struct spare_bits *spare)
{
	for (int n = 0; n < 2; n++)
		if (spare->frame[n] != HPA_NONE)
			frame_free(spare->frame[n], OWNER_VM_META(mmu->config.vm_id));
}

static bool spare_alloc(struct mmu *mmu, const struct slot *s, gfn_t first, gfn_t end, bool private,
			struct spare_bits *spare)
{
	uint64_t chunk[2] = { attr_chunk_index(s, first), attr_chunk_index(s, end - 1) };
	bool enough = true;

	for (int n = 0; n < 2; n++) {
		bool need = needs_bits(s, chunk[n], first, end, private) && (n == 0 || chunk[1] != chunk[0]);

		spare->frame[n] = need ? frame_alloc(OWNER_VM_META(mmu->config.vm_id)) : HPA_NONE;
		enough &= !need || spare->frame[n] != HPA_NONE;
	}
	if (!enough)
		spare_free(mmu, spare);
	return enough;
}

static uint64_t *spare_take(struct spare_bits *spare)
{
	hpa_t *frame = &spare->frame[spare->frame[0] == HPA_NONE];
	uint64_t *bits = phys_to_virt(*frame);

	INVARIANT(*frame != HPA_NONE);
	*frame = HPA_NONE;
	return bits;
}

static void set_bits(struct attr_chunk *c, gfn_t first, gfn_t end, bool private)
{
	gfn_t base = align_down(first, ATTR_CHUNK_PAGES);
	uint64_t at = first - base, to = end - base;

	for (uint64_t n = at / WORD_BITS; n * WORD_BITS < to; n++) {
		uint64_t mask = bitmap_mask(n, at, to), old = c->bits[n];

		c->bits[n] = private ? old | mask : old & ~mask;
		c->private_pages += bitmap_weight(c->bits[n]);
		c->private_pages -= bitmap_weight(old);
	}
}

/* [first, end) is within chunk i. */
static void set_chunk(struct mmu *mmu, struct slot *s, uint64_t i, gfn_t first, gfn_t end, bool private,
		      struct spare_bits *spare)
{
	struct attr_chunk *c = &s->attr[i];
	uint64_t pages = chunk_end(s, i) - chunk_first(s, i);

	if (needs_bits(s, i, first, end, private)) {
		c->bits = spare_take(spare);
		if (!private)
			memset(c->bits, 0xff, PAGE_SIZE);
	}
	if (c->bits)
		set_bits(c, first, end, private);
	else
		c->private_pages = private ? pages : 0;
	if (c->private_pages == 0 || c->private_pages == pages)
		bits_free(mmu, c);
}

static void set_range(struct mmu *mmu, struct slot *s, gfn_t first, gfn_t end, bool private,
		      struct spare_bits *spare)
{
	while (first < end) {
		uint64_t i = attr_chunk_index(s, first);
		gfn_t upto = min_u64(end, chunk_end(s, i));

		set_chunk(mmu, s, i, first, upto, private, spare);
		first = upto;
	}
}

/* ---- the mixed flag ---- */

static bool is_inside(const struct slot *s, gfn_t first, int level)
{
	return first >= s->base && level_pages(level) <= slot_end(s) - first;
}

static bool mixed_2m(const struct slot *s, gfn_t first)
{
	const struct attr_chunk *c = &s->attr[attr_chunk_index(s, first)];
	const uint64_t *bits;

	if (!c->bits)
		return false;
	bits = c->bits + (first & (ATTR_CHUNK_PAGES - 1)) / WORD_BITS;
	for (uint64_t n = 0; n < level_pages(LEVEL_2M) / WORD_BITS; n++)
		if (bits[n] != (bits[0] & 1 ? ~(uint64_t)0 : 0))
			return true;
	return false;
}

/* A chunk has bits only when it is mixed, so a frame of several chunks needs no look at them. */
static bool mixed_1g(const struct slot *s, gfn_t first)
{
	const struct attr_chunk *c = &s->attr[attr_chunk_index(s, first)];

	for (uint64_t n = 0; n < level_pages(LEVEL_1G) / ATTR_CHUNK_PAGES; n++)
		if (c[n].bits || (c[n].private_pages != 0) != (c[0].private_pages != 0))
			return true;
	return false;
}

bool attr_frame_is_mixed(const struct slot *s, gfn_t first, int level)
{
	return is_inside(s, first, level) && (level == LEVEL_2M ? mixed_2m(s, first) : mixed_1g(s, first));
}

static void flag_frames(const struct slot *s, gfn_t first, gfn_t end, int level)
{
	gfn_t frame = align_down(first, level_pages(level));

	for (; frame < end; frame += level_pages(level))
		if (is_inside(s, frame, level))
			hugepage_set_mixed(s, frame, level, attr_frame_is_mixed(s, frame, level));
}

/* ---- changing ---- */

struct change {
	struct mmu *mmu;
	struct slot *slot;
	bool private;
	struct spare_bits bits;
	struct sp_reserve tables;
};

/*
 * Zaps what [first, end) has of the other kind, and nothing else. Where a run of it ends in the middle of
 * a large page, that is an end of the whole range, as a large page is of one kind: so the tables last.
 */
static struct flush_token zap_others(struct change *c, gfn_t first, gfn_t end)
{
	struct flush_token token = flush_token_new(c->mmu);

	while ((first = attr_find(c->slot, first, end, !c->private)) < end) {
		gfn_t upto = attr_find(c->slot, first, end, c->private);

		token = flush_merge(c->mmu, token, tdp_zap(c->mmu, first, upto - first, &c->tables));
		first = upto;
	}
	return token;
}

/* 0, or an error of mirror_remove(). */
static int change_piece(struct change *c, gfn_t first, gfn_t end)
{
	struct flush_token token;
	int err = 0;

	mmu_exclusive_begin(c->mmu);
	if (c->mmu->mirror && !c->private)
		err = mirror_remove(c->mmu, first, end - first, &c->tables);
	if (!err) {
		token = zap_others(c, first, end);
		set_range(c->mmu, c->slot, first, end, c->private, &c->bits);
		flag_frames(c->slot, first, end, LEVEL_2M);
		flag_frames(c->slot, first, end, LEVEL_1G);
		flush_spend(c->mmu, token);
	}
	mmu_exclusive_end(c->mmu);
	return err;
}

/* Large pages come back where all of their frame is of one kind again. */
static void collapse_frames(struct mmu *mmu, const struct slot *s, gfn_t first, gfn_t end)
{
	gfn_t from = align_down(first, level_pages(hugepage_max_level(s, first)));
	gfn_t to = align_up(end, level_pages(hugepage_max_level(s, end - 1)));

	tdp_work_run(mmu, tdp_work_of(from, to - from, NULL), tdp_collapse_some);
}

/* [first, end) is within the slot. -ENOMEM: nothing was changed; else as change_piece(). */
static int change_slot(struct mmu *mmu, struct slot *s, gfn_t first, gfn_t end, bool private)
{
	struct change c = { .mmu = mmu, .slot = s, .private = private };
	gfn_t upto;
	int err = 0;

	if (attr_find(s, first, end, !private) == end)
		return 0;
	if (!spare_alloc(mmu, s, first, end, private, &c.bits))
		return -ENOMEM;
	if (!sp_reserve_fill(mmu, &c.tables)) {
		spare_free(mmu, &c.bits);
		return -ENOMEM;
	}
	for (gfn_t gfn = first; !err && gfn < end; gfn = upto) {
		upto = min_u64(end, align_down(gfn, level_pages(LEVEL_1G)) + level_pages(LEVEL_1G));
		err = change_piece(&c, gfn, upto);
		mmu_let_in();
	}
	spare_free(mmu, &c.bits);
	sp_reserve_return(mmu, &c.tables);
	collapse_frames(mmu, s, first, end);
	return err;
}

static int change_failed(const struct mmu *mmu, int err, gfn_t gfn, bool private, struct failure *f)
{
	if (err == -EAGAIN)
		return fail(f, err, "making gfn %lx and what follows shared was interrupted; ask again", gfn);
	if (err == -EIO)
		return fail(f, err, "%s", mmu->broken_why.text);
	return fail(f, -ENOMEM, "no memory is left to make gfn %lx and what follows %s", gfn,
		    private ? "private" : "shared");
}

static int judge_range(const struct mmu *mmu, gfn_t first, uint64_t npages, struct failure *f)
{
	gfn_t limit = BIT(mmu->config.gpa_bits - PAGE_SHIFT), gfn = first;

	if (mmu->config.kind != MMU_EPT)
		return fail(f, -EOPNOTSUPP, "memory is private or shared under the EPT only; this guest has mmu = shadow");
	if (npages == 0 || first >= limit || npages > limit - first)
		return fail(f, -EINVAL, "%lu pages from gfn %lx on are no part of the guest's address space",
			    npages, first);
	while (gfn < first + npages) {
		const struct slot *s = slot_set_find(mmu->slots, gfn);

		if (!s)
			return fail(f, -ENOENT, "gfn %lx is no memory, so it can be neither private nor shared",
				    gfn);
		gfn = slot_end(s);
	}
	return 0;
}

int mmu_set_attributes(struct mmu *mmu, gfn_t gfn, uint64_t npages, bool private, struct failure *f)
{
	gfn_t end = gfn + npages, upto;
	int err;

	spin_lock(&mmu->changes);
	err = judge_range(mmu, gfn, npages, f);
	for (; !err && gfn < end; gfn = upto) {
		struct slot *s = slot_set_find(mmu->slots, gfn);

		upto = min_u64(end, slot_end(s));
		err = change_slot(mmu, s, gfn, upto, private);
		if (err)
			err = change_failed(mmu, err, gfn, private, f);
	}
	spin_unlock(&mmu->changes);
	return err;
}
