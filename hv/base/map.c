/*
 * The hypervisor's page tables. Owns the root, the image's permissions, the map of RAM as it is at start
 * (map_ram.c changes it) and the region of devices and stacks, whose addresses are handed out once and never
 * reused for another frame: so no TLB of another CPU ever has to be flushed for those.
 * SDM vol. 3A, "4-Level Paging and 5-Level Paging".
 */
#include "hv/base/map.h"

#include <errno.h>
#include <string.h>

#include "boot/boot_info.h"
#include "hv/base/frame.h"
#include "hv/base/machine.h"
#include "hv/base/map_tables.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"

#define CPUID_EXT1_EDX_1G BIT(26)
#define DEVICE_REGION_SIZE GIB(64)
#define IDENTITY_END GIB(4)
#define STACK_POOLS 8

extern char __image_start[], __text_start[], __text_end[], __rodata_start[], __rodata_end[];
extern char __data_start[], __image_end[];

static hpa_t root;             /* what CR3 holds */
static bool have_1g;
static struct spinlock lock = SPINLOCK_INIT; /* the device region: next_va, its tables, the pools */
static uint64_t next_va = HV_DEVICE_BASE;

/* Stacks given back, by size; each one's lowest word links to the next. */
static struct {
	uint64_t npages;
	void **first;
} pools[STACK_POOLS];

static const struct boot_info *ram_map;

unsigned map_top_level(void) { return read_cr4() & CR4_LA57 ? 5 : 4; }

/* The next table below *entry, made when missing; NULL when out of memory. */
static uint64_t *table_below(uint64_t *entry)
{
	if (!(*entry & PTE_PRESENT)) {
		hpa_t frame = frame_alloc(OWNER_PAGE_TABLE);

		if (frame == HPA_NONE)
			return NULL;
		*entry = frame | PTE_PRESENT | PTE_WRITE;
	}
	INVARIANT(!(*entry & PTE_LARGE));
	return phys_to_virt(*entry & PTE_ADDRESS);
}

/* The entry of va at a level, tables above it made as needed; NULL when out of memory. */
static uint64_t *entry_for(hpa_t table, uint64_t va, unsigned level)
{
	uint64_t *t = phys_to_virt(table);

	for (unsigned l = map_top_level(); t && l > level; l--)
		t = table_below(&t[map_index(va, l)]);
	return t ? &t[map_index(va, level)] : NULL;
}

void map_forget(uint64_t va) { invlpg((const void *)va); }

/* A change of CR4.PGE: SDM "Operations that Invalidate TLBs and Paging-Structure Caches". */
void map_forget_all(void)
{
	uint64_t cr4 = read_cr4();

	write_cr4(cr4 & ~CR4_PGE);
	write_cr4(cr4 | CR4_PGE);
}

uint64_t *map_entry(uint64_t va, unsigned level) { return entry_for(root, va, level); }

static unsigned largest_level(uint64_t va, hpa_t pa, uint64_t len, unsigned level)
{
	while (level > 1 && (!is_aligned(va | pa, map_size(level)) || len < map_size(level)))
		level--;
	return level;
}

/* Pages as large as fit, up to max_level. flags: write-back, those of a 4K leaf; page aligned. */
static int map_range(hpa_t table, uint64_t va, hpa_t pa, uint64_t len, uint64_t flags, unsigned max_level)
{
	while (len) {
		unsigned level = largest_level(va, pa, len, max_level);
		uint64_t *e = entry_for(table, va, level);

		if (!e)
			return -ENOMEM;
		*e = pa | flags | PTE_PRESENT | (level > 1 ? PTE_LARGE : 0);
		va += map_size(level);
		pa += map_size(level);
		len -= map_size(level);
	}
	return 0;
}

/* 4K pages only: for what is taken apart again page by page, or has other attributes next to it. */
static int map_small(hpa_t table, uint64_t va, hpa_t pa, uint64_t len, uint64_t flags)
{
	for (uint64_t at = 0; at < len; at += PAGE_SIZE) {
		uint64_t *e = entry_for(table, va + at, 1);

		if (!e)
			return -ENOMEM;
		*e = (pa + at) | flags | PTE_PRESENT;
	}
	return 0;
}

hpa_t map_translate(const void *address)
{
	uint64_t va = (uint64_t)address, entry = read_cr3();

	for (unsigned level = map_top_level(); level >= 1; level--) {
		const uint64_t *t = phys_to_virt(entry & PTE_ADDRESS);

		entry = t[map_index(va, level)];
		if (!(entry & PTE_PRESENT))
			return HPA_NONE;
		if (level == 1 || (level <= 3 && (entry & PTE_LARGE)))
			return (entry & PTE_ADDRESS & ~(map_size(level) - 1)) | (va & (map_size(level) - 1));
	}
	return HPA_NONE;
}

