/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/mmu_space.c */
/*
 * The dirty log by hand: what is noticed, at which size of page, and what stopping brings back. Histories
 * with a TLB and a CPU that logs are in tests/unit/test_mmu_random.c.
 */
#include "mmu/check.h"
#include "mmu/dirty.h"
#include "mmu/gpa.h"
#include "mmu/hugepage.h"
#include "mmu/inspect.h"
#include "mmu/sp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "tests/unit/mmu_space.h"

#define PAGES_2M 512u
#define SLOT 0x40000u /* at 1G */
#define PAGES (4 * PAGES_2M)

static uint32_t syncs;
static bool logging;

static void switch_pml(void *ctx, bool on)
{
	(void)ctx;
	assert_true(on != logging);
	logging = on;
}

static void count_sync(void *ctx)
{
	(void)ctx;
	syncs++;
}

static int start_with(bool pml)
{
	struct mmu_config config = space_config(46);

	config.pml = pml;
	config.pml_switch = switch_pml;
	config.pml_sync = count_sync;
	syncs = 0;
	logging = false;
	space_start(&config);
	space_add(SLOT, PAGES, GIB(64), 0);
	return 0;
}

static int start(void **state)
{
	(void)state;
	return start_with(false);
}

static int start_pml(void **state)
{
	(void)state;
	return start_with(true);
}

static uint64_t *entry(gfn_t gfn, int *level)
{
	struct mmu_step steps[ROOT_LEVEL];
	int n = mmu_walk_gpa(&mmu, gfn << PAGE_SHIFT, steps);

	*level = steps[n - 1].level;
	return (uint64_t *)phys_to_virt(steps[n - 1].table) + steps[n - 1].index;
}

static int level_at(gfn_t gfn, uint64_t set, uint64_t clear)
{
	int level;
	uint64_t spte = *entry(gfn, &level);

	assert_true((spte & (set | clear)) == set);
	return level;
}

static int64_t fetch_all(uint64_t *bitmap) { return mmu_dirty_fetch(&mmu, SLOT, 0, PAGES / 64, bitmap); }

/* Starts the log with memory for itself only: what is large cannot be split yet. */
static void start_large(void)
{
	struct sp *free;
	uint32_t count;

	sp_drain(&mmu.host);
	free = mmu.pool.free;
	count = mmu.pool.free_count;
	mmu.pool.free = NULL;
	mmu.pool.free_count = 0;
	world_allocs_left = 1;
	assert_int_equal(mmu_dirty_start(&mmu, SLOT, &why), 0);
	mmu.pool.free = free;
	mmu.pool.free_count = count;
	world_allocs_left = ~(uint64_t)0;
}

/* All is split when the log has started, whether protection or the CPU tells of writes, and large again at its end. */
static void split_ahead(void **state)
{
	bool pml = mmu.config.pml;
	uint64_t splits = mmu.host.stats.splits;

	(void)state;
	space_add(BIT(20), 512 * PAGES_2M, GIB(66), 0); /* a page of 1 GiB */
	assert_int_equal(mmu_premap_slot(&mmu, BIT(20), &why), 0);
	assert_int_equal(mmu_premap_slot(&mmu, SLOT, &why), 0);
	assert_int_equal(mmu_dirty_start(&mmu, SLOT, &why), 0);
	assert_int_equal(mmu_dirty_start(&mmu, BIT(20), &why), 0);
	assert_int_equal(mmu.host.stats.splits - splits, PAGES / PAGES_2M + 1 + 512);
	for (gfn_t gfn = SLOT; gfn < SLOT + PAGES; gfn += 100)
		assert_int_equal(level_at(gfn, pml ? EPT_WRITE : EPT_READ, pml ? EPT_DIRTY : EPT_WRITE), LEVEL_4K);
	assert_int_equal(level_at(BIT(20) + 77777, EPT_READ, pml ? EPT_DIRTY : EPT_WRITE), LEVEL_4K);
	space_is_good();
	assert_int_equal(mmu_dirty_stop(&mmu, SLOT, &why), 0);
	assert_int_equal(mmu_dirty_stop(&mmu, BIT(20), &why), 0);
	assert_int_equal(level_at(SLOT, EPT_WRITE, 0), LEVEL_2M);
	assert_int_equal(level_at(BIT(20), EPT_WRITE, 0), LEVEL_1G);
	space_is_good();
}

