/*
 * Slots: adding, deleting, finding. A change builds the new set beside the old one, publishes it
 * under the exclusive lock, zaps what the change made wrong, and frees the old set.
 */
#include "mmu/slot.h"

#include <string.h>

#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "mmu/attr.h"
#include "mmu/dirty.h"
#include "mmu/flush.h"
#include "mmu/hugepage.h"
#include "mmu/mirror.h"
#include "mmu/rmap.h"
#include "mmu/shadow_page.h"
#include "mmu/spte.h"
#include "mmu/tdp.h"
#include "mmu/tdp_work.h"

static frame_owner_t meta_owner(const struct mmu *mmu) { return OWNER_VM_META(mmu->config.vm_id); }

/* Index of the first entry whose base is above gfn. */
static uint32_t set_upper_bound(const struct slot_set *set, gfn_t gfn)
{
	uint32_t low = 0, high = set->count;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (set->entry[mid].base <= gfn)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct slot *slot_set_find(const struct slot_set *set, gfn_t gfn)
{
	uint32_t i = set_upper_bound(set, gfn);

	if (i == 0 || !slot_covers(set->entry[i - 1].slot, gfn))
		return NULL;
	return set->entry[i - 1].slot;
}

struct slot *slot_set_at(const struct slot_set *set, gfn_t gfn, struct failure *f)
{
	struct slot *s = slot_set_find(set, gfn);

	if (s && s->base == gfn)
		return s;
	fail(f, -ENOENT, "no memory slot starts at gfn %lx", gfn);
	return NULL;
}

const struct slot *slot_find_slow(struct mmu_vcpu *mv, const struct slot_set *set, gfn_t gfn)
{
	const struct slot *s = slot_set_find(set, gfn);

	if (s) {
		mv->hint = s;
		mv->hint_generation = set->generation;
	}
	return s;
}

/* A copy of the set with the next generation, not yet published; NULL when out of memory. */
static struct slot_set *set_copy(struct mmu *mmu, const struct slot_set *old)
{
	hpa_t hpa = frame_alloc(meta_owner(mmu));
	struct slot_set *set;

	if (hpa == HPA_NONE)
		return NULL;
	set = phys_to_virt(hpa);
	if (old)
		*set = *old;
	set->generation++;
	return set;
}

static void set_free(struct mmu *mmu, struct slot_set *set)
{
	frame_free(virt_to_phys(set), meta_owner(mmu));
}

void slot_derive(const struct mmu *mmu, struct slot *s)
{
	bool writable = !(s->flags & SLOT_READONLY), logged = s->flags & SLOT_LOGGED;

	s->leaf[0] = spte_make_leaf(0, LEVEL_4K, writable);
	s->leaf[1] = spte_make_leaf(0, LEVEL_2M, writable);
	if (logged && !mmu->config.pml)
		s->leaf[0] &= ~EPT_WRITE;
	if (mmu->config.nx_huge) {
		s->leaf[0] &= ~EPT_EXEC;
		s->leaf[1] &= ~EPT_EXEC;
	}
	s->max_level = logged ? LEVEL_4K : s->shape_level;
}

static struct slot *slot_alloc(struct mmu *mmu, gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags)
{
	size_t words = align_up(hugepage_words(gfn, npages), 2) * sizeof(uint32_t);
	size_t chunks = attr_chunks(gfn, npages) * sizeof(struct attr_chunk);
	size_t rmap = mmu->shadow ? rmap_slot_bytes(gfn, npages) : 0;
	uint64_t bytes = align_up(sizeof(struct slot) + chunks + words + rmap, PAGE_SIZE);
	hpa_t run = frame_alloc_run(bytes >> PAGE_SHIFT, 1, meta_owner(mmu));
	struct slot *s;

	if (run == HPA_NONE)
		return NULL;
	s = phys_to_virt(run);
	s->base = gfn;
	s->npages = npages;
	s->offset = hpa - (gfn << PAGE_SHIFT);
	s->flags = flags;
	s->run_pages = (uint32_t)(bytes >> PAGE_SHIFT);
	attr_init(s, (struct attr_chunk *)(s + 1), flags & SLOT_PRIVATE);
	hugepage_init(s, (uint32_t *)((uint8_t *)(s + 1) + chunks), mmu->config.max_level);
	s->shape_level = s->max_level;
	slot_derive(mmu, s);
	if (mmu->shadow)
		rmap_slot_init(s, (uint8_t *)(s + 1) + chunks + words);
	return s;
}

static void slot_free(struct mmu *mmu, struct slot *s)
{
	attr_destroy(mmu, s);
	if (mmu->config.kind == MMU_SHADOW) /* the shadow itself may be gone by now */
		rmap_slot_free(mmu, s);
	dirty_destroy(mmu, s);
	frame_free_run(virt_to_phys(s), s->run_pages, meta_owner(mmu));
}

static int slot_judge(const struct mmu *mmu, gfn_t gfn, uint64_t npages, hpa_t hpa, struct failure *f)
{
	uint64_t gfn_limit = min_u64(BIT(mmu->config.gpa_bits - PAGE_SHIFT),
				     mmu->shadow ? RMAP_GFN_LIMIT : UINT64_MAX);
	uint64_t pfn_limit = BIT(mmu->config.hpa_bits - PAGE_SHIFT);

	if (npages == 0)
		return fail(f, -EINVAL, "the memory slot at gfn %lx has no pages; give it at least one", gfn);
	if (gfn >= gfn_limit || npages > gfn_limit - gfn)
		return fail(f, -EINVAL,
			    "the memory slot at gfn %lx with %lu pages ends beyond gfn %lx, the last the guest "
			    "can have", gfn, npages, gfn_limit - 1);
	if (hpa == HPA_NONE || !is_aligned(hpa, PAGE_SIZE))
		return fail(f, -EINVAL,
			    "the memory slot at gfn %lx has host address %lx; it must be a 4K frame", gfn,
			    hpa);
	if (hpa >> PAGE_SHIFT >= pfn_limit || npages > pfn_limit - (hpa >> PAGE_SHIFT))
		return fail(f, -EINVAL, "the memory slot at gfn %lx ends beyond the host's %u address bits",
			    gfn, mmu->config.hpa_bits);
	return 0;
}

static int set_judge(const struct slot_set *set, gfn_t gfn, uint64_t npages, struct failure *f)
{
	uint32_t at = set_upper_bound(set, gfn);

	if (set->count == SLOTS_MAX)
		return fail(f, -ENOSPC, "the guest has %u memory slots already; use fewer, larger ones",
			    SLOTS_MAX);
	if (at > 0 && slot_covers(set->entry[at - 1].slot, gfn))
		return fail(f, -EEXIST, "the memory slot at gfn %lx starts inside the one at gfn %lx", gfn,
			    set->entry[at - 1].base);
	if (at < set->count && set->entry[at].base - gfn < npages)
		return fail(f, -EEXIST,
			    "the memory slot at gfn %lx with %lu pages reaches into the one at gfn %lx", gfn,
			    npages, set->entry[at].base);
	return 0;
}

static void set_insert(struct slot_set *set, struct slot *s)
{
	uint32_t at = set_upper_bound(set, s->base);

	memmove(&set->entry[at + 1], &set->entry[at], (set->count - at) * sizeof(set->entry[0]));
	set->entry[at] = (struct slot_entry){ s->base, s };
	set->count++;
}

static void set_remove(struct slot_set *set, uint32_t at)
{
	set->count--;
	memmove(&set->entry[at], &set->entry[at + 1], (set->count - at) * sizeof(set->entry[0]));
}

static bool share_frames(const struct slot *a, const struct slot *b)
{
	hpa_t first_a = slot_hpa(a, a->base), first_b = slot_hpa(b, b->base);

	return first_a < slot_hpa(b, slot_end(b)) && first_b < slot_hpa(a, slot_end(a));
}

static bool is_aliased(const struct slot_set *set)
{
	for (uint32_t i = 0; i < set->count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (share_frames(set->entry[i].slot, set->entry[k].slot))
				return true;
	return false;
}

static void set_store(struct mmu *mmu, struct slot_set *set)
{
	set->aliased = is_aliased(set);
	mmu->rmap_slot = NULL;
	__atomic_store_n(&mmu->slots, set, __ATOMIC_RELEASE);
	__atomic_store_n(&mmu->generation, set->generation, __ATOMIC_RELEASE);
}

/* The zap comes first, while the old slots can still be found: they hold the accounting. */
static void publish_shadow(struct mmu *mmu, struct slot_set *set, gfn_t first, uint64_t npages)
{
	struct flush_token token = flush_token_new(mmu);

	shadow_zap_range(mmu, first, npages, &token);
	set_store(mmu, set);
	if ((set->generation & SHADOW_MMIO_GENERATION_MASK) == 0)
		shadow_mmio_drop_all(mmu);
	shadow_slots_changed(mmu);
	flush_spend(mmu, token);
}

static void publish_ept(struct mmu *mmu, struct slot_set *set)
{
	set_store(mmu, set);
	if ((set->generation & SPTE_MMIO_GENERATION_MASK) == 0)
		tdp_zap_mmio(mmu);
}

/*
 * Publishes the set. The lock is held exclusively, so nobody reads the old one any more. EPT entries that the
 * change made wrong are still there and go next, hold by hold: a vCPU that meets one of them meanwhile is
 * sent back to try again (tdp_map_mmio), and the memory of a deleted slot is its owner's only after that.
 */
static void set_publish(struct mmu *mmu, struct slot_set *set, gfn_t first, uint64_t npages)
{
	struct slot_set *old = mmu->slots;

	if (mmu->shadow)
		publish_shadow(mmu, set, first, npages);
	else
		publish_ept(mmu, set);
	set_free(mmu, old);
}

/* What set_publish() has left; mmu->changes is held. */
static void zap_changed(struct mmu *mmu, gfn_t first, uint64_t npages)
{
	if (!mmu->shadow)
		tdp_work_run(mmu, tdp_work_of(first, npages, NULL), tdp_zap_some);
}

int mmu_slot_add(struct mmu *mmu, gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags, struct failure *f)
{
	struct slot_set *set = NULL;
	struct slot *slot;
	int err = slot_judge(mmu, gfn, npages, hpa, f);

	if (err)
		return err;
	slot = slot_alloc(mmu, gfn, npages, hpa, flags);
	spin_lock(&mmu->changes);
	mmu_exclusive_begin(mmu);
	err = set_judge(mmu->slots, gfn, npages, f);
	if (!err && slot)
		set = set_copy(mmu, mmu->slots);
	if (!err && !set)
		err = fail(f, -ENOMEM, "no memory is left for the record of a slot of %lu pages at gfn %lx",
			   npages, gfn);
	if (!err) {
		set_insert(set, slot);
		set_publish(mmu, set, gfn, npages);
	}
	mmu_exclusive_end(mmu);
	if (!err) /* MMIO entries, whose tables would keep it from large pages */
		zap_changed(mmu, gfn, npages);
	spin_unlock(&mmu->changes);
	if (err && slot)
		slot_free(mmu, slot);
	return err;
}

int mmu_slot_delete(struct mmu *mmu, gfn_t gfn, struct failure *f)
{
	struct slot *slot = NULL;
	struct slot_set *set;
	int err = 0;

	spin_lock(&mmu->changes);
	mmu_exclusive_begin(mmu);
	slot = slot_set_at(mmu->slots, gfn, f);
	if (!slot)
		err = -ENOENT;
	else if (!(set = set_copy(mmu, mmu->slots)))
		err = fail(f, -ENOMEM, "no memory is left to delete the slot at gfn %lx", gfn);
	else if (mmu->mirror && mirror_remove(mmu, gfn, slot->npages, NULL)) {
		/* No page reaches over a slot's edge, so there is nothing to split: it can only be this. */
		set_free(mmu, set);
		err = fail(f, -EIO, "%s", mmu->broken_why.text);
	} else {
		set_remove(set, set_upper_bound(set, gfn) - 1);
		set_publish(mmu, set, gfn, slot->npages);
	}
	mmu_exclusive_end(mmu);
	if (!err) {
		zap_changed(mmu, gfn, slot->npages);
		dirty_slot_deleted(mmu, slot);
	}
	spin_unlock(&mmu->changes);
	if (!err)
		slot_free(mmu, slot);
	return err;
}

/* ---- moving, and other flags ---- */

static int move_judge(const struct mmu *mmu, const struct slot *s, struct failure *f)
{
	if (!s)
		return -ENOENT;
	if (mmu->mirror)
		return fail(f, -EOPNOTSUPP, "the memory of a guest with private memory stays where it is");
	if (s->flags & SLOT_LOGGED)
		return fail(f, -EBUSY, "writes to the slot at gfn %lx are logged; end that first", s->base);
	if (attr_find(s, s->base, slot_end(s), !attr_is_private(s, s->base)) != slot_end(s))
		return fail(f, -EBUSY, "the slot at gfn %lx has private and shared pages; make them one kind first",
			    s->base);
	return 0;
}

/* What a move needs, all of it allocated before anything is changed. */
struct move {
	struct slot *old, *new;
	struct slot_set *without, *with; /* the sets to be published, one after the other */
};

static void move_free(struct mmu *mmu, struct move *m)
{
	if (m->new)
		slot_free(mmu, m->new);
	if (m->without)
		set_free(mmu, m->without);
	if (m->with)
		set_free(mmu, m->with);
}

static int move_prepare(struct mmu *mmu, struct move *m, gfn_t to, struct failure *f)
{
	const struct slot *old = m->old;
	uint32_t kind = attr_is_private(old, old->base) ? SLOT_PRIVATE : 0;
	int err = slot_judge(mmu, to, old->npages, slot_hpa(old, old->base), f);

	if (err)
		return err;
	m->new = slot_alloc(mmu, to, old->npages, slot_hpa(old, old->base), (old->flags & ~SLOT_PRIVATE) | kind);
	m->without = set_copy(mmu, mmu->slots);
	if (m->without)
		set_remove(m->without, set_upper_bound(m->without, old->base) - 1);
	m->with = m->without ? set_copy(mmu, m->without) : NULL;
	if (!m->new || !m->with)
		return fail(f, -ENOMEM, "no memory is left to move the slot at gfn %lx", old->base);
	err = set_judge(m->without, to, old->npages, f);
	if (!err)
		set_insert(m->with, m->new);
	return err;
}

/* changes is held. */
static void publish_alone(struct mmu *mmu, struct slot_set *set, gfn_t first, uint64_t npages)
{
	mmu_exclusive_begin(mmu);
	set_publish(mmu, set, first, npages);
	mmu_exclusive_end(mmu);
	zap_changed(mmu, first, npages);
}

int mmu_slot_move(struct mmu *mmu, gfn_t gfn, gfn_t to, struct failure *f)
{
	struct move m = { 0 };
	int err;

	spin_lock(&mmu->changes);
	m.old = slot_set_at(mmu->slots, gfn, f);
	err = move_judge(mmu, m.old, f);
	if (!err)
		err = move_prepare(mmu, &m, to, f);
	if (err) {
		move_free(mmu, &m);
	} else {
		publish_alone(mmu, m.without, gfn, m.old->npages);
		publish_alone(mmu, m.with, to, m.old->npages);
		slot_free(mmu, m.old);
	}
	spin_unlock(&mmu->changes);
	return err;
}

static int flags_judge(const struct mmu *mmu, const struct slot *s, uint32_t flags, struct failure *f)
{
	if (!s)
		return -ENOENT;
	if (flags & ~SLOT_READONLY)
		return fail(f, -EINVAL, "of a slot's flags only SLOT_READONLY can change, not %x", flags);
	if (mmu->mirror)
		return fail(f, -EOPNOTSUPP, "private memory is always writable");
	return 0;
}

static void set_flags(struct mmu *mmu, struct slot *s, uint32_t flags)
{
	struct flush_token token;

	mmu_exclusive_begin(mmu);
	token = flush_token_new(mmu);
	s->flags = (s->flags & ~SLOT_READONLY) | flags;
	slot_derive(mmu, s);
	if (mmu->shadow)
		shadow_zap_range(mmu, s->base, s->npages, &token);
	flush_spend(mmu, token);
	mmu_exclusive_end(mmu);
	zap_changed(mmu, s->base, s->npages);
}

int mmu_slot_set_flags(struct mmu *mmu, gfn_t gfn, uint32_t flags, struct failure *f)
{
	struct slot *s;
	int err;

	spin_lock(&mmu->changes);
	s = slot_set_at(mmu->slots, gfn, f);
	err = flags_judge(mmu, s, flags, f);
	if (!err && (s->flags & SLOT_READONLY) != flags)
		set_flags(mmu, s, flags);
	spin_unlock(&mmu->changes);
	return err;
}

int slot_sets_init(struct mmu *mmu)
{
	mmu->slots = set_copy(mmu, NULL);
	if (!mmu->slots)
		return -ENOMEM;
	mmu->generation = mmu->slots->generation;
	return 0;
}

void slot_sets_destroy(struct mmu *mmu)
{
	for (uint32_t i = 0; i < mmu->slots->count; i++)
		slot_free(mmu, mmu->slots->entry[i].slot);
	set_free(mmu, mmu->slots);
	mmu->slots = NULL;
}