static bool in_device_region(uint64_t va) { return va >= HV_DEVICE_BASE && va < next_va + PAGE_SIZE; }

static bool in_image(uint64_t va) { return va >= (uint64_t)__image_start && va < (uint64_t)__image_end; }

bool map_is_guard(uint64_t va)
{
	return (in_device_region(va) || in_image(va)) && map_translate((const void *)va) == HPA_NONE;
}

static bool kind_is_mapped(enum boot_range_kind k)
{
	return k == BOOT_RANGE_RAM || k == BOOT_RANGE_BOOT || k == BOOT_RANGE_FILE ||
	       k == BOOT_RANGE_ACPI_RECLAIM || k == BOOT_RANGE_ACPI_NVS;
}

/* Ranges of mapped kinds that touch count as one: a table may straddle two. */
bool map_has_ram(hpa_t pa, uint64_t len)
{
	hpa_t end = pa + len;

	if (end < pa)
		return false;
	for (uint32_t i = 0; i < ram_map->range_count && pa < end; i++) {
		const struct boot_range *r = &ram_map->ranges[i];

		if (kind_is_mapped(r->kind) && pa >= r->base && pa - r->base < r->size)
			pa = min_u64(end, r->base + r->size);
	}
	return pa == end;
}

bool map_is_image(hpa_t pa) { return pa - ram_map->image_base < (uint64_t)(__image_end - __image_start); }

/* All RAM, with ranges that touch joined, so that large pages fit; the image's frames stay out. */
static int map_ram(const struct boot_info *bi)
{
	int err = 0;

	for (uint32_t i = 0; i < bi->range_count && !err; i++) {
		hpa_t base = bi->ranges[i].base, end = base + bi->ranges[i].size;

		if (!kind_is_mapped(bi->ranges[i].kind))
			continue;
		while (i + 1 < bi->range_count && kind_is_mapped(bi->ranges[i + 1].kind) &&
		       bi->ranges[i + 1].base == end)
			end += bi->ranges[++i].size;
		base = align_down(base, PAGE_SIZE);
		err = map_range(root, PHYS_MAP_BASE + base, base, align_up(end, PAGE_SIZE) - base,
				PTE_RAM, have_1g ? 3 : 2);
	}
	return err;
}

static int map_section(const struct boot_info *bi, const char *start, const char *end, uint64_t flags)
{
	return map_small(root, (uint64_t)start, bi->image_base + (uint64_t)(start - __image_start),
			 (uint64_t)(end - start), flags | PTE_GLOBAL);
}

static int map_image(const struct boot_info *bi)
{
	int err = map_section(bi, __text_start, __text_end, 0);

	if (!err)
		err = map_section(bi, __rodata_start, __rodata_end, PTE_NX);
	if (!err)
		err = map_section(bi, __data_start, __image_end, PTE_WRITE | PTE_NX);
	for (unsigned i = 0; i < IST_COUNT && !err; i++)
		*entry_for(root, (uint64_t)machine_boot_stacks[i].guard, 1) = 0;
	return err;
}

/* The device region's top-level entry must exist before other roots copy the upper half. */
static int reserve_device_region(void)
{
	return entry_for(root, HV_DEVICE_BASE, 3) ? 0 : -ENOMEM;
}

void map_init(const struct boot_info *bi)
{
	int err;

	have_1g = cpuid(0x80000001, 0).edx & CPUID_EXT1_EDX_1G;
	ram_map = bi;
	root = frame_alloc(OWNER_PAGE_TABLE);
	err = root == HPA_NONE ? -ENOMEM : map_ram(bi);
	if (!err)
		err = map_image(bi);
	if (!err)
		err = reserve_device_region();
	if (err)
		machine_give_up("no memory for the hypervisor's page tables");
	write_cr3(root);
	map_forget_all(); /* boot's tables may have had global entries */
}

hpa_t map_root(void) { return root; }

static uint64_t cache_flags(enum map_cache cache)
{
	switch (cache) {
	case MAP_UNCACHED:
		return PTE_PWT | PTE_PCD; /* PAT entry 3 */
	case MAP_WRITE_COMBINING:
		return PTE_PAT_4K;        /* PAT entry 4, see MACHINE_PAT */
	default:
		return 0;
	}
}

/* Addresses for len bytes and a guard page behind them; 0 when the region is used up. Lock held. */
static uint64_t take_addresses(uint64_t len)
{
	uint64_t va = next_va;

	if (len + PAGE_SIZE > HV_DEVICE_BASE + DEVICE_REGION_SIZE - va)
		return 0;
	next_va += len + PAGE_SIZE;
	return va;
}

