/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/mmu_space.c */
/*
 * Whether mmu_check() finds each invariant broken when it is, says which, and is content again when
 * it is mended.
 */
#include "mmu/check.h"
#include "mmu/hugepage.h"
#include "mmu/inspect.h"
#include "mmu/slot.h"
#include "mmu/sp.h"
#include "mmu/spte.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/mmu_space.h"


static int start(void **state)
{
	const struct mmu_config config = space_config(40);

	(void)state;
	space_start(&config);
	return 0;
}

static uint64_t *sptep_of(gpa_t gpa, int level)
{
	struct mmu_step steps[ROOT_LEVEL];

	assert_true(mmu_walk_gpa(&mmu, gpa, steps) > ROOT_LEVEL - level);
	return (uint64_t *)phys_to_virt(steps[ROOT_LEVEL - level].table) + steps[ROOT_LEVEL - level].index;
}

/* Breaks a word, expects the check to say so in these words, and puts the word back. */
static void breaks(uint64_t *word, uint64_t value, const char *expect)
{
	uint64_t old = *word;

	*word = value;
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	if (!strstr(why.text, expect))
		fail_msg("expected \"%s\" in \"%s\"", expect, why.text);
	*word = old;
	space_is_good();
}

static void broken_entries(void **state)
{
	const uint64_t writable = EPT_WRITE | SPTE_HOST_WRITABLE | SPTE_MMU_WRITABLE;
	uint64_t *large, *small, *mmio, *rom, *link;

	(void)state;
	space_add(0, 1024, MIB(512), 0);
	space_add(0x10000, 10, MIB(600), 0);
	space_add(0x10010, 1, MIB(700), SLOT_READONLY);
	assert_int_equal(mmu_fault(&vcpu, 0x0, MMU_READ), FAULT_MAPPED);
	assert_int_equal(mmu_fault(&vcpu, 0x10001000, MMU_READ), FAULT_MAPPED);
	assert_int_equal(mmu_fault(&vcpu, 0x10010000, MMU_READ), FAULT_MAPPED);
	assert_int_equal(mmu_fault(&vcpu, 0x10020000, MMU_READ), FAULT_MMIO);
	large = sptep_of(0, 2);
	small = sptep_of(0x10001000, 1);
	rom = sptep_of(0x10010000, 1);
	mmio = sptep_of(0x10020000, 1);
	link = sptep_of(0x10001000, 2);
	breaks(small, SPTE_FROZEN, "is frozen");
	breaks(small, 0, "is broken");
	breaks(small, *small & ~EPT_SUPPRESS_VE, "suppress-#VE");
	breaks(small, *small | BIT(45), "beyond the host's width");
	breaks(small, *small + PAGE_SIZE, "maps another frame");
	breaks(small, *small & ~writable, "disagrees with its slot");
	breaks(small, *small & ~SPTE_MMU_WRITABLE, "none of 111");
	breaks(small, SPTE_EMPTY, "leafs of level 1 are counted");
	breaks(rom, *rom | writable, "disagrees with its slot");
	breaks(small + 20, spte_make_leaf(MIB(800), 1, true), "not inside one slot");
	breaks(large, *large + PAGE_SIZE, "reserved address bits");
	breaks(large, *large + MIB(2), "maps another frame");
	breaks(large + 2, spte_make_leaf(MIB(512), 2, true), "not inside one slot");
	breaks(mmio, spte_make_mmio(0x10021, mmu.slots->generation), "for gfn 10021");
	breaks(mmio + 1, spte_make_mmio(0x10021, mmu.slots->generation) ^ BIT(0), "broken");
	breaks(small, spte_make_mmio(0x10001, mmu.slots->generation), "a slot covers it");
	breaks(link, spte_make_table(sp_hpa(mmu.root)), "leads to a table of gfn");
	breaks(link, spte_make_table(sp_hpa(vcpu.spare)), "leads to no linked table");
	breaks(link, SPTE_EMPTY, "counted");
	breaks(&vcpu.spare->table[7], SPTE_FROZEN, "an unused table");
}

static void broken_records(void **state)
{
	struct slot_entry second;
	struct slot *slot;
	uint32_t *word;

	(void)state;
	space_add(0, 1024, MIB(512), 0);
	space_add(0x10000, 10, MIB(600), 0);
	assert_int_equal(mmu_fault(&vcpu, 0x1000, MMU_READ), FAULT_MAPPED);
	slot = slot_set_find(mmu.slots, 0);
	second = mmu.slots->entry[1];
	mmu.slots->entry[1] = mmu.slots->entry[0];
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	assert_non_null(strstr(why.text, "overlaps"));
	mmu.slots->entry[1] = second;
	breaks(&slot->npages, 0, "impossible size");
	breaks(&mmu.slots->entry[0].base, 1, "filed under");
	breaks(&mmu.slots->generation, 0, "generation 0");
	breaks((uint64_t *)&vcpu.stats.mapped[2], 5, "leafs of level 2 are counted");
	breaks((uint64_t *)&vcpu.stats.tables, 9, "tables below the root are counted");
	breaks(&mmu.pool.block_count, 9, "table blocks");
	word = hugepage_word(slot, 512, LEVEL_2M);
	*word = 1;
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	assert_non_null(strstr(why.text, "large-page word 1 of level 2 is 1, should be 0"));
	*word = 0;
	mmu.root->root_count++;
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	mmu.root->root_count--;
	mmu.pool.mmio_tables++;
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	mmu.pool.mmio_tables--;
	vcpu.spare_count++;
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	vcpu.spare_count--;
	mmu.pool.free_count++;
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	mmu.pool.free_count--;
	sp_stock(&vcpu);
	mmu.pool.free->state = SP_LINKED;
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	mmu.pool.free->state = SP_FREE;
	space_is_good();
}

/* A large leaf where a reason against it exists: the metadata and the table disagree. */
static void broken_level(void **state)
{
	uint32_t *word;

	(void)state;
	space_add(0, 1024, MIB(512), 0);
	assert_int_equal(mmu_fault(&vcpu, 0x1000, MMU_READ), FAULT_MAPPED);
	mmu.config.max_level = LEVEL_4K;
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	assert_non_null(strstr(why.text, "not offered by the CPU"));
	mmu.config.max_level = LEVEL_1G;
	word = hugepage_word(slot_set_find(mmu.slots, 0), 0, LEVEL_2M);
	*word = 1;
	assert_int_equal(mmu_check(&mmu, &why), -EFAULT);
	*word = 0;
	space_is_good();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, space_end)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(broken_entries), TEST(broken_records), TEST(broken_level) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
