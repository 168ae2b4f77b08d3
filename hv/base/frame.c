/*
 * The frame allocator. Two bytes of owner per frame; per block of 512 frames (2 MiB) how many are
 * free and how many of those are clean; a bit per frame that says whether it still has to be
 * cleared. Runs are found first-fit, whole blocks at a step. Each CPU keeps some cleared frames of
 * its own, so that frame_alloc takes no lock and clears nothing as a rule.
 */
#include "hv/base/frame.h"

#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/frame_table.h"
#include "hv/base/log.h"
#include "hv/base/panic.h"
#include "hv/base/percpu.h"
#include "hv/base/phys.h"
#include "hv/base/spin.h"

#define CACHE_SIZE 64
#define CACHE_REFILL 32
#define CLEAR_STEP 16     /* frames an idle CPU clears at a time */
#define CLEAN_TARGET 4096 /* frames kept clean ahead of need */
#define FREE_CLEARS 64    /* up to so many frames are cleared when freed, more when next handed out */
#define TELL_FROM (MIB(64) >> PAGE_SHIFT) /* clearing more than this is worth a line in the log */
#define TELL_STEP (GIB(1) >> PAGE_SHIFT)

struct frame_cache {
	uint32_t count;
	pfn_t frames[CACHE_SIZE];
} __attribute__((aligned(64)));

/* Frames in use by kind of owner and guest: what each CPU added and took away; only the sums mean something. */
#define TALLY_KINDS 4
#define TALLY_IDS 32
struct frame_tallies {
	int64_t frames[TALLY_KINDS][TALLY_IDS];
} __attribute__((aligned(64)));

struct frame_table frame_table;

static struct spinlock lock = SPINLOCK_INIT;
static struct frame_cache caches[MAX_CPUS];
static struct frame_tallies tallies[MAX_CPUS];
static pfn_t clean_from, dirty_from; /* below are no clean / dirty free frames */
static uint64_t clean_total;

static void clear_frame(pfn_t p)
{
	void *at = phys_to_virt(p << PAGE_SHIFT);
	uint64_t words = PAGE_SIZE / 8;

	__asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(0) : "memory");
}

void frames_tally_add(frame_owner_t owner, int64_t npages)
{
	tallies[this_cpu()->index].frames[(owner >> 12) % TALLY_KINDS][owner % TALLY_IDS] += npages;
}

static bool is_dirty(pfn_t p) { return frame_table.dirty[p / 64] & BIT(p % 64); }

/* Neighbours in the word may be another CPU's affair at the same time: hence atomic. */
static void set_dirty(pfn_t p, bool dirty)
{
	if (dirty)
		__atomic_fetch_or(&frame_table.dirty[p / 64], BIT(p % 64), __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&frame_table.dirty[p / 64], ~BIT(p % 64), __ATOMIC_RELAXED);
}

/* Takes a free frame off the record; lock held. */
static void take(pfn_t p, frame_owner_t owner)
{
	struct frame_block *b = &frame_table.blocks[p / BLOCK_FRAMES];

	b->free--;
	if (!is_dirty(p)) {
		b->clean--;
		clean_total--;
	}
	frame_table.owners[p] = owner;
}

/* Puts a frame back on the record as free; lock held. */
static void give(pfn_t p)
{
	struct frame_block *b = &frame_table.blocks[p / BLOCK_FRAMES];

	frame_table.owners[p] = OWNER_FREE;
	b->free++;
	if (is_dirty(p)) {
		dirty_from = min_u64(dirty_from, p);
	} else {
		b->clean++;
		clean_total++;
		clean_from = min_u64(clean_from, p);
	}
}

/* The first frame of [p, end) that is not free, or end. */
static pfn_t first_taken(pfn_t p, pfn_t end)
{
	while (p < end) {
		uint16_t free = frame_table.blocks[p / BLOCK_FRAMES].free;

		if (free == BLOCK_FRAMES)
			p = align_down(p, BLOCK_FRAMES) + BLOCK_FRAMES;
		else if (frame_table.owners[p] != OWNER_FREE)
			return p;
		else
			p++;
	}
	return end;
}

/* The first free frame from p on, or the table's end. */
static pfn_t first_free(pfn_t p)
{
	while (p < frame_table.count) {
		if (!frame_table.blocks[p / BLOCK_FRAMES].free)
			p = align_down(p, BLOCK_FRAMES) + BLOCK_FRAMES;
		else if (frame_table.owners[p] == OWNER_FREE)
			return p;
		else
			p++;
	}
	return frame_table.count;
}

/* First fit; 0 when there is none. */
static pfn_t find_run(uint64_t npages, uint64_t align)
{
	pfn_t p = align_up(first_free(0), align);

	while (p < frame_table.count && npages <= frame_table.count - p) {
		pfn_t taken = first_taken(p, p + npages);

		if (taken == p + npages)
			return p;
		p = align_up(first_free(taken), align);
	}
	return 0;
}

