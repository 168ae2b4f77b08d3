/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c */
/*
 * vCPUs as threads: they run a guest that reads memory through a TLB of its own, fault what is not
 * in it, and read by gpa_read(), while another thread adds, deletes, premaps and zaps slots. A page
 * carries its gfn; a deleted slot's pages are overwritten at once, so that a translation which
 * outlives its flush, or a table freed too early, is seen.
 */
#include "mmu/check.h"
#include "mmu/gpa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "tests/unit/mmu_world.h"

#define THREADS 3
#define SLOTS 6
#define SLOT_PAGES 1100u
#define SLOT_STRIDE 1536u
#define TLB_SIZE 32
#define GONE 0xdeadul

static struct mmu mmu;
static hpa_t ram[SLOTS];
static uint64_t seed;
static uint32_t stop;
static uint32_t translations;

static struct guest {
	struct mmu_vcpu vcpu;
	pthread_t thread;
	uint32_t in_guest, flush_wanted;
	struct {
		gpa_t gpa;
		hpa_t hpa; /* 0: empty */
	} tlb[TLB_SIZE];
	uint64_t id;
} guests[THREADS];

static uint64_t *page(hpa_t hpa) { return phys_to_virt(hpa); }

/* A CPU in root mode flushes before it enters; one in the guest is waited for. */
static void flush_all(void *ctx, const struct flush_range *range)
{
	(void)ctx;
	(void)range;
	for (int i = 0; i < THREADS; i++)
		__atomic_store_n(&guests[i].flush_wanted, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < THREADS; i++)
		while (__atomic_load_n(&guests[i].in_guest, __ATOMIC_SEQ_CST) &&
		       __atomic_load_n(&guests[i].flush_wanted, __ATOMIC_SEQ_CST))
			sched_yield();
}

static void heed_flush(struct guest *g)
{
	if (!__atomic_load_n(&g->flush_wanted, __ATOMIC_SEQ_CST))
		return;
	memset(g->tlb, 0, sizeof(g->tlb));
	__atomic_store_n(&g->flush_wanted, 0, __ATOMIC_SEQ_CST);
}

/* The page walker: what it finds goes to the TLB. */
static hpa_t translate(struct guest *g, gpa_t gpa)
{
	uint32_t i = (gpa >> PAGE_SHIFT) % TLB_SIZE, rwx;
	hpa_t hpa;

	if (g->tlb[i].hpa && g->tlb[i].gpa == gpa)
		return g->tlb[i].hpa;
	if (world_ept_walk(&mmu, gpa, &hpa, &rwx) <= 0)
		return 0;
	g->tlb[i].gpa = gpa;
	g->tlb[i].hpa = hpa;
	__atomic_fetch_add(&translations, 1, __ATOMIC_RELAXED);
	return hpa;
}

/* Runs until something is not mapped; returns its address, or ~0. */
static gpa_t run_guest(struct guest *g)
{
	gpa_t missing = ~(gpa_t)0;

	__atomic_store_n(&g->in_guest, 1, __ATOMIC_SEQ_CST);
	for (int n = 0; n < 50 && missing == ~(gpa_t)0; n++) {
		gpa_t gpa = rnd(SLOTS * SLOT_STRIDE) << PAGE_SHIFT;
		hpa_t hpa;

		heed_flush(g); /* an interrupt may end the guest's run between any two instructions */
		hpa = translate(g, gpa);
		if (!hpa)
			missing = gpa;
		else if (*(volatile uint64_t *)page(hpa) != gpa >> PAGE_SHIFT)
			abort();
	}
	__atomic_store_n(&g->in_guest, 0, __ATOMIC_SEQ_CST);
	return missing;
}

static void *vcpu_main(void *arg)
{
	struct guest *g = arg;

	rnd_seed(seed + g->id);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		gpa_t gpa = run_guest(g);
		uint64_t tag;

		if (gpa == ~(gpa_t)0)
			continue;
		if (mmu_fault(&g->vcpu, gpa, MMU_READ) == FAULT_MMIO)
			mmu_mmio_hit(&g->vcpu, gpa);
		if (gpa_read(&g->vcpu, gpa, &tag, sizeof(tag)) == 0 && tag != gpa >> PAGE_SHIFT)
			abort();
	}
	return NULL;
}

