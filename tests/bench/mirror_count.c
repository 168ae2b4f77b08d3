/*
 * Instructions of the host's part in a private fault, counted on the host: mmu/, tdx/sept.c, tdx/seamcall.c, the
 * record of frame owners and the hypervisor's map of RAM over a TDX module that does nothing but say yes. Run and
 * evaluated as mmu_count.c is; what the module does (module_answer) is left out by a second --toggle-collect.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "boot/boot_info.h"
#include "drivers/lapic.h"
#include "hv/base/frame.h"
#include "hv/base/map_tables.h"
#include "hv/base/phys.h"
#include "hv/base/trap.h"
#include "mmu/mirror.h"
#include "tdx/sept.h"
#include "tests/unit/support/support.h"

#define VM 7
#define SHARED_BIT 45
#define ARENA MIB(256)

static struct mmu mmu;
static struct mmu_vcpu vcpu;
static struct td td = { .id = VM, .tdr = 0x5000 };
static struct failure why;

static void require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "mirror_count: %s %s\n", what, why.text);
	exit(1);
}

/* ---- the hypervisor's map, of 2M pages as at start ---- */

static hpa_t root;

hpa_t map_root(void) { return root; }
unsigned map_top_level(void) { return 4; }
bool map_is_image(hpa_t pa) { return (void)pa, false; }
void map_forget(uint64_t va) { (void)va; }
void map_forget_all(void) {}
void lapic_send_ipi(uint32_t apic_id, uint8_t vector) { (void)apic_id, (void)vector; }
void trap_set_irq(uint8_t vector, void (*handler)(void)) { (void)vector, (void)handler; }

static void build_map(void)
{
	uint64_t *t = phys_to_virt(root = frame_alloc(OWNER_PAGE_TABLE));

	for (unsigned level = 4; level > 2; level--) {
		hpa_t below = frame_alloc(OWNER_PAGE_TABLE);

		t[map_index(PHYS_MAP_BASE, level)] = below | PTE_PRESENT | PTE_WRITE;
		t = phys_to_virt(below);
	}
	for (hpa_t pa = 0; pa < ARENA; pa += MIB(2))
		t[map_index(PHYS_MAP_BASE + pa, 2)] = pa | PTE_RAM | PTE_LARGE;
}

/* Its addresses are such as large pages can have. */
static void make_arena(void)
{
	void *at = mmap(NULL, GIB(2), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	require(at != MAP_FAILED, "no memory for the arena");
	phys_map_base = align_up((uintptr_t)at, GIB(1));
}

static NOINLINE void module_answer(void *ctx, struct tdx_regs *r)
{
	(void)ctx;
	r->gpr[TDX_RAX] = TDX_SUCCESS;
}

static const struct tdx_ops module = { .name = "yes", .call = module_answer };

static void nobody(void *ctx) { (void)ctx; }
static void no_bar(void *ctx, bool barred) { (void)ctx, (void)barred; }
static void no_flush(void *ctx, const struct flush_range *range) { (void)ctx, (void)range; }

static void start(void)
{
	static struct boot_info info = { .range_count = 1, .ranges = { { MIB(1), ARENA - MIB(1), BOOT_RANGE_RAM } } };
	struct mmu_config config = { .vm_id = VM, .hpa_bits = 46, .gpa_bits = SHARED_BIT, .max_level = LEVEL_2M,
				     .ept_ad = true, .flush = no_flush, .external = &td.external,
				     .shared_bit = SHARED_BIT };

	make_arena();
	require(frames_build(&info, &why) == 0, "frames:");
	build_map();
	tdx_use(&module);
	td.kicker = (struct tdx_kicker){ no_bar, nobody, NULL };
	sept_init(&td);
	require(mmu_init(&mmu, &config, &why) == 0, "mmu:");
	mmu_vcpu_init(&vcpu, &mmu);
}

/* Private memory at 0: 2M pages, or 4K ones where guest and host address are not congruent. */
static void memory(uint64_t bytes, bool large)
{
	uint64_t npages = bytes >> PAGE_SHIFT;
	hpa_t ram = frame_alloc_run(npages + 1, 512, OWNER_VM(VM));

	require(ram != HPA_NONE, "no memory");
	require(mmu_slot_add(&mmu, 0, npages, ram + (large ? 0 : PAGE_SIZE), SLOT_PRIVATE, &why) == 0, "slot:");
}

/* In each of n regions of 2M one page, after another whose fault made the table. */
static void warm(uint64_t n, enum fault_result (*one)(gpa_t gpa))
{
	memory(MIB(128), false);
	for (uint64_t i = 0; i < n; i++)
		require(mmu_mirror_build(&mmu.host, i << 9, &why) == 0, "warm-up:");
	mmu_vcpu_topup(&vcpu);
	for (uint64_t i = 0; i < n; i++)
		require(one((i << 21) + 5 * PAGE_SIZE) == FAULT_MAPPED, "a fault went wrong");
}

static enum fault_result fault(gpa_t gpa) { return mmu_fault(&vcpu, gpa, MMU_WRITE); }
static enum fault_result accept_4k(gpa_t gpa) { return mmu_mirror_accept(&vcpu, gpa, LEVEL_4K); }

static void fault_warm(uint64_t n) { warm(n, fault); }
static void accept_warm(uint64_t n) { warm(n, accept_4k); }

static void fault_cold(uint64_t n)
{
	memory(MIB(128), false);
	for (uint64_t i = 0; i < n; i++) {
		mmu_vcpu_topup(&vcpu);
		require(fault(i << 21) == FAULT_MAPPED, "a fault went wrong");
	}
}

static void accept_2m(uint64_t n)
{
	memory(MIB(128), true);
	for (uint64_t i = 0; i < n; i++)
		require(mmu_mirror_accept(&vcpu, i << 21, LEVEL_2M) == FAULT_MAPPED, "a fault went wrong");
}

static const struct {
	const char *name;
	void (*run)(uint64_t n);
} cases[] = {
	{ "fault_4k", fault_warm }, { "accept_4k", accept_warm }, { "fault_4k_cold", fault_cold },
	{ "accept_2m", accept_2m },
};

int main(int argc, char **argv)
{
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;

	start();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (argc > 1 && strcmp(argv[1], cases[i].name) == 0)
			cases[i].run(n);
	return 0;
}
