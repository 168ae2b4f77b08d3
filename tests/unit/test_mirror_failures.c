/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/external_fake.c tests/unit/mirror_world.c */
/*
 * Mirror roots whose external table fails: the guest is stopped, and no page that the table may still have
 * gets another owner.
 */
#include "mmu/check.h"
#include "mmu/slot.h"
#include "mmu/sp.h"
#include "tests/unit/mirror_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct failure why;

static int end(void **state)
{
	(void)state;
	mirror_world_end(true);
	return 0;
}

/* No page that the external table has is anybody's to use. */
static void pages_are_ours(void)
{
	for (const struct sp *sp = mirrored.pool.free; sp; sp = sp->next)
		assert_int_equal(fake.metadata[sp_hpa(sp) >> PAGE_SHIFT], 0);
	for (int i = 0; i < FAKE_VCPUS; i++)
		for (const struct sp *sp = mirror_vcpus[i].spare; sp; sp = sp->next)
			assert_int_equal(fake.metadata[sp_hpa(sp) >> PAGE_SHIFT], 0);
}

static void is_broken(void)
{
	assert_true(mmu_is_broken(&mirrored, &why));
	assert_non_null(why.text[0] ? why.text : NULL);
	assert_int_equal(mirror_fault(3), FAULT_BROKEN);
	assert_int_equal(mmu_mirror_accept(&mirror_vcpus[0], 0x5000, LEVEL_4K), FAULT_BROKEN);
	assert_int_equal(mmu_mirror_build(&mirror_vcpus[0], 3, &why), -EIO);
	if (mmu_check(&mirrored, &why))
		fail_msg("%s", why.text);
	pages_are_ours();
}

static void busy_twice(void **state)
{
	(void)state;
	mirror_run();
	mirror_accept(0, LEVEL_2M);
	mirror_accept(FRAME, LEVEL_2M);
	fake.stuck = true;
	assert_int_equal(mmu_set_attributes(&mirrored, 0, 2 * FRAME, false, &why), -EIO);
	assert_false(fake.barred);
	is_broken();
	assert_int_equal(fake.kicks, 1);
	/* What was to become shared has not: its pages are still the guest's. */
	assert_int_equal(mmu_fault(&mirror_vcpus[0], SHARED(0), MMU_READ), FAULT_WRONG_KIND);
	assert_int_equal(mirror_counts().mirror.mapped[LEVEL_2M], 2);
	assert_int_equal(mmu_slot_delete(&mirrored, 0, &why), -EIO);
}

/* A guest's life in short; a failure may come from anywhere in it. Returns whether one came. */
static bool short_life(void)
{
	mirror_add(0, MIRROR_PAGES, MIRROR_RAM, SLOT_PRIVATE);
	mirror_add(0x10000, FRAME + 3, GIB(2), SLOT_PRIVATE);
	fake.adding = true;
	mmu_mirror_build(&mirror_vcpus[0], FRAME + 3, &why);
	fake.adding = false;
	mirror_run();
	mmu_fault(&mirror_vcpus[1], 0x5000, MMU_WRITE);
	mmu_fault(&mirror_vcpus[2], 0x5000 + MIB(4), MMU_WRITE);
	mmu_fault(&mirror_vcpus[2], 0x10000000, MMU_WRITE);
	mmu_fault(&mirror_vcpus[2], 0x10201000, MMU_WRITE);
	fake_accept(&fake, 0, LEVEL_2M);
	mmu_set_attributes(&mirrored, FRAME - 3, FRAME + 6, false, &why);
	mmu_mirror_accept(&mirror_vcpus[0], 0x3000 + MIB(4), LEVEL_4K);
	mmu_slot_delete(&mirrored, 0x10000, &why);
	return fake.fail_in == 0;
}

static void any_operation_fails(bool late)
{
	uint64_t n = 0;
	bool failed;

	do {
		mirror_world_start(LEVEL_2M);
		fake.fail_in = ++n;
		fake.fail_late = late;
		failed = short_life();
		if (failed)
			is_broken();
		else
			mirror_agrees();
		mirror_world_end(true);
	} while (failed);
	assert_true(n > 30);
}

static void failures_early(void **state)
{
	(void)state;
	any_operation_fails(false);
}

static void failures_late(void **state)
{
	(void)state;
	any_operation_fails(true);
}

/* Pages that the external table does not give back: nobody gets them, and the owner is told. */
static void lost_at_the_end(void **state)
{
	(void)state;
	mirror_run();
	mirror_accept(0, LEVEL_2M);
	mirror_accept(FRAME, LEVEL_4K);
	assert_int_equal(mmu_mirror_reclaim(&mirrored, &why), -EIO); /* the guest is still alive */
	assert_non_null(strstr(why.text, "513 pages"));
	pages_are_ours();
}

/* Tables that are kept for good: their frames stay on record as the guest's (mirror_world_end()). */
static void lost_for_good(void **state)
{
	(void)state;
	mirror_run();
	mirror_accept(FRAME, LEVEL_4K);
	fake.keeps = true;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, mirror_setup, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(busy_twice),
		TEST(lost_at_the_end),
		TEST(lost_for_good),
		cmocka_unit_test(failures_early),
		cmocka_unit_test(failures_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
