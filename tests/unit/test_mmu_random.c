/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c */
/*
 * Random histories of an address space against an oracle that is a list of ranges. After each step
 * every invariant is recomputed, every reachable leaf is compared with the oracle, and so is what a
 * TLB that is emptied only by the flush callback still holds.
 */
#include "mmu/attr.h"
#include "mmu/check.h"
#include "mmu/inspect.h"
#include "mmu/slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "tests/unit/mmu_world.h"

#define VCPUS 4
#define MAX_RANGES 24
#define TLB_SIZE 64

struct range {
	gfn_t gfn;
	uint64_t npages;
	hpa_t hpa;
	bool readonly;
	uint8_t *private; /* by page */
};

static struct range ranges[MAX_RANGES];
static uint32_t range_count;
static struct mmu mmu;
static struct mmu_vcpu vcpus[VCPUS];
static bool vcpu_in[VCPUS];
static struct failure why;
static struct {
	gfn_t gfn;
	hpa_t hpa;
	bool writable, valid;
} tlb[TLB_SIZE];
static uint32_t tlb_next;

static void flush_all(void *ctx, const struct flush_range *range)
{
	assert_ptr_equal(ctx, &tlb);
	assert_true(range->npages > 0);
	memset(tlb, 0, sizeof(tlb));
}

static const struct range *oracle_find(gfn_t gfn)
{
	for (uint32_t i = 0; i < range_count; i++)
		if (gfn >= ranges[i].gfn && gfn < ranges[i].gfn + ranges[i].npages)
			return &ranges[i];
	return NULL;
}

static bool oracle_overlaps(gfn_t gfn, uint64_t npages)
{
	for (uint32_t i = 0; i < range_count; i++)
		if (gfn < ranges[i].gfn + ranges[i].npages && ranges[i].gfn < gfn + npages)
			return true;
	return false;
}

static hpa_t oracle_hpa(const struct range *r, gfn_t gfn) { return r->hpa + (gfn - r->gfn) * PAGE_SIZE; }

static bool is_private(gfn_t gfn)
{
	const struct range *r = oracle_find(gfn);

	return r->private[gfn - r->gfn];
}

static bool oracle_is_mixed(const struct range *r, gfn_t first, uint64_t pages)
{
	const uint8_t *at = r->private + (first - r->gfn);

	return memcmp(at, at + 1, pages - 1) != 0;
}

static void oracle_add(gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags)
{
	struct range *r = &ranges[range_count++];

	*r = (struct range){ gfn, npages, hpa, flags & SLOT_READONLY, malloc(npages) };
	memset(r->private, flags & SLOT_PRIVATE ? 1 : 0, npages);
}

static void oracle_delete(const struct range *r)
{
	free(r->private);
	ranges[r - ranges] = ranges[--range_count];
}

/* The largest page that is wholly inside the range, aligned on both sides, and of one kind. */
static int oracle_level(const struct range *r, gfn_t gfn)
{
	for (int level = mmu.config.max_level; level > 1; level--) {
		uint64_t pages = level == 3 ? 262144 : 512;
		gfn_t first = gfn / pages * pages;

		if (first >= r->gfn && first + pages <= r->gfn + r->npages &&
		    oracle_hpa(r, first) % (pages * PAGE_SIZE) == 0 && !oracle_is_mixed(r, first, pages))
			return level;
	}
	return 1;
}