static void slot_in(int i, bool premap)
{
	gfn_t gfn = (gfn_t)i * SLOT_STRIDE;
	struct failure why;

	for (uint64_t n = 0; n < SLOT_PAGES; n++)
		*page(ram[i] + n * PAGE_SIZE) = gfn + n;
	assert_int_equal(mmu_slot_add(&mmu, gfn, SLOT_PAGES, ram[i], 0, &why), 0);
	if (premap)
		assert_int_equal(mmu_premap_slot(&mmu, gfn, &why), 0);
}

static void slot_out(int i)
{
	struct failure why;

	assert_int_equal(mmu_slot_delete(&mmu, (gfn_t)i * SLOT_STRIDE, &why), 0);
	for (uint64_t n = 0; n < SLOT_PAGES; n++)
		*(volatile uint64_t *)page(ram[i] + n * PAGE_SIZE) = GONE;
}

/* Splits large pages, and now and then lets them grow back. */
static void change_kind(gfn_t slot)
{
	gfn_t first = rnd(4) ? rnd(SLOT_PAGES) : 0;
	uint64_t npages = first ? 1 + rnd(SLOT_PAGES - first) : SLOT_PAGES;
	struct failure why;

	assert_int_equal(mmu_set_attributes(&mmu, slot + first, npages, rnd(2), &why), 0);
}

static void change_slots(uint32_t rounds)
{
	bool in[SLOTS] = { false };
	struct failure why;

	for (uint32_t n = 0; n < rounds; n++) {
		int i = (int)rnd(SLOTS);

		if (rnd(4) == 0) {
			mmu_zap_range(&mmu, rnd(SLOTS * SLOT_STRIDE), rnd(2000));
		} else if (in[i] && rnd(2)) {
			change_kind((gfn_t)i * SLOT_STRIDE);
		} else if (in[i]) {
			slot_out(i);
			in[i] = false;
		} else {
			slot_in(i, rnd(4) == 0);
			in[i] = true;
		}
		if (mmu_check(&mmu, &why))
			fail_msg("%s", why.text);
		sched_yield();
	}
}

static void vcpus_against_changes(void **state)
{
	struct mmu_config config = { .vm_id = WORLD_VM, .hpa_bits = 40, .gpa_bits = 40, .max_level = LEVEL_2M,
				     .ept_ad = true, .flush = flush_all };
	const char *text = getenv("MMU_TEST_STEPS");
	struct failure why;

	(void)state;
	seed = world_seed();
	rnd_seed(seed);
	world_start();
	assert_int_equal(mmu_init(&mmu, &config, &why), 0);
	for (int i = 0; i < SLOTS; i++) /* every other slot can have large pages */
		ram[i] = frame_alloc_run(SLOT_STRIDE, 512, OWNER_VM(WORLD_VM)) + (i % 2 ? PAGE_SIZE : 0);
	for (int i = 0; i < THREADS; i++) {
		guests[i].id = (uint64_t)i + 1;
		mmu_vcpu_init(&guests[i].vcpu, &mmu);
		assert_int_equal(pthread_create(&guests[i].thread, NULL, vcpu_main, &guests[i]), 0);
	}
	change_slots(text ? (uint32_t)strtoul(text, NULL, 0) : 500);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(guests[i].thread, NULL);
		mmu_vcpu_destroy(&guests[i].vcpu);
	}
	assert_int_equal(mmu_check(&mmu, &why), 0);
	assert_true(translations > 100);
	mmu_destroy(&mmu);
	for (int i = 0; i < SLOTS; i++)
		frame_free_run(align_down(ram[i], MIB(2)), SLOT_STRIDE, OWNER_VM(WORLD_VM));
	world_end();
}

/* --- all vCPUs want the same missing tables at once -------------------------------------------- */

static uint32_t round_now, round_done;

