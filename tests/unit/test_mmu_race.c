/* sources: mmu/ -mmu/tdp.c hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c */
/*
 * Lost races, made certain: mmu/tdp.c is compiled here with a compare-and-exchange that first lets
 * a rival vCPU do the same fault, at the exchange that the test has chosen.
 */
#include "mmu/check.h"
#include "mmu/spte.h"

static bool rivalled_change(uint64_t *sptep, uint64_t from, uint64_t to);
#define spte_try_change rivalled_change
#include "mmu/tdp.c"
#undef spte_try_change

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/mmu_world.h"

static struct mmu mmu;
static struct mmu_vcpu vcpu, rival;
static struct failure why;
static int lose_at; /* the exchange that is lost, counted down; 0: none */
static gpa_t contested;

static bool rivalled_change(uint64_t *sptep, uint64_t from, uint64_t to)
{
	if (lose_at > 0 && --lose_at == 0)
		mmu_fault(&rival, contested, MMU_READ);
	return __atomic_compare_exchange_n(sptep, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void no_flush(void *ctx, const struct flush_range *range)
{
	(void)ctx;
	(void)range;
}

/* Loses the n-th exchange of a fault at gpa that needs four: three tables and the entry itself. */
static void lose(gpa_t gpa, int n, enum fault_result expect)
{
	contested = gpa;
	lose_at = n;
	mmu_vcpu_topup(&vcpu);
	assert_int_equal(mmu_fault(&vcpu, gpa, MMU_READ), expect);
	assert_int_equal(lose_at, 0);
	if (mmu_check(&mmu, &why))
		fail_msg("%s", why.text);
	mmu_zap_range(&mmu, 0, BIT(28));
}

static void every_exchange_lost(void **state)
{
	struct mmu_config config = { .vm_id = WORLD_VM, .hpa_bits = 40, .gpa_bits = 40, .max_level = LEVEL_4K,
				     .flush = no_flush };

	(void)state;
	world_start();
	assert_int_equal(mmu_init(&mmu, &config, &why), 0);
	mmu_vcpu_init(&vcpu, &mmu);
	mmu_vcpu_init(&rival, &mmu);
	assert_int_equal(mmu_slot_add(&mmu, 0, 512, GIB(1), 0, &why), 0);
	for (int n = 1; n <= 3; n++) {
		lose(0x5000, n, FAULT_RETRY); /* the table is the rival's */
		lose(0xfee00000, n, FAULT_MMIO);
	}
	lose(0x5000, 4, FAULT_RETRY);
	lose(0xfee00000, 4, FAULT_MMIO);
	assert_int_equal(vcpu.stats.faults[FAULT_RETRY], 4);
	mmu_vcpu_destroy(&vcpu);
	mmu_vcpu_destroy(&rival);
	mmu_destroy(&mmu);
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_exchange_lost) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
