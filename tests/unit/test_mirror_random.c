/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/external_fake.c tests/unit/mirror_world.c tests/unit/history.c */
/*
 * Random histories of a guest with private memory: faults and accepts of all sizes, conversions there and
 * back, slots, an image, memory that runs out, a table that is busy. The oracle is a byte per page: whose
 * it is and whether the guest has accepted it. After each step the mirror, the external table and the
 * oracle agree, what was not touched has kept its contents, and every fault comes to an end, where the oracle says.
 */
#include "mmu/attr.h"
#include "mmu/dirty.h"
#include "mmu/slot.h"
#include "tests/unit/history.h"
#include "tests/unit/mirror_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct region {
	gfn_t gfn;
	uint64_t npages;
	hpa_t hpa;
	bool in;
	uint8_t *page; /* PRIVATE, ACCEPTED */
};

enum { PRIVATE = 1, ACCEPTED = 2 };

/* Whole large frames; edges that are none; host addresses that allow no large page; gigabytes. */
static struct region regions[] = {
	{ 0, 3072, GIB(1), false, NULL },
	{ 0x3ff00, 1400, GIB(2) + 0x300 * PAGE_SIZE, false, NULL },
	{ 0x80000, 600, GIB(3) + PAGE_SIZE, false, NULL },
	{ 0x100000, 262144 + 700, GIB(4), false, NULL },
};
#define REGIONS 4

static struct failure why;
static uint64_t accepted; /* pages */
static uint64_t tables;   /* of the mirror: never fewer */

static struct region *region_of(gfn_t gfn)
{
	for (int i = 0; i < REGIONS; i++)
		if (regions[i].in && gfn - regions[i].gfn < regions[i].npages)
			return &regions[i];
	return NULL;
}

static uint8_t *page_of(gfn_t gfn)
{
	struct region *r = region_of(gfn);

	return r ? &r->page[gfn - r->gfn] : NULL;
}

static bool is_private(gfn_t gfn)
{
	uint8_t *page = page_of(gfn);

	return page && (*page & PRIVATE);
}

static gfn_t random_gfn(void)
{
	struct region *r = &regions[rnd(4) ? rnd(3) : 3];
	gfn_t gfn = r->gfn + rnd(r->npages);

	if (rnd(4) == 0)
		gfn = r->gfn + (rnd(2) ? rnd(5) : r->npages - 1 - rnd(5));
	return rnd(4) ? gfn : gfn & ~511ul;
}

/* ---- agreement ---- */

static void leaf_agrees(void *ctx, gfn_t gfn, int level, enum fake_state state)
{
	uint64_t *mapped = ctx, count = 1ul << (9 * (level - 1)), step = level == LEVEL_1G ? 997 : 1;
	uint8_t want = PRIVATE | (state == FAKE_MAPPED ? ACCEPTED : 0);

	for (uint64_t i = 0; i < count; i += step)
		if (!page_of(gfn + i) || *page_of(gfn + i) != want)
			fail_msg("page %lx is mapped in state %d", gfn + i, state);
	*mapped += state == FAKE_MAPPED ? count : 0;
}

static void all_agrees(void)
{
	struct mmu_counts counts = mirror_counts();
	uint64_t mapped = 0;

	mirror_agrees();
	fake_for_each_leaf(&fake, leaf_agrees, &mapped);
	assert_true(mapped == accepted); /* nothing that was accepted is lost */
	assert_true(counts.mirror.tables >= tables);
	tables = counts.mirror.tables;
	assert_true(counts.mirror.kept_4k < counts.mirror.tables);
}

/* ---- steps ---- */

static void op_fault(void)
{
	gfn_t gfn = random_gfn();
	bool private = rnd(4);
	struct mmu_vcpu *mv = &mirror_vcpus[rnd(FAKE_VCPUS)];
	gpa_t gpa = gfn << PAGE_SHIFT | rnd(PAGE_SIZE);
	enum fault_result result;

	SAY("  access to %s gpa %lx\n", private ? "private" : "shared", gpa);
	result = mmu_fault(mv, private ? gpa : SHARED(gpa), 1u << rnd(3));
	if (result == FAULT_RETRY)
		assert_true(fake.busy_percent && private);
	else if (result == FAULT_OUT_OF_MEMORY)
		assert_true(world_allocs_left == 0);
	else if (!region_of(gfn))
		assert_int_equal(result, FAULT_MMIO);
	else
		assert_int_equal(result, is_private(gfn) == private ? FAULT_MAPPED : FAULT_WRONG_KIND);
	if (result == FAULT_MAPPED && private)
		assert_true(mirror_level(gfn) > 0);
}

