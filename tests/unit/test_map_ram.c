/* sources: hv/base/map_ram.c */
/*
 * The map of RAM with frames taken out and put back, against a list of what is out: the cases that matter, then at
 * random, with memory for tables running out. What is taken out must be forgotten by this CPU's TLB, and the other
 * CPUs be told.
 */
#include "hv/base/map_ram.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "drivers/lapic.h"
#include "hv/base/map_tables.h"
#include "hv/base/percpu.h"
#include "hv/base/phys.h"
#include "hv/base/trap.h"
#include "hv/base/vectors.h"
#include "tests/unit/support/random.h"

#define RAM GIB(3)
#define FRAMES (RAM >> PAGE_SHIFT)
#define TABLES MIB(64) /* the first frames: for page tables */
#define WHOLE 512ul
#define TD OWNER_TD(5)

static uint8_t *arena;
static frame_owner_t owners[FRAMES];
static hpa_t root, free_list[TABLES >> PAGE_SHIFT];
static uint64_t free_count;
static void (*on_flush)(void);
static unsigned sent, forgot_all, forgotten_count;
static uint64_t forgotten[64];
static struct cpu cpu[3];

/* ---- the machine ---- */

hpa_t frame_alloc(frame_owner_t owner)
{
	hpa_t pa = free_count ? free_list[--free_count] : HPA_NONE;

	if (pa) {
		owners[pa >> PAGE_SHIFT] = owner;
		memset(phys_to_virt(pa), 0, PAGE_SIZE);
	}
	return pa;
}

void frame_free_run(hpa_t pa, uint64_t npages, frame_owner_t owner)
{
	assert_int_equal(npages, 1);
	assert_int_equal(owners[pa >> PAGE_SHIFT], owner);
	memset(phys_to_virt(pa), 0xcc, PAGE_SIZE);
	owners[pa >> PAGE_SHIFT] = OWNER_FREE;
	free_list[free_count++] = pa;
}

frame_owner_t frame_owner(hpa_t pa) { return pa < RAM ? owners[pa >> PAGE_SHIFT] : OWNER_NONE; }

hpa_t map_root(void) { return root; }
unsigned map_top_level(void) { return 4; }
bool map_is_image(hpa_t pa) { return pa - MIB(80) < MIB(1); }
void map_forget(uint64_t va) { forgotten[forgotten_count++] = va; }
void map_forget_all(void) { forgot_all++; }
void trap_set_irq(uint8_t vector, void (*handler)(void))
{
	assert_int_equal(vector, HOST_VECTOR_FLUSH);
	on_flush = handler;
}
void lapic_send_ipi(uint32_t apic_id, uint8_t vector)
{
	assert_int_equal(vector, HOST_VECTOR_FLUSH);
	assert_int_not_equal(apic_id, this_cpu()->apic_id);
	sent++;
}

static uint64_t *new_table(void) { return phys_to_virt(frame_alloc(OWNER_PAGE_TABLE)); }
static uint64_t linked(const uint64_t *table) { return virt_to_phys(table) | PTE_PRESENT | PTE_WRITE; }

/* The first two GiB by 1G pages, the third by 2M pages, of which one is of 4K pages already. */
static void build(void)
{
	uint64_t *top = new_table(), *third = new_table(), *second = new_table(), *first = new_table();

	for (uint64_t i = 0; i < 512; i++) {
		second[i] = (GIB(2) + i * MIB(2)) | PTE_RAM | PTE_LARGE;
		first[i] = (GIB(2) + MIB(2) + i * PAGE_SIZE) | PTE_RAM;
	}
	second[1] = linked(first);
	top[map_index(phys_map_base, 4)] = linked(third);
	for (uint64_t i = 0; i < 2; i++)
		third[map_index(phys_map_base + GIB(i), 3)] = GIB(i) | PTE_RAM | PTE_LARGE;
	third[map_index(phys_map_base + GIB(2), 3)] = linked(second);
	root = virt_to_phys(top);
}

