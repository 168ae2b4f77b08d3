/* sources: hv/base/window.c */
/*
 * The windows against a TLB that keeps all it has met: by hand, then at random on two CPUs. A window must never show
 * what it showed before, a dropped one nothing, and no CPU may touch another's.
 */
#include "hv/base/window.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/map_tables.h"
#include "hv/base/percpu.h"
#include "tests/unit/support/random.h"
#include "tests/unit/support/support.h"

#define CPUS 2
#define CPU_BYTES MIB(4)
#define SMALL 512 /* entries of the page table of one CPU's windows */

static struct cpu cpu[CPUS];
static uint64_t small[CPUS][SMALL], large[CPUS];
static unsigned entries_left;

/* What a CPU's TLB may still know, by number of the window; [SMALL] is the large one's. 0: nothing. */
static uint64_t tlb[CPUS][SMALL + 1];

static uint32_t owner_of(uint64_t va) { return (uint32_t)((va - HV_WINDOW_BASE) / CPU_BYTES); }
static uint32_t number_of(uint64_t va)
{
	uint64_t within = (va - HV_WINDOW_BASE) % CPU_BYTES;

	return within < MIB(2) ? (uint32_t)(within >> PAGE_SHIFT) : SMALL;
}

uint64_t *map_entry(uint64_t va, unsigned level)
{
	uint32_t n = number_of(va);

	assert_in_range(va, HV_WINDOW_BASE, HV_WINDOW_BASE + CPUS * CPU_BYTES - 1);
	assert_int_equal(va % map_size(level), 0);
	assert_int_equal(n == SMALL, level == 2);
	if (!entries_left)
		return NULL;
	entries_left--;
	return n == SMALL ? &large[owner_of(va)] : &small[owner_of(va)][n];
}

void map_forget(uint64_t va)
{
	assert_int_equal(owner_of(va), this_cpu()->index);
	tlb[owner_of(va)][number_of(va)] = 0;
}

static void run_on(uint32_t n) { test_this_cpu = &cpu[n]; }

/* The CPU reads through the window: by its TLB, else by the entry, which must give what was mapped. */
static void sees(const void *window, hpa_t page, uint64_t more)
{
	uint64_t va = (uintptr_t)window, *known;
	uint64_t entry = number_of(va) == SMALL ? large[owner_of(va)] : small[owner_of(va)][number_of(va)];

	assert_int_equal(owner_of(va), this_cpu()->index);
	known = &tlb[owner_of(va)][number_of(va)];
	if (!*known)
		*known = entry;
	assert_int_equal(*known, page | PTE_PRESENT | PTE_WRITE | PTE_NX | more);
}

static void sees_small(const void *window, hpa_t page) { sees(window, page, 0); }
static void sees_large(const void *window, hpa_t page) { sees(window, page, PTE_LARGE); }

static void nothing_is_left(uint32_t n)
{
	static const uint64_t none[SMALL + 1];

	assert_memory_equal(small[n], none, sizeof(small[n]));
	assert_memory_equal(tlb[n], none, sizeof(tlb[n]));
	assert_int_equal(large[n], 0);
	assert_int_equal(window_pages(n), 0);
}

static int start(void **state)
{
	(void)state;
	memset(small, 0, sizeof(small));
	memset(large, 0, sizeof(large));
	memset(tlb, 0, sizeof(tlb));
	cpu_count = CPUS;
	for (uint32_t i = 0; i < CPUS; i++)
		cpu[i].index = i;
	entries_left = ~0u;
	assert_int_equal(windows_init(), 0);
	run_on(0);
	return 0;
}

static int drop_all(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < CPUS; i++) {
		run_on(i);
		window_release(0);
		nothing_is_left(i);
	}
	return 0;
}

static void released_to_a_mark(void **state)
{
	void *first, *second;
	uint32_t mark;

	(void)state;
	first = window_map(0x5000);
	mark = window_mark();
	second = window_map(0x6000);
	sees_small(first, 0x5000);
	sees_small(second, 0x6000);
	assert_int_equal(window_pages(0), 2);
	window_release(mark);
	assert_int_equal(window_pages(0), 1);
	sees_small(first, 0x5000);
	assert_ptr_equal(window_map(0x7000), second);
	sees_small(second, 0x7000);
}

static void one_large_page_at_a_time(void **state)
{
	void *small_one = window_map(0x5000), *at = window_map_large(MIB(6));

	(void)state;
	sees_large(at, MIB(6));
	assert_int_equal(window_pages(0), 513);
	assert_ptr_equal(window_map_large(MIB(8)), at);
	sees_large(at, MIB(8));
	window_release(window_mark());
	assert_int_equal(window_pages(0), 1);
	sees_small(small_one, 0x5000);
}

static void each_cpu_has_its_own(void **state)
{
	void *here = window_map(0x5000), *there;

	(void)state;
	run_on(1);
	there = window_map(0x9000);
	assert_ptr_not_equal(here, there);
	sees_small(there, 0x9000);
	window_release(0);
	assert_int_equal(window_pages(1), 0);
	run_on(0);
	sees_small(here, 0x5000);
	assert_int_equal(window_pages(0), 1);
}

static void too_many_is_a_bug(void **state)
{
	(void)state;
	for (hpa_t page = 1; page <= WINDOW_PAGES; page++)
		sees_small(window_map(page << PAGE_SHIFT), page << PAGE_SHIFT);
	assert_true(EXPECT_PANIC(window_map(0x1000)));
	window_release(WINDOW_PAGES);
	assert_int_equal(window_pages(0), WINDOW_PAGES);
}

static void no_memory_for_tables(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 2 * CPUS; n++) {
		entries_left = n;
		assert_int_equal(windows_init(), -ENOMEM);
	}
	entries_left = 2 * CPUS;
	assert_int_equal(windows_init(), 0);
}

static void at_random(void **state)
{
	static struct {
		hpa_t page[WINDOW_PAGES];
		void *at[WINDOW_PAGES];
		uint32_t count;
	} live[CPUS];
	uint64_t seed = 25;

	(void)state;
	for (unsigned step = 0; step < 100000; step++) {
		uint32_t n = test_random(&seed) % CPUS, keep;
		hpa_t page = (1 + test_random(&seed) % 1000) << PAGE_SHIFT;

		run_on(n);
		if (live[n].count < WINDOW_PAGES && test_random(&seed) % 4) {
			live[n].page[live[n].count] = page;
			live[n].at[live[n].count++] = window_map(page);
		} else if (test_random(&seed) % 4 == 0) {
			sees_large(window_map_large(page << 9), page << 9);
		} else {
			keep = test_random(&seed) % (live[n].count + 1);
			window_release(keep);
			live[n].count = keep;
		}
		assert_int_equal(window_mark(), live[n].count);
		for (uint32_t i = 0; i < live[n].count; i++)
			sees_small(live[n].at[i], live[n].page[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(released_to_a_mark, start, drop_all),
		cmocka_unit_test_setup_teardown(one_large_page_at_a_time, start, drop_all),
		cmocka_unit_test_setup_teardown(each_cpu_has_its_own, start, drop_all),
		cmocka_unit_test_setup_teardown(too_many_is_a_bug, start, drop_all),
		cmocka_unit_test_setup_teardown(no_memory_for_tables, start, drop_all),
		cmocka_unit_test_setup_teardown(at_random, start, drop_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