static void leaf_agrees(gfn_t gfn, int level, uint64_t entry)
{
	const struct range *r = oracle_find(gfn);
	hpa_t hpa = entry & 0xffffffffff000ul;

	assert_non_null(r);
	assert_true(level <= oracle_level(r, gfn)); /* what was split stays so */
	assert_true(hpa == oracle_hpa(r, gfn));
	assert_true(((entry & 2) != 0) == !r->readonly);
	assert_true((entry & 5) == 5);
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

static void all_agrees(void)
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
static gfn_t random_gfn(void)
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

static uint64_t random_size(void)
{
	static const uint64_t sizes[] = { 1, 2, 511, 512, 513, 1024, 5000, 262144, 262144 + 512, 600000 };

	return sizes[rnd(10)] + (rnd(3) ? 0 : rnd(700));
}

static void op_add(void)
{
	gfn_t gfn = random_gfn(), limit = BIT(mmu.config.gpa_bits - PAGE_SHIFT);
	uint64_t npages = random_size();
	hpa_t hpa = GIB(1024) + (rnd(1000) << 30);
	uint32_t flags = (rnd(4) ? 0 : SLOT_READONLY) | (rnd(6) ? 0 : SLOT_PRIVATE);
	bool oom = world_allocs_left != ~(uint64_t)0;
	int err;

	/* Congruent modulo 1G, 2M, or neither. */
	hpa += (gfn << PAGE_SHIFT) % (rnd(3) ? GIB(1) : rnd(2) ? MIB(2) : PAGE_SIZE);
	hpa += rnd(5) ? 0 : PAGE_SIZE * rnd(600);
	err = mmu_slot_add(&mmu, gfn, npages, hpa, flags, &why);
	if (gfn + npages > limit)
		assert_int_equal(err, -EINVAL);
	else if (oracle_overlaps(gfn, npages))
		assert_int_equal(err, -EEXIST);
	else if (err)
		assert_true(err == -ENOMEM && oom);
	else
		oracle_add(gfn, npages, hpa, flags);
	if (range_count == MAX_RANGES) {
		world_allocs_left = ~(uint64_t)0;
		assert_int_equal(mmu_slot_delete(&mmu, ranges[range_count - 1].gfn, &why), 0);
		oracle_delete(&ranges[range_count - 1]);
	}
}

static void op_delete(void)
{
	gfn_t gfn = range_count && rnd(4) ? ranges[rnd(range_count)].gfn : random_gfn();
	const struct range *r = oracle_find(gfn);
	int err = mmu_slot_delete(&mmu, gfn, &why);

	if (!r || r->gfn != gfn)
		assert_int_equal(err, -ENOENT);
	else if (err)
		assert_true(err == -ENOMEM && world_allocs_left == 0);
	else
		oracle_delete(r);
}

static struct mmu_vcpu *random_vcpu(void)
{
	uint32_t i = (uint32_t)rnd(VCPUS);

	return vcpu_in[i] ? &vcpus[i] : &mmu.host;
}

static void remember(gfn_t gfn, hpa_t hpa, uint32_t rwx)
{
	uint32_t i = tlb_next++ % TLB_SIZE;

	tlb[i].gfn = gfn;
	tlb[i].hpa = hpa;
	tlb[i].writable = rwx & 2;
	tlb[i].valid = true;
}

static void mmio_agrees(struct mmu_vcpu *mv, gpa_t gpa, int level)
{
	enum mmio_result hit = mmu_mmio_hit(mv, gpa);

	assert_true(level <= 0);
	if (level == -1)
		assert_int_equal(hit, MMIO_HIT);
	else
		assert_true(hit == MMIO_STALE || hit == MMIO_HIT); /* a hit: remembered */
}

/* The level of the entry that decides about gfn now; the level a fault maps it at. */
static int level_for(const struct range *r, gfn_t gfn)
{
	struct mmu_step steps[ROOT_LEVEL];
	int n = mmu_walk_gpa(&mmu, gfn << PAGE_SHIFT, steps), here = ROOT_LEVEL + 1 - n;
	int wanted = oracle_level(r, gfn);

	return steps[n - 1].kind == SPTE_KIND_LEAF || here < wanted ? here : wanted;
}

static void op_fault(void)
{
	struct mmu_vcpu *mv = random_vcpu();
	gpa_t gpa = random_gfn() << PAGE_SHIFT | rnd(PAGE_SIZE);
	const struct range *r = oracle_find(gpa >> PAGE_SHIFT);
	uint32_t access = 1u << rnd(3), rwx;
	hpa_t hpa = 0;
	int expect = r ? level_for(r, gpa >> PAGE_SHIFT) : 0;
	enum fault_result result = mmu_fault(mv, gpa, access);
	int level = world_ept_walk(&mmu, gpa, &hpa, &rwx);

	if (result == FAULT_OUT_OF_MEMORY) {
		assert_true(r && world_allocs_left == 0);
	} else if (!r) {
		assert_int_equal(result, FAULT_MMIO);
		mmio_agrees(mv, gpa, level);
	} else if (r->readonly && access == MMU_WRITE) {
		assert_int_equal(result, FAULT_READONLY_WRITE);
	} else {
		assert_int_equal(result, FAULT_MAPPED);
		assert_int_equal(level, expect);
		assert_true(hpa == oracle_hpa(r, gpa >> PAGE_SHIFT) + (gpa & PAGE_MASK));
		assert_true((rwx & access) == access);
		remember(gpa >> PAGE_SHIFT, hpa & ~PAGE_MASK, rwx);
	}
}

static void op_premap(void)
{
	const struct range *r = range_count ? &ranges[rnd(range_count)] : NULL;
	int err;

	if (!r || oracle_level(r, r->gfn + r->npages / 2) == 1) /* too many entries */
		return;
	err = mmu_premap_slot(&mmu, r->gfn, &why);
	if (err) {
		assert_true(err == -ENOMEM && world_allocs_left == 0);
		return;
	}
	for (int i = 0; i < 20; i++) {
		gfn_t gfn = r->gfn + rnd(r->npages);
		hpa_t hpa;
		uint32_t rwx;

		assert_int_equal(world_ept_walk(&mmu, gfn << PAGE_SHIFT, &hpa, &rwx), level_for(r, gfn));
		remember(gfn, hpa, rwx);
	}
	assert_int_equal(mmu_premap_slot(&mmu, r->gfn + r->npages + 5000000, &why), -ENOENT);
}

/* Pages that an operation is not to touch, and how they are mapped before it. */
#define BYSTANDERS 12

static struct {
	gfn_t gfn;
	int level;
	hpa_t hpa;
} bystanders[BYSTANDERS];
static uint32_t bystander_count;

static int lookup(gfn_t gfn, hpa_t *hpa)
{
	bool inside = gfn >> (mmu.config.gpa_bits - PAGE_SHIFT) == 0;
	uint32_t rwx;

	*hpa = 0;
	return inside ? world_ept_walk(&mmu, gfn << PAGE_SHIFT, hpa, &rwx) : 0;
}

static void stand_by(gfn_t gfn)
{
	uint32_t i = bystander_count++;

	bystanders[i].gfn = gfn;
	bystanders[i].level = lookup(gfn, &bystanders[i].hpa);
}

/* They are mapped as before, perhaps by pages of another size; without memory for tables, large pages may be gone. */
static void bystanders_agree(bool may_lose)
{
	for (uint32_t i = 0; i < bystander_count; i++) {
		hpa_t hpa;
		int level = lookup(bystanders[i].gfn, &hpa);

		if (level == 0 && may_lose && bystanders[i].level > 1)
			continue;
		assert_true(hpa == bystanders[i].hpa || level < 0);
		assert_true((level != 0) == (bystanders[i].level != 0));
	}
	bystander_count = 0;
}

static void stand_around(gfn_t gfn, uint64_t npages)
{
	stand_by(gfn - 1);
	stand_by(gfn + npages);
	stand_by(gfn - 1 - rnd(600));
	stand_by(gfn + npages + rnd(600));
}

static void op_zap(void)
{
	gfn_t gfn = random_gfn();
	uint64_t npages = random_size();

	stand_around(gfn, npages);
	mmu_zap_range(&mmu, gfn, npages);
	bystanders_agree(world_allocs_left == 0);
	for (int i = 0; i < 20; i++) {
		hpa_t hpa;

		assert_int_equal(lookup(gfn + rnd(npages), &hpa), 0);
	}
	for (uint32_t i = 0; i < TLB_SIZE; i++)
		assert_false(tlb[i].valid && tlb[i].gfn >= gfn && tlb[i].gfn < gfn + npages);
}

static int oracle_judge(gfn_t gfn, uint64_t npages)
{
	if (gfn + npages > BIT(mmu.config.gpa_bits - PAGE_SHIFT))
		return -EINVAL;
	for (gfn_t at = gfn; at < gfn + npages;) {
		const struct range *r = oracle_find(at);

		if (!r)
			return -ENOENT;
		at = r->gfn + r->npages;
	}
	return 0;
}

/* What changes kind is gone from the TLB, and from the EPT unless a large page of the new kind is there. */
static void kinds_changed(gfn_t gfn, uint64_t npages, bool private)
{
	for (int i = 0; i < 20; i++) {
		gfn_t at = gfn + rnd(npages);
		hpa_t hpa;

		if (is_private(at) != private)
			assert_true(lookup(at, &hpa) != 1);
	}
	for (uint32_t i = 0; i < TLB_SIZE; i++)
		if (tlb[i].valid && tlb[i].gfn >= gfn && tlb[i].gfn < gfn + npages)
			assert_true(is_private(tlb[i].gfn) == private);
	for (gfn_t at = gfn; at < gfn + npages;) {
		const struct range *r = oracle_find(at);
		uint64_t run = min_u64(gfn + npages, r->gfn + r->npages) - at;

		memset(r->private + (at - r->gfn), private, run);
		at += run;
	}
}

static void kinds_as_in_mmu(gfn_t gfn, uint64_t npages)
{
	for (gfn_t at = gfn; at < gfn + npages; at++) {
		const struct range *r = oracle_find(at);

		r->private[at - r->gfn] = attr_is_private(slot_set_find(mmu.slots, at), at);
	}
}

static void op_attributes(void)
{
	gfn_t gfn = random_gfn();
	const struct range *r = oracle_find(gfn);
	uint64_t npages = random_size();
	bool private = rnd(2), oom = world_allocs_left != ~(uint64_t)0;
	int err, expect;

	if (r && rnd(8)) /* mostly within one range */
		npages = 1 + rnd(min_u64(npages, r->gfn + r->npages - gfn));
	expect = oracle_judge(gfn, npages);
	stand_around(gfn, npages);
	for (int i = 0; expect == 0 && i < 8; i++) {
		gfn_t at = gfn + rnd(npages);

		if (is_private(at) == private)
			stand_by(at);
	}
	err = mmu_set_attributes(&mmu, gfn, npages, private, &why);
	bystanders_agree(false);
	if (expect)
		assert_int_equal(err, expect);
	else if (err)
		assert_true(err == -ENOMEM && oom);
	if (err == 0)
		kinds_changed(gfn, npages, private);
	else if (err == -ENOMEM)
		kinds_as_in_mmu(gfn, npages);
}

static void op_vcpu(void)
{
	uint32_t i = (uint32_t)rnd(VCPUS);

	if (vcpu_in[i])
		mmu_vcpu_destroy(&vcpus[i]);
	else
		mmu_vcpu_init(&vcpus[i], &mmu);
	vcpu_in[i] = !vcpu_in[i];
}

static void op_memory(void) { world_allocs_left = rnd(2) ? rnd(4) : ~(uint64_t)0; }

static void step(void)
{
	switch (rnd(64)) {
	case 0 ... 5: op_add(); break;
	case 6 ... 8: op_delete(); break;
	case 9: op_premap(); break;
	case 10 ... 13: op_zap(); break;
	case 14: op_vcpu(); break;
	case 15 ... 16: op_memory(); break;
	case 17 ... 22: op_attributes(); break;
	default: op_fault(); break;
	}
}

static void start(void)
{
	static const uint32_t widths[] = { 36, 40, 46, 48 };
	struct mmu_config config = {
		.vm_id = WORLD_VM, .hpa_bits = 46, .gpa_bits = widths[rnd(4)], .max_level = (int)rnd(3) + 1,
		.ept_ad = rnd(2), .flush = flush_all, .flush_ctx = &tlb,
	};

	world_start();
	memset(tlb, 0, sizeof(tlb));
	range_count = 0;
	assert_int_equal(mmu_init(&mmu, &config, &why), 0);
	/* Close to where the generation in MMIO entries comes round. */
	mmu.slots->generation = rnd(2) ? 1 : BIT(19) - 1 - rnd(20);
	for (int i = 0; i < VCPUS; i++) {
		vcpu_in[i] = true;
		mmu_vcpu_init(&vcpus[i], &mmu);
	}
}

static void end(void)
{
	for (int i = 0; i < VCPUS; i++)
		if (vcpu_in[i])
			mmu_vcpu_destroy(&vcpus[i]);
	mmu_destroy(&mmu);
	while (range_count)
		oracle_delete(&ranges[0]);
	world_end();
}

static void random_histories(void **state)
{
	const char *text = getenv("MMU_TEST_STEPS");
	uint64_t steps = text ? strtoull(text, NULL, 0) : 20000;

	(void)state;
	rnd_seed(world_seed());
	for (uint64_t done = 0; done < steps;) {
		start();
		for (uint64_t n = rnd(1500); n > 0; n--, done++) {
			step();
			all_agrees();
		}
		end();
	}
}

/* Whatever allocation fails during set-up: a sentence, and nothing left behind. */
static void init_failures(void **state)
{
	struct mmu_config config = { .vm_id = WORLD_VM, .hpa_bits = 46, .gpa_bits = 46, .max_level = 3,
				     .flush = flush_all, .flush_ctx = &tlb };

	(void)state;
	world_start();
	for (uint64_t n = 0; n < 2; n++) {
		world_allocs_left = n;
		assert_int_equal(mmu_init(&mmu, &config, &why), -ENOMEM);
		assert_int_equal(frame_count(OWNER_VM_META(WORLD_VM)), 0);
	}
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_histories),
		cmocka_unit_test(init_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
