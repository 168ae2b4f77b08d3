/* sources: hv/base/frame.c hv/base/frame_init.c hv/base/failure.c hv/base/format.c */
/*
 * The frame allocator on made-up memory maps: overlaps, holes, next to nothing; then at random
 * against a plain model. Memory starts dirty, so that a frame handed out uncleared shows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#undef fail
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "boot/boot_info.h"
#include "hv/base/failure.h"
#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "tests/unit/support/support.h"

#define ARENA MIB(32)
#define FRAMES (ARENA >> PAGE_SHIFT)

static struct boot_info info;
static struct failure why;

static void add(hpa_t base, uint64_t size, enum boot_range_kind kind)
{
	info.ranges[info.range_count++] = (struct boot_range){ base, size, kind };
}

static int fresh(void **state)
{
	(void)state;
	test_phys_init(0, ARENA);
	memset(phys_to_virt(0), 0xcc, ARENA);
	memset(&info, 0, sizeof info);
	return 0;
}

static void build(void) { assert_int_equal(frames_build(&info, &why), 0); }

static void assert_clear(hpa_t pa, uint64_t npages)
{
	const uint64_t *word = phys_to_virt(pa);

	for (uint64_t i = 0; i < npages * PAGE_SIZE / 8; i++)
		assert_int_equal(word[i], 0);
}

static void dirty(hpa_t pa, uint64_t npages) { memset(phys_to_virt(pa), 0xdd, npages << PAGE_SHIFT); }

static void every_frame_is_on_record(void **state)
{
	(void)state;
	add(0, 0x9f000, BOOT_RANGE_RAM);
	add(MIB(1), MIB(7), BOOT_RANGE_RAM);
	add(MIB(8), MIB(1), BOOT_RANGE_RESERVED);
	add(MIB(9), MIB(2), BOOT_RANGE_FILE);
	add(MIB(12), MIB(20), BOOT_RANGE_RAM);
	build();
	assert_int_equal(frame_owner(0), OWNER_HV); /* never handed out: 0 means none */
	assert_int_equal(frame_owner(0x1000), OWNER_FREE);
	assert_int_equal(frame_owner(0x9f000), OWNER_NONE);
	assert_int_equal(frame_owner(MIB(1)), OWNER_HV); /* the record itself */
	assert_int_equal(frame_owner(MIB(8)), OWNER_NONE);
	assert_int_equal(frame_owner(MIB(9)), OWNER_HV);
	assert_int_equal(frame_owner(MIB(11)), OWNER_NONE);
	assert_int_equal(frame_owner(MIB(32)), OWNER_NONE);
	assert_int_equal(frame_largest_free_run(), MIB(20) >> PAGE_SHIFT);
	assert_int_equal(frame_count(OWNER_FREE) + frame_count(OWNER_HV), 0x9f + (MIB(29) >> PAGE_SHIFT));
}

static void the_stronger_claim_wins(void **state)
{
	(void)state;
	add(MIB(1), MIB(31), BOOT_RANGE_RAM);
	add(MIB(4) + 0x800, 0x1000, BOOT_RANGE_RESERVED); /* touches two frames */
	add(MIB(1), 0x1000, BOOT_RANGE_EFI_RUNTIME);
	add(~(uint64_t)0 - 0xfff, 0x2000, BOOT_RANGE_RAM); /* wraps around */
	add(BIT(60), MIB(1), BOOT_RANGE_RAM);              /* no such address */
	info.ranges[0].kind = BOOT_RANGE_RAM;
	assert_int_equal(frames_build(&info, &why), -ENOMEM); /* the record would lie on firmware's page */
	info.ranges[info.range_count++] = (struct boot_range){ MIB(16), MIB(1), BOOT_RANGE_RAM };
	build();
	assert_int_equal(frame_owner(MIB(1)), OWNER_NONE);
	assert_int_equal(frame_owner(MIB(4)), OWNER_NONE);
	assert_int_equal(frame_owner(MIB(4) + 0x1000), OWNER_NONE);
	assert_int_equal(frame_owner(MIB(4) + 0x2000), OWNER_FREE);
	assert_int_equal(frame_owner(MIB(16)), OWNER_HV);
}

static void too_little_is_said(void **state)
{
	(void)state;
	assert_int_equal(frames_build(&info, &why), -EINVAL);
	assert_non_null(strstr(why.text, "no usable RAM"));
	add(0x1000, 0x9e000, BOOT_RANGE_RAM);
	assert_int_equal(frames_build(&info, &why), -ENOMEM);
	add(MIB(1), 0x1000, BOOT_RANGE_RAM);
	assert_int_equal(frames_build(&info, &why), -ENOMEM);
	info.ranges[1].size = 0x800;
	assert_int_equal(frames_build(&info, &why), -ENOMEM);
	info.ranges[1].size = 0x3000; /* the record takes one page: two are left */
	build();
	assert_int_equal(frame_count(OWNER_FREE), 0x9e + 2);
	assert_int_not_equal(frame_alloc(OWNER_HV), HPA_NONE);
	assert_int_not_equal(frame_alloc_run(1, 1, OWNER_HV), HPA_NONE);
	assert_int_equal(frame_alloc(OWNER_HV), HPA_NONE);
	assert_int_equal(frame_alloc_run(1, 1, OWNER_HV), HPA_NONE);
}