static int fresh(void **state)
{
	(void)state;
	if (!arena) {
		/* A gigabyte must begin where a 1G page can, and all three in one table of the third level. */
		uint64_t at = (uint64_t)mmap(NULL, GIB(1024), PROT_READ | PROT_WRITE,
					     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		assert_true((void *)at != MAP_FAILED);
		arena = (uint8_t *)align_up(at, GIB(512));
	}
	phys_map_base = (uintptr_t)arena;
	free_count = 0;
	for (hpa_t pa = TABLES - PAGE_SIZE; pa; pa -= PAGE_SIZE)
		free_list[free_count++] = pa;
	for (uint64_t i = 0; i < FRAMES; i++)
		owners[i] = OWNER_FREE;
	for (uint32_t i = 0; i < ARRAY_LEN(cpu); i++) {
		cpu[i] = (struct cpu){ .index = i, .apic_id = i };
		cpus[i] = &cpu[i];
	}
	cpu_count = ARRAY_LEN(cpu);
	test_this_cpu = &cpu[0];
	map_ram_init();
	for (uint32_t i = ARRAY_LEN(cpu); i-- > 0;) { /* nothing is on its way from the test before */
		test_this_cpu = &cpu[i];
		on_flush();
	}
	build();
	sent = forgot_all = forgotten_count = 0;
	return 0;
}

/* ---- checks ---- */

/* What a CPU finds for pa: as the SDM's walk has it. */
static bool walk(hpa_t pa)
{
	uint64_t va = phys_map_base + pa, e = root;

	for (unsigned level = 4;; level--) {
		e = ((const uint64_t *)phys_to_virt(e & PTE_ADDRESS))[map_index(va, level)];
		if (!(e & PTE_PRESENT))
			return false;
		if (level > 1 && !(e & PTE_LARGE)) {
			assert_int_equal(e & ~PTE_ADDRESS, PTE_PRESENT | PTE_WRITE);
			continue;
		}
		assert_int_equal(e & ~PTE_ADDRESS, PTE_RAM | (level > 1 ? PTE_LARGE : 0));
		assert_int_equal((e & PTE_ADDRESS) + va % map_size(level), pa);
		return true;
	}
}

static uint64_t found_count;
static void found(void *ctx, uint64_t va, hpa_t frame)
{
	(void)ctx;
	assert_int_equal(va, phys_map_base + frame);
	found_count++;
}

static void check(void)
{
	uint64_t out = 0;

	for (uint64_t i = 0; i < FRAMES; i++) {
		bool hidden = frame_owner_is_hidden(owners[i]);

		out += hidden;
		if (walk(i << PAGE_SHIFT) == hidden)
			fail_msg("frame %lx of owner %x", i << PAGE_SHIFT, owners[i]);
	}
	found_count = 0;
	assert_int_equal(map_find_hidden(found, NULL), FRAMES - out);
	assert_int_equal(found_count, 0);
}

static bool was_forgotten(uint64_t va)
{
	for (unsigned i = 0; i < forgotten_count; i++) /* of a table of 4K pages, or of a 2M page */
		if (forgotten[i] == va || (is_aligned(forgotten[i], MIB(2)) && align_down(va, MIB(2)) == forgotten[i]))
			return true;
	return forgot_all != 0;
}

static void set_owner(hpa_t pa, uint64_t n, frame_owner_t owner)
{
	for (uint64_t i = 0; i < n; i++)
		owners[(pa >> PAGE_SHIFT) + i] = owner;
}

static int hide(hpa_t pa, uint64_t n)
{
	int err;

	forgotten_count = forgot_all = 0;
	err = map_hide(pa, n);
	if (err)
		return err;
	for (uint64_t i = 0; i < n; i++)
		assert_true(was_forgotten(phys_map_base + pa + (i << PAGE_SHIFT)));
	set_owner(pa, n, TD);
	return 0;
}

static void show(hpa_t pa, uint64_t n)
{
	map_show(pa, n);
	set_owner(pa, n, OWNER_FREE);
}

/* ---- tests ---- */

static void one_page_of_a_gigabyte(void **state)
{
	uint64_t before = free_count;

	(void)state;
	assert_int_equal(hide(MIB(700) + PAGE_SIZE, 1), 0);
	assert_int_equal(before - free_count, 2);
	check();
	assert_false(map_shows(MIB(700) + PAGE_SIZE));
	assert_true(map_shows(MIB(700)));
	assert_false(map_shows(MIB(80) + 5 * PAGE_SIZE)); /* the image's */
	assert_false(map_shows(RAM));
	assert_int_equal(map_hidden_owner(phys_map_base + MIB(700) + PAGE_SIZE + 8), TD);
	assert_int_equal(map_hidden_owner(phys_map_base + MIB(700)), OWNER_NONE);
	assert_int_equal(map_hidden_owner(8), OWNER_NONE);
	show(MIB(700) + PAGE_SIZE, 1);
	check();
	assert_int_equal(before - free_count, 2); /* split for good */
}

/* The table for its parts is there from the start, so that it can come back in parts whatever memory there is. */
static void a_large_page_comes_back_in_parts(void **state)
{
	uint64_t before = free_count;

	(void)state;
	assert_int_equal(hide(GIB(2) + MIB(8), WHOLE), 0);
	assert_int_equal(before - free_count, 1);
	assert_int_equal(forgotten_count, 1);
	free_count = 0;
	show(GIB(2) + MIB(8) + 7 * PAGE_SIZE, 3);
	check();
	show(GIB(2) + MIB(8), WHOLE);
	check();
}

static void a_large_page_comes_back_whole(void **state)
{
	uint64_t before = free_count;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(hide(GIB(2) + MIB(8), WHOLE), 0);
		check();
		show(GIB(2) + MIB(8), WHOLE);
		check();
		assert_int_equal(before, free_count);
	}
	show(MIB(900), 3 * WHOLE); /* was never out: no page is split for it */
	assert_int_equal(before, free_count);
}

