/*
 * The windows of the CPUs: 4 MiB of addresses for each, of which the first 2 belong to 4K pages. Owns their page
 * tables. A window's entry is only ever written by its CPU.
 */
#include "hv/base/window.h"

#include <errno.h>

#include "hv/base/map_tables.h"
#include "hv/base/panic.h"
#include "hv/base/percpu.h"

#define CPU_SIZE MIB(4)
#define FLAGS (PTE_PRESENT | PTE_WRITE | PTE_NX)

struct windows {
	uint64_t *entries; /* of the 4K pages */
	uint64_t *large;
	uint32_t used;
};
static struct windows windows[MAX_CPUS];

static uint64_t address_of(uint32_t cpu, uint32_t i) { return HV_WINDOW_BASE + cpu * CPU_SIZE + i * PAGE_SIZE; }
static uint64_t large_address(uint32_t cpu) { return HV_WINDOW_BASE + cpu * CPU_SIZE + MIB(2); }

int windows_init(void)
{
	for (uint32_t i = 0; i < cpu_count; i++) {
		struct windows *w = &windows[i];

		w->entries = map_entry(address_of(i, 0), 1);
		w->large = map_entry(large_address(i), 2);
		if (!w->entries || !w->large)
			return -ENOMEM;
	}
	return 0;
}

/* An entry that was not present is in no TLB: SDM "Optional Invalidation". */
void *window_map(hpa_t page)
{
	uint32_t cpu = this_cpu()->index;
	struct windows *w = &windows[cpu];
	uint32_t i = w->used++;

	INVARIANT(i < WINDOW_PAGES);
	w->entries[i] = page | FLAGS;
	return (void *)address_of(cpu, i);
}

static void drop_large(struct windows *w, uint32_t cpu)
{
	*w->large = 0;
	map_forget(large_address(cpu));
}

void *window_map_large(hpa_t page)
{
	uint32_t cpu = this_cpu()->index;
	struct windows *w = &windows[cpu];

	if (*w->large)
		drop_large(w, cpu);
	*w->large = page | FLAGS | PTE_LARGE;
	return (void *)large_address(cpu);
}

uint32_t window_mark(void) { return windows[this_cpu()->index].used; }

void window_release(uint32_t mark)
{
	uint32_t cpu = this_cpu()->index;
	struct windows *w = &windows[cpu];

	while (w->used > mark) {
		w->entries[--w->used] = 0;
		map_forget(address_of(cpu, w->used));
	}
	if (*w->large)
		drop_large(w, cpu);
}

uint64_t window_pages(uint32_t cpu)
{
	const struct windows *w = &windows[cpu];
	uint64_t pages = 0;

	for (uint32_t i = 0; w->entries && i < WINDOW_PAGES; i++)
		pages += (__atomic_load_n(&w->entries[i], __ATOMIC_RELAXED) & PTE_PRESENT) != 0;
	return pages + (w->large && *(volatile uint64_t *)w->large ? MIB(2) / PAGE_SIZE : 0);
}