static void op_accept(void)
{
	int level = 1 + (int)rnd((uint64_t)fake.ops.max_level);
	gfn_t gfn = random_gfn() & ~((1ul << (9 * (level - 1))) - 1);
	uint64_t count;

	SAY("  accept at gfn %lx, level %d\n", gfn, level);
	if (!fake.running)
		return;
	if (!is_private(gfn)) { /* the guest's own mistake */
		enum fault_result result = mmu_mirror_accept(&mirror_vcpus[1], gfn << PAGE_SHIFT, level);

		assert_int_equal(result, region_of(gfn) ? FAULT_WRONG_KIND : FAULT_MMIO);
		return;
	}
	level = mirror_accept(gfn, level);
	count = level ? 1ul << (9 * (level - 1)) : 0;
	for (uint64_t i = 0; i < count; i++) {
		accepted += !(*page_of(gfn + i) & ACCEPTED);
		*page_of(gfn + i) |= ACCEPTED;
	}
}

static void op_touch(void)
{
	gfn_t gfn = random_gfn();
	uint32_t vcpu = (uint32_t)rnd(FAKE_VCPUS);
	struct region *r = region_of(gfn);
	hpa_t page;

	if (!fake.running || !fake.vcpu[vcpu].inside)
		return;
	if (fake_touch(&fake, vcpu, gfn, &page) == FAKE_GOOD) {
		assert_true(r && r->page[gfn - r->gfn] == (PRIVATE | ACCEPTED));
		assert_true(page == r->hpa + (gfn - r->gfn) * PAGE_SIZE);
	} else {
		assert_false(r && r->page[gfn - r->gfn] == (PRIVATE | ACCEPTED));
	}
}

/* After a conversion, whole or in part: what has become shared has lost its contents. */
static void follow(gfn_t gfn, uint64_t npages)
{
	const struct slot *s = slot_set_find(mirrored.slots, gfn);

	for (; npages-- > 0; gfn++) {
		if (attr_is_private(s, gfn)) {
			*page_of(gfn) |= PRIVATE;
		} else {
			accepted -= !!(*page_of(gfn) & ACCEPTED);
			*page_of(gfn) = 0;
		}
	}
}

static void op_convert(void)
{
	static const uint64_t sizes[] = { 1, 1, 2, 7, 16, 100, 511, 512, 513, 1024, 1400 };
	gfn_t gfn = random_gfn();
	struct region *r = region_of(gfn);
	uint64_t npages = sizes[rnd(11)];
	bool private = rnd(2);
	int err;

	SAY("  %lx pages from gfn %lx become %s\n", npages, gfn, private ? "private" : "shared");
	if (!r) {
		assert_int_equal(mirror_convert(gfn, npages, private), -ENOENT);
		return;
	}
	npages = min_u64(npages, r->gfn + r->npages - gfn);
	if (is_private(gfn) && rnd(2)) /* with a page that may have to be split */
		mmu_fault(&mirror_vcpus[0], gfn << PAGE_SHIFT, MMU_READ);
	err = mirror_convert(gfn, npages, private);
	follow(gfn, npages);
	if (err)
		assert_true(err == -ENOMEM && world_allocs_left == 0);
	for (uint64_t i = 0; !err && i < npages; i++)
		assert_true(is_private(gfn + i) == private);
}

static void op_slot(void)
{
	struct region *r = &regions[rnd(REGIONS)];
	bool private = rnd(4);
	int err;

	SAY("  slot at gfn %lx %s\n", r->gfn, r->in ? "goes" : "comes");
	if (r->in) {
		err = mmu_slot_delete(&mirrored, r->gfn, &why);
		for (uint64_t i = 0; !err && i < r->npages; i++)
			accepted -= !!(r->page[i] & ACCEPTED);
	} else {
		err = mmu_slot_add(&mirrored, r->gfn, r->npages, r->hpa, private ? SLOT_PRIVATE : 0, &why);
		memset(r->page, private ? PRIVATE : 0, r->npages);
	}
	assert_true(!err || (err == -ENOMEM && world_allocs_left == 0));
	r->in ^= !err;
}