static void without_memory_nothing_changes(void **state)
{
	hpa_t at = GIB(1) - MIB(3); /* into a gigabyte that is still whole, and parts of 2M at both ends */

	(void)state;
	for (uint64_t left = 0; left < 6; left++) {
		fresh(NULL);
		free_count = left;
		assert_int_equal(hide(at, 3 * WHOLE), -ENOMEM);
		assert_int_equal(sent, 0);
		check();
	}
	fresh(NULL);
	free_count = 6;
	assert_int_equal(hide(at, 3 * WHOLE), 0);
	check();
}

/* One interrupt to each other CPU that has none on its way; who takes it forgets everything. */
static void others_are_told(void **state)
{
	(void)state;
	assert_int_equal(hide(MIB(200), 1), 0);
	assert_int_equal(sent, 2);
	assert_int_equal(hide(MIB(201), 1), 0);
	assert_int_equal(sent, 2);
	test_this_cpu = &cpu[2];
	forgot_all = 0;
	on_flush();
	assert_int_equal(forgot_all, 1);
	test_this_cpu = &cpu[0];
	assert_int_equal(hide(MIB(202), 1), 0);
	assert_int_equal(sent, 3);
	assert_true(map_flushes_sent() >= 3);
}

static void a_mapped_frame_is_found(void **state)
{
	(void)state;
	set_owner(MIB(300), 2, TD);
	set_owner(GIB(2) + MIB(4), 1, OWNER_PAMT);
	found_count = 0;
	map_find_hidden(found, NULL);
	assert_int_equal(found_count, 3);
}

static uint64_t seed = 0x5eed;
static uint64_t rnd(uint64_t n) { return (test_random(&seed) >> 16) % n; }

static bool none_is_hidden(hpa_t pa, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (frame_owner_is_hidden(owners[(pa >> PAGE_SHIFT) + i]))
			return false;
	return true;
}

static void at_random(void **state)
{
	(void)state;
	for (int step = 0; step < 4000; step++) {
		uint64_t n = rnd(3) ? 1 + rnd(20) : rnd(2) ? WHOLE * (1 + rnd(3)) : 1 + rnd(1200);
		hpa_t pa = MIB(64) + rnd(8) * (rnd(2) ? MIB(380) : MIB(2)) + (n % WHOLE ? rnd(900) * PAGE_SIZE : 0);

		if (pa + (n << PAGE_SHIFT) > RAM)
			continue;
		if (rnd(2))
			show(pa, n);
		else if (none_is_hidden(pa, n))
			assert_int_equal(hide(pa, n), 0);
		if (step % 400 == 0)
			check();
	}
	show(MIB(64), (RAM - MIB(64)) >> PAGE_SHIFT);
	check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_page_of_a_gigabyte, fresh),
		cmocka_unit_test_setup(a_large_page_comes_back_in_parts, fresh),
		cmocka_unit_test_setup(a_large_page_comes_back_whole, fresh),
		cmocka_unit_test_setup(without_memory_nothing_changes, fresh),
		cmocka_unit_test_setup(others_are_told, fresh),
		cmocka_unit_test_setup(a_mapped_frame_is_found, fresh),
		cmocka_unit_test_setup(at_random, fresh),
	};

	return cmocka_run_group_tests_name("the map of RAM", tests, NULL, NULL);
}
