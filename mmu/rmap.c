/*
 * The reverse map: heads in the slots, lists through the links of the entries.
 */
#include "mmu/rmap.h"

#include "hv/base/frame.h"
#include "mmu/hugepage.h"
#include "mmu/spte.h"

static uint64_t units(gfn_t base, uint64_t npages, int shift)
{
	return ((base + npages - 1) >> shift) - (base >> shift) + 1;
}

static uint64_t chunks_of(gfn_t base, uint64_t npages) { return units(base, npages, RMAP_CHUNK_SHIFT); }

static uint64_t large_of(gfn_t base, uint64_t npages, int level) { return units(base, npages, 9 * (level - 1)); }

/* One bit per gfn, in whole words from the word that holds the base on. */
static uint64_t tracked_words(gfn_t base, uint64_t npages) { return units(base, npages, 6); }

uint64_t rmap_chunks(const struct slot *s) { return chunks_of(s->base, s->npages); }

size_t rmap_slot_bytes(gfn_t base, uint64_t npages)
{
	return (chunks_of(base, npages) + tracked_words(base, npages)) * sizeof(uint64_t) +
	       (large_of(base, npages, LEVEL_2M) + large_of(base, npages, LEVEL_1G)) * sizeof(uint32_t);
}

void rmap_slot_init(struct slot *s, void *memory)
{
	s->rmap = memory;
	s->tracked = (uint64_t *)(void *)(s->rmap + chunks_of(s->base, s->npages));
	s->rmap_large[0] = (uint32_t *)(void *)(s->tracked + tracked_words(s->base, s->npages));
	s->rmap_large[1] = s->rmap_large[0] + large_of(s->base, s->npages, LEVEL_2M);
}

void rmap_slot_free(struct mmu *mmu, struct slot *s)
{
	for (uint64_t i = 0; i < rmap_chunks(s); i++)
		if (s->rmap[i])
			frame_free(virt_to_phys(s->rmap[i]), OWNER_VM_META(mmu->config.vm_id));
}

void rmap_topup(struct mmu_vcpu *mv)
{
	struct shadow_vcpu *sv = &mv->shadow;

	while (sv->chunk_count < SHADOW_CHUNKS) {
		hpa_t frame = frame_alloc(OWNER_VM_META(mv->mmu->config.vm_id));

		if (frame == HPA_NONE)
			return;
		sv->chunk[sv->chunk_count++] = phys_to_virt(frame);
	}
}

void rmap_drain(struct mmu_vcpu *mv)
{
	struct shadow_vcpu *sv = &mv->shadow;

	while (sv->chunk_count > 0)
		frame_free(virt_to_phys(sv->chunk[--sv->chunk_count]), OWNER_VM_META(mv->mmu->config.vm_id));
}

bool rmap_reserve(struct mmu_vcpu *mv, const struct slot *s, gfn_t gfn)
{
	uint32_t **chunk = &s->rmap[(gfn >> RMAP_CHUNK_SHIFT) - (s->base >> RMAP_CHUNK_SHIFT)];

	if (LIKELY(*chunk))
		return true;
	if (!mv || mv->shadow.chunk_count == 0)
		return false;
	*chunk = mv->shadow.chunk[--mv->shadow.chunk_count];
	mv->mmu->chunks++;
	return true;
}

bool rmap_is_long(const struct mmu *mmu, uint32_t ref)
{
	uint32_t count = 0;

	for (; !(ref & RMAP_END) && count < RMAP_LONG; ref = rmap_next(mmu, ref))
		count++;
	return count == RMAP_LONG;
}

gfn_t rmap_key(const struct mmu *mmu, const struct sp *sp, uint32_t index)
{
	uint32_t link = sp_links(sp)[index];

	while (UNLIKELY(!(link & RMAP_END)))
		link = rmap_next(mmu, link);
	return link & ~RMAP_END;
}

/* Takes ref off the list at *head; an empty list has head 0. */
static void list_remove(struct mmu *mmu, uint32_t *head, uint32_t ref)
{
	uint32_t next = rmap_next(mmu, ref), at = *head;

	if (LIKELY(at == ref)) {
		*head = next & RMAP_END ? 0 : next;
		return;
	}
	while (rmap_next(mmu, at) != ref) {
		at = rmap_next(mmu, at);
		INVARIANT(!(at & RMAP_END));
	}
	sp_links(sp_of_ref(mmu, at))[at % SPTES_PER_TABLE] = next;
}

/* The list of leafs whose first is ref, which maps that frame, if it is the one of the frame's gfn in slot s: being
 * the first there is proof of the key, and spares the walk to the list's end. Else NULL. */
static inline uint32_t *head_by_frame(const struct slot *s, int level, hpa_t frame, uint32_t ref)
{
	gfn_t gfn = (frame - s->offset) >> PAGE_SHIFT;
	uint32_t *head = slot_covers(s, gfn) ? rmap_head(s, gfn, level) : NULL;

	return head && *head == ref ? head : NULL;
}

/* By the entry's key, whose slot becomes the one that is tried first. */
static NOINLINE void remove_by_key(struct mmu *mmu, struct sp *sp, uint32_t index)
{
	gfn_t gfn = rmap_key(mmu, sp, index);
	const struct slot *s = slot_set_find(mmu->slots, gfn);
	uint32_t *head = s ? rmap_head(s, gfn, sp->level) : NULL;

	INVARIANT(head && *head);
	list_remove(mmu, head, sp_ref(sp, index));
	mmu->rmap_slot = s;
}

static inline void remove_leaf(struct mmu *mmu, struct sp *sp, uint32_t index, int level, hpa_t frame, uint32_t next)
{
	const struct slot *s = mmu->rmap_slot;
	uint32_t *head = LIKELY(s) ? head_by_frame(s, level, frame, sp_ref(sp, index)) : NULL;

	if (LIKELY(head))
		*head = next & RMAP_END ? 0 : next;
	else
		remove_by_key(mmu, sp, index);
}

void rmap_remove(struct mmu *mmu, struct sp *sp, uint32_t index)
{
	remove_leaf(mmu, sp, index, sp->level, spte_hpa(sp->table[index]), sp_links(sp)[index]);
}

uint32_t rmap_remove_word(struct mmu *mmu, struct sp *sp, uint32_t w, uint64_t bits)
{
	uint64_t *table = sp->table;
	const uint32_t *links = sp_links(sp);
	uint32_t count = 0;

	sp_present_bits(sp)[w] &= ~bits;
	sp_seen_bits(sp)[w] &= ~bits;
	for (; bits; bits &= bits - 1, count++) {
		uint32_t index = w * 64 + (uint32_t)__builtin_ctzl(bits);

		remove_leaf(mmu, sp, index, LEVEL_4K, spte_hpa(table[index]), links[index]);
		spte_write(&table[index], SPTE_EMPTY);
	}
	return count;
}

void parents_add(struct sp *child, struct sp *parent, uint32_t index)
{
	sp_links(parent)[index] = child->parents ? child->parents : (uint32_t)RMAP_END;
	child->parents = sp_ref(parent, index);
}

void parents_remove(struct mmu *mmu, struct sp *child, struct sp *parent, uint32_t index)
{
	INVARIANT(child->parents);
	list_remove(mmu, &child->parents, sp_ref(parent, index));
}
