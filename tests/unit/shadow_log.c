/*
 * The oracle of the dirty log under shadow paging.
 */
#include "tests/unit/shadow_log.h"

#include <stdio.h>
#include <string.h>

#include "mmu/bitmap.h"
#include "mmu/dirty.h"
#include "tests/unit/shadow_mem.h"
#include "tests/unit/shadow_world.h"

#define FRAMES (MEM_RAM_BYTES / PAGE_SIZE)
#define WORDS_MAX 8192

static bool on;
static uint64_t written[FRAMES / 64]; /* by frame */

void log_reset(void)
{
	on = false;
	memset(written, 0, sizeof(written));
}

static uint64_t frame_of(hpa_t at) { return (at - MEM_RAM_HPA) >> PAGE_SHIFT; }

void log_written(hpa_t at)
{
	if (on)
		written[frame_of(at) / 64] |= BIT(frame_of(at) % 64);
}

static void forget(uint64_t frame) { written[frame / 64] &= ~BIT(frame % 64); }

static void stop(void)
{
	struct failure f;

	for (uint32_t i = 0; i < mem_slot_count; i++)
		(void)mmu_dirty_stop(&world_mmu, mem_slots[i].gfn, &f); /* not all may have been started */
	on = false;
}

static void start(void)
{
	on = true;
	for (uint32_t i = 0; on && i < mem_slot_count; i++)
		log_slot_added(mem_slots[i].gfn);
	memset(written, 0, sizeof(written)); /* what was written meanwhile may be in the log or not */
}

void log_slot_added(gfn_t gfn)
{
	struct failure f;
	int err = on ? mmu_dirty_start(&world_mmu, gfn, &f) : 0;

	if (err && (err != -ENOMEM || world_allocs_left))
		world_fail("the log of the slot at gfn %lx does not start: %d %s", gfn, err, f.text);
	if (err)
		stop();
}

void log_slot_goes(gfn_t gfn)
{
	const struct mem_slot *s = mem_slot_of(gfn << PAGE_SHIFT);

	for (uint64_t i = 0; on && s && i < s->npages; i++)
		forget(frame_of(s->hpa) + i);
}

void log_switch(void)
{
	SAY("  log %s\n", on ? "off" : "on");
	if (on)
		stop();
	else
		start();
}

/* Takes what the slot's log has off what is to be found. */
static void fetch(const struct mem_slot *s)
{
	static uint64_t bitmap[WORDS_MAX];
	uint64_t words = align_up(s->npages, 64) / 64, from = rnd(2) ? 0 : words / 2;

	memset(bitmap, 0, sizeof(bitmap));
	/* In two parts, or at once. */
	if (from && mmu_dirty_fetch(&world_mmu, s->gfn, 0, from, bitmap) < 0)
		world_fail("the first %lu words of the log at gfn %lx are not to be had", from, s->gfn);
	if (mmu_dirty_fetch(&world_mmu, s->gfn, from * 64, words - from, bitmap + from) < 0)
		world_fail("the log at gfn %lx is not to be had from word %lu on", s->gfn, from);
	for (uint64_t n = 0; n < words; n++)
		for (uint64_t left = bitmap[n]; left; left &= left - 1)
			forget(frame_of(s->hpa) + n * 64 + (uint64_t)__builtin_ctzl(left));
}

bool log_is_on(void) { return on; }

void log_fetch(void)
{
	if (!on)
		return;
	for (uint32_t i = 0; i < mem_slot_count; i++)
		fetch(&mem_slots[i]);
	for (uint64_t n = 0; n < ARRAY_LEN(written); n++)
		if (written[n])
			world_fail("the frame at %lx was written to and is not in the log",
				   MEM_RAM_HPA + (n * 64 + (uint64_t)__builtin_ctzl(written[n])) * PAGE_SIZE);
}