static void *racer_main(void *arg)
{
	struct guest *g = arg;

	for (uint32_t seen = 0; !__atomic_load_n(&stop, __ATOMIC_SEQ_CST);) {
		if (__atomic_load_n(&round_now, __ATOMIC_SEQ_CST) == seen)
			continue;
		seen++;
		for (gpa_t gpa = 0; gpa < GIB(32); gpa += GIB(1)) {
			mmu_fault(&g->vcpu, gpa, MMU_READ);           /* RAM */
			mmu_fault(&g->vcpu, gpa + GIB(32), MMU_READ); /* MMIO */
		}
		__atomic_fetch_add(&round_done, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void race_rounds(uint32_t rounds)
{
	struct failure why;

	for (uint32_t n = 1; n <= rounds; n++) {
		__atomic_store_n(&round_now, n, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&round_done, __ATOMIC_SEQ_CST) != n * THREADS)
			sched_yield();
		if (mmu_check(&mmu, &why))
			fail_msg("%s", why.text);
		mmu_zap_range(&mmu, 0, BIT(28));
	}
}

static void same_tables_at_once(void **state)
{
	struct mmu_config config = { .vm_id = WORLD_VM, .hpa_bits = 40, .gpa_bits = 40, .max_level = LEVEL_4K,
				     .flush = flush_all };
	struct failure why;

	(void)state;
	world_start();
	stop = round_now = round_done = 0;
	assert_int_equal(mmu_init(&mmu, &config, &why), 0);
	assert_int_equal(mmu_slot_add(&mmu, 0, GIB(32) >> PAGE_SHIFT, GIB(64), 0, &why), 0);
	for (int i = 0; i < THREADS; i++) {
		mmu_vcpu_init(&guests[i].vcpu, &mmu);
		assert_int_equal(pthread_create(&guests[i].thread, NULL, racer_main, &guests[i]), 0);
	}
	race_rounds(30);
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(guests[i].thread, NULL);
		mmu_vcpu_destroy(&guests[i].vcpu);
	}
	mmu_destroy(&mmu);
	world_end();
}

/* ---- exchanges ---- */

#define INCREMENTS 20000
#define EXCHANGE_COUNTERS 3

/* A quadword that is not aligned, a byte right behind it, and 16 bytes. All in one cache line: the
 * host may slow down a program that locks two. */
static const struct {
	gpa_t gpa;
	unsigned size;
} counters[EXCHANGE_COUNTERS] = { { 0x1041, 8 }, { 0x1050, 16 }, { 0x1049, 1 } };

static void increment(struct guest *g, gpa_t gpa, unsigned size)
{
	uint64_t old[2] = { 0 }, next[2] = { 0 };

	do {
		assert_int_equal(gpa_read(&g->vcpu, gpa, old, size), 0);
		next[0] = old[0] + 1;
		next[1] = size == 16 ? old[1] - 1 : 0;
	} while (gpa_exchange(&g->vcpu, gpa, old, next, size) == -EAGAIN);
}

static void *increment_main(void *arg)
{
	for (unsigned i = 0; i < INCREMENTS; i++)
		increment(arg, counters[i % EXCHANGE_COUNTERS].gpa, counters[i % EXCHANGE_COUNTERS].size);
	return NULL;
}

static uint64_t counter(gpa_t gpa, unsigned size)
{
	uint64_t value = 0;

	assert_int_equal(gpa_read(&guests[0].vcpu, gpa, &value, size), 0);
	return value;
}

/* Read, change, exchange, by several vCPUs at once: no increment is lost. */
static void no_exchange_is_lost(void **state)
{
	struct mmu_config config = { .vm_id = WORLD_VM, .hpa_bits = 40, .gpa_bits = 40, .max_level = LEVEL_4K,
				     .flush = flush_all };
	uint64_t each = THREADS * (INCREMENTS / EXCHANGE_COUNTERS);
	struct failure why;
	hpa_t memory;

	(void)state;
	world_start();
	assert_int_equal(mmu_init(&mmu, &config, &why), 0);
	memory = frame_alloc_run(2, 1, OWNER_VM(WORLD_VM));
	memset(page(memory), 0, 2 * PAGE_SIZE);
	assert_int_equal(mmu_slot_add(&mmu, 0, 2, memory, 0, &why), 0);
	for (int i = 0; i < THREADS; i++) {
		mmu_vcpu_init(&guests[i].vcpu, &mmu);
		assert_int_equal(pthread_create(&guests[i].thread, NULL, increment_main, &guests[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(guests[i].thread, NULL);
	assert_in_range(counter(0x1041, 8), each, each + THREADS);
	assert_in_range(counter(0x1050, 8), each, each + THREADS);
	assert_true(counter(0x1050, 8) + counter(0x1058, 8) == 0);
	assert_int_equal(counter(0x1049, 1), each % 256);
	for (int i = 0; i < THREADS; i++)
		mmu_vcpu_destroy(&guests[i].vcpu);
	mmu_destroy(&mmu);
	frame_free_run(memory, 2, OWNER_VM(WORLD_VM));
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vcpus_against_changes),
		cmocka_unit_test(same_tables_at_once),
		cmocka_unit_test(no_exchange_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
