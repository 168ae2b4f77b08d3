/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c */
/*
 * Remembered translations: whatever may change a walk's result must make the cache forget, and over
 * random tables, registers and accesses the cache answers exactly as a walk does.
 */
#include "mmu/walk_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "tests/unit/mmu_world.h"

#define RAM_PAGES 32u
#define PTE_FLAGS 0x67u /* present, writable, user, accessed, dirty */

static struct mmu mmu;
static struct mmu_vcpu vcpu;
static struct walk_cache cache;
static struct guest_paging regs;
static hpa_t ram;
static struct failure why;

static void no_flush(void *ctx, const struct flush_range *range)
{
	(void)ctx;
	(void)range;
}

static uint64_t *entry_at(unsigned page, unsigned index)
{
	return (uint64_t *)phys_to_virt(ram + page * PAGE_SIZE) + index;
}

/* Page n is the table of level 5 - n for n = 1..4; gva 0..7 pages lead to pages 5..12. */
static int start(void **state)
{
	struct mmu_config config = { .vm_id = WORLD_VM, .hpa_bits = 46, .gpa_bits = 46, .max_level = 3,
				     .flush = no_flush };

	(void)state;
	world_start();
	assert_int_equal(mmu_init(&mmu, &config, &why), 0);
	mmu_vcpu_init(&vcpu, &mmu);
	ram = frame_alloc_run(RAM_PAGES, 1, OWNER_VM(WORLD_VM));
	assert_int_equal(mmu_slot_add(&mmu, 0, RAM_PAGES, ram, 0, &why), 0);
	for (unsigned level = 1; level <= 3; level++)
		*entry_at(level, 0) = ((uint64_t)(level + 1) << PAGE_SHIFT) | PTE_FLAGS;
	for (unsigned i = 0; i < 8; i++)
		*entry_at(4, i) = ((uint64_t)(5 + i) << PAGE_SHIFT) | PTE_FLAGS;
	regs = (struct guest_paging){ .cr0 = CR0_PE | CR0_PG | CR0_WP, .cr3 = 0x1000, .cr4 = CR4_PAE,
				      .efer = EFER_LMA | EFER_LME | EFER_NXE, .maxphyaddr = 46, .page_1g = true };
	memset(&cache, 0, sizeof cache);
	return 0;
}

static int end(void **state)
{
	(void)state;
	mmu_vcpu_destroy(&vcpu);
	mmu_destroy(&mmu);
	frame_free_run(ram, RAM_PAGES, OWNER_VM(WORLD_VM));
	world_end();
	return 0;
}

static bool remembered(gva_t gva, uint32_t access)
{
	bool found;

	mmu_enter(&vcpu);
	found = walk_line_find(&vcpu, &cache, &regs, gva, access) != NULL;
	mmu_leave(&vcpu);
	return found;
}

static gpa_t translate(gva_t gva, uint32_t access)
{
	struct walk_result r;
	gpa_t gpa;

	assert_int_equal(guest_walk_cached(&vcpu, &cache, &regs, gva, access, &gpa, &r), WALK_OK);
	return gpa;
}

static void second_time_needs_no_walk(void **state)
{
	(void)state;
	assert_false(remembered(0x1234, WALK_READ));
	assert_int_equal(translate(0x1234, WALK_READ), 0x6234);
	assert_true(remembered(0x1fff, WALK_READ));
	assert_int_equal(translate(0x1fff, WALK_READ), 0x6fff);
}

static void another_access_is_another_line(void **state)
{
	(void)state;
	translate(0x1000, WALK_READ);
	assert_false(remembered(0x1000, WALK_WRITE));
	assert_false(remembered(0x1000, WALK_FETCH));
	assert_false(remembered(0x2000, WALK_READ));
}

static void an_entry_changed_on_any_level_is_seen(void **state)
{
	(void)state;
	for (unsigned page = 1; page <= 4; page++) {
		translate(0, WALK_READ);
		assert_true(remembered(0, WALK_READ));
		*entry_at(page, 0) ^= BIT(9); /* a bit that the CPU ignores is a change all the same */
		assert_false(remembered(0, WALK_READ));
	}
	translate(0, WALK_READ);
	*entry_at(4, 0) = 0x9000 | PTE_FLAGS;
	assert_int_equal(translate(0x10, WALK_READ), 0x9010);
}