static void op_build(void)
{
	gfn_t gfn = random_gfn();
	bool mapped = mirror_level(gfn);
	int err;

	if (fake.running)
		return;
	fake.adding = true;
	err = mmu_mirror_build(&mirror_vcpus[0], gfn, &why);
	fake.adding = false;
	if (err == -EAGAIN || err == -ENOMEM)
		assert_true(err == -EAGAIN ? fake.busy_percent : world_allocs_left == 0);
	else
		assert_int_equal(err, !is_private(gfn) ? -ENOENT : mapped ? -EEXIST : 0);
	if (!err) {
		*page_of(gfn) |= ACCEPTED;
		accepted++;
	}
}

static void op_premap(void)
{
	struct region *r = &regions[rnd(3)];
	int err = mmu_premap_slot(&mirrored, r->gfn, &why);

	assert_true(err == (r->in ? 0 : -ENOENT) || (err == -ENOMEM && world_allocs_left == 0));
}

static void op_vcpu(void)
{
	uint32_t vcpu = (uint32_t)rnd(FAKE_VCPUS);

	fake.running |= rnd(4) == 0;
	if (!fake.running)
		return;
	if (fake.vcpu[vcpu].inside)
		fake_exit(&fake, vcpu);
	else
		fake_enter(&fake, vcpu);
}

static void op_weather(void)
{
	fake.busy_percent = rnd(2) ? 0 : (uint32_t)rnd(80);
	fake.interrupt_percent = rnd(2) ? 0 : (uint32_t)rnd(80);
	world_allocs_left = rnd(3) ? ~(uint64_t)0 : rnd(3);
	SAY("  busy %u %%, interrupted %u %%, %ld allocations left\n", fake.busy_percent, fake.interrupt_percent,
	    (long)world_allocs_left);
}

/* Of what is shared. What is private is written to unseen, and stays as it is mapped. */
static void op_log(void)
{
	struct region *r = &regions[rnd(REGIONS)];
	uint32_t how = (uint32_t)rnd(3);
	int64_t err = how == 0 ? mmu_dirty_start(&mirrored, r->gfn, &why) :
		      how == 1 ? mmu_dirty_stop(&mirrored, r->gfn, &why) :
				 mmu_dirty_fetch(&mirrored, r->gfn, 0, 1 + rnd(8), NULL);

	SAY("  log of the slot at gfn %lx: %u\n", r->gfn, how);
	if (!r->in)
		assert_true(err == -ENOENT);
	else
		assert_true(err >= 0 || err == -EALREADY || (err == -ENOMEM && world_allocs_left == 0));
}

static void op_zap(void) { mmu_zap_range(&mirrored, random_gfn(), rnd(2000)); }

static const struct op_kind ops[] = {
	{ "slot", op_slot, 2 },
	{ "premap", op_premap, 1 },
	{ "weather", op_weather, 2 },
	{ "vCPU enters or leaves", op_vcpu, 4 },
	{ "image", op_build, 4 },
	{ "conversion", op_convert, 12 },
	{ "accept", op_accept, 16 },
	{ "access", op_touch, 8 },
	{ "zap", op_zap, 1 },
	{ "dirty log", op_log, 2 },
	{ "fault", op_fault, 14 },
};

static uint64_t (*operations)[EXTERNAL_OPS]; /* of all processes */

static void run(const struct history *h);

static const struct history_kind kind = { .ops = ops, .op_count = ARRAY_LEN(ops), .length = 150, .run = run };

static void run(const struct history *h)
{
	rnd_seed(~h->seed);
	mirror_world_start(1 + (int)rnd(3));
	for (uint32_t i = 0; i < h->count; i++) {
		history_step(h, &kind, i);
		all_agrees();
		op_fault();
	}
	all_agrees();
	for (int op = 0; op < EXTERNAL_OPS; op++)
		(*operations)[op] += fake.ops_done[op];
	mirror_world_end(false);
}

static void random_histories(void **state)
{
	uint64_t steps = history_steps(3000);

	(void)state;
	world_start(); /* the arena is made once, not in each process */
	world_end();
	operations = history_shared(sizeof(*operations));
	for (int i = 0; i < REGIONS; i++)
		regions[i].page = malloc(regions[i].npages);
	histories_run(&kind, steps);
	for (int op = 0; op < EXTERNAL_RECLAIM; op++) {
		printf("%s %lu%s", external_op_names[op], (*operations)[op], op == EXTERNAL_DEMOTE ? "\n" : ", ");
		assert_true((*operations)[op] > 0 || steps < 20000);
	}
	for (int i = 0; i < REGIONS; i++)
		free(regions[i].page);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(random_histories) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
