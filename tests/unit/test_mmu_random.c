/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/mmu_history.c tests/unit/mmu_history_ops.c tests/unit/history.c */
/*
 * Random histories of an address space against an oracle that is a list of ranges. After each step
 * every invariant is recomputed, every reachable leaf is compared with the oracle, and so is what a
 * TLB that is emptied only by the flush callback still holds; and a fault reaches what the oracle says.
 */
#include "tests/unit/history.h"
#include "tests/unit/mmu_history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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
	SAY("  slot at gfn %lx, %lx pages at host %lx, flags %x\n", gfn, npages, hpa, flags);
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
	int err;

	SAY("  slot at gfn %lx is to go\n", gfn);
	err = mmu_slot_delete(&mmu, gfn, &why);
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
	enum fault_result result;
	int level;

	SAY("  access %u to gpa %lx\n", access, gpa);
	result = mmu_fault(mv, gpa, access);
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

static void op_memory(void)
{
	world_allocs_left = rnd(2) ? rnd(4) : ~(uint64_t)0;
	SAY("  %ld allocations left\n", (long)world_allocs_left);
}

static void op_recover(void) { mmu_nx_recover(&mmu, rnd(2) ? UINT64_MAX : rnd(2000)); }

static const struct op_kind ops[] = {
	{ "slot is added", op_add, 6 },
	{ "slot is deleted", op_delete, 3 },
	{ "premap", op_premap, 1 },
	{ "zap", op_zap, 4 },
	{ "vCPU comes or goes", op_vcpu, 1 },
	{ "memory", op_memory, 2 },
	{ "attributes", op_attributes, 6 },
	{ "dirty log", op_log, 8 },
	{ "writes by the TLB", op_guest_write, 4 },
	{ "slot is moved", op_move, 1 },
	{ "slot's flags", op_flags, 1 },
	{ "large pages again", op_recover, 1 },
	{ "fault", op_fault, 26 },
};

static void run(const struct history *h);

static const struct history_kind kind = { .ops = ops, .op_count = ARRAY_LEN(ops), .length = 750, .run = run };

static void run(const struct history *h)
{
	rnd_seed(~h->seed);
	history_start();
	for (uint32_t i = 0; i < h->count; i++) {
		history_step(h, &kind, i);
		all_agrees();
		op_fault();
	}
	all_agrees();
	history_end();
}

static void random_histories(void **state)
{
	(void)state;
	world_start(); /* the arena is made once, not in each process */
	world_end();
	histories_run(&kind, history_steps(16000));
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