static void any_register_that_matters_is_seen(void **state)
{
	struct guest_paging before = regs;

	(void)state;
	translate(0, WALK_READ);
#define CHANGED(field, value)                                                                       \
	do {                                                                                        \
		regs.field = (value);                                                               \
		assert_false(remembered(0, WALK_READ));                                             \
		regs = before;                                                                      \
		assert_true(remembered(0, WALK_READ));                                              \
	} while (0)
	CHANGED(cr3, 0x2000);
	CHANGED(cr0, before.cr0 & ~CR0_WP);
	CHANGED(cr4, before.cr4 | CR4_SMAP);
	CHANGED(efer, before.efer & ~EFER_NXE);
	CHANGED(cpl, 3);
	CHANGED(rflags, RFLAGS_AC);
	CHANGED(pkru, 4);
}

static void a_slot_change_empties_it(void **state)
{
	(void)state;
	translate(0, WALK_READ);
	assert_int_equal(mmu_slot_add(&mmu, 0x1000, 1, ram, 0, &why), 0);
	assert_false(remembered(0, WALK_READ));
}

static void a_fault_is_not_remembered(void **state)
{
	struct walk_result r;
	gpa_t gpa;

	(void)state;
	*entry_at(4, 3) = 0;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(guest_walk_cached(&vcpu, &cache, &regs, 0x3000, WALK_WRITE, &gpa, &r),
				 WALK_PAGE_FAULT);
		assert_int_equal(r.error_code, PFERR_WRITE);
	}
}

static void disturb(void)
{
	static const uint64_t cr4s[] = { CR4_PAE, CR4_PAE | CR4_SMEP, CR4_PAE | CR4_SMAP };

	switch (rnd(6)) {
	case 0:
		*entry_at(1 + (unsigned)rnd(4), (unsigned)rnd(2)) ^= BIT(rnd(12));
		break;
	case 1:
		*entry_at(4, (unsigned)rnd(8)) = (rnd(RAM_PAGES + 2) << PAGE_SHIFT) | (rnd(256) & ~(uint64_t)0x80);
		break;
	case 2:
		regs.cpl = rnd(2) ? 3 : 0;
		break;
	case 3:
		regs.cr4 = cr4s[rnd(3)];
		break;
	case 4:
		*entry_at(1 + (unsigned)rnd(3), 0) = ((2 + rnd(3)) << PAGE_SHIFT) | PTE_FLAGS;
		break;
	default:
		break;
	}
}

static void random_tables_give_what_a_walk_gives(void **state)
{
	static const uint32_t accesses[] = { WALK_READ, WALK_WRITE, WALK_FETCH };

	(void)state;
	rnd_seed(world_seed());
	for (int i = 0; i < 50000; i++) {
		gva_t gva = rnd(8) << PAGE_SHIFT | rnd(PAGE_SIZE);
		uint32_t access = accesses[rnd(3)];
		struct walk_result cached = { 0 }, walked = { 0 };
		enum walk_status got, want;
		gpa_t gpa = 0;

		disturb();
		got = guest_walk_cached(&vcpu, &cache, &regs, gva, access, &gpa, &cached);
		want = guest_walk(&vcpu, &regs, gva, access, &walked);
		assert_int_equal(got, want);
		if (want == WALK_OK)
			assert_int_equal(gpa, walked.gpa);
		else if (want == WALK_PAGE_FAULT)
			assert_int_equal(cached.error_code, walked.error_code);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)
	const struct CMUnitTest tests[] = {
		TEST(second_time_needs_no_walk),
		TEST(another_access_is_another_line),
		TEST(an_entry_changed_on_any_level_is_seen),
		TEST(any_register_that_matters_is_seen),
		TEST(a_slot_change_empties_it),
		TEST(a_fault_is_not_remembered),
		TEST(random_tables_give_what_a_walk_gives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
