/* sources: mmu/ -mmu/unsync.c hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/shadow_mem.c tests/unit/shadow_oracle.c tests/unit/shadow_cpu.c tests/unit/shadow_world.c tests/unit/shadow_slots.c tests/unit/shadow_log.c tests/unit/shadow_skip.c */
/* libraries: m */
/*
 * How often the unsync fast skip answers: a guest whose page tables lie at random, k of them together, lambda
 * per large frame. The fraction of large frames without a table is e^(-lambda/k), and so is the fraction of
 * calls that are skipped when the pages written lie anywhere.
 */
#include "tests/unit/shadow_world.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "mmu/hugepage.h"
#include "mmu/inspect.h"

#define FRAMES 1024u /* large ones: 2 GiB */
#define BASE_GFN 0x40000ul
#define HIGH_GFN 0x10ul /* tables above, in a slot of their own that has no large frame */
#define CALLS 2000

static gfn_t table[4 * FRAMES];

static void set(gfn_t in, uint64_t index, gfn_t gfn)
{
	uint64_t *t = phys_to_virt(mem_hpa(in << PAGE_SHIFT));

	t[index] = gfn << PAGE_SHIFT | 0x67;
}

static bool is_table(gfn_t gfn, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (table[i] == gfn)
			return true;
	return false;
}

/* Clusters of k tables, each wholly in one large frame. */
static void place_tables(uint32_t count, uint32_t k)
{
	for (uint32_t i = 0; i < count; i++) {
		gfn_t frame = i % k ? table[i - 1] >> 9 : (BASE_GFN >> 9) + rnd(FRAMES);

		do {
			table[i] = frame << 9 | rnd(512);
		} while (is_table(table[i], i));
	}
}

static void touch(struct vcpu *v, gva_t gva, uint32_t kind)
{
	struct guest_access a = { .gva = gva, .kind = kind, .bytes = 8, .value = 0 };

	assert_int_equal(guest_access(v, &a), DONE);
}

/* Table i maps 2 MiB from address i * 2 MiB on; its first entry, the first page of the guest. */
static void build(struct vcpu *v, uint32_t count)
{
	set(HIGH_GFN, 0, HIGH_GFN + 1);
	for (uint32_t i = 0; i * 512 < count; i++)
		set(HIGH_GFN + 1, i, HIGH_GFN + 2 + i);
	for (uint32_t i = 0; i < count; i++) {
		set(HIGH_GFN + 2 + i / 512, i % 512, table[i]);
		set(table[i], 0, HIGH_GFN + 32);
	}
	v->g.cr0 = CR0_PE | CR0_PG | CR0_WP;
	v->g.cr4 = CR4_PAE;
	v->g.efer = EFER_LME | EFER_LMA;
	v->g.cr3 = HIGH_GFN << PAGE_SHIFT;
	vcpu_load(v, true);
	for (uint32_t i = 0; i < count; i++)
		touch(v, (gva_t)i << 21, WALK_READ);
}

/* What the monitor shows. */
static struct hugepage_census census(uint32_t count)
{
	struct mmu_counts c;

	mmu_count(&world_mmu, &c);
	assert_int_equal(c.shadowed.frames, FRAMES);
	assert_int_equal(c.shadowed.reasons, count);
	return c.shadowed;
}

static uint32_t free_frames(void)
{
	const struct slot *s = slot_set_find(world_mmu.slots, BASE_GFN);
	uint32_t n = 0;

	for (uint32_t i = 0; i < FRAMES; i++)
		n += *hugepage_word(s, BASE_GFN + i * 512, LEVEL_2M) == 0;
	return n;
}

/*
 * The k that the counts tell: variance over mean, where clusters of k are independent of each other. Its own
 * standard deviation, for a mean of m clusters in a frame, is k * sqrt((2 + 1 / m) / FRAMES).
 */
static double observed_k(const struct hugepage_census *c, double lambda, double k)
{
	double mean = (double)c->reasons / FRAMES, got = (double)c->squares / FRAMES / mean - mean;

	assert_true(fabs(got - k) <= 3 * k * sqrt((2 + k / lambda) / FRAMES));
	return got;
}

/* Writes to pages anywhere, none of them a table, through entries far enough apart not to be mapped ahead. */
static void write_pages(struct vcpu *v, uint32_t count)
{
	for (uint32_t i = 0; i < CALLS;) {
		uint64_t t = i % count, entry = 8 + i / count * 8;
		gfn_t gfn = BASE_GFN + rnd(FRAMES * 512);

		if (is_table(gfn, count))
			continue;
		set(table[t], entry, gfn);
		touch(v, (gva_t)t << 21 | entry << PAGE_SHIFT, WALK_WRITE);
		i++;
	}
}

/* Two standard deviations, once for where tables are and once for where pages are. */
static double agrees(double got, double lambda, double n)
{
	double p = exp(-lambda), deviation = sqrt(p * (1 - (1 + lambda) * p) / FRAMES) + sqrt(p * (1 - p) / n);

	assert_true(fabs(got - p) <= 2 * deviation + (n == FRAMES ? 0 : deviation));
	return got;
}

static void run(uint32_t lambda, uint32_t k)
{
	struct world_options o = { .max_level = LEVEL_2M, .shadow_pages = 8 * FRAMES, .maxphyaddr = 40 };
	struct vcpu *v = &world_vcpus[0];
	uint32_t count = lambda * FRAMES;
	struct shadow_counts before, after;
	struct hugepage_census c;

	guests_start(&o);
	guest_slot_add(BASE_GFN, FRAMES * 512, GIB(1), false);
	guest_slot_add(HIGH_GFN, 64, 0, false);
	place_tables(count, k);
	build(v, count);
	c = census(count);
	assert_int_equal(c.free, free_frames());
	printf("lambda %u, k %u (%.2f as observed): frames without a table %.3f, e^-%.3f = %.3f", lambda, k,
	       observed_k(&c, lambda, k), agrees((double)c.free / FRAMES, (double)lambda / k, FRAMES),
	       (double)lambda / k, exp(-(double)lambda / k));
	mmu_shadow_count(&world_mmu, &before);
	write_pages(v, count);
	mmu_shadow_count(&world_mmu, &after);
	assert_true(after.unsync_calls[0] - before.unsync_calls[0] == CALLS);
	printf("; calls skipped %.3f\n",
	       agrees((double)(after.unsync_skips[0] - before.unsync_skips[0]) / CALLS, (double)lambda / k, CALLS));
	guests_check();
	guests_end();
}

static void table_free_frames(void **state)
{
	(void)state;
	rnd_seed(20);
	run(1, 1);
	run(1, 8);
	run(1, 64);
	run(2, 1);
	run(4, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(table_free_frames) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
