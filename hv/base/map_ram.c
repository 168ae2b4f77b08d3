/*
 * Changes of the map of RAM. What is out is not present: 4K pages by an entry that is 0; 2M by an entry that names,
 * not present, a table with 512 such entries, so that a part of it can be put back without asking for memory. A large
 * page that was split stays split: tables take 4 KiB for each 2 MiB that was ever out in part, 0.2 % of RAM at most,
 * and to take one away would need an answer from every CPU that may have walked through it.
 */
#include "hv/base/map_ram.h"

#include <errno.h>
#include <string.h>

#include "drivers/lapic.h"
#include "hv/base/map_tables.h"
#include "hv/base/panic.h"
#include "hv/base/percpu.h"
#include "hv/base/phys.h"
#include "hv/base/spin.h"
#include "hv/base/trap.h"
#include "hv/base/vectors.h"

#define ENTRIES 512
#define LARGE_PAGES 512ul /* 4K pages in 2M */
#define SINGLY 8          /* up to so many addresses are flushed one by one */

static struct spinlock lock = SPINLOCK_INIT; /* the tables of the map of RAM */
static struct {
	uint64_t gib, *table; /* 2M entries of the gigabyte that was changed last; lock held */
} near;
static uint32_t flush_wanted[MAX_CPUS];      /* atomic: an interrupt is on its way */
static uint64_t flushes_sent;                /* atomic */

/* ---- TLBs ---- */

/* What is asked for from here on sends an interrupt of its own. */
static void on_flush(void)
{
	__atomic_exchange_n(&flush_wanted[this_cpu()->index], 0, __ATOMIC_SEQ_CST);
	map_forget_all();
}

void map_ram_init(void)
{
	near.table = NULL;
	trap_set_irq(HOST_VECTOR_FLUSH, on_flush);
}

static NOINLINE void flush_others(void)
{
	uint32_t me = this_cpu()->index;

	for (uint32_t i = 0; i < cpu_count; i++)
		if (i != me && !__atomic_exchange_n(&flush_wanted[i], 1, __ATOMIC_SEQ_CST)) {
			lapic_send_ipi(cpus[i]->apic_id, HOST_VECTOR_FLUSH);
			__atomic_fetch_add(&flushes_sent, 1, __ATOMIC_RELAXED);
		}
}

/* leafs: how many entries were taken out from va on, each of that size. */
static void flush(uint64_t va, uint64_t leafs, uint64_t size)
{
	if (leafs > SINGLY)
		map_forget_all();
	else
		for (uint64_t i = 0; i < leafs; i++)
			map_forget(va + i * size);
}

uint64_t map_flushes_sent(void) { return __atomic_load_n(&flushes_sent, __ATOMIC_RELAXED); }

/* ---- tables ---- */

static void set(uint64_t *entry, uint64_t value) { __atomic_store_n(entry, value, __ATOMIC_RELEASE); }

static uint64_t *table_of(uint64_t entry) { return phys_to_virt(entry & PTE_ADDRESS); }

/* The table in place of a large page maps the same: there is no moment at which a CPU finds nothing, and nothing
 * to flush. -ENOMEM. */
static int split(uint64_t *entry, unsigned level)
{
	hpa_t frame = frame_alloc(OWNER_PAGE_TABLE);
	uint64_t *table, child = level == 2 ? *entry & ~PTE_LARGE : *entry;

	if (frame == HPA_NONE)
		return -ENOMEM;
	table = phys_to_virt(frame);
	for (uint64_t i = 0; i < ENTRIES; i++)
		table[i] = child + i * map_size(level - 1);
	set(entry, frame | PTE_PRESENT | PTE_WRITE);
	return 0;
}

static bool is_leaf(uint64_t e) { return (e & PTE_PRESENT) && (e & PTE_LARGE); }

/* The entry for a frame: of level 2, or above when that one is large. */
static uint64_t *find_entry(hpa_t pa, unsigned *level)
{
	uint64_t va = PHYS_MAP_BASE + pa, *t = phys_to_virt(map_root());

	for (*level = map_top_level();; --*level) {
		uint64_t *e = &t[map_index(va, *level)];

		if (*level == 2 || (*level == 3 && is_leaf(*e)))
			return e;
		INVARIANT(*e & PTE_PRESENT);
		t = table_of(*e);
	}
}

static bool is_whole(hpa_t pa, uint64_t npages) { return is_aligned(pa, MIB(2)) && npages >= LARGE_PAGES; }

/* How many of npages from pa on are in the same 2M. */
static uint64_t within(hpa_t pa, uint64_t npages)
{
	return min_u64(npages, LARGE_PAGES - (pa >> PAGE_SHIFT) % LARGE_PAGES);
}

/* ---- out ---- */

static int hide_leaf(uint64_t *e, hpa_t pa)
{
	hpa_t spare = frame_alloc(OWNER_PAGE_TABLE);

	if (spare == HPA_NONE)
		return -ENOMEM;
	set(e, spare);
	flush(PHYS_MAP_BASE + pa, 1, MIB(2));
	return 0;
}

static int hide_some(hpa_t pa, uint64_t n)
{
	uint64_t first = (pa >> PAGE_SHIFT) % LARGE_PAGES, *table, *e;
	unsigned level;

	e = find_entry(pa, &level);
	if (level == 3 && split(e, level))
		return -ENOMEM;
	e = find_entry(pa, &level);
	if (is_leaf(*e) && is_whole(pa, n))
		return hide_leaf(e, pa);
	if (is_leaf(*e) && split(e, level))
		return -ENOMEM;
	table = table_of(*e); /* not present: all of it is out already */
	memset(&table[first], 0, n * sizeof(*table));
	flush(PHYS_MAP_BASE + pa, n, PAGE_SIZE);
	return 0;
}