/* The running counts say what a look at all records says. */
static void assert_tallies(void)
{
	static const frame_owner_t owners[] = { OWNER_FREE, OWNER_HV, OWNER_PAGE_TABLE, OWNER_VM(0), OWNER_VM(1),
		OWNER_VM(2), OWNER_VM(3), OWNER_VM(4), OWNER_VM_META(3), OWNER_TD(3) };

	for (size_t i = 0; i < sizeof owners / sizeof *owners; i++)
		assert_int_equal(frame_tally(owners[i]), frame_count(owners[i]));
}

static void runs_are_aligned_and_clear(void **state)
{
	hpa_t a, b;

	(void)state;
	add(MIB(1), MIB(31), BOOT_RANGE_RAM);
	build();
	a = frame_alloc_run(1024, 512, OWNER_VM(3));
	assert_true(a && is_aligned(a, MIB(2)));
	assert_clear(a, 1024);
	assert_int_equal(frame_count(OWNER_VM(3)), 1024);
	b = frame_alloc_run(3, 2, OWNER_VM_META(3));
	assert_true(b && is_aligned(b, 2 * PAGE_SIZE));
	assert_clear(b, 3);
	assert_int_equal(frame_alloc_run(FRAMES, 1, OWNER_HV), HPA_NONE);
	assert_int_equal(frame_alloc_run(1, BIT(40), OWNER_HV), HPA_NONE);
	dirty(a, 1024);
	assert_tallies();
	frame_change_owner(a, 6, OWNER_VM(3), OWNER_TD(3));
	assert_tallies();
	frame_change_owner(a, 6, OWNER_TD(3), OWNER_VM(3));
	frame_free_run(a, 1024, OWNER_VM(3));
	assert_tallies();
	assert_int_equal(frame_alloc_run(1024, 512, OWNER_VM(4)), a);
	assert_clear(a, 1024);
}

static void wrong_frees_panic(void **state)
{
	hpa_t a, b;

	(void)state;
	add(MIB(1), MIB(31), BOOT_RANGE_RAM);
	build();
	a = frame_alloc(OWNER_VM(1));
	b = frame_alloc_run(4, 1, OWNER_VM(1));
	assert_true(EXPECT_PANIC(frame_free(a, OWNER_VM(2))));
	frame_free(a, OWNER_VM(1));
	assert_true(EXPECT_PANIC(frame_free(a, OWNER_VM(1))));
	frame_free_run(b, 4, OWNER_VM(1));
	assert_true(EXPECT_PANIC(frame_free_run(b, 4, OWNER_VM(1))));
	assert_true(EXPECT_PANIC(frame_free(BIT(45), OWNER_VM(1))));
	assert_true(EXPECT_PANIC(frame_free(MIB(2) + 8, OWNER_VM(1))));
}

static void low_frames_stay_low(void **state)
{
	hpa_t a;

	(void)state;
	add(0, 0x3000, BOOT_RANGE_RAM);
	add(MIB(1), MIB(31), BOOT_RANGE_RAM);
	build();
	a = frame_alloc_low(OWNER_HV);
	assert_int_equal(a, 0x1000);
	assert_clear(a, 1);
	assert_int_equal(frame_alloc_low(OWNER_HV), 0x2000);
	assert_int_equal(frame_alloc_low(OWNER_HV), HPA_NONE);
	assert_tallies();
	frame_free(a, OWNER_HV);
	assert_tallies();
	assert_int_equal(frame_alloc_low(OWNER_HV), a);
}

static void boot_memory_is_released(void **state)
{
	(void)state;
	add(MIB(1), MIB(10), BOOT_RANGE_RAM);
	add(MIB(11), 0x5000, BOOT_RANGE_BOOT);
	add(MIB(12), MIB(20), BOOT_RANGE_RAM);
	build();
	assert_int_equal(frame_owner(MIB(11)), OWNER_HV);
	frames_release_boot(&info);
	assert_tallies();
	assert_int_equal(frame_owner(MIB(11)), OWNER_FREE);
	assert_int_equal(frame_owner(MIB(11) + 0x4000), OWNER_FREE);
	for (unsigned i = 0; i < 5; i++)
		assert_clear(MIB(11) + i * PAGE_SIZE, 1);
}

