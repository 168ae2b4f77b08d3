/*
 * Copies of tables of the guest: who has them, and who has to give one up.
 */
#include "mmu/seen.h"

#include <string.h>

#include "hv/base/frame.h"
#include "mmu/shadow_page.h"

static struct seen_tables *tables_of(const struct mmu *mmu) { return &mmu->shadow->seen; }

void seen_limit(struct mmu *mmu, uint64_t pages)
{
	tables_of(mmu)->limit = (uint32_t)min_u64(max_u64(pages / SEEN_PART, SEEN_TABLES_MIN), SEEN_TABLES);
}

void seen_topup(struct mmu_vcpu *mv)
{
	hpa_t frame;

	if (LIKELY(mv->shadow.seen) || tables_of(mv->mmu)->count >= tables_of(mv->mmu)->limit)
		return;
	frame = frame_alloc(OWNER_VM_META(mv->mmu->config.vm_id));
	if (frame != HPA_NONE)
		mv->shadow.seen = phys_to_virt(frame);
}

void seen_drain(struct mmu_vcpu *mv)
{
	if (mv->shadow.seen)
		frame_free(virt_to_phys(mv->shadow.seen), OWNER_VM_META(mv->mmu->config.vm_id));
	mv->shadow.seen = NULL;
}

/* The vCPU's frame becomes one more copy; NULL: it has none, or there are enough. */
static struct seen *add(struct mmu_vcpu *mv)
{
	struct seen_tables *t = tables_of(mv->mmu);
	struct seen *s = &t->copy[t->count];

	if (!mv->shadow.seen || t->count >= t->limit)
		return NULL;
	s->table = mv->shadow.seen;
	mv->shadow.seen = NULL;
	t->count++;
	return s;
}

/* The next that is nobody's or has not been used for a round. */
static struct seen *recycle(struct seen_tables *t)
{
	struct seen *s;

	if (t->count == 0)
		return NULL;
	for (;;) {
		s = &t->copy[t->hand];
		t->hand = (t->hand + 1) % t->count;
		if (!s->owner || !s->used)
			return s;
		s->used = false;
	}
}

static void take_from_owner(struct seen *s)
{
	if (!s->owner)
		return;
	memset(sp_seen_bits(s->owner), 0, SP_BITMAP_WORDS * sizeof(uint64_t));
	s->owner->seen = 0;
}

void seen_give(struct mmu_vcpu *mv, struct sp *sp)
{
	struct seen_tables *t = tables_of(mv->mmu);
	struct seen *s = add(mv);

	if (!s)
		s = recycle(t);
	if (!s)
		return;
	take_from_owner(s);
	s->owner = sp;
	s->used = false;
	sp->seen = (uint8_t)(s - t->copy + 1);
}

void seen_put(struct mmu *mmu, struct sp *sp)
{
	if (!sp->seen)
		return;
	seen_entry(mmu, sp)->owner = NULL;
	sp->seen = 0;
}

void seen_destroy(struct mmu *mmu)
{
	struct seen_tables *t = tables_of(mmu);

	for (uint32_t i = 0; i < t->count; i++) {
		INVARIANT(!t->copy[i].owner);
		frame_free(virt_to_phys(t->copy[i].table), OWNER_VM_META(mmu->config.vm_id));
	}
	t->count = 0;
}
