/* sources: mmu/ -mmu/unsync.c hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/shadow_mem.c tests/unit/shadow_oracle.c tests/unit/shadow_cpu.c tests/unit/shadow_world.c tests/unit/shadow_slots.c tests/unit/shadow_log.c tests/unit/shadow_skip.c */
/*
 * The roots that a vCPU may come back to, and what is flushed of them.
 */
#include "tests/unit/shadow_small.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Uses tables under PCID 1, one of them written to, and goes to others under that PCID. Returns CR3 of the first. */
static uint64_t leave_a_root(unsigned pcid)
{
	uint64_t one = ROOT << PAGE_SHIFT | 1;

	set(LARGE, 0, (LARGE + 1) << PAGE_SHIFT | 0x67);
	v->g.cr4 |= CR4_PCIDE;
	v->g.cr3 = one;
	vcpu_load(v, true);
	vcpu_flushed(v, 1);
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
	assert_int_equal(touch(PAGE_SIZE, WALK_WRITE, (DATA + 1) << PAGE_SHIFT | 0x67), DONE);
	v->g.cr3 = LARGE << PAGE_SHIFT | pcid;
	vcpu_load(v, true);
	vcpu_flushed(v, pcid);
	return one;
}

static void two_roots_of_one_pcid(void **state)
{
	uint64_t one = leave_a_root(1);

	(void)state;
	v->g.cr3 = one;
	vcpu_load(v, false);
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
}

/* A flush of all PCIDs is of the tables that the vCPU may come back to, too. */
static void flush_of_what_was_left(void **state)
{
	uint64_t one = leave_a_root(2);

	(void)state;
	v->cpu.entered = false;
	mmu_shadow_flush(&v->mv);
	cpu_forget(&v->cpu);
	vcpu_flushed_all(v);
	v->g.cr3 = one;
	vcpu_load(v, false);
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
}

/* What has been cached of a PCID stands as long as no other is flushed but those that share its place. */
static void flush_of_another_pcid(void **state)
{
	uint64_t one = leave_a_root(2), syncs = counts().syncs;

	(void)state;
	v->g.cr3 = one;
	vcpu_load(v, false);
	assert_int_equal(counts().syncs, syncs);
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
	v->g.cr3 = LARGE << PAGE_SHIFT | (1 + SHADOW_PCIDS);
	vcpu_load(v, true);
	v->g.cr3 = one;
	vcpu_load(v, false);
	assert_int_equal(counts().syncs, syncs + 1);
}

/* Without PCIDs a load flushes all that was left before. CR4.PCIDE, once it is set, flushes nothing. */
static void root_left_before_pcids(void **state)
{
	(void)state;
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
	assert_int_equal(touch(PAGE_SIZE, WALK_WRITE, (DATA + 1) << PAGE_SHIFT | 0x67), DONE);
	v->g.cr3 = LARGE << PAGE_SHIFT;
	vcpu_load(v, true);
	vcpu_flushed_all(v);
	v->g.cr4 |= CR4_PCIDE;
	vcpu_load(v, false);
	v->g.cr3 = ROOT << PAGE_SHIFT;
	vcpu_load(v, false);
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
}

/* INVLPG is of global pages whatever PCID they were cached with: one that the tables left before map is not used again
 * as it was. */
static void global_page_by_a_root_left(void **state)
{
	struct guest_access a = { .gva = 0, .kind = WALK_READ, .bytes = 8, .tlb = true };
	uint64_t one;

	(void)state;
	set(PT, 0, DATA << PAGE_SHIFT | 0x167);
	one = leave_a_root(2);
	guest_invlpg(v, 0);
	guests_check();
	v->g.cr3 = one;
	vcpu_load(v, false);
	assert_int_equal(guest_access(v, &a), DONE);
	assert_int_equal(a.faults, 1);
}

/* Whether the vCPU has kept the root. */
static bool comes_back_to(uint64_t root)
{
	uint64_t cached = counts().loads_cached;

	v->g.cr3 = (LARGE + root) << PAGE_SHIFT;
	vcpu_load(v, true);
	guests_check();
	return counts().loads_cached != cached;
}

static void root_left_longest_ago_goes(void **state)
{
	(void)state;
	v->g.cr4 |= CR4_PCIDE;
	for (uint64_t root = 1; root <= 4; root++)
		assert_false(comes_back_to(root));
	assert_true(comes_back_to(1)); /* 2, 3 and 4 were left in that order */
	assert_false(comes_back_to(5));
	assert_true(comes_back_to(4));
	assert_true(comes_back_to(3));
	assert_true(comes_back_to(1));
	assert_false(comes_back_to(2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_roots_of_one_pcid, start, end),
		cmocka_unit_test_setup_teardown(flush_of_another_pcid, start, end),
		cmocka_unit_test_setup_teardown(root_left_before_pcids, start, end),
		cmocka_unit_test_setup_teardown(global_page_by_a_root_left, start, end),
		cmocka_unit_test_setup_teardown(root_left_longest_ago_goes, start, end),
		cmocka_unit_test_setup_teardown(flush_of_what_was_left, start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
