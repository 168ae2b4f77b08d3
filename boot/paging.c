/* Owns nothing: writes page tables (SDM volume 3A, "4-Level Paging and 5-Level Paging"). */
#include "boot/paging.h"

#include "hv/base/map.h"
#include "hv/base/phys.h"

#define ENTRIES 512
#define ENTRY_PRESENT BIT(0)
#define ENTRY_WRITE BIT(1)
#define ENTRY_LARGE BIT(7)
#define ENTRY_ADDRESS BITS(51, 12)
#define LARGE_PAGE MIB(2)

static unsigned index_at(uint64_t va, unsigned level) { return va >> (PAGE_SHIFT + 9 * (level - 1)) & (ENTRIES - 1); }

uint64_t paging_pages(hpa_t top)
{
	uint64_t directories = align_up(top, GIB(1)) >> 30;
	uint64_t pointers = align_up(top, GIB(512)) >> 39;

	/* Two roots, one of them for five levels; the image has a pointer table and a directory of its own. */
	return 2 + pointers + directories + 2;
}

static uint64_t *new_table(struct page_tables *t) { return (uint64_t *)(t->pages + t->used++ * PAGE_SIZE); }

static uint64_t *next_table(struct page_tables *t, uint64_t *entry)
{
	if (!*entry)
		*entry = (uint64_t)new_table(t) | ENTRY_PRESENT | ENTRY_WRITE;
	return (uint64_t *)(*entry & ENTRY_ADDRESS);
}

static void map_large(struct page_tables *t, uint64_t *level4, uint64_t va, hpa_t pa)
{
	uint64_t *level3 = next_table(t, &level4[index_at(va, 4)]);
	uint64_t *level2 = next_table(t, &level3[index_at(va, 3)]);

	level2[index_at(va, 2)] = pa | ENTRY_PRESENT | ENTRY_WRITE | ENTRY_LARGE;
}

/* The physical map is the identity map seen a second time: both share every table below the root. */
static void share_with_physical_map(uint64_t *level4, hpa_t top)
{
	unsigned first = index_at(PHYS_MAP_BASE, 4);

	for (unsigned i = 0; (uint64_t)i << 39 < top; i++)
		level4[first + i] = level4[i];
}

void paging_build(struct page_tables *t, hpa_t top, hpa_t image_base, uint64_t image_size)
{
	uint64_t *level4 = new_table(t), *level5;

	for (hpa_t pa = 0; pa < top; pa += LARGE_PAGE)
		map_large(t, level4, pa, pa);
	share_with_physical_map(level4, top);
	for (uint64_t at = 0; at < image_size; at += LARGE_PAGE)
		map_large(t, level4, HV_IMAGE_BASE + at, image_base + at);
	t->root = (hpa_t)level4;
	if (!t->five_levels)
		return;
	/* With five levels the addresses of both halves are the same ones, sign-extended further. */
	level5 = new_table(t);
	level5[0] = level5[ENTRIES - 1] = (uint64_t)level4 | ENTRY_PRESENT | ENTRY_WRITE;
	t->root = (hpa_t)level5;
}
