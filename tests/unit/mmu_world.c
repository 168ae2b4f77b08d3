/*
 * What the tests of mmu/ share.
 */
#include "tests/unit/mmu_world.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "tests/unit/support/random.h"
#include "tests/unit/support/support.h"

#define FRAMES (WORLD_BYTES / PAGE_SIZE)
#define POISON 0xa5

uint64_t world_allocs_left = ~(uint64_t)0;
bool world_verbose;

static pthread_mutex_t frames_lock = PTHREAD_MUTEX_INITIALIZER;
static frame_owner_t owners[FRAMES];
static uintptr_t arena_base; /* phys_map_base of the arena, which is made once: clearing it takes long */
static void *mapped; /* the arena with RAM above it */
static uint64_t mapped_bytes;
static __thread uint64_t rnd_state = 1;

static uint64_t frame_index(hpa_t pa)
{
	INVARIANT(pa >= WORLD_FIRST_HPA && pa < WORLD_FIRST_HPA + WORLD_BYTES);
	return (pa - WORLD_FIRST_HPA) / PAGE_SIZE;
}

static void frames_start(void)
{
	for (uint64_t i = 0; i < FRAMES; i++)
		owners[i] = OWNER_FREE;
	world_allocs_left = ~(uint64_t)0;
}

void world_start(void)
{
	if (!arena_base) {
		test_phys_init(WORLD_FIRST_HPA, WORLD_BYTES);
		memset(phys_to_virt(WORLD_FIRST_HPA), POISON, WORLD_BYTES);
		arena_base = phys_map_base;
	}
	phys_map_base = arena_base;
	frames_start();
}

void world_start_ram(hpa_t end)
{
	mapped_bytes = end - WORLD_FIRST_HPA;
	mapped = mmap(NULL, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	INVARIANT(mapped != MAP_FAILED);
	phys_map_base = (uintptr_t)mapped - WORLD_FIRST_HPA;
	frames_start();
}

void world_end(void)
{
	for (uint64_t i = 0; i < FRAMES; i++)
		INVARIANT(owners[i] == OWNER_FREE);
	if (mapped)
		munmap(mapped, mapped_bytes);
	mapped = NULL;
}

void world_forget(frame_owner_t owner)
{
	for (uint64_t i = 0; i < FRAMES; i++)
		if (owners[i] == owner)
			owners[i] = OWNER_FREE;
}

static bool run_is_free(uint64_t first, uint64_t npages)
{
	for (uint64_t i = 0; i < npages; i++)
		if (owners[first + i] != OWNER_FREE)
			return false;
	return true;
}

hpa_t frame_alloc_run(uint64_t npages, uint64_t align_pages, frame_owner_t owner)
{
	hpa_t found = HPA_NONE;

	pthread_mutex_lock(&frames_lock);
	for (uint64_t i = 0; world_allocs_left > 0 && i + npages <= FRAMES; i += align_pages) {
		if (!run_is_free(i, npages))
			continue;
		for (uint64_t n = 0; n < npages; n++)
			owners[i + n] = owner;
		found = WORLD_FIRST_HPA + i * PAGE_SIZE;
		memset(phys_to_virt(found), 0, npages * PAGE_SIZE);
		world_allocs_left -= world_allocs_left != ~(uint64_t)0;
		break;
	}
	pthread_mutex_unlock(&frames_lock);
	return found;
}

hpa_t frame_alloc(frame_owner_t owner) { return frame_alloc_run(1, 1, owner); }

void frame_free_run(hpa_t first, uint64_t npages, frame_owner_t owner)
{
	pthread_mutex_lock(&frames_lock);
	for (uint64_t i = 0; i < npages; i++) {
		INVARIANT(owners[frame_index(first) + i] == owner);
		owners[frame_index(first) + i] = OWNER_FREE;
	}
	memset(phys_to_virt(first), POISON, npages * PAGE_SIZE);
	pthread_mutex_unlock(&frames_lock);
}

void frame_change_owner(hpa_t first, uint64_t npages, frame_owner_t from, frame_owner_t to)
{
	pthread_mutex_lock(&frames_lock);
	for (uint64_t i = 0; i < npages; i++) {
		INVARIANT(owners[frame_index(first) + i] == from);
		owners[frame_index(first) + i] = to;
	}
	pthread_mutex_unlock(&frames_lock);
}

frame_owner_t frame_owner(hpa_t pa) { return owners[frame_index(pa)]; }

uint64_t frame_count(frame_owner_t owner)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < FRAMES; i++)
		count += owners[i] == owner;
	return count;
}

uint64_t world_seed(void)
{
	const char *text = getenv("MMU_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);

	printf("seed: MMU_TEST_SEED=%lu\n", seed);
	return seed;
}

void rnd_seed(uint64_t seed) { rnd_state = seed * 2862933555777941757ul + 3037000493ul; }

uint64_t rnd(uint64_t below) { return (test_random(&rnd_state) >> 11) % below; }

/* Written from the SDM's formats, with numbers rather than the library's names, on purpose. */
static uint64_t *table_at(uint64_t entry) { return phys_to_virt(entry & 0xffffffffff000ul); }

int world_ept_walk(const struct mmu *mmu, gpa_t gpa, hpa_t *hpa, uint32_t *rwx)
{
	uint64_t pointer = mmu_eptp(mmu);

	*rwx = 7;
	for (int shift = 39; shift >= 12; shift -= 9) {
		uint64_t entry = table_at(pointer)[(gpa >> shift) & 511];

		if ((entry & 7) == 0)
			return 0;
		if ((entry & 3) == 2)
			return -1;
		*rwx &= entry & 7;
		if (shift == 12 || (entry & 0x80)) {
			*hpa = (entry & 0xffffffffff000ul) + (gpa & ((1ul << shift) - 1));
			return (shift - 12) / 9 + 1;
		}
		pointer = entry;
	}
	return 0;
}

static void visit(uint64_t pointer, gfn_t gfn, int level, void (*fn)(gfn_t, int, uint64_t))
{
	for (uint64_t i = 0; i < 512; i++) {
		uint64_t entry = table_at(pointer)[i];
		gfn_t at = gfn + (i << (9 * (level - 1)));

		if ((entry & 7) == 0 || (entry & 3) == 2)
			continue;
		if (level == 1 || (entry & 0x80))
			fn(at, level, entry);
		else
			visit(entry, at, level - 1, fn);
	}
}

void world_for_each_leaf(const struct mmu *mmu, void (*fn)(gfn_t gfn, int level, uint64_t entry))
{
	visit(mmu_eptp(mmu), 0, 4, fn);
}
