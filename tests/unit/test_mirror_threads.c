/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/external_fake.c tests/unit/mirror_world.c */
/*
 * vCPUs as threads that fault and accept 4K and 2M pages in the same few frames, while another thread
 * converts them there and back: what a vCPU reaches is its own accepted page, nothing is promoted, and
 * nobody faults for ever.
 */
#include "tests/unit/mirror_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ENOUGH 100 /* accesses that reached memory */
#define WAIT_MS 60000
#define THREADS 3
#define FRAMES 6
#define RAM GIB(1)

static uint64_t seed;
static uint32_t stop, reached;
static struct {
	pthread_t thread;
	uint32_t id;
} guests[THREADS];

/* Others get their turn while the entry is frozen. */
static void yield(struct fake *f, enum external_op op, gfn_t gfn, int level)
{
	(void)f;
	(void)op;
	(void)gfn;
	(void)level;
	sched_yield();
}

static enum fault_result accept_at(uint32_t vcpu, gfn_t gfn, int level)
{
	switch (fake_accept(&fake, gfn, level)) {
	case FAKE_SIZE_MISMATCH: return level == LEVEL_4K ? FAULT_BROKEN : accept_at(vcpu, gfn, level - 1);
	case FAKE_ACCEPT_EXIT: return mmu_mirror_accept(&mirror_vcpus[vcpu], gfn << PAGE_SHIFT, level);
	default: return FAULT_MAPPED;
	}
}

static void one_access(uint32_t vcpu)
{
	gfn_t gfn = rnd(FRAMES * FRAME);
	enum fault_result result = FAULT_MAPPED;
	hpa_t page;

	if (!fake_enter(&fake, vcpu))
		return;
	switch (fake_touch(&fake, vcpu, gfn, &page)) {
	case FAKE_GOOD:
		if (page != RAM + gfn * PAGE_SIZE)
			abort();
		__atomic_fetch_add(&reached, 1, __ATOMIC_RELAXED);
		return;
	case FAKE_NOT_ACCEPTED:
		fake_exit(&fake, vcpu);
		result = accept_at(vcpu, gfn, 1 + (int)rnd(2));
		break;
	case FAKE_VIOLATION:
		fake_exit(&fake, vcpu);
		result = mmu_fault(&mirror_vcpus[vcpu], gfn << PAGE_SHIFT, MMU_READ);
		break;
	}
	if (result != FAULT_MAPPED && result != FAULT_RETRY && result != FAULT_WRONG_KIND)
		abort();
}

static void *vcpu_main(void *arg)
{
	uint32_t vcpu = *(uint32_t *)arg;

	rnd_seed(seed + vcpu + 1);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		one_access(vcpu);
	fake_exit(&fake, vcpu);
	return NULL;
}

static void vcpus_against_conversions(void **state)
{
	const char *text = getenv("MMU_TEST_STEPS");
	uint64_t rounds = text ? strtoull(text, NULL, 0) : 300;

	(void)state;
	seed = world_seed();
	rnd_seed(seed);
	mirror_world_start(LEVEL_2M);
	mirror_add(0, FRAMES * FRAME, RAM, SLOT_PRIVATE);
	fake.running = true;
	fake.busy_percent = 10;
	fake.meanwhile = yield;
	for (uint32_t i = 0; i < THREADS; i++) {
		guests[i].id = i;
		assert_int_equal(pthread_create(&guests[i].thread, NULL, vcpu_main, &guests[i].id), 0);
	}
	for (uint64_t n = 0; n < rounds; n++) {
		gfn_t gfn = rnd(FRAMES * FRAME);
		uint64_t npages = 1 + rnd(min_u64(600, FRAMES * FRAME - gfn));

		fake.interrupt_percent = n % 2 ? 50 : 0;
		assert_int_equal(mirror_convert(gfn, npages, false), 0);
		mirror_agrees();
		if (rnd(4))
			assert_int_equal(mirror_convert(gfn, npages, true), 0);
		sched_yield();
	}
	/* A loaded machine may have given the vCPUs little time among all that: now all memory is theirs. */
	assert_int_equal(mirror_convert(0, FRAMES * FRAME, true), 0);
	for (unsigned ms = 0; ms < WAIT_MS && __atomic_load_n(&reached, __ATOMIC_RELAXED) <= ENOUGH; ms++)
		usleep(1000);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++)
		pthread_join(guests[i].thread, NULL);
	mirror_agrees();
	assert_true(reached > ENOUGH);
	mirror_world_end(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(vcpus_against_conversions) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
