/*
 * Builds the frame allocator's record from boot's memory map. The map is input: it may overlap,
 * wrap around, or hold next to nothing; where two ranges claim a frame, the one that is not free
 * RAM wins.
 */
#include <errno.h>
#include <string.h>

#include "boot/boot_info.h"
#include "hv/base/failure.h"
#include "hv/base/frame.h"
#include "hv/base/frame_table.h"
#include "hv/base/phys.h"

#define MAX_FRAMES (BIT(52) >> PAGE_SHIFT) /* the widest physical address there is */

static bool kind_is_ram(enum boot_range_kind k)
{
	return k == BOOT_RANGE_RAM || k == BOOT_RANGE_BOOT || k == BOOT_RANGE_FILE || k == BOOT_RANGE_IMAGE;
}

/* Frames of a range: free RAM is rounded inwards, all else outwards. Empty when it makes no sense. */
static void frames_of(const struct boot_range *r, pfn_t *first, pfn_t *end)
{
	bool inwards = r->kind == BOOT_RANGE_RAM;

	*first = *end = 0;
	if (!r->size || r->base + r->size < r->base || r->base + r->size > MAX_FRAMES << PAGE_SHIFT)
		return;
	*first = (inwards ? align_up(r->base, PAGE_SIZE) : r->base) >> PAGE_SHIFT;
	*end = (inwards ? r->base + r->size : align_up(r->base + r->size, PAGE_SIZE)) >> PAGE_SHIFT;
	if (*end < *first)
		*end = *first;
}

static pfn_t last_ram_end(const struct boot_info *bi)
{
	pfn_t first, end, last = 0;

	for (uint32_t i = 0; i < bi->range_count; i++) {
		frames_of(&bi->ranges[i], &first, &end);
		if (kind_is_ram(bi->ranges[i].kind))
			last = max_u64(last, end);
	}
	return last;
}

static bool claimed_otherwise(const struct boot_info *bi, pfn_t first, pfn_t end)
{
	pfn_t a, b;

	for (uint32_t i = 0; i < bi->range_count; i++) {
		frames_of(&bi->ranges[i], &a, &b);
		if (bi->ranges[i].kind != BOOT_RANGE_RAM && a < end && first < b)
			return true;
	}
	return false;
}

/* A place for npages of records: the start of a RAM range above the first MiB; 0 when none is fit. */
static pfn_t place_table(const struct boot_info *bi, uint64_t npages)
{
	pfn_t first, end;

	for (uint32_t i = 0; i < bi->range_count; i++) {
		frames_of(&bi->ranges[i], &first, &end);
		first = max_u64(first, LOW_FRAMES);
		if (bi->ranges[i].kind == BOOT_RANGE_RAM && end > first && end - first >= npages &&
		    !claimed_otherwise(bi, first, first + npages))
			return first;
	}
	return 0;
}

static void mark(pfn_t first, pfn_t end, frame_owner_t owner)
{
	for (pfn_t p = first; p < end && p < frame_table.count; p++)
		frame_table.owners[p] = owner;
}

static void mark_ranges(const struct boot_info *bi)
{
	pfn_t first, end;

	for (uint32_t i = 0; i < bi->range_count; i++) {
		frames_of(&bi->ranges[i], &first, &end);
		if (bi->ranges[i].kind == BOOT_RANGE_RAM)
			mark(first, end, OWNER_FREE);
	}
	for (uint32_t i = 0; i < bi->range_count; i++) {
		frames_of(&bi->ranges[i], &first, &end);
		if (bi->ranges[i].kind != BOOT_RANGE_RAM)
			mark(first, end, kind_is_ram(bi->ranges[i].kind) ? OWNER_HV : OWNER_NONE);
	}
}

static void withhold_low_memory(void)
{
	for (pfn_t p = 0; p < LOW_FRAMES && p < frame_table.count; p++)
		if (frame_table.owners[p] == OWNER_FREE)
			frame_table.owners[p] = p ? OWNER_LOW : OWNER_HV;
}

/* Fills in the counts of blocks, of all RAM and by owner; returns how many frames are free for runs. */
static uint64_t count_frames(void)
{
	uint64_t total = 0;

	frame_table.ram = 0;
	for (pfn_t p = 0; p < frame_table.count; p++) {
		frame_owner_t owner = frame_table.owners[p];

		frame_table.ram += owner != OWNER_NONE;
		if (owner == OWNER_HV)
			frames_tally_add(OWNER_HV, 1);
		if (owner == OWNER_FREE) {
			frame_table.blocks[p / BLOCK_FRAMES].free++;
			total++;
		}
	}
	return total;
}

int frames_build(const struct boot_info *bi, struct failure *f)
{
	uint64_t count = last_ram_end(bi), blocks = (count + BLOCK_FRAMES - 1) / BLOCK_FRAMES;
	uint64_t dirty_bytes = blocks * BLOCK_FRAMES / 8, block_bytes = blocks * sizeof(struct frame_block);
	uint64_t bytes = dirty_bytes + block_bytes + count * sizeof(frame_owner_t);
	uint64_t npages = align_up(bytes, PAGE_SIZE) >> PAGE_SHIFT;
	pfn_t at;
	uint8_t *memory;

	if (!count)
		return fail(f, -EINVAL, "the firmware's memory map names no usable RAM");
	at = place_table(bi, npages);
	if (!at)
		return fail(f, -ENOMEM,
			    "no RAM range above 1 MiB has the %lu KiB that the record of %lu MiB of memory needs",
			    npages << 2, count >> 8);
	memory = phys_to_virt(at << PAGE_SHIFT);
	memset(memory, 0, npages << PAGE_SHIFT);
	frame_table.count = count;
	frame_table.block_count = blocks;
	frame_table.dirty = (uint64_t *)memory;
	frame_table.blocks = (struct frame_block *)(memory + dirty_bytes);
	frame_table.owners = (frame_owner_t *)(memory + dirty_bytes + block_bytes);
	memset(frame_table.dirty, 0xff, dirty_bytes);
	mark_ranges(bi);
	withhold_low_memory();
	mark(at, at + npages, OWNER_HV);
	frames_reset_state();
	if (!count_frames())
		return fail(f, -ENOMEM, "no RAM above 1 MiB is left for guests");
	return 0;
}

void frames_release_boot(const struct boot_info *bi)
{
	pfn_t first, end;

	for (uint32_t i = 0; i < bi->range_count; i++) {
		frames_of(&bi->ranges[i], &first, &end);
		if (bi->ranges[i].kind != BOOT_RANGE_BOOT)
			continue;
		for (pfn_t p = max_u64(first, 1); p < end; p++)
			if (frame_owner(p << PAGE_SHIFT) == OWNER_HV)
				frame_free(p << PAGE_SHIFT, OWNER_HV);
	}
}
