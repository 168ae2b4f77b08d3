/*
 * Looking at an address space from outside.
 */
#include "mmu/inspect.h"

#include <string.h>

#include "mmu/attr.h"
#include "mmu/dirty.h"
#include "mmu/flush.h"
#include "mmu/mirror.h"
#include "mmu/rmap.h"
#include "mmu/shadow_page.h"
#include "mmu/slot.h"
#include "mmu/sp.h"

int mmu_walk_gpa(struct mmu *mmu, gpa_t gpa, struct mmu_step steps[ROOT_LEVEL])
{
	gfn_t gfn = gpa >> PAGE_SHIFT;
	hpa_t table;
	int n = 0;

	if (mmu->mirror && !mirror_is_meant(mmu, gpa))
		gfn = (gpa & ~BIT(mmu->config.shared_bit)) >> PAGE_SHIFT;
	if (mmu->shadow || gfn >> (mmu->config.gpa_bits - PAGE_SHIFT))
		return 0;
	mmu_exclusive_begin(mmu);
	table = sp_hpa(mirror_is_meant(mmu, gpa) ? mmu->mirror : mmu->root);
	for (int level = ROOT_LEVEL; level > 0; level--) {
		uint32_t index = spte_index(gfn, level);
		uint64_t spte = spte_read((uint64_t *)phys_to_virt(table) + index);

		steps[n++] = (struct mmu_step){ level, table, index, spte, spte_kind(spte, level) };
		if (!spte_is_table(spte, level))
			break;
		table = spte_hpa(spte);
	}
	mmu_exclusive_end(mmu);
	return n;
}

static void count_table(const struct sp *sp, struct mmu_counts *counts)
{
	counts->tables++;
	for (uint32_t i = 0; i < SPTES_PER_TABLE; i++) {
		uint64_t spte = spte_read(&sp->table[i]);

		if (spte_is_table(spte, sp->level))
			count_table(sp_of(spte_hpa(spte)), counts);
		else if (spte_is_present(spte))
			counts->mapped[sp->level]++;
		else if (spte_is_mmio(spte))
			counts->mapped[0]++;
	}
}

static void count_shadow(const struct mmu *mmu, struct mmu_counts *counts)
{
	for (const struct sp *sp = mmu->shadow->newest; sp; sp = sp->older) {
		counts->tables++;
		counts->mapped[0] += sp->mmios;
		for (uint32_t i = 0; i < SPTES_PER_TABLE; i++)
			if (spte_is_present(sp->table[i]) && spte_is_leaf(sp->table[i], sp->level))
				counts->mapped[sp->level]++;
	}
}

/* Whether the frame that the 4K table maps could be one 2M page, but for that table. */
static bool was_split(const struct mmu *mmu, const struct sp *sp)
{
	const struct slot *s = slot_set_find(mmu->slots, sp->gfn);

	return s && mmu->config.external->max_level > LEVEL_4K && s->shape_level > LEVEL_4K &&
	       hugepage_initial(s, hugepage_index(s, sp->gfn, LEVEL_2M), LEVEL_2M) == 0;
}

static void count_mirror(const struct mmu *mmu, const struct sp *sp, struct mmu_counts *counts)
{
	counts->mirror.tables++;
	counts->mirror.kept_4k += sp->level == LEVEL_4K && was_split(mmu, sp);
	for (uint32_t i = 0; i < SPTES_PER_TABLE; i++) {
		uint64_t spte = spte_read(&sp->table[i]);

		if (spte_is_table(spte, sp->level))
			count_mirror(mmu, sp_of(spte_hpa(spte)), counts);
		else if (spte_is_present(spte))
			counts->mirror.mapped[sp->level]++;
	}
}

static void count_waits(const struct mmu *mmu, struct mmu_counts *counts)
{
	counts->waits.readers = mmu->lock.of_readers;
	for (const struct rw_reader *r = mmu->lock.readers; r; r = r->next)
		rw_waits_add(&counts->waits.readers, &r->waits);
	counts->waits.writers = mmu->lock.for_writers;
	counts->waits.for_readers = mmu->lock.for_readers;
	counts->waits.flushes = mmu->flush.waits;
}