/* ---- back ---- */

static void show_some(hpa_t pa, uint64_t n)
{
	unsigned level;
	uint64_t first = (pa >> PAGE_SHIFT) % LARGE_PAGES, *table, *e = find_entry(pa, &level), old = *e;

	if (is_leaf(old))
		return;
	if (!(old & PTE_PRESENT) && is_whole(pa, n)) {
		set(e, pa | PTE_RAM | PTE_LARGE);
		frame_free(old & PTE_ADDRESS, OWNER_PAGE_TABLE);
		return;
	}
	table = table_of(old);
	for (uint64_t i = 0; i < n; i++)
		table[first + i] = (pa + i * PAGE_SIZE) | PTE_RAM;
	if (!(old & PTE_PRESENT))
		set(e, old | PTE_PRESENT | PTE_WRITE);
}

static void show(hpa_t pa, uint64_t npages)
{
	for (uint64_t n; npages; npages -= n, pa += n << PAGE_SHIFT) {
		n = within(pa, npages);
		show_some(pa, n);
	}
}

static int hide(hpa_t first, uint64_t npages)
{
	uint64_t done = 0;

	while (done < npages) {
		hpa_t pa = first + (done << PAGE_SHIFT);
		uint64_t n = within(pa, npages - done);

		if (hide_some(pa, n)) {
			show(first, done);
			return -ENOMEM;
		}
		done += n;
	}
	return 0;
}

/* What a fault in private memory asks for as a rule. False: it is not as simple as that. */
static bool hide_one(hpa_t pa)
{
	uint64_t *e;
	unsigned level = 2;

	if (LIKELY(near.table && near.gib == pa >> 30))
		e = &near.table[(pa >> 21) % ENTRIES];
	else
		e = find_entry(pa, &level);
	if (UNLIKELY(is_leaf(*e)))
		return false;
	near.gib = pa >> 30;
	near.table = e - (pa >> 21) % ENTRIES;
	set(&table_of(*e)[(pa >> PAGE_SHIFT) % LARGE_PAGES], 0);
	map_forget(PHYS_MAP_BASE + pa);
	return true;
}

int map_hide(hpa_t first, uint64_t npages)
{
	int err = 0;

	spin_lock(&lock);
	if (npages != 1 || !hide_one(first))
		err = hide(first, npages);
	spin_unlock(&lock);
	if (!err && cpu_count > 1)
		flush_others();
	return err;
}

void map_show(hpa_t first, uint64_t npages)
{
	spin_lock(&lock);
	show(first, npages);
	spin_unlock(&lock);
}

/* ---- questions ---- */

bool map_shows(hpa_t page)
{
	frame_owner_t owner = frame_owner(page);

	return owner != OWNER_NONE && !frame_owner_is_hidden(owner) && !map_is_image(page);
}

frame_owner_t map_hidden_owner(uint64_t va)
{
	frame_owner_t owner = va >= PHYS_MAP_BASE ? frame_owner(va - PHYS_MAP_BASE) : OWNER_NONE;

	return frame_owner_is_hidden(owner) ? owner : OWNER_NONE;
}

struct search {
	void (*found)(void *ctx, uint64_t va, hpa_t frame);
	void *ctx;
	uint64_t mapped;
};

static bool is_hidden(hpa_t frame) { return frame_owner_is_hidden(frame_owner(frame)); }

static uint64_t load(const uint64_t *entry) { return __atomic_load_n(entry, __ATOMIC_ACQUIRE); }

/* Who takes a frame out changes the entry first and the owner then: both are looked at once more. */
static void look_at_leaf(struct search *s, uint64_t va, const uint64_t *entry, uint64_t value, unsigned level)
{
	hpa_t first = value & PTE_ADDRESS & ~(map_size(level) - 1);

	for (uint64_t at = 0; at < map_size(level); at += PAGE_SIZE)
		if (is_hidden(first + at) && load(entry) == value && is_hidden(first + at))
			s->found(s->ctx, va + at, first + at);
	s->mapped += map_size(level) >> PAGE_SHIFT;
}

/* Addresses are canonical: the root's upper half has the bits above set. */
static uint64_t address_in(uint64_t va, unsigned index, unsigned level)
{
	uint64_t bits = 12 + 9 * level, at = va + index * map_size(level);

	return level == map_top_level() ? (uint64_t)((int64_t)(at << (64 - bits)) >> (64 - bits)) : at;
}

static void look_at(struct search *s, const uint64_t *table, uint64_t va, unsigned level)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		uint64_t e = load(&table[i]), at = address_in(va, i, level);

		if (!(e & PTE_PRESENT) || at == HV_WINDOW_BASE)
			continue;
		if (level == 1 || (level <= 3 && (e & PTE_LARGE)))
			look_at_leaf(s, at, &table[i], e, level);
		else
			look_at(s, table_of(e), at, level - 1);
	}
}

uint64_t map_find_hidden(void (*found)(void *ctx, uint64_t va, hpa_t frame), void *ctx)
{
	struct search s = { found, ctx, 0 };

	look_at(&s, phys_to_virt(map_root()), 0, map_top_level());
	return s.mapped;
}
