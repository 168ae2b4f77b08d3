/*
 * The reverse map of shadow mode: from a gfn to the leafs that map it. It is a list threaded through
 * the entries' own links (4 bytes each, mmu/sp.h): the head is kept by the slot, each link holds the
 * number of the next entry, and the last holds the gfn itself. So an entry needs no memory besides
 * its link, and the key it is filed under is found on the list it is really on.
 *
 * A 4K head is 4 bytes too: they come in frames of 1024 that are allocated when first needed, ahead
 * of the lock. All under the exclusive lock.
 */
#ifndef MMU_RMAP_H
#define MMU_RMAP_H

#include "mmu/slot.h"
#include "mmu/sp.h"

#define RMAP_END BIT(31)      /* a link: the rest of it is the gfn, the list ends */
#define RMAP_GFN_LIMIT BIT(31) /* so guest-physical memory ends below 8 TiB in shadow mode */
#define RMAP_CHUNK_SHIFT 10   /* gfns per frame of heads */
#define RMAP_LONG 128         /* entries of one list; much beyond that all of them are dropped */

/* Bytes that a slot of that shape needs for its part of the reverse map and of write tracking. */
size_t rmap_slot_bytes(gfn_t base, uint64_t npages);
/* Sets up the slot's pointers into that many cleared bytes. */
void rmap_slot_init(struct slot *s, void *memory);
/* Frees the frames of heads. No entry maps a gfn of the slot. */
void rmap_slot_free(struct mmu *mmu, struct slot *s);

/* Frames of heads a slot may have. */
uint64_t rmap_chunks(const struct slot *s);

/* Frames of heads for the vCPU's next faults. Outside the lock. And the end. */
void rmap_topup(struct mmu_vcpu *mv);
void rmap_drain(struct mmu_vcpu *mv);

/* Whether gfn has a head by now; mv (may be NULL) gives a prepared frame if that is missing. */
bool rmap_reserve(struct mmu_vcpu *mv, const struct slot *s, gfn_t gfn);

/* Head of the leafs of that level over gfn, or NULL: none was ever filed there. */
static inline uint32_t *rmap_head(const struct slot *s, gfn_t gfn, int level)
{
	uint32_t *chunk;

	if (level > LEVEL_4K)
		return &s->rmap_large[level - LEVEL_2M][(gfn >> (9 * (level - 1))) - (s->base >> (9 * (level - 1)))];
	chunk = s->rmap[(gfn >> RMAP_CHUNK_SHIFT) - (s->base >> RMAP_CHUNK_SHIFT)];
	return chunk ? &chunk[gfn % BIT(RMAP_CHUNK_SHIFT)] : NULL;
}

static inline uint64_t *rmap_spte(const struct mmu *mmu, uint32_t ref)
{
	return &sp_of_ref(mmu, ref)->table[ref % SPTES_PER_TABLE];
}

static inline uint32_t rmap_next(const struct mmu *mmu, uint32_t ref)
{
	return sp_links(sp_of_ref(mmu, ref))[ref % SPTES_PER_TABLE];
}

/* First of a list, as a link: RMAP_END when it is empty. */
static inline uint32_t rmap_first(const uint32_t *head) { return head && *head ? *head : (uint32_t)RMAP_END; }

/* for (ref = rmap_first(head); !(ref & RMAP_END); ref = rmap_next(mmu, ref)) */

/* Whether the list that begins with ref has RMAP_LONG entries or more. */
bool rmap_is_long(const struct mmu *mmu, uint32_t ref);

/*
 * Whether a list that gets one more entry is to be measured: one time in eight, by no rule that a guest could keep
 * to. So a list may be a few entries longer than RMAP_LONG, and hardly ever many.
 */
static inline bool rmap_is_measured(struct mmu *mmu)
{
	mmu->rmap_dice = mmu->rmap_dice * 1664525 + 1013904223;
	return mmu->rmap_dice >> 29 == 0;
}

/*
 * Files an entry, whose link and number are given, under gfn (of the page, aligned to the leaf's size), whose head
 * exists. False: the list is too long, all of it but the entry must go.
 */
static inline bool rmap_add(struct mmu *mmu, uint32_t *head, gfn_t gfn, uint32_t *link, uint32_t ref)
{
	uint32_t first = *head;

	*link = first ? first : (uint32_t)(RMAP_END | gfn);
	*head = ref;
	return LIKELY(!first) || LIKELY(!rmap_is_measured(mmu)) || !rmap_is_long(mmu, first);
}

/* The gfn that a filed entry is filed under. */
gfn_t rmap_key(const struct mmu *mmu, const struct sp *sp, uint32_t index);
/* Takes the present leaf off its list. */
void rmap_remove(struct mmu *mmu, struct sp *sp, uint32_t index);
/* Takes leafs of the 4K-level page off their lists, and empties their entries and bits: the present ones of word w of
 * its bitmap that are given. Returns how many. */
uint32_t rmap_remove_word(struct mmu *mmu, struct sp *sp, uint32_t w, uint64_t bits);

/* ---- parents: the same list, through entries that lead to a page; head is sp->parents ---- */

void parents_add(struct sp *child, struct sp *parent, uint32_t index);
void parents_remove(struct mmu *mmu, struct sp *child, struct sp *parent, uint32_t index);

#endif