static void by_protection(void **state)
{
	uint64_t bitmap[PAGES / 64];
	gfn_t page = SLOT + PAGES_2M + 70;

	(void)state;
	assert_int_equal(mmu_premap_slot(&mmu, SLOT, &why), 0);
	start_large();
	space_is_good();
	assert_int_equal(flushes, 1);
	assert_int_equal(level_at(page, EPT_READ, EPT_WRITE), LEVEL_2M);
	assert_int_equal(fetch_all(NULL), 0);
	assert_int_equal(touch(page, MMU_READ), FAULT_MAPPED);
	assert_int_equal(level_at(page, 0, EPT_WRITE), LEVEL_2M); /* reads leave it large */
	assert_int_equal(touch(page, MMU_READ | MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(level_at(page, EPT_WRITE | EPT_DIRTY, 0), LEVEL_4K);
	assert_int_equal(level_at(page + 1, EPT_READ, EPT_WRITE), LEVEL_4K);
	assert_int_equal(level_at(SLOT, EPT_READ, EPT_WRITE), LEVEL_2M);
	assert_int_equal(touch(page + 1, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(vcpu.stats.granted, 2);
	space_is_good();
	flushes = 0;
	assert_int_equal(fetch_all(bitmap), 2);
	assert_true(bitmap[(PAGES_2M + 70) / 64] == (BIT(6) | BIT(7)));
	assert_int_equal(flushes, 1);
	assert_int_equal(level_at(page, EPT_READ, EPT_WRITE), LEVEL_4K);
	assert_int_equal(fetch_all(bitmap), 0);
	assert_int_equal(flushes, 1); /* nothing to protect, nothing to flush */
	assert_int_equal(touch(page, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(fetch_all(bitmap), 1);
	assert_int_equal(touch(page, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(mmu_dirty_stop(&mmu, SLOT, &why), 0);
	assert_int_equal(level_at(page, EPT_WRITE, 0), LEVEL_2M);
	space_is_good();
	/* One that was never split gets its right back by a fault. */
	assert_int_equal(level_at(SLOT, EPT_READ, EPT_WRITE), LEVEL_2M);
	assert_int_equal(touch(SLOT, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(level_at(SLOT, EPT_WRITE, 0), LEVEL_2M);
	space_is_good();
}

/* Pages first touched while the slot is logged. */
static void fresh_pages(void **state)
{
	(void)state;
	assert_int_equal(mmu_dirty_start(&mmu, SLOT, &why), 0);
	assert_int_equal(touch(SLOT + 3, MMU_READ), FAULT_MAPPED);
	assert_int_equal(level_at(SLOT + 3, EPT_READ, EPT_WRITE), LEVEL_4K);
	assert_int_equal(touch(SLOT + 4, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(level_at(SLOT + 4, EPT_WRITE, 0), LEVEL_4K);
	assert_int_equal(fetch_all(NULL), 1);
	space_is_good();
}

static void by_the_cpu(void **state)
{
	const uint64_t gpas[] = { GIB(1) + PAGE_SIZE, GIB(1) + 8 * PAGE_SIZE, GIB(1) + PAGE_SIZE, 0x5000, ~(uint64_t)0 };
	uint64_t bitmap[1];

	(void)state;
	assert_int_equal(touch(SLOT, MMU_WRITE), FAULT_MAPPED);
	start_large();
	assert_true(logging);
	assert_int_equal(syncs, 1); /* what was logged before this slot's log is not in it */
	assert_int_equal(level_at(SLOT, EPT_READ, EPT_WRITE), LEVEL_2M); /* must come apart first */
	assert_int_equal(touch(SLOT, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(touch(SLOT + PAGES_2M, MMU_READ), FAULT_MAPPED);
	assert_int_equal(level_at(SLOT + PAGES_2M, EPT_WRITE, EPT_DIRTY), LEVEL_4K);
	assert_int_equal(touch(SLOT + PAGES_2M + 1, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(level_at(SLOT + PAGES_2M + 1, EPT_WRITE | EPT_DIRTY, 0), LEVEL_4K);
	mmu_pml_drain(&vcpu, gpas, 5);
	assert_int_equal(mmu_dirty_fetch(&mmu, SLOT, 0, 1, bitmap), 3);
	assert_int_equal(syncs, 2);
	assert_true(bitmap[0] == (BIT(0) | BIT(1) | BIT(8)));
	assert_int_equal(level_at(SLOT, EPT_WRITE, EPT_DIRTY), LEVEL_4K); /* logged by the CPU from now on */
	assert_int_equal(fetch_all(NULL), 1);
	space_is_good();
	assert_int_equal(mmu_dirty_stop(&mmu, SLOT, &why), 0);
	assert_false(logging);
	assert_int_equal(level_at(SLOT, EPT_WRITE, 0), LEVEL_2M);
	mmu_pml_drain(&vcpu, gpas, 5); /* late ones are nobody's */
	assert_int_equal(mmu_dirty_start(&mmu, SLOT, &why), 0);
	assert_int_equal(mmu_slot_delete(&mmu, SLOT, &why), 0);
	assert_false(logging);
	space_is_good();
}

/* The hypervisor's own writes, by copy, by locked exchange and by pointer, over pages and slots. */
static void by_the_hypervisor(void **state)
{
	hpa_t ram = frame_alloc_run(8, 1, OWNER_VM(WORLD_VM));
	char bytes[PAGE_SIZE + 2] = { 0 }, one = 1;
	uint64_t word;

	(void)state;
	assert_int_equal(mmu_slot_add(&mmu, 10, 4, ram, 0, &why), 0);
	assert_int_equal(mmu_slot_add(&mmu, 14, 4, ram + 4 * PAGE_SIZE, 0, &why), 0);
	assert_int_equal(mmu_dirty_start(&mmu, 10, &why), 0);
	assert_int_equal(mmu_dirty_start(&mmu, 14, &why), 0);
	assert_int_equal(gpa_write(&vcpu, 0xbfff, bytes, sizeof(bytes)), 0);
	assert_int_equal(mmu_dirty_fetch(&mmu, 10, 0, 1, &word), 3);
	assert_int_equal(word, 0xe);
	assert_int_equal(gpa_write(&vcpu, 0xdfff, bytes, 2), 0); /* into the next slot */
	assert_int_equal(mmu_dirty_fetch(&mmu, 10, 0, 1, &word), 1);
	assert_int_equal(word, 8);
	assert_int_equal(mmu_dirty_fetch(&mmu, 14, 0, 1, &word), 1);
	assert_int_equal(word, 1);
	assert_int_equal(gpa_read(&vcpu, 0xa000, bytes, 2), 0);
	assert_int_equal(gpa_exchange(&vcpu, 0xa000, bytes, &one, 1), 0);
	assert_int_equal(mmu_dirty_fetch(&mmu, 10, 0, 1, &word), 1);
	assert_int_equal(word, 1);
	mmu_enter(&vcpu);
	assert_non_null(gpa_to_hva(&vcpu, 0xb000, 8));
	assert_non_null(gpa_to_hva_writable(&vcpu, 0xc000, 8));
	mmu_leave(&vcpu);
	assert_int_equal(mmu_dirty_fetch(&mmu, 10, 0, 1, &word), 1);
	assert_int_equal(word, 4);
	assert_int_equal(mmu_slot_delete(&mmu, 10, &why), 0);
	assert_int_equal(mmu_slot_delete(&mmu, 14, &why), 0);
	frame_free_run(ram, 8, OWNER_VM(WORLD_VM));
}

static void refusals(void **state)
{
	(void)state;
	assert_int_equal(mmu_dirty_start(&mmu, SLOT + 1, &why), -ENOENT);
	assert_int_equal(mmu_dirty_stop(&mmu, SLOT, &why), -EALREADY);
	assert_int_equal(fetch_all(NULL), -EALREADY);
	world_allocs_left = 0;
	assert_int_equal(mmu_dirty_start(&mmu, SLOT, &why), -ENOMEM);
	space_is_good();
	world_allocs_left = ~(uint64_t)0;
	assert_int_equal(mmu_dirty_start(&mmu, SLOT, &why), 0);
	assert_int_equal(mmu_dirty_start(&mmu, SLOT, &why), -EALREADY);
	assert_int_equal(mmu_dirty_stop(&mmu, SLOT + 1, &why), -ENOENT);
	assert_int_equal(mmu_dirty_fetch(&mmu, SLOT, 1, 1, NULL), -EINVAL);
	assert_int_equal(mmu_dirty_fetch(&mmu, SLOT, 64, PAGES / 64, NULL), -EINVAL);
	assert_int_equal(mmu_dirty_fetch(&mmu, SLOT, ~(uint64_t)63, 2, NULL), -EINVAL);
	assert_int_equal(mmu_dirty_fetch(&mmu, SLOT + 1, 0, 1, NULL), -ENOENT);
}

/* No table for splitting: the guest's write waits, the log and the page stay as they are. */
static void out_of_memory(void **state)
{
	struct sp *free;
	uint32_t count;

	(void)state;
	assert_int_equal(touch(SLOT, MMU_WRITE), FAULT_MAPPED);
	start_large();
	sp_drain(&vcpu);
	free = mmu.pool.free;
	count = mmu.pool.free_count;
	mmu.pool.free = NULL;
	mmu.pool.free_count = 0;
	world_allocs_left = 0;
	assert_int_equal(touch(SLOT, MMU_WRITE), FAULT_OUT_OF_MEMORY);
	assert_int_equal(level_at(SLOT, EPT_READ, EPT_WRITE), LEVEL_2M);
	assert_int_equal(fetch_all(NULL), 0);
	mmu.pool.free = free;
	mmu.pool.free_count = count;
	world_allocs_left = ~(uint64_t)0;
	assert_int_equal(touch(SLOT, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(fetch_all(NULL), 1);
	space_is_good();
}

static void expect_broken(const char *text)
{
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	if (!strstr(why.text, text))
		fail_msg("expected \"%s\" in \"%s\"", text, why.text);
}

/* Whether the check finds a way to write unnoticed. */
static void broken_log(void **state)
{
	struct slot *s = slot_set_find(mmu.slots, SLOT);
	uint64_t *sptep;
	int level;

	(void)state;
	assert_int_equal(mmu_premap_slot(&mmu, SLOT, &why), 0);
	start_large();
	assert_int_equal(touch(SLOT, MMU_WRITE), FAULT_MAPPED);
	sptep = entry(SLOT + 5, &level);
	*sptep |= EPT_WRITE;
	expect_broken("the log does not have it");
	*sptep &= ~EPT_WRITE;
	sptep = entry(SLOT + PAGES_2M, &level);
	*sptep |= EPT_WRITE;
	expect_broken("is writable and the slot logged");
	*sptep &= ~EPT_WRITE;
	s->max_level = LEVEL_2M;
	expect_broken("its pages go up to level 2");
	s->max_level = LEVEL_4K;
	s->flags &= ~SLOT_LOGGED;
	expect_broken("against its flags");
	s->flags |= SLOT_LOGGED;
	space_is_good();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, space_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(split_ahead), cmocka_unit_test_setup_teardown(split_ahead, start_pml, space_end), TEST(by_protection),
		TEST(fresh_pages), cmocka_unit_test_setup_teardown(by_the_cpu, start_pml, space_end),
		TEST(by_the_hypervisor), TEST(refusals), TEST(out_of_memory), TEST(broken_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
