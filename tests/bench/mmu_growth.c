/*
 * Instructions of the mmu's paths, counted on the host, and how they grow with guest memory. Run under
 *   valgrind --tool=callgrind --toggle-collect=FUNCTION mmu_growth CASE GIB N
 * for two values of N; tests/bench/host_count.py builds it and does that. The guest has GIB GiB of memory in one
 * slot whose host frames are never touched, and its tables in a small slot that is real. The cases named ept_ have
 * an EPT, those named flat_ a shadow for a guest without paging, all others one for a guest with four levels.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "mmu/inspect.h"
#include "mmu/shadow.h"
#include "mmu/sp.h"

uintptr_t phys_map_base;

#define ARENA_HPA MIB(16)
#define ARENA_BYTES GIB(2) /* for metadata, backed where it is touched */
#define TABLES_GFN 0x200ul
#define TABLES_PAGES 0x1000ul
#define BIG_GFN 0x100000ul
#define TIB(n) ((uint64_t)(n) << 40)
#define BIG_HPA TIB(8)
#define FREE_GFN 0x10000ul /* a slot that is deleted */
#define FREE_PAGES 0x4000ul

static hpa_t next_frame = ARENA_HPA;

/* Never used again once freed: what is counted does not depend on the order of frees. */
hpa_t frame_alloc_run(uint64_t npages, uint64_t align_pages, frame_owner_t owner)
{
	hpa_t at = align_up(next_frame, align_pages * PAGE_SIZE);

	(void)owner;
	next_frame = at + npages * PAGE_SIZE;
	return next_frame <= ARENA_HPA + ARENA_BYTES ? at : HPA_NONE;
}

hpa_t frame_alloc(frame_owner_t owner) { return frame_alloc_run(1, 1, owner); }

void frame_free_run(hpa_t first, uint64_t npages, frame_owner_t owner)
{
	(void)first;
	(void)npages;
	(void)owner;
}

static struct mmu mmu;
static struct mmu_vcpu vcpu;
static struct guest_paging g;
static struct failure why;
static hpa_t tables;
static uint64_t big_pages;

static void no_flush(void *ctx, const struct flush_range *range)
{
	(void)ctx;
	(void)range;
}

static void require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "mmu_growth: %s\n", what);
	exit(1);
}

static void slot(gfn_t gfn, uint64_t npages, hpa_t hpa)
{
	require(mmu_slot_add(&mmu, gfn, npages, hpa, 0, &why) == 0, why.text);
}

static void set(uint64_t table, uint64_t index, uint64_t gfn)
{
	uint64_t *t = phys_to_virt(tables + table * PAGE_SIZE);

	t[index] = gfn << PAGE_SHIFT | 0x67;
}

/* Tables 0 to 3 are the levels down to a directory; 16 and up the 4K tables, one for each of its entries. */
static void build(void)
{
	for (uint64_t level = 0; level < 2; level++)
		set(level, 0, TABLES_GFN + level + 1);
	for (uint64_t i = 0; i < 512; i++)
		set(2, i, TABLES_GFN + 16 + i);
}

/* Linear page number i of the guest is gfn. */
static gva_t map(uint64_t i, gfn_t gfn)
{
	set(16 + i / 512, i % 512, gfn);
	return i << PAGE_SHIFT;
}

static void fault(gva_t gva, uint32_t error)
{
	struct walk_result r;

	require(mmu_shadow_fault(&vcpu, &g, gva, error, &r) == FAULT_MAPPED, "a fault went wrong");
}

/* Pages apart, so that nothing is mapped ahead, of memory that lies spread over all there is. */
static void faults(uint64_t n, uint64_t first_page, uint64_t step)
{
	for (uint64_t i = 0; i < n; i++)
		map(first_page + i * 8, BIG_GFN + i * step % big_pages);
	for (uint64_t i = 0; i < n; i++)
		fault((first_page + i * 8) << PAGE_SHIFT, PFERR_WRITE);
}