void *map_device(hpa_t pa, uint64_t len, enum map_cache cache)
{
	hpa_t first = align_down(pa, PAGE_SIZE);
	uint64_t va, bytes = align_up(pa + len, PAGE_SIZE) - first;
	int err = -ENOMEM;

	if (!len || pa + len < pa || bytes > DEVICE_REGION_SIZE || ((pa + len - 1) & ~(PTE_ADDRESS | PAGE_MASK)))
		return NULL;
	spin_lock(&lock);
	va = take_addresses(bytes);
	if (va)
		err = map_small(root, va, first, bytes, PTE_WRITE | PTE_NX | PTE_GLOBAL | cache_flags(cache));
	spin_unlock(&lock);
	return err ? NULL : (void *)(va + (pa - first));
}

static void *new_stack(uint64_t npages)
{
	uint64_t va, len = npages << PAGE_SHIFT;
	hpa_t frames = frame_alloc_run(npages, 1, OWNER_HV);
	int err = -ENOMEM;

	if (frames == HPA_NONE)
		return NULL;
	spin_lock(&lock);
	va = take_addresses(len + PAGE_SIZE); /* one more in front: the guard below */
	if (va)
		err = map_small(root, va + PAGE_SIZE, frames, len, PTE_WRITE | PTE_NX | PTE_GLOBAL);
	spin_unlock(&lock);
	if (!err)
		return (void *)(va + PAGE_SIZE + len);
	frame_free_run(frames, npages, OWNER_HV);
	return NULL;
}

static void *pooled_stack(uint64_t npages)
{
	void **found = NULL;

	spin_lock(&lock);
	for (unsigned i = 0; i < STACK_POOLS && !found; i++)
		if (pools[i].npages == npages && pools[i].first) {
			found = pools[i].first;
			pools[i].first = *found;
			*found = NULL;
		}
	spin_unlock(&lock);
	return found ? (char *)found + (npages << PAGE_SHIFT) : NULL;
}

void *map_stack(uint64_t npages)
{
	void *top = pooled_stack(npages);

	return top ? top : new_stack(npages);
}

void unmap_stack(void *top, uint64_t npages)
{
	void **bottom = (void **)((char *)top - (npages << PAGE_SHIFT));
	unsigned i = 0;

	memset(bottom, 0, npages << PAGE_SHIFT);
	spin_lock(&lock);
	while (i < STACK_POOLS && pools[i].npages && pools[i].npages != npages)
		i++;
	INVARIANT(i < STACK_POOLS); /* stacks come in a few sizes */
	pools[i].npages = npages;
	*bottom = pools[i].first;
	pools[i].first = bottom;
	spin_unlock(&lock);
}

/* A root with the hypervisor's upper half and an empty lower one. */
static hpa_t new_root(hpa_t frame)
{
	const uint64_t *from = phys_to_virt(root);
	uint64_t *to = phys_to_virt(frame);

	memcpy(to + 256, from + 256, 256 * sizeof *to);
	return frame;
}

/* 2 MiB pages at most: a page must not span memory types, and the low 4 GiB hold devices too. */
hpa_t map_build_identity(const struct boot_info *bi)
{
	hpa_t table = frame_alloc(OWNER_PAGE_TABLE);
	int err = table == HPA_NONE ? -ENOMEM : map_range(new_root(table), 0, 0, IDENTITY_END, PTE_WRITE, 2);

	for (uint32_t i = 0; i < bi->range_count && !err; i++) {
		const struct boot_range *r = &bi->ranges[i];
		hpa_t first = max_u64(align_down(r->base, PAGE_SIZE), IDENTITY_END);
		hpa_t end = align_up(r->base + r->size, PAGE_SIZE);

		if (first < end && r->kind != BOOT_RANGE_RESERVED)
			err = map_range(table, first, first, end - first, PTE_WRITE, 2);
	}
	return err ? HPA_NONE : table;
}

/* CR3 is loaded in 32-bit mode, hence a root below 4 GiB; a low frame serves on every machine. */
hpa_t map_build_trampoline(hpa_t page)
{
	hpa_t table = frame_alloc_low(OWNER_PAGE_TABLE);

	if (table == HPA_NONE || map_small(new_root(table), page, page, PAGE_SIZE, 0))
		return HPA_NONE;
	return table;
}

void map_free_trampoline(hpa_t table)
{
	uint64_t *t = phys_to_virt(table);
	hpa_t frames[5];
	unsigned n = 0;

	for (unsigned level = map_top_level(); level > 1; level--) { /* one page below 1 MiB: first entry of each */
		frames[n++] = virt_to_phys(t);
		t = phys_to_virt(t[0] & PTE_ADDRESS);
	}
	frames[n++] = virt_to_phys(t);
	while (n)
		frame_free(frames[--n], OWNER_PAGE_TABLE);
}
