/*
 * Random histories of an address space: the oracle.
 */
#include "tests/unit/mmu_history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "tests/unit/mmu_world.h"

struct range ranges[MAX_RANGES];
uint32_t range_count;
struct mmu mmu;
struct mmu_vcpu vcpus[VCPUS];
bool vcpu_in[VCPUS];
struct failure why;
struct tlb_entry tlb[TLB_SIZE];
static uint32_t tlb_next;

void flush_all(void *ctx, const struct flush_range *range)
{
	assert_ptr_equal(ctx, &tlb);
	assert_true(range->npages > 0);
	for (uint32_t i = 0; i < TLB_SIZE; i++) /* no more than is asked for */
		if (tlb[i].gfn - range->first < range->npages)
			tlb[i].valid = false;
}

struct range *oracle_find(gfn_t gfn)
{
	for (uint32_t i = 0; i < range_count; i++)
		if (gfn >= ranges[i].gfn && gfn < ranges[i].gfn + ranges[i].npages)
			return &ranges[i];
	return NULL;
}

bool oracle_overlaps(gfn_t gfn, uint64_t npages)
{
	for (uint32_t i = 0; i < range_count; i++)
		if (gfn < ranges[i].gfn + ranges[i].npages && ranges[i].gfn < gfn + npages)
			return true;
	return false;
}

hpa_t oracle_hpa(const struct range *r, gfn_t gfn) { return r->hpa + (gfn - r->gfn) * PAGE_SIZE; }

static bool oracle_is_mixed(const struct range *r, gfn_t first, uint64_t pages)
{
	const uint8_t *at = r->private + (first - r->gfn);

	return memcmp(at, at + 1, pages - 1) != 0;
}

void oracle_add(gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags)
{
	struct range *r = &ranges[range_count++];

	*r = (struct range){ gfn, npages, hpa, flags & SLOT_READONLY, false, false, malloc(npages), calloc(npages, 1) };
	memset(r->private, flags & SLOT_PRIVATE ? 1 : 0, npages);
}

void oracle_delete(struct range *r)
{
	free(r->private);
	free(r->dirty);
	ranges[r - ranges] = ranges[--range_count];
}

bool oracle_allows(const struct range *r, gfn_t gfn, int level)
{
	uint64_t pages = level == 3 ? 262144 : level == 2 ? 512 : 1;
	gfn_t first = gfn / pages * pages;

	return level == 1 || (first >= r->gfn && first + pages <= r->gfn + r->npages &&
			      oracle_hpa(r, first) % (pages * PAGE_SIZE) == 0 && !oracle_is_mixed(r, first, pages));
}

int oracle_level(const struct range *r, gfn_t gfn)
{
	int level = mmu.config.max_level;

	while (!oracle_allows(r, gfn, level))
		level--;
	return level;
}

void oracle_write(gfn_t gfn)
{
	struct range *r = oracle_find(gfn);

	if (r->logged)
		r->dirty[gfn - r->gfn] = 1;
}

static void leaf_agrees(gfn_t gfn, int level, uint64_t entry)
{
	const struct range *r = oracle_find(gfn);
	hpa_t hpa = entry & 0xffffffffff000ul;

	assert_non_null(r);
	assert_true(level <= mmu.config.max_level && oracle_allows(r, gfn, level));
	assert_true(hpa == oracle_hpa(r, gfn));
	assert_true((entry & 2) ? !r->readonly : r->readonly || r->was_logged);
	assert_true((entry & 1) && (mmu.config.nx_huge ? level == 1 || !(entry & 4) : (entry & 4)));
	assert_true((entry >> 3 & 7) == 6);
	assert_true(entry >> 63 == 1);
}

static void tlb_agrees(void)
{
	for (uint32_t i = 0; i < TLB_SIZE; i++) {
		const struct range *r = oracle_find(tlb[i].gfn);

		if (!tlb[i].valid)
			continue;
		assert_non_null(r);
		assert_true(tlb[i].hpa == oracle_hpa(r, tlb[i].gfn));
		assert_false(tlb[i].writable && r->readonly);
	}
}

