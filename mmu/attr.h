/*
 * Whether a gfn is private to the guest or shared with the outside, per slot: one record per 128 MiB,
 * and a frame of bits only where both kinds occur in it. From it follows the mixed flag of the
 * large-page words (mmu/hugepage.h): set where a large frame holds both kinds.
 * Changed by mmu_set_attributes() alone (mmu/mmu.h).
 */
#ifndef MMU_ATTR_H
#define MMU_ATTR_H

#include "mmu/bitmap.h"
#include "mmu/slot.h"

#define ATTR_CHUNK_SHIFT 15 /* a frame of bits */
#define ATTR_CHUNK_PAGES BIT(ATTR_CHUNK_SHIFT)

struct attr_chunk {
	uint64_t *bits;         /* set: private. NULL: all the slot's pages in the chunk are of one kind */
	uint64_t private_pages; /* of those that the slot covers */
};

static inline uint64_t attr_chunk_index(const struct slot *s, gfn_t gfn)
{
	return (gfn >> ATTR_CHUNK_SHIFT) - (s->base >> ATTR_CHUNK_SHIFT);
}

/* gfn is covered by the slot. Inside the lock. */
static inline bool attr_is_private(const struct slot *s, gfn_t gfn)
{
	const struct attr_chunk *c = &s->attr[attr_chunk_index(s, gfn)];
	uint64_t at = gfn & (ATTR_CHUNK_PAGES - 1);

	if (LIKELY(!c->bits))
		return c->private_pages != 0;
	return c->bits[at / WORD_BITS] >> (at % WORD_BITS) & 1;
}

/* The first gfn of [first, end), which the slot covers, that is of that kind; end if none is. Inside the lock. */
gfn_t attr_find(const struct slot *s, gfn_t first, gfn_t end, bool private);

/* Records for a slot of that shape. */
size_t attr_chunks(gfn_t base, uint64_t npages);
/* Sets them up, all pages of one kind: base and npages are in place. */
void attr_init(struct slot *s, struct attr_chunk *chunks, bool private);
/* Frames of bits it has now. */
uint64_t attr_frames(const struct slot *s);
/* Frees them. */
void attr_destroy(struct mmu *mmu, struct slot *s);

/* What the flag of a large frame ought to be: the frame is wholly inside the slot and mixed. */
bool attr_frame_is_mixed(const struct slot *s, gfn_t first, int level);

#endif