static void idle_clearing_comes_to_an_end(void **state)
{
	unsigned steps = 0;

	(void)state;
	add(MIB(1), MIB(31), BOOT_RANGE_RAM);
	build();
	while (frames_clear_some())
		steps++;
	assert_in_range(steps, 1, FRAMES);
	assert_int_equal(frame_count(OWNER_FREE) + frame_count(OWNER_HV), FRAMES - 256);
	for (unsigned i = 0; i < 1000; i++)
		assert_clear(frame_alloc(OWNER_VM(1)), 1);
}

/* A run aligned to 1 GiB, on address space that is only reserved. */
static void gigabytes(void **state)
{
	void *space = mmap(NULL, GIB(5), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t before = phys_map_base;

	(void)state;
	assert_true(space != MAP_FAILED);
	phys_map_base = (uintptr_t)space;
	add(MIB(1), GIB(3) - MIB(1), BOOT_RANGE_RAM);
	add(GIB(4), GIB(1), BOOT_RANGE_RAM);
	build();
	assert_int_equal(frame_alloc_run(2, GIB(1) >> PAGE_SHIFT, OWNER_VM(1)), GIB(1));
	assert_int_equal(frame_alloc_run(2, GIB(1) >> PAGE_SHIFT, OWNER_VM(1)), GIB(2));
	assert_int_equal(frame_alloc_run(2, GIB(1) >> PAGE_SHIFT, OWNER_VM(1)), GIB(4));
	assert_int_equal(frame_alloc_run(2, GIB(1) >> PAGE_SHIFT, OWNER_VM(1)), HPA_NONE);
	phys_map_base = before;
	munmap(space, GIB(5));
}

struct held {
	hpa_t at;
	uint64_t npages;
	frame_owner_t owner;
};

static frame_owner_t model[FRAMES];

static void hold(struct held *h)
{
	h->owner = OWNER_VM(rand() % 5);
	h->npages = rand() % 4 ? 1 : 1 + (uint64_t)(rand() % 200);
	h->at = h->npages == 1 ? frame_alloc(h->owner)
			       : frame_alloc_run(h->npages, BIT(rand() % 6), h->owner);
	for (uint64_t i = 0; h->at && i < h->npages; i++) {
		assert_int_equal(model[(h->at >> PAGE_SHIFT) + i], 0);
		model[(h->at >> PAGE_SHIFT) + i] = h->owner;
	}
	if (h->at) {
		assert_clear(h->at, h->npages);
		dirty(h->at, h->npages);
	}
}

static void let_go(struct held *h)
{
	for (uint64_t i = 0; i < h->npages; i++)
		model[(h->at >> PAGE_SHIFT) + i] = 0;
	frame_free_run(h->at, h->npages, h->owner);
	h->at = HPA_NONE;
}

static void sum_run(void *ctx, hpa_t first, uint64_t npages, frame_owner_t owner)
{
	for (uint64_t i = 0; i < npages; i++)
		if (owner >= OWNER_VM(0))
			assert_int_equal(model[(first >> PAGE_SHIFT) + i], owner);
	*(uint64_t *)ctx += npages;
}

static void at_random(void **state)
{
	static struct held held[100];
	uint64_t total = 0;

	(void)state;
	memset(model, 0, sizeof model);
	add(0, MIB(6), BOOT_RANGE_RAM);
	add(MIB(7), MIB(25), BOOT_RANGE_RAM);
	build();
	srand(1);
	for (unsigned step = 0; step < 8000; step++) {
		struct held *h = &held[rand() % 100];

		if (h->at)
			let_go(h);
		else
			hold(h);
		if (rand() % 8 == 0)
			frames_clear_some();
		if (step % 256 == 0)
			assert_tallies();
	}
	frame_for_each_run(sum_run, &total);
	assert_int_equal(total, MIB(31) >> PAGE_SHIFT);
	for (unsigned i = 0; i < 100; i++)
		if (held[i].at)
			let_go(&held[i]);
	assert_int_equal(frame_count(OWNER_FREE) + frame_count(OWNER_HV), MIB(31) >> PAGE_SHIFT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_frame_is_on_record, fresh),
		cmocka_unit_test_setup(the_stronger_claim_wins, fresh),
		cmocka_unit_test_setup(too_little_is_said, fresh),
		cmocka_unit_test_setup(runs_are_aligned_and_clear, fresh),
		cmocka_unit_test_setup(wrong_frees_panic, fresh),
		cmocka_unit_test_setup(low_frames_stay_low, fresh),
		cmocka_unit_test_setup(boot_memory_is_released, fresh),
		cmocka_unit_test_setup(idle_clearing_comes_to_an_end, fresh),
		cmocka_unit_test_setup(gigabytes, fresh),
		cmocka_unit_test_setup(at_random, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
