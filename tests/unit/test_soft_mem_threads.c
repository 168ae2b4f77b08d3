/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c */
/*
 * LPs as threads: two of the host change the memory of one TD, while two vCPUs accept and use it. Whatever
 * comes together, nothing is refused but as the states and locks allow, what a vCPU knows stays memory of the TD
 * until it leaves, and at the end PAMT, tables and page count agree.
 */
#include "tests/unit/soft_tree.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/random.h"
#include "vmx/core/reasons.h"

#define BASE GIB(5)
#define REGIONS 6u
#define HOSTS 2u
#define VCPUS 2u
#define PAGES 40u
#define LARGE_PAGES 8u

static struct world_td td;
static hpa_t pages[PAGES], large_pages[LARGE_PAGES];
static uint32_t stop, rounds;
static uint64_t accepts, uses, removals, splits; /* atomic: that this showed something */

static struct actor {
	pthread_t thread;
	uint32_t lp;
	uint64_t random;
} actors[HOSTS + VCPUS];

static uint32_t pick(struct actor *a, uint32_t n) { return (uint32_t)(test_random(&a->random) >> 32) % n; }
static void count(uint64_t *what) { __atomic_fetch_add(what, 1, __ATOMIC_RELAXED); }

static uint64_t on_lp(const struct actor *a, enum tdh_leaf leaf, uint64_t rcx, uint64_t rdx, uint64_t r8)
{
	struct tdx_regs r = { .gpr = { [TDX_RAX] = leaf, [TDX_RCX] = rcx, [TDX_RDX] = rdx, [TDX_R8] = r8 } };

	soft_seamcall(&world.m, a->lp, &r);
	return r.gpr[TDX_RAX];
}

/* ---- the host ---- */

/* Refusals are part of it, but never of an operand that is right. */
static uint64_t on_memory(struct actor *a, enum tdh_leaf leaf, gpa_t gpa, uint32_t level, hpa_t page)
{
	uint64_t status = on_lp(a, leaf, gpa | level, td.tdr, page);

	assert_false(tdx_status_is(status, TDX_OPERAND_INVALID) && status != (TDX_OPERAND_INVALID | TDX_R8));
	return status;
}

static void give(struct actor *a, gpa_t gpa, uint32_t level)
{
	hpa_t page = pages[pick(a, PAGES)], large_page = large_pages[pick(a, LARGE_PAGES)];

	if (level == SOFT_2M && pick(a, 4) == 0)
		on_memory(a, TDH_MEM_SEPT_ADD, gpa, level, page);
	else
		on_memory(a, TDH_MEM_PAGE_AUG, gpa, level, level == SOFT_2M ? large_page : page);
}

/* BLOCK, TRACK, and something that needs both, for as long as a vCPU is inside that may know the page. */
static void take(struct actor *a, gpa_t gpa, uint32_t level)
{
	static const enum tdh_leaf leafs[2][6] = {
		{ TDH_MEM_PAGE_REMOVE, TDH_MEM_PAGE_RELOCATE, TDH_MEM_RANGE_UNBLOCK, TDH_MEM_PAGE_REMOVE,
		  TDH_MEM_RANGE_UNBLOCK, TDH_MEM_PAGE_REMOVE },
		{ TDH_MEM_PAGE_REMOVE, TDH_MEM_PAGE_DEMOTE, TDH_MEM_PAGE_DEMOTE, TDH_MEM_PAGE_PROMOTE,
		  TDH_MEM_SEPT_REMOVE, TDH_MEM_RANGE_UNBLOCK },
	};
	enum tdh_leaf leaf = leafs[level][pick(a, 6)];
	uint64_t status = on_memory(a, TDH_MEM_RANGE_BLOCK, gpa, level, 0);

	for (uint32_t tries = 0; tries < 50 && !tdx_status_is(status, TDX_EPT_ENTRY_STATE_INCORRECT); tries++) {
		on_lp(a, TDH_MEM_TRACK, td.tdr, 0, 0);
		status = on_memory(a, leaf, gpa, level, pages[pick(a, PAGES)]);
		if (!tdx_status_is(status, TDX_TLB_TRACKING_NOT_DONE))
			break;
		sched_yield();
	}
	if (status)
		on_memory(a, TDH_MEM_RANGE_UNBLOCK, gpa, level, 0);
	if (!status && leaf == TDH_MEM_PAGE_REMOVE)
		count(&removals);
	if (!status && (leaf == TDH_MEM_PAGE_DEMOTE || leaf == TDH_MEM_PAGE_PROMOTE))
		count(&splits);
}

