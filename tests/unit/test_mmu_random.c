/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/mmu_history.c tests/unit/mmu_history_ops.c */
/*
 * Random histories of an address space against an oracle that is a list of ranges. After each step
 * every invariant is recomputed, every reachable leaf is compared with the oracle, and so is what a
 * TLB that is emptied only by the flush callback still holds.
 */
#include "tests/unit/mmu_history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "tests/unit/mmu_world.h"

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
	struct range *r = oracle_find(gfn);
	int err = mmu_slot_delete(&mmu, gfn, &why);

	if (!r || r->gfn != gfn)
		assert_int_equal(err, -ENOENT);
	else if (err)
		assert_true(err == -ENOMEM && world_allocs_left == 0);
	else
		oracle_delete(r);
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

/* The level a fault maps gfn at: that of the leaf there is, else what is wanted unless tables stand below. */
static int level_for(const struct range *r, gfn_t gfn, uint32_t access)
{
	struct mmu_step steps[ROOT_LEVEL];
	int n = mmu_walk_gpa(&mmu, gfn << PAGE_SHIFT, steps), here = ROOT_LEVEL + 1 - n;
	int wanted = r->logged ? 1 : oracle_level(r, gfn);
	bool leaf = steps[n - 1].kind == SPTE_KIND_LEAF, stays = leaf && !(r->logged && access == MMU_WRITE);

	if (mmu.config.nx_huge && access == MMU_FETCH)
		return 1;

	return stays || here < wanted ? here : wanted;
}

static void op_fault(void)
{
	struct mmu_vcpu *mv = random_vcpu();
	gpa_t gpa = random_gfn() << PAGE_SHIFT | rnd(PAGE_SIZE);
	const struct range *r = oracle_find(gpa >> PAGE_SHIFT);
	uint32_t access = 1u << rnd(3), rwx;
	hpa_t hpa = 0;
	int expect = r ? level_for(r, gpa >> PAGE_SHIFT, access) : 0;
	enum fault_result result = mmu_fault(mv, gpa, access);
	int level;

	level = world_ept_walk(&mmu, gpa, &hpa, &rwx);

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
		tlb_remember(gpa >> PAGE_SHIFT, hpa & ~PAGE_MASK);
		if (access == MMU_WRITE)
			oracle_write(gpa >> PAGE_SHIFT);
	}
}

static void op_premap(void)
{
	const struct range *r = range_count ? &ranges[rnd(range_count)] : NULL;
	int err;

	if (!r || r->logged || oracle_level(r, r->gfn + r->npages / 2) == 1) /* too many entries */
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

		assert_int_equal(world_ept_walk(&mmu, gfn << PAGE_SHIFT, &hpa, &rwx), level_for(r, gfn, MMU_READ));
		tlb_remember(gfn, hpa);
	}
	assert_int_equal(mmu_premap_slot(&mmu, r->gfn + r->npages + 5000000, &why), -ENOENT);
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
	case 23 ... 30: op_log(); break;
	case 31 ... 34: op_guest_write(); break;
	case 35: op_move(); break;
	case 36: op_flags(); break;
	case 37: mmu_nx_recover(&mmu, rnd(2) ? UINT64_MAX : rnd(2000)); break;
	default: op_fault(); break;
	}
}

static void random_histories(void **state)
{
	const char *text = getenv("MMU_TEST_STEPS");
	uint64_t steps = text ? strtoull(text, NULL, 0) : 20000;

	(void)state;
	rnd_seed(world_seed());
	for (uint64_t done = 0; done < steps;) {
		history_start();
		for (uint64_t n = rnd(1500); n > 0; n--, done++) {
			step();
			all_agrees();
		}
		history_end();
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
