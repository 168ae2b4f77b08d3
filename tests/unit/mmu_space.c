/* One address space with one vCPU: see the header. */
#include "tests/unit/mmu_space.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "mmu/check.h"

struct mmu mmu;
struct mmu_vcpu vcpu;
struct failure why;
uint32_t flushes;
struct flush_range flushed;

static void count_flush(void *ctx, const struct flush_range *range)
{
	(void)ctx;
	flushed = *range;
	flushes++;
}

struct mmu_config space_config(uint32_t bits)
{
	return (struct mmu_config){ .vm_id = WORLD_VM, .hpa_bits = bits, .gpa_bits = bits, .max_level = LEVEL_1G,
				    .ept_ad = true, .flush = count_flush };
}

void space_start(const struct mmu_config *config)
{
	world_start();
	flushes = 0;
	assert_int_equal(mmu_init(&mmu, config, &why), 0);
	mmu_vcpu_init(&vcpu, &mmu);
}

int space_end(void **state)
{
	(void)state;
	mmu_vcpu_destroy(&vcpu);
	mmu_destroy(&mmu);
	world_end();
	return 0;
}

void space_add(gfn_t gfn, uint64_t npages, hpa_t hpa, uint32_t flags)
{
	assert_int_equal(mmu_slot_add(&mmu, gfn, npages, hpa, flags, &why), 0);
}

void space_is_good(void)
{
	if (mmu_check(&mmu, &why))
		fail_msg("%s", why.text);
}