/* So that what is counted finds its tables in the shadow. */
static void warm_up(void)
{
	for (uint64_t i = 0; i < 64; i++)
		fault(map(i * 512 + 511, BIG_GFN + i), 0);
}

static void fault_dense(uint64_t n) { faults(n, 0, 1); }
static void fault_spread(uint64_t n) { faults(n, 0, big_pages / 4096 | 1); }

static void search(uint64_t n)
{
	mmu_shadow_set_skip(&mmu, false);
	fault_dense(n);
}

static void load(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		require(mmu_shadow_load(&vcpu, &g, true) >= 0, "load");
}

/*
 * Loads of CR3 after each of which the guest has written to one of its tables, with that many entries in the shadow:
 * it has taken the right to write from one of them, or given it back.
 */
static void sync_table(uint64_t n, uint64_t entries)
{
	uint64_t *table = phys_to_virt(tables + 16 * PAGE_SIZE);
	gva_t window = map(512 * 65, TABLES_GFN + 16);

	for (uint64_t i = 0; i < entries; i++)
		map(i, BIG_GFN + i);
	for (uint64_t i = 0; i < entries; i += 8)
		fault(i << PAGE_SHIFT, PFERR_WRITE);
	for (uint64_t i = 0; i < n; i++) {
		fault(window, PFERR_WRITE);
		table[i % entries] ^= PTE_RW;
		load(1);
	}
}

/* One entry more is that of warm_up(). */
static void sync_8(uint64_t n) { sync_table(n, 7); }
static void sync_256(uint64_t n) { sync_table(n, 255); }

/* Deletes a slot of 64 MiB of which 1024 pages are mapped, n times. */
static void zap(uint64_t n)
{
	for (uint64_t times = 0; times < n; times++) {
		slot(FREE_GFN, FREE_PAGES, TIB(30));
		for (uint64_t i = 0; i < 1024; i++)
			map(i, FREE_GFN + i * 16);
		for (uint64_t i = 0; i < 1024; i += 8)
			fault(i << PAGE_SHIFT, PFERR_WRITE);
		require(mmu_slot_delete(&mmu, FREE_GFN, &why) == 0, why.text);
	}
}

/* Bytes of metadata beside the shadow pages, after n pages were mapped one by one. */
static void metadata(uint64_t n)
{
	struct shadow_counts c;

	for (uint64_t i = 0; i < n; i++)
		map(i, BIG_GFN + i);
	for (uint64_t i = 0; i < n; i += 8)
		fault(i << PAGE_SHIFT, PFERR_WRITE);
	mmu_shadow_count(&mmu, &c);
	printf("%lu %lu\n", c.metadata_bytes, c.pages * PAGE_SIZE);
}

/* ---- a guest without paging: its pages are direct, as the EPT's are ---- */

/* Writes in n 2M frames, each of which is made of 4K leafs, and what was asked about them. */
static void flat(uint64_t n, hpa_t hpa)
{
	struct shadow_counts c;

	slot(FREE_GFN, FREE_PAGES, hpa);
	for (uint64_t i = 0; i < n; i++)
		fault((FREE_GFN + (i << 9)) << PAGE_SHIFT, PFERR_WRITE);
	mmu_shadow_count(&mmu, &c);
	printf("%lu %lu\n", c.unsync_calls[0] + c.unsync_calls[1], c.unsync_skips[0] + c.unsync_skips[1]);
}

static void flat_whole(uint64_t n) { flat(n, TIB(30)); }

/* Frames that begin with a reason against a large page: guest and host address are not congruent. */
static void flat_edges(uint64_t n) { flat(n, TIB(30) + PAGE_SIZE); }

/* ---- the EPT ---- */

static void ept_faults(uint64_t n, gfn_t first, uint64_t step)
{
	for (uint64_t i = 0; i < n; i++)
		require(mmu_fault(&vcpu, (first + i * step) << PAGE_SHIFT, MMU_WRITE) == FAULT_MAPPED, "fault");
}

