/* Physical memory in host tests: an arena of the test's heap, so that ASan sees every overrun. */
#include "hv/base/phys.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/support/support.h"

uintptr_t phys_map_base;

static char *arena;
static hpa_t arena_first;
static uint64_t arena_size;

void test_phys_end(void)
{
	free(arena);
	arena = NULL;
	arena_size = 0;
}

void test_phys_init(hpa_t first_hpa, uint64_t size)
{
	test_phys_end();
	arena = aligned_alloc(PAGE_SIZE, size);
	if (!arena)
		abort();
	memset(arena, 0, size);
	arena_first = first_hpa;
	arena_size = size;
	phys_map_base = (uintptr_t)arena - first_hpa;
}

bool test_phys_contains(hpa_t pa, uint64_t size)
{
	return pa >= arena_first && size <= arena_size && pa - arena_first <= arena_size - size;
}