void mmu_count(struct mmu *mmu, struct mmu_counts *counts)
{
	memset(counts, 0, sizeof(*counts));
	mmu_exclusive_begin(mmu);
	if (mmu->shadow)
		count_shadow(mmu, counts);
	else
		count_table(mmu->root, counts);
	if (mmu->mirror)
		count_mirror(mmu, mmu->mirror, counts);
	counts->mirror.tracks = mmu->flush.tracks;
	counts->mirror.kicks = mmu->mirror_kicks;
	counts->mirror.refused = mmu->mirror_refused;
	counts->slots = mmu->slots->count;
	counts->metadata_frames = 1;
	for (uint32_t i = 0; i < mmu->slots->count; i++) {
		counts->pages += mmu->slots->entry[i].slot->npages;
		counts->metadata_frames += mmu->slots->entry[i].slot->run_pages;
		counts->metadata_frames += attr_frames(mmu->slots->entry[i].slot);
		counts->metadata_frames += dirty_frames(mmu->slots->entry[i].slot);
		if (mmu->shadow)
			hugepage_count(mmu->slots->entry[i].slot, &counts->shadowed);
	}
	counts->table_frames = mmu->pool.block_count * SP_BLOCK_FRAMES;
	counts->flushes = mmu->flush.count;
	count_waits(mmu, counts);
	mmu_exclusive_end(mmu);
}

/* Adds what one vCPU has counted; a vCPU that goes leaves its counts with the host's. */
void mmu_stats_add(struct mmu_stats *to, const struct mmu_stats *from)
{
	for (int i = 0; i < FAULT_RESULTS; i++)
		to->faults[i] += from->faults[i];
	for (int i = 0; i < ROOT_LEVEL; i++) {
		to->installed[i] += from->installed[i];
		to->mapped[i] += from->mapped[i];
		to->mirror.mapped[i] += from->mirror.mapped[i];
	}
	to->mirror.tables += from->mirror.tables;
	to->mirror.removed += from->mirror.removed;
	to->mirror.demoted += from->mirror.demoted;
	to->spurious += from->spurious;
	to->tables += from->tables;
	to->splits += from->splits;
	to->granted += from->granted;
	to->collapses += from->collapses;
}

void mmu_stats_sum(struct mmu *mmu, struct mmu_stats *sum)
{
	memset(sum, 0, sizeof(*sum));
	mmu_exclusive_begin(mmu);
	for (struct rw_reader *r = mmu->lock.readers; r; r = r->next)
		mmu_stats_add(sum, &CONTAINER_OF(r, struct mmu_vcpu, reader)->stats);
	mmu_exclusive_end(mmu);
}

struct visit {
	int (*fn)(void *ctx, hpa_t first, uint64_t npages, enum mmu_frame_use use);
	void *ctx;
};

static int visit_leafs(const struct visit *v, const struct sp *sp, enum mmu_frame_use use)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < SPTES_PER_TABLE; i++) {
		uint64_t spte = spte_read(&sp->table[i]);

		if (spte_is_table(spte, sp->level))
			err = visit_leafs(v, sp_of(spte_hpa(spte)), use);
		else if (spte_is_present(spte))
			err = v->fn(v->ctx, spte_hpa(spte), level_pages(sp->level), use);
	}
	return err;
}

static int visit_slot(const struct visit *v, const struct slot *s)
{
	size_t chunks = attr_chunks(s->base, s->npages);
	int err = v->fn(v->ctx, virt_to_phys(s), s->run_pages, MMU_FRAME_META);

	if (!err && s->dirty)
		err = v->fn(v->ctx, virt_to_phys(s->dirty), dirty_frames(s), MMU_FRAME_META);
	for (size_t i = 0; !err && i < chunks; i++)
		if (s->attr[i].bits)
			err = v->fn(v->ctx, virt_to_phys(s->attr[i].bits), 1, MMU_FRAME_META);
	return err;
}

static int visit_slots(const struct visit *v, const struct slot_set *set)
{
	int err = v->fn(v->ctx, virt_to_phys(set), 1, MMU_FRAME_META);

	for (uint32_t i = 0; !err && i < set->count; i++)
		err = visit_slot(v, set->entry[i].slot);
	return err;
}

