/*
 * The invariants of a slot by itself, recomputed from its bits.
 */
#include "mmu/check_slot.h"

#include "mmu/attr.h"
#include "mmu/dirty.h"
#include "mmu/hugepage.h"
#include "mmu/spte.h"

static int check_chunk(const struct slot *s, uint64_t i, gfn_t first, gfn_t end, struct failure *f)
{
	const struct attr_chunk *c = &s->attr[i];
	uint64_t at = first & (ATTR_CHUNK_PAGES - 1), to = at + (end - first), count = 0;

	for (uint64_t n = at / WORD_BITS; c->bits && n * WORD_BITS < to; n++)
		for (uint64_t word = c->bits[n] & bitmap_mask(n, at, to); word; word &= word - 1)
			count++;
	if (!c->bits && c->private_pages)
		count = end - first;
	if (count != c->private_pages)
		return fail(f, -EFAULT, "slot at gfn %lx: %lu pages from gfn %lx on are private, %lu are counted",
			    s->base, count, first, c->private_pages);
	if (c->bits && (count == 0 || count == end - first))
		return fail(f, -EFAULT, "slot at gfn %lx: the pages from gfn %lx on are of one kind, but have bits",
			    s->base, first);
	return 0;
}

int check_attributes(const struct slot *s, struct failure *f)
{
	gfn_t first = s->base, end;
	int err = 0;

	for (uint64_t i = 0; !err && first < slot_end(s); i++, first = end) {
		end = min_u64(slot_end(s), align_down(first, ATTR_CHUNK_PAGES) + ATTR_CHUNK_PAGES);
		err = check_chunk(s, i, first, end, f);
	}
	return err;
}

bool check_mixed(const struct slot *s, gfn_t frame, int level)
{
	gfn_t end = frame + level_pages(level), gfn = frame;
	bool private, same = true;

	if (frame < s->base || end > slot_end(s))
		return false;
	private = attr_is_private(s, frame);
	while (gfn < end && same) {
		const struct attr_chunk *c = &s->attr[attr_chunk_index(s, gfn)];

		if (c->bits) {
			same = c->bits[(gfn & (ATTR_CHUNK_PAGES - 1)) / WORD_BITS] == (private ? ~(uint64_t)0 : 0);
			gfn += WORD_BITS;
		} else {
			same = (c->private_pages != 0) == private;
			gfn = align_down(gfn, ATTR_CHUNK_PAGES) + ATTR_CHUNK_PAGES;
		}
	}
	return !same;
}

int check_derived(const struct slot *s, struct failure *f)
{
	bool logged = s->flags & SLOT_LOGGED;

	if (logged != (s->dirty != NULL))
		return fail(f, -EFAULT, "slot at gfn %lx: there is a dirty log, or none, against its flags %x",
			    s->base, s->flags);
	if (s->max_level != (logged ? LEVEL_4K : s->shape_level))
		return fail(f, -EFAULT, "slot at gfn %lx: its pages go up to level %d, of %d", s->base, s->max_level,
			    s->shape_level);
	if (((s->leaf[0] | s->leaf[1]) & EPT_WRITE) && (s->flags & SLOT_READONLY))
		return fail(f, -EFAULT, "slot at gfn %lx is read-only, its leafs are not", s->base);
	return 0;
}

int check_logged(const struct mmu *mmu, const struct slot *s, gfn_t gfn, int level, uint64_t spte,
		 struct failure *f)
{
	if (!(s->flags & SLOT_LOGGED) || !(spte & EPT_WRITE))
		return 0;
	if (level > LEVEL_4K)
		return fail(f, -EFAULT, "leaf %lx of level %d at gfn %lx is writable and the slot logged", spte,
			    level, gfn);
	/* What the CPU has logged may still be in its buffer. */
	if (!mmu->config.pml && !dirty_is_marked(s, gfn))
		return fail(f, -EFAULT, "leaf %lx at gfn %lx is writable, and the log does not have it", spte, gfn);
	return 0;
}
