/*
 * Instructions of the mmu's fast paths, counted on the host: run one case under
 *   valgrind --tool=callgrind --toggle-collect=FUNCTION mmu_count CASE N
 * for two values of N; the difference divided by the difference in N is the cost of one.
 * tests/bench/host_count.py builds it and does that for all cases.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/base/frame.h"
#include "hv/base/x86.h"
#include "mmu/gpa.h"
#include "mmu/walk.h"
#include "tests/unit/mmu_world.h"

static struct mmu mmu;
static struct mmu_vcpu vcpu;
static struct failure why;

static void no_flush(void *ctx, const struct flush_range *range)
{
	(void)ctx;
	(void)range;
}

static void require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "mmu_count: %s\n", what);
	exit(1);
}

/* 4K pages only where the host address is not congruent, 2M pages else. */
static void slot(gfn_t gfn, uint64_t npages, bool large)
{
	hpa_t hpa = GIB(4) + (gfn << PAGE_SHIFT) + (large ? 0 : PAGE_SIZE);

	require(mmu_slot_add(&mmu, gfn, npages, hpa, 0, &why) == 0, why.text);
}

static void faults(uint64_t n, uint64_t first, uint64_t step, enum fault_result expect)
{
	for (uint64_t i = 0; i < n; i++)
		require(mmu_fault(&vcpu, first + i * step, MMU_WRITE) == expect, "a fault went wrong");
}

/* A 4K page whose table is there. */
static void warm_4k(uint64_t n)
{
	slot(0, 0x40000, false);
	for (uint64_t i = 0; i < n; i += 512)
		require(mmu_fault(&vcpu, (i << PAGE_SHIFT) + 511 * PAGE_SIZE, MMU_READ) == FAULT_MAPPED, "warm-up");
	for (uint64_t i = 0; i < n; i++)
		if (i % 512 != 511)
			require(mmu_fault(&vcpu, i << PAGE_SHIFT, MMU_WRITE) == FAULT_MAPPED, "fault");
}

/* One that needs its table, fetched beforehand. */
static void cold_4k(uint64_t n)
{
	slot(0, 0x40000, false);
	for (uint64_t i = 0; i < n; i++) {
		mmu_vcpu_topup(&vcpu);
		faults(1, i << 21, 0, FAULT_MAPPED);
	}
}

/* Every page of n 2M frames in order: tables and their filling included. */
static void all_4k(uint64_t n)
{
	slot(0, 0x40000, false);
	faults(n * 512, 0, PAGE_SIZE, FAULT_MAPPED);
}

static void fresh_2m(uint64_t n)
{
	slot(0, 0x40000, true);
	faults(n, 0, MIB(2), FAULT_MAPPED);
}

static void spurious(uint64_t n)
{
	slot(0, 0x40000, false);
	faults(n + 1, 0x5000, 0, FAULT_MAPPED);
}

static void mmio_hit(uint64_t n)
{
	faults(1, 0xfee00000, 0, FAULT_MMIO);
	for (uint64_t i = 0; i < n; i++)
		require(mmu_mmio_hit(&vcpu, 0xfee00300) == MMIO_HIT, "MMIO");
}

static void read_8(uint64_t n)
{
	hpa_t ram = frame_alloc_run(4, 1, OWNER_VM(WORLD_VM));
	uint64_t value;

	require(mmu_slot_add(&mmu, 0, 4, ram, 0, &why) == 0, why.text);
	for (uint64_t i = 0; i < n; i++)
		require(gpa_read(&vcpu, 0x1238, &value, sizeof(value)) == 0, "read");
}

/* A 4-level walk to a 4K page with all flags set. */
static void walk_4(uint64_t n)
{
	struct guest_paging g = { .cr0 = CR0_PE | CR0_PG | CR0_WP, .cr3 = 0x1000, .cr4 = CR4_PAE | CR4_SMEP,
				  .efer = EFER_LMA | EFER_LME | EFER_NXE, .maxphyaddr = 40, .page_1g = true };
	hpa_t ram = frame_alloc_run(16, 1, OWNER_VM(WORLD_VM));
	struct walk_result r;

	require(mmu_slot_add(&mmu, 0, 16, ram, 0, &why) == 0, why.text);
	for (uint64_t level = 1; level <= 4; level++)
		*(uint64_t *)phys_to_virt(ram + level * PAGE_SIZE) = ((level + 1) << PAGE_SHIFT) | 0x63;
	for (uint64_t i = 0; i < n; i++)
		require(guest_walk(&vcpu, &g, 0x123, WALK_FETCH, &r) == WALK_OK && r.gpa == 0x5123, "walk");
}

static const struct {
	const char *name;
	void (*run)(uint64_t n);
} cases[] = {
	{ "warm_4k", warm_4k }, { "cold_4k", cold_4k }, { "all_4k", all_4k }, { "fresh_2m", fresh_2m },
	{ "spurious", spurious }, { "mmio_hit", mmio_hit }, { "read_8", read_8 }, { "walk_4", walk_4 },
};

int main(int argc, char **argv)
{
	struct mmu_config config = { .vm_id = WORLD_VM, .hpa_bits = 46, .gpa_bits = 46, .max_level = LEVEL_2M,
				     .ept_ad = true, .flush = no_flush };
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;

	world_start();
	require(mmu_init(&mmu, &config, &why) == 0, why.text);
	mmu_vcpu_init(&vcpu, &mmu);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (argc > 1 && strcmp(argv[1], cases[i].name) == 0)
			cases[i].run(n);
	return 0;
}