static void *host(void *arg)
{
	struct actor *a = arg;

	for (uint32_t i = 0; i < rounds; i++) {
		uint32_t level = pick(a, 2);
		gpa_t gpa = BASE + pick(a, REGIONS) * MIB(2) + (level ? 0 : pick(a, 3) * 200 * PAGE_SIZE);

		if (pick(a, 2))
			give(a, gpa, level);
		else
			take(a, gpa, level);
	}
	__atomic_fetch_add(&stop, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* ---- the guest ---- */

static _Thread_local struct actor *me;
static _Thread_local hpa_t known[REGIONS][SEPT_ENTRIES];

static void forget(struct soft_vp *vp)
{
	(void)vp;
	memset(known, 0, sizeof(known));
}

static void accept_one(struct soft_vp *vp, gpa_t gpa, uint32_t level)
{
	struct soft_call c = { .m = &world.m, .lp = me->lp };
	struct soft_vcpu v = { .vp = vp, .td = { .hpa = td.tdr, .tdr = td_tdr(&td), .tdcs = td_tdcs(&td) } };
	struct tdg_call t = { .c = &c, .v = &v };

	vp->gpr[TDX_RCX] = gpa | level;
	if (tdg_mem_page_accept(&t) == TDG_DONE && !t.status)
		count(&accepts);
}

/* Through what it knows, else through a walk, as the CPU would. While it is inside nobody takes the page. */
static void use_one(uint32_t region, uint32_t index)
{
	hpa_t *page = &known[region][index];
	gpa_t gpa = BASE + region * MIB(2) + index * PAGE_SIZE;
	const struct pamt_entry *e;
	struct sept_walk at;

	if (!*page) {
		sept_walk(&world.m, td.tdcx[TDCS_SEPT_ROOT], SOFT_512G, gpa, SOFT_4K, &at);
		if (!(at.value & SEPT_LEAF) || (at.value & SEPT_RWX) != SEPT_RWX)
			return;
		*page = sept_hpa(at.value, at.level) + gpa % level_size(at.level);
	}
	e = pamt_entry(&world.m, *page, SOFT_2M);
	if (e->type == TDX_PT_NDA)
		e = pamt_entry(&world.m, *page, SOFT_4K);
	if (e->type == TDX_PT_NDA) /* just made one of a large page: the large one's record comes last */
		e = pamt_entry(&world.m, *page, SOFT_2M);
	assert_int_equal(e->type, TDX_PT_REG);
	__atomic_fetch_add((uint64_t *)world_at(*page), 1, __ATOMIC_RELAXED);
	count(&uses);
}

static void inside(struct soft_vp *vp)
{
	for (uint32_t n = 1 + pick(me, 6); n; n--) {
		uint32_t region = pick(me, REGIONS), index = pick(me, 3) * 200;
		gpa_t gpa = BASE + region * MIB(2);

		if (pick(me, 2))
			accept_one(vp, pick(me, 2) ? gpa : gpa + index * PAGE_SIZE, pick(me, 2) ? SOFT_4K : SOFT_2M);
		use_one(region, index);
	}
}

static void *run_vcpu(void *arg)
{
	uint64_t status;

	me = arg;
	while (__atomic_load_n(&stop, __ATOMIC_ACQUIRE) != HOSTS) {
		status = on_lp(me, TDH_VP_ENTER, td.vp[me->lp], 0, 0);
		assert_true(status == REASON_EXTERNAL_INTERRUPT || tdx_status_is(status, TDX_OPERAND_BUSY));
		sched_yield();
	}
	return NULL;
}

/* Others get their turn before each lock, of an entry too, and so while others are held. */
static bool give_way(enum soft_fault fault, uint32_t operand)
{
	static uint32_t calls;

	(void)fault;
	(void)operand;
	if (__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED) % 3 == 0)
		sched_yield();
	return false;
}

static void all_at_once(void **state)
{
	const char *wish = getenv("SOFT_TEST_STEPS");

	(void)state;
	rounds = wish ? (uint32_t)strtoul(wish, NULL, 0) : 3000;
	world_ready();
	td_run_with(&td, WORLD_HKID(0), VCPUS);
	tree_to(&td, BASE, SOFT_2M);
	for (uint32_t i = 0; i < PAGES; i++)
		pages[i] = world_page();
	for (uint32_t i = 0; i < LARGE_PAGES; i++)
		large_pages[i] = world_large_page();
	world.guest = inside;
	world.on_tlb_flush = forget;
	world.fault = give_way;
	for (uint32_t i = 0; i < HOSTS + VCPUS; i++) {
		actors[i] = (struct actor){ .lp = i, .random = i + 1 };
		assert_int_equal(pthread_create(&actors[i].thread, NULL, i < VCPUS ? run_vcpu : host, &actors[i]), 0);
	}
	for (uint32_t i = 0; i < HOSTS + VCPUS; i++)
		pthread_join(actors[i].thread, NULL);
	tree_check(&td);
	assert_int_equal(td_tdcs(&td)->refcount[0] | td_tdcs(&td)->refcount[1], 0);
	if (getenv("SOFT_TEST_COUNTS"))
		printf("%lu accepted, %lu used, %lu removed, %lu split or merged\n", accepts, uses, removals, splits);
	assert_true(accepts && uses && removals && splits);
	world.fault = NULL;
	tree_tear_down(&td);
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_at_once) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