static int visit_shadow_leafs(const struct visit *v, const struct mmu *mmu)
{
	int err = 0;

	for (const struct sp *sp = mmu->shadow->newest; !err && sp; sp = sp->older)
		for (uint32_t i = 0; !err && i < SPTES_PER_TABLE; i++)
			if (spte_is_present(sp->table[i]) && spte_is_leaf(sp->table[i], sp->level))
				err = v->fn(v->ctx, spte_hpa(sp->table[i]), level_pages(sp->level), MMU_FRAME_MAPPED);
	return err;
}

static int visit_frame(const struct visit *v, const void *frame, uint64_t npages)
{
	return frame ? v->fn(v->ctx, virt_to_phys(frame), npages, MMU_FRAME_META) : 0;
}

static int visit_vcpus(const struct visit *v, const struct mmu *mmu)
{
	int err = 0;

	for (const struct rw_reader *r = mmu->lock.readers; !err && r; r = r->next) {
		const struct shadow_vcpu *sv = &CONTAINER_OF(r, const struct mmu_vcpu, reader)->shadow;

		err = visit_frame(v, sv->pae, 1);
		for (uint32_t i = 0; !err && i < sv->chunk_count; i++)
			err = visit_frame(v, sv->chunk[i], 1);
	}
	return err;
}

static int visit_heads(const struct visit *v, const struct slot *s)
{
	int err = 0;

	for (uint64_t i = 0; !err && i < rmap_chunks(s); i++)
		err = visit_frame(v, s->rmap[i], 1);
	return err;
}

/* Everything of shadow mode: leafs, and what the tables, slots and vCPUs have besides. */
static int visit_shadow(const struct visit *v, const struct mmu *mmu)
{
	int err = visit_shadow_leafs(v, mmu);

	if (!err)
		err = visit_frame(v, mmu->shadow, SHADOW_FRAMES);
	for (uint32_t i = 0; !err && i < SP_DIRECTORY; i++)
		err = visit_frame(v, mmu->pool.directory[i], 1);
	for (uint32_t i = 0; !err && i < mmu->slots->count; i++)
		err = visit_heads(v, mmu->slots->entry[i].slot);
	return err ? err : visit_vcpus(v, mmu);
}

/* The frame of headers, then the tables, some of which have been given away. Those that are lost are nobody's. */
static int visit_block(const struct visit *v, const struct sp *block)
{
	int err = v->fn(v->ctx, virt_to_phys(block), 1, MMU_FRAME_TABLE);

	for (uint32_t i = 1; !err && i < SP_BLOCK_FRAMES; i++) {
		if (block[i].state != SP_LOST)
			err = v->fn(v->ctx, virt_to_phys(block) + i * PAGE_SIZE, 1,
				    block[i].state == SP_EXTERNAL ? MMU_FRAME_EXTERNAL : MMU_FRAME_TABLE);
	}
	return err;
}

int mmu_for_each_frame(struct mmu *mmu,
		       int (*fn)(void *ctx, hpa_t first, uint64_t npages, enum mmu_frame_use use), void *ctx)
{
	struct visit v = { fn, ctx };
	int err;

	mmu_exclusive_begin(mmu);
	err = mmu->shadow ? visit_shadow(&v, mmu) : visit_leafs(&v, mmu->root, MMU_FRAME_MAPPED);
	if (!err && mmu->mirror)
		err = visit_leafs(&v, mmu->mirror, MMU_FRAME_PRIVATE);
	if (!err)
		err = visit_slots(&v, mmu->slots);
	for (struct sp *block = mmu->pool.blocks; !err && block; block = block->next)
		err = visit_block(&v, block);
	mmu_exclusive_end(mmu);
	return err;
}

bool mmu_slot_next(struct mmu *mmu, gfn_t *gfn, uint64_t *npages)
{
	const struct slot_set *set;
	uint32_t i = 0;
	bool found;

	mmu_exclusive_begin(mmu);
	set = mmu->slots;
	while (i < set->count && set->entry[i].base < *gfn)
		i++;
	found = i < set->count;
	if (found) {
		*gfn = set->entry[i].base;
		*npages = set->entry[i].slot->npages;
	}
	mmu_exclusive_end(mmu);
	return found;
}