static void ept_dense(uint64_t n)
{
	ept_faults(1, BIG_GFN + 511, 0);
	ept_faults(n, BIG_GFN, 1);
}

/* Pages all over memory, in tables that other pages have made: as many whatever n is. */
static void ept_spread(uint64_t n)
{
	uint64_t step = align_down(big_pages / 64, 512);

	ept_faults(64, BIG_GFN + 511, step);
	ept_faults(n, BIG_GFN, step);
}

static void ept_zap(uint64_t n)
{
	for (uint64_t times = 0; times < n; times++) {
		slot(FREE_GFN, FREE_PAGES, TIB(30));
		ept_faults(1024, FREE_GFN, 16);
		require(mmu_slot_delete(&mmu, FREE_GFN, &why) == 0, why.text);
	}
}

static void ept_metadata(uint64_t n)
{
	struct mmu_counts c;
	uint64_t blocks;

	ept_faults(n, BIG_GFN, 1);
	mmu_count(&mmu, &c);
	blocks = c.table_frames / SP_BLOCK_FRAMES;
	printf("%lu %lu\n", (c.metadata_frames + blocks) * PAGE_SIZE, (c.table_frames - blocks) * PAGE_SIZE);
}

static const struct {
	const char *name;
	void (*run)(uint64_t n);
} cases[] = {
	{ "fault_dense", fault_dense }, { "fault_spread", fault_spread }, { "search", search },
	{ "load", load }, { "sync_8", sync_8 }, { "sync_256", sync_256 }, { "zap", zap }, { "metadata", metadata },
	{ "flat_whole", flat_whole }, { "flat_edges", flat_edges },
	{ "ept_dense", ept_dense }, { "ept_spread", ept_spread }, { "ept_zap", ept_zap },
	{ "ept_metadata", ept_metadata },
};

static void load_registers(bool flat)
{
	g = (struct guest_paging){ .cr0 = CR0_PE | CR0_PG | CR0_WP, .cr3 = TABLES_GFN << PAGE_SHIFT, .cr4 = CR4_PAE,
				   .efer = EFER_LMA | EFER_LME | EFER_NXE, .maxphyaddr = 46, .page_1g = true };
	if (flat)
		g = (struct guest_paging){ .cr0 = CR0_PE, .maxphyaddr = 46 };
	require(mmu_shadow_load(&vcpu, &g, true) >= 0, "load");
}

static void start(enum mmu_kind kind, bool flat)
{
	struct mmu_config config = { .kind = kind, .vm_id = 1, .hpa_bits = 46, .gpa_bits = 46, .ept_ad = true,
				     .max_level = kind == MMU_SHADOW && !flat ? LEVEL_2M : LEVEL_4K,
				     .flush = no_flush };
	void *arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			   -1, 0);

	require(arena != MAP_FAILED, "no address space");
	phys_map_base = (uintptr_t)arena - ARENA_HPA;
	require(mmu_init(&mmu, &config, &why) == 0, why.text);
	mmu_vcpu_init(&vcpu, &mmu);
	tables = frame_alloc_run(TABLES_PAGES, 512, OWNER_VM(1));
	slot(TABLES_GFN, TABLES_PAGES, tables);
	slot(BIG_GFN, big_pages, BIG_HPA);
	build();
	if (kind == MMU_SHADOW)
		load_registers(flat);
}

int main(int argc, char **argv)
{
	const char *name = argc > 3 ? argv[1] : "";
	bool ept = strncmp(name, "ept_", 4) == 0, flat = strncmp(name, "flat_", 5) == 0;

	require(argc > 3, "mmu_growth CASE GIB N");
	big_pages = GIB(strtoull(argv[2], NULL, 0)) >> PAGE_SHIFT;
	start(ept ? MMU_EPT : MMU_SHADOW, flat);
	if (!ept && !flat && strcmp(name, "metadata") != 0)
		warm_up();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (strcmp(name, cases[i].name) == 0)
			cases[i].run(strtoull(argv[3], NULL, 0));
	return 0;
}
