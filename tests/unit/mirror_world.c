/*
 * What the tests of mirror roots share.
 */
#include "tests/unit/mirror_world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "mmu/check.h"

#define PATIENCE 2000

struct mmu mirrored;
struct fake fake;
struct mmu_vcpu mirror_vcpus[FAKE_VCPUS];
uint64_t mirror_flushes;

static void count_flush(void *ctx, const struct flush_range *range)
{
	(void)ctx;
	(void)range;
	mirror_flushes++;
}

void mirror_world_start(int max_level)
{
	struct mmu_config config = { .vm_id = WORLD_VM, .hpa_bits = 46, .gpa_bits = 40, .max_level = LEVEL_1G,
				     .flush = count_flush, .external = &fake.ops, .shared_bit = SHARED_BIT };
	struct failure why;

	world_start();
	fake_start(&fake, max_level);
	if (mmu_init(&mirrored, &config, &why))
		fail_msg("%s", why.text);
	for (int i = 0; i < FAKE_VCPUS; i++)
		mmu_vcpu_init(&mirror_vcpus[i], &mirrored);
}

static void leave_guest(void)
{
	fake.dead = true;
	for (uint32_t i = 0; i < FAKE_VCPUS; i++)
		fake_exit(&fake, i);
}

void mirror_world_renew(void)
{
	struct failure why;

	leave_guest();
	if (mmu_mirror_reclaim(&mirrored, &why))
		fail_msg("%s", why.text);
	fake_renew(&fake);
	mmu_mirror_renew(&mirrored);
}

void mirror_world_end(bool may_lose)
{
	struct failure why;
	int err;

	fake.stuck = false;
	fake.fail_in = 0;
	leave_guest();
	for (uint32_t i = 0; i < FAKE_VCPUS; i++)
		mmu_vcpu_destroy(&mirror_vcpus[i]);
	err = mmu_mirror_reclaim(&mirrored, &why);
	if (!may_lose && (err || fake.rejected))
		fail_msg("%s, %s", err ? why.text : "all reclaimed", fake.why);
	mmu_destroy(&mirrored);
	for (uint64_t i = 0; i < WORLD_BYTES; i += PAGE_SIZE)
		if (fake.metadata[(WORLD_FIRST_HPA + i) >> PAGE_SHIFT])
			assert_int_equal(frame_owner(WORLD_FIRST_HPA + i), OWNER_VM_META(WORLD_VM));
	fake_end(&fake, may_lose);
	if (may_lose)
		world_forget(OWNER_VM_META(WORLD_VM));
	world_end();
}

void mirror_add(gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags)
{
	struct failure why;

	if (mmu_slot_add(&mirrored, gfn, npages, hpa, flags, &why))
		fail_msg("%s", why.text);
}

int mirror_setup(void **state)
{
	(void)state;
	mirror_world_start(LEVEL_2M);
	mirror_add(0, MIRROR_PAGES, MIRROR_RAM, SLOT_PRIVATE);
	return 0;
}

void mirror_run(void)
{
	fake.running = true;
	for (uint32_t i = 0; i < FAKE_VCPUS; i++)
		assert_true(fake_enter(&fake, i));
}

void mirror_agrees(void)
{
	struct failure why;
	const char *differs;

	if (mmu_check(&mirrored, &why))
		fail_msg("%s", why.text);
	mmu_exclusive_begin(&mirrored);
	differs = fake_differs(&fake, &mirrored);
	mmu_exclusive_end(&mirrored);
	if (differs)
		fail_msg("%s", differs);
	if (fake.rejected)
		fail_msg("a module would have refused: %s", fake.why);
	assert_true(fake.promotions == 0);
	assert_true(mirrored.mirror_refused == 0);
}

enum fault_result mirror_fault(gfn_t gfn)
{
	enum fault_result result = FAULT_RETRY;

	for (int n = 0; result == FAULT_RETRY; n++) {
		assert_true(n < PATIENCE);
		result = mmu_fault(&mirror_vcpus[0], gfn << PAGE_SHIFT, MMU_READ);
	}
	return result;
}

int mirror_accept(gfn_t gfn, int level)
{
	enum fault_result result;
	int exits = 0;

	for (;;) {
		switch (fake_accept(&fake, gfn, level)) {
		case FAKE_ACCEPTED:
		case FAKE_ALREADY: return level;
		case FAKE_SIZE_MISMATCH:
			assert_true(level > LEVEL_4K);
			level--;
			exits = 0;
			break;
		case FAKE_ACCEPT_EXIT:
			result = mmu_mirror_accept(&mirror_vcpus[0], gfn << PAGE_SHIFT, level);
			if (result == FAULT_OUT_OF_MEMORY && world_allocs_left == 0)
				return 0;
			assert_true(result == FAULT_MAPPED || result == FAULT_RETRY);
			/* Without busy nothing needs a second exit. */
			assert_true(++exits < (fake.busy_percent || fake.interrupt_percent ? PATIENCE : 2));
			break;
		}
	}
}

int mirror_convert(gfn_t gfn, uint64_t npages, bool private)
{
	struct failure why;
	int err = -EAGAIN;

	for (int n = 0; err == -EAGAIN; n++) {
		assert_true(n < PATIENCE);
		err = mmu_set_attributes(&mirrored, gfn, npages, private, &why);
	}
	return err;
}

enum fake_state mirror_state(gfn_t gfn)
{
	int level;

	return fake_lookup(&fake, gfn, &level).state;
}

int mirror_level(gfn_t gfn)
{
	int level;

	return fake_lookup(&fake, gfn, &level).state == FAKE_FREE ? 0 : level;
}

struct mmu_counts mirror_counts(void)
{
	struct mmu_counts counts;

	mmu_count(&mirrored, &counts);
	return counts;
}