static int frame_agrees(void *ctx, hpa_t first, uint64_t npages, enum mmu_frame_use use)
{
	uint64_t *frames = ctx;

	if (use == MMU_FRAME_MAPPED)
		return 0;
	for (uint64_t i = 0; i < npages; i++)
		assert_int_equal(frame_owner(first + i * PAGE_SIZE), OWNER_VM_META(WORLD_VM));
	*frames += npages;
	return 0;
}

void all_agrees(void)
{
	struct mmu_counts counts;
	struct mmu_stats stats;
	uint64_t frames = 0;

	why.text[0] = 0;
	if (mmu_check(&mmu, &why))
		fail_msg("%s", why.text);
	world_for_each_leaf(&mmu, leaf_agrees);
	tlb_agrees();
	mmu_for_each_frame(&mmu, frame_agrees, &frames);
	assert_true(frames == frame_count(OWNER_VM_META(WORLD_VM)));
	mmu_count(&mmu, &counts);
	mmu_stats_sum(&mmu, &stats);
	assert_true(counts.slots == range_count);
	assert_true(frames == counts.table_frames + counts.metadata_frames);
	for (int level = 1; level < ROOT_LEVEL; level++)
		assert_true(counts.mapped[level] == (uint64_t)stats.mapped[level]);
}

/* A gfn near something interesting: the edges of ranges, of large pages, of the address width. */
gfn_t random_gfn(void)
{
	gfn_t limit = BIT(mmu.config.gpa_bits - PAGE_SHIFT), gfn;
	const struct range *r = range_count ? &ranges[rnd(range_count)] : NULL;

	switch (rnd(6)) {
	case 0: gfn = rnd(16) << 18; break;
	case 1: gfn = rnd(2048) << 9; break;
	case 2: gfn = r ? r->gfn : 0; break;
	case 3: gfn = r ? r->gfn + r->npages : 0xfee00; break;
	case 4: gfn = r ? r->gfn + rnd(r->npages) : 0xfec00; break;
	default: gfn = limit - 1 - rnd(2000); break;
	}
	gfn += rnd(3) ? 0 : rnd(1030) - 515;
	return gfn & (limit - 1);
}

uint64_t random_size(void)
{
	static const uint64_t sizes[] = { 1, 2, 511, 512, 513, 1024, 5000, 262144, 262144 + 512, 600000 };

	return sizes[rnd(10)] + (rnd(3) ? 0 : rnd(700));
}

struct mmu_vcpu *random_vcpu(void)
{
	uint32_t i = (uint32_t)rnd(VCPUS);

	return vcpu_in[i] ? &vcpus[i] : &mmu.host;
}

void tlb_remember(gfn_t gfn, hpa_t hpa)
{
	struct mmu_step steps[ROOT_LEVEL];
	int n = mmu_walk_gpa(&mmu, gfn << PAGE_SHIFT, steps);
	uint64_t spte = steps[n - 1].spte;

	tlb[tlb_next++ % TLB_SIZE] = (struct tlb_entry){ gfn, hpa, spte & EPT_WRITE, spte & EPT_DIRTY, true };
}

void history_start(void)
{
	static const uint32_t widths[] = { 36, 40, 46, 48 };
	struct mmu_config config = {
		.vm_id = WORLD_VM, .hpa_bits = 46, .gpa_bits = widths[rnd(4)], .max_level = (int)rnd(3) + 1,
		.ept_ad = rnd(2), .flush = flush_all, .flush_ctx = &tlb, .pml_switch = pml_switch, .pml_sync = pml_sync,
	};

	config.pml = config.ept_ad && rnd(2);
	config.nx_huge = rnd(3) == 0;

	world_start();
	memset(tlb, 0, sizeof(tlb));
	pml_start();
	range_count = 0;
	assert_int_equal(mmu_init(&mmu, &config, &why), 0);
	/* Close to where the generation in MMIO entries comes round. */
	mmu.slots->generation = rnd(2) ? 1 : BIT(19) - 1 - rnd(20);
	for (int i = 0; i < VCPUS; i++) {
		vcpu_in[i] = true;
		mmu_vcpu_init(&vcpus[i], &mmu);
	}
}

void history_end(void)
{
	for (int i = 0; i < VCPUS; i++)
		if (vcpu_in[i])
			mmu_vcpu_destroy(&vcpus[i]);
	mmu_destroy(&mmu);
	while (range_count)
		oracle_delete(&ranges[0]);
	world_end();
}