/* The caller owns the frames by now, so no lock is needed. */
static void clear_run(pfn_t first, uint64_t npages)
{
	uint64_t cleared = 0, start = __builtin_ia32_rdtsc();

	for (pfn_t p = first; p < first + npages; p++) {
		if (!is_dirty(p))
			continue;
		clear_frame(p);
		set_dirty(p, false);
		if (++cleared % TELL_STEP == 0)
			log_info("memory: %lu of %lu MiB cleared", (p + 1 - first) >> 8, npages >> 8);
	}
	if (cleared >= TELL_FROM)
		log_info("memory: cleared %lu MiB in %lu ms", cleared >> 8,
			 tsc_to_ns(__builtin_ia32_rdtsc() - start) / 1000000);
}

hpa_t frame_alloc_run(uint64_t npages, uint64_t align_pages, frame_owner_t owner)
{
	pfn_t first;

	INVARIANT(npages && align_pages && !(align_pages & (align_pages - 1)));
	spin_lock(&lock);
	first = find_run(npages, align_pages);
	for (pfn_t p = first; first && p < first + npages; p++)
		take(p, owner);
	spin_unlock(&lock);
	if (first) {
		frames_tally_add(owner, (int64_t)npages);
		clear_run(first, npages);
	}
	return first << PAGE_SHIFT;
}

static pfn_t next_block(pfn_t p) { return align_down(p, BLOCK_FRAMES) + BLOCK_FRAMES; }

/* Moves clean frames into the cache; lock held. */
static void refill_clean(struct frame_cache *c)
{
	pfn_t p = clean_from;

	while (p < frame_table.count && c->count < CACHE_REFILL) {
		if (!frame_table.blocks[p / BLOCK_FRAMES].clean) {
			p = next_block(p);
			continue;
		}
		if (frame_table.owners[p] == OWNER_FREE && !is_dirty(p)) {
			take(p, OWNER_CACHED);
			c->frames[c->count++] = p;
		}
		p++;
	}
	clean_from = p;
}

/* With nothing clean left, one frame is cleared here and now: no more than the caller needs. */
static bool refill(struct frame_cache *c)
{
	pfn_t p = 0;

	spin_lock(&lock);
	refill_clean(c);
	if (!c->count) {
		p = first_free(0);
		if (p < frame_table.count)
			take(p, OWNER_CACHED);
	}
	spin_unlock(&lock);
	if (c->count)
		return true;
	if (p >= frame_table.count)
		return false;
	clear_run(p, 1);
	c->frames[c->count++] = p;
	return true;
}

hpa_t frame_alloc(frame_owner_t owner)
{
	struct frame_cache *c = &caches[this_cpu()->index];
	pfn_t p;

	if (UNLIKELY(!c->count) && !refill(c))
		return HPA_NONE;
	p = c->frames[--c->count];
	frame_table.owners[p] = owner;
	frames_tally_add(owner, 1);
	return p << PAGE_SHIFT;
}

hpa_t frame_alloc_low(frame_owner_t owner)
{
	pfn_t p = 1, end = min_u64(LOW_FRAMES, frame_table.count);

	spin_lock(&lock);
	while (p < end && frame_table.owners[p] != OWNER_LOW)
		p++;
	if (p < end)
		frame_table.owners[p] = owner;
	spin_unlock(&lock);
	if (p >= end)
		return HPA_NONE;
	frames_tally_add(owner, 1);
	clear_frame(p);
	return p << PAGE_SHIFT;
}

