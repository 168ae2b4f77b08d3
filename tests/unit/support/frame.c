/* The frame allocator in host tests: first fit over the arena of phys.c, one owner per frame. */
#include "hv/base/frame.h"

#include <string.h>

#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "tests/unit/support/support.h"

#define MAX_FRAMES 65536

uint64_t test_frames_left = ~(uint64_t)0;

static frame_owner_t owners[MAX_FRAMES]; /* by frame number modulo MAX_FRAMES; 0: free */

static frame_owner_t *owner_of(hpa_t pa) { return &owners[(pa >> PAGE_SHIFT) % MAX_FRAMES]; }

uint64_t test_frames_used(void)
{
	uint64_t used = 0;

	for (size_t i = 0; i < MAX_FRAMES; i++)
		used += owners[i] != 0;
	return used;
}

static bool run_is_free(hpa_t first, uint64_t npages)
{
	if (first == HPA_NONE || !test_phys_contains(first, npages * PAGE_SIZE))
		return false;
	for (uint64_t i = 0; i < npages; i++)
		if (*owner_of(first + i * PAGE_SIZE))
			return false;
	return true;
}

static hpa_t arena_start(void)
{
	hpa_t pa = 0;

	while (pa < (hpa_t)MAX_FRAMES << PAGE_SHIFT && !test_phys_contains(pa, PAGE_SIZE))
		pa += PAGE_SIZE;
	return pa;
}

hpa_t frame_alloc_run(uint64_t npages, uint64_t align_pages, frame_owner_t owner)
{
	uint64_t align = align_pages * PAGE_SIZE;

	if (test_frames_left < npages)
		return HPA_NONE;
	for (hpa_t pa = align_up(arena_start(), align); test_phys_contains(pa, PAGE_SIZE); pa += align) {
		if (!run_is_free(pa, npages))
			continue;
		for (uint64_t i = 0; i < npages; i++)
			*owner_of(pa + i * PAGE_SIZE) = owner;
		memset(phys_to_virt(pa), 0, npages * PAGE_SIZE);
		test_frames_left -= npages;
		return pa;
	}
	return HPA_NONE;
}

hpa_t frame_alloc(frame_owner_t owner) { return frame_alloc_run(1, 1, owner); }

void frame_free_run(hpa_t first, uint64_t npages, frame_owner_t owner)
{
	for (uint64_t i = 0; i < npages; i++) {
		frame_owner_t *record = owner_of(first + i * PAGE_SIZE);

		INVARIANT(*record == owner);
		*record = 0;
	}
}

void frame_change_owner(hpa_t first, uint64_t npages, frame_owner_t from, frame_owner_t to)
{
	for (uint64_t i = 0; i < npages; i++) {
		frame_owner_t *record = owner_of(first + i * PAGE_SIZE);

		INVARIANT(*record == from);
		*record = to;
	}
}

frame_owner_t frame_owner(hpa_t pa)
{
	if (!test_phys_contains(pa, 1))
		return OWNER_NONE;
	return *owner_of(pa) ? *owner_of(pa) : OWNER_FREE;
}

uint64_t frame_count(frame_owner_t owner)
{
	uint64_t count = 0;

	for (hpa_t pa = arena_start(); test_phys_contains(pa, PAGE_SIZE); pa += PAGE_SIZE)
		count += frame_owner(pa) == owner;
	return count;
}

uint64_t frame_tally(frame_owner_t owner) { return frame_count(owner); }

uint64_t frame_largest_free_run(void)
{
	uint64_t largest = 0, run = 0;

	for (hpa_t pa = arena_start(); test_phys_contains(pa, PAGE_SIZE); pa += PAGE_SIZE) {
		run = frame_owner(pa) == OWNER_FREE ? run + 1 : 0;
		largest = max_u64(largest, run);
	}
	return largest;
}