/* Changes the record of one frame; a frame that is not the owner's is a double or a foreign free. */
static void disown(pfn_t p, frame_owner_t owner)
{
	frame_owner_t found = owner;

	if (p >= frame_table.count ||
	    !__atomic_compare_exchange_n(&frame_table.owners[p], &found, OWNER_CACHED, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		panic("frame %lxh freed for owner %xh, but it belongs to %xh", p << PAGE_SHIFT, owner,
		      p < frame_table.count ? found : OWNER_NONE);
}

void frame_free_run(hpa_t pa, uint64_t npages, frame_owner_t owner)
{
	struct frame_cache *c = &caches[this_cpu()->index];
	pfn_t first = pa >> PAGE_SHIFT;

	INVARIANT(is_aligned(pa, PAGE_SIZE) && owner >= OWNER_HV);
	for (pfn_t p = first; p < first + npages; p++)
		disown(p, owner);
	frames_tally_add(owner, -(int64_t)npages);
	for (pfn_t p = first; p < first + npages; p++)
		set_dirty(p, true);
	if (npages <= FREE_CLEARS)
		clear_run(first, npages);
	if (npages == 1 && first >= LOW_FRAMES && c->count < CACHE_SIZE) {
		c->frames[c->count++] = first;
		return;
	}
	spin_lock(&lock);
	for (pfn_t p = first; p < first + npages; p++)
		if (p < LOW_FRAMES)
			frame_table.owners[p] = OWNER_LOW;
		else
			give(p);
	spin_unlock(&lock);
}

static void change_owner(pfn_t p, frame_owner_t from, frame_owner_t to)
{
	if (UNLIKELY(frame_table.owners[p] != from))
		panic("frame %lxh was to go from owner %xh to %xh, but it belongs to %xh", p << PAGE_SHIFT, from, to,
		      frame_table.owners[p]);
	frame_table.owners[p] = to;
}

/* Four records at a time where all four are as expected: private memory changes hands 2 MiB at a time. */
static NOINLINE void change_owners(pfn_t p, pfn_t end, frame_owner_t from, frame_owner_t to)
{
	const uint64_t each = 0x0001000100010001ul;

	while (p < end) {
		uint64_t *four = (uint64_t *)(void *)&frame_table.owners[p];

		if (LIKELY(p % 4 == 0 && p + 4 <= end && *four == from * each)) {
			*four = to * each;
			p += 4;
		} else {
			change_owner(p++, from, to);
		}
	}
}

void frame_change_owner(hpa_t pa, uint64_t npages, frame_owner_t from, frame_owner_t to)
{
	pfn_t p = pa >> PAGE_SHIFT, end = p + npages;

	INVARIANT(is_aligned(pa, PAGE_SIZE) && end <= frame_table.count && from >= OWNER_HV && to >= OWNER_HV);
	if (LIKELY(npages == 1))
		change_owner(p, from, to);
	else
		change_owners(p, end, from, to);
	frames_tally_add(from, -(int64_t)npages);
	frames_tally_add(to, (int64_t)npages);
}

/* Takes up to CLEAR_STEP dirty free frames out of circulation; lock held. */
static unsigned pick_dirty(pfn_t *picked)
{
	unsigned n = 0;
	pfn_t p = dirty_from;

	while (p < frame_table.count && n < CLEAR_STEP) {
		const struct frame_block *b = &frame_table.blocks[p / BLOCK_FRAMES];

		if (b->free == b->clean) {
			p = next_block(p);
			continue;
		}
		if (frame_table.owners[p] == OWNER_FREE && is_dirty(p)) {
			take(p, OWNER_CACHED);
			picked[n++] = p;
		}
		p++;
	}
	dirty_from = p;
	return n;
}

bool frames_clear_some(void)
{
	pfn_t picked[CLEAR_STEP];
	unsigned n = 0;

	if (clean_total >= CLEAN_TARGET || dirty_from >= frame_table.count)
		return false;
	spin_lock(&lock);
	n = pick_dirty(picked);
	spin_unlock(&lock);
	for (unsigned i = 0; i < n; i++)
		clear_run(picked[i], 1);
	spin_lock(&lock);
	for (unsigned i = 0; i < n; i++)
		give(picked[i]);
	spin_unlock(&lock);
	return n != 0;
}

static frame_owner_t reported(pfn_t p)
{
	frame_owner_t o = frame_table.owners[p];

	return o == OWNER_CACHED || o == OWNER_LOW ? OWNER_FREE : o;
}

frame_owner_t frame_owner(hpa_t pa)
{
	pfn_t p = pa >> PAGE_SHIFT;

	return p < frame_table.count ? reported(p) : OWNER_NONE;
}

uint64_t frame_count(frame_owner_t owner)
{
	uint64_t n = 0;

	for (pfn_t p = 0; p < frame_table.count; p++)
		n += reported(p) == owner;
	return n;
}

/* Of one kind and guest, on all CPUs. */
static uint64_t tally(unsigned kind, unsigned id)
{
	int64_t n = 0;

	for (uint32_t i = 0; i < cpu_count; i++)
		n += __atomic_load_n(&tallies[i].frames[kind][id], __ATOMIC_RELAXED);
	return n < 0 ? 0 : (uint64_t)n;
}

uint64_t frame_tally(frame_owner_t owner)
{
	uint64_t used = 0;

	if (owner != OWNER_FREE)
		return tally((owner >> 12) % TALLY_KINDS, owner % TALLY_IDS);
	for (unsigned kind = 0; kind < TALLY_KINDS; kind++)
		for (unsigned id = 0; id < TALLY_IDS; id++)
			used += tally(kind, id);
	return frame_table.ram - min_u64(used, frame_table.ram);
}

uint64_t frame_largest_free_run(void)
{
	uint64_t best = 0;
	pfn_t end;

	for (pfn_t p = first_free(0); p < frame_table.count; p = first_free(end)) {
		end = first_taken(p, frame_table.count);
		best = max_u64(best, end - p);
	}
	return best;
}

void frame_for_each_run(void (*each)(void *ctx, hpa_t first, uint64_t npages, frame_owner_t owner), void *ctx)
{
	pfn_t first = 0;

	for (pfn_t p = 1; p <= frame_table.count; p++) {
		frame_owner_t owner = reported(first);

		if (p < frame_table.count && reported(p) == owner)
			continue;
		if (owner != OWNER_NONE)
			each(ctx, first << PAGE_SHIFT, p - first, owner);
		first = p;
	}
}

void frames_reset_state(void)
{
	memset(caches, 0, sizeof caches);
	memset(tallies, 0, sizeof tallies);
	clean_from = frame_table.count;
	dirty_from = 0;
	clean_total = 0;
}
