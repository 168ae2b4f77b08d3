/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/external_fake.c tests/unit/mirror_world.c */
/*
 * Mirror roots case by case, against the strict external table.
 */
#include "mmu/check.h"
#include "mmu/hugepage.h"
#include "mmu/slot.h"
#include "mmu/sp.h"
#include "mmu/spte.h"
#include "tests/unit/mirror_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/support.h"

static struct failure why;

static int end(void **state)
{
	(void)state;
	mirror_agrees();
	mirror_world_end(false);
	return 0;
}

static void build(gfn_t gfn)
{
	fake.adding = true;
	if (mmu_mirror_build(&mirror_vcpus[0], gfn, &why))
		fail_msg("%s", why.text);
	fake.adding = false;
}

static void maps_large(void **state)
{
	struct mmu_counts counts;
	hpa_t page;

	(void)state;
	mirror_run();
	assert_int_equal(mirror_fault(3), FAULT_MAPPED);
	assert_int_equal(mirror_level(3), LEVEL_2M);
	assert_int_equal(fake_touch(&fake, 1, 3, &page), FAKE_NOT_ACCEPTED);
	assert_int_equal(mirror_accept(0, LEVEL_2M), LEVEL_2M);
	assert_int_equal(fake_touch(&fake, 1, 3, &page), FAKE_GOOD);
	assert_true(page == MIRROR_RAM + 3 * PAGE_SIZE);
	assert_int_equal(mirror_fault(3), FAULT_MAPPED); /* again: nothing to do */
	counts = mirror_counts();
	assert_int_equal(counts.mirror.mapped[LEVEL_2M], 1);
	assert_int_equal(counts.mirror.tables, 3);
	assert_int_equal(counts.mirror.kept_4k, 0);
	assert_int_equal(counts.mapped[LEVEL_2M], 0);
}

/* An address says which it means, and the ordinary root's tables hold the gfn without the bit. */
static void private_or_shared(void **state)
{
	struct mmu_step steps[ROOT_LEVEL];

	(void)state;
	assert_int_equal(mmu_fault(&mirror_vcpus[0], SHARED(0x5000), MMU_READ), FAULT_WRONG_KIND);
	assert_int_equal(mirror_convert(5, 1, false), 0);
	assert_int_equal(mmu_fault(&mirror_vcpus[0], SHARED(0x5000), MMU_READ), FAULT_MAPPED);
	assert_int_equal(mirror_fault(5), FAULT_WRONG_KIND);
	assert_int_equal(mmu_walk_gpa(&mirrored, SHARED(0x5000), steps), 4);
	assert_int_equal(steps[3].kind, SPTE_KIND_LEAF);
	assert_true(spte_hpa(steps[3].spte) == MIRROR_RAM + 0x5000);
	assert_int_equal(mirror_fault(4), FAULT_MAPPED);
	assert_int_equal(mirror_level(4), LEVEL_4K); /* the frame is mixed */
	assert_int_equal(mmu_walk_gpa(&mirrored, 0x4000, steps), 4);
	assert_int_equal(steps[3].kind, SPTE_KIND_LEAF);
	assert_int_equal(mmu_fault(&mirror_vcpus[0], SHARED(BIT(40)), MMU_READ), FAULT_BAD_ADDRESS);
	assert_int_equal(mmu_fault(&mirror_vcpus[0], BIT(40), MMU_READ), FAULT_BAD_ADDRESS);
	assert_int_equal(mmu_fault(&mirror_vcpus[0], SHARED(GIB(3)), MMU_READ), FAULT_MMIO);
	assert_int_equal(mmu_walk_gpa(&mirrored, SHARED(GIB(3)), steps), 4);
	assert_true(spte_is_mmio_ve(steps[3].spte)); /* the guest gets a #VE */
	assert_int_equal(mmu_mmio_hit(&mirror_vcpus[0], SHARED(GIB(3))), MMIO_HIT);
	assert_int_equal(mmu_mmio_hit(&mirror_vcpus[0], SHARED(GIB(3))), MMIO_HIT); /* remembered */
	assert_int_equal(mmu_mmio_hit(&mirror_vcpus[0], GIB(3)), MMIO_BROKEN);
	assert_int_equal(mirror_fault(GIB(3) >> PAGE_SHIFT), FAULT_MMIO);
	assert_int_equal(mmu_mirror_accept(&mirror_vcpus[0], SHARED(0x4000), LEVEL_4K), FAULT_BAD_ADDRESS);
	assert_int_equal(mmu_mirror_accept(&mirror_vcpus[0], 0x5000, LEVEL_4K), FAULT_WRONG_KIND);
	mirror_add(0x100000, 512, GIB(2), SLOT_READONLY | SLOT_PRIVATE);
	assert_int_equal(mirror_fault(0x100000), FAULT_READONLY_WRITE); /* private faults are writes */
}

/* 4K pages of the image, and then a fault in the same frame that could have a 2M page. */
static void image_then_large(void **state)
{
	(void)state;
	build(7);
	build(8);
	build(FRAME + 1);
	assert_int_equal(mmu_mirror_build(&mirror_vcpus[0], 7, &why), -EEXIST);
	assert_int_equal(mmu_mirror_build(&mirror_vcpus[0], MIRROR_PAGES, &why), -ENOENT);
	assert_int_equal(mirror_fault(9), FAULT_MAPPED); /* before the guest starts */
	mirror_agrees();
	mirror_run();
	assert_int_equal(mirror_fault(300), FAULT_MAPPED); /* and after */
	assert_int_equal(mirror_fault(FRAME + 300), FAULT_MAPPED);
	assert_int_equal(mirror_fault(2 * FRAME + 300), FAULT_MAPPED);
	assert_int_equal(mirror_level(9), LEVEL_4K);
	assert_int_equal(mirror_level(300), LEVEL_4K);
	assert_int_equal(mirror_level(FRAME + 300), LEVEL_4K);
	assert_int_equal(mirror_level(2 * FRAME + 300), LEVEL_2M);
	assert_int_equal(mirror_state(7), FAKE_MAPPED);
	assert_int_equal(mirror_state(300), FAKE_PENDING);
	assert_int_equal(mirror_counts().mirror.kept_4k, 2);
}

/* A 2M page wanted over children that are pending, accepted, both, and partly missing. */
static void large_over_children(void **state)
{
	(void)state;
	mirror_run();
	for (gfn_t frame = 0; frame < 4; frame++)
		for (gfn_t i = 0; i < (frame == 3 ? 100 : FRAME); i++)
			if (frame == 0 || frame == 3 || (frame == 2 && i % 2))
				assert_int_equal(mirror_accept(frame * FRAME + i, LEVEL_4K), LEVEL_4K);
			else
				assert_int_equal(mmu_mirror_accept(&mirror_vcpus[0], (frame * FRAME + i) << PAGE_SHIFT,
								   LEVEL_4K), FAULT_MAPPED);
	mirror_agrees();
	for (gfn_t frame = 0; frame < 4; frame++)
		for (gfn_t i = 0; i < FRAME; i += 37) {
			assert_int_equal(mirror_fault(frame * FRAME + i), FAULT_MAPPED);
			assert_int_equal(mirror_level(frame * FRAME + i), LEVEL_4K);
		}
	assert_int_equal(mirror_accept(FRAME, LEVEL_2M), LEVEL_4K); /* the guest is told to try smaller */
	assert_int_equal(mirror_counts().mirror.kept_4k, 4);
}

/* The goal is 1G, the 1G entry is a table, and so is the 2M entry in it. */
static void goal_1g_over_tables(void **state)
{
	hpa_t page;

	(void)state;
	fake.ops.max_level = LEVEL_1G;
	mirror_add(0x40000, 0x80000, GIB(2), SLOT_PRIVATE);
	build(0x40007);
	mirror_run();
	assert_int_equal(mirror_fault(0x40023), FAULT_MAPPED);
	assert_int_equal(mirror_fault(0x40000 + 5 * FRAME + 77), FAULT_MAPPED);
	assert_int_equal(mirror_fault(0x80000 + 5 * FRAME + 77), FAULT_MAPPED);
	assert_int_equal(mirror_level(0x40023), LEVEL_4K);
	assert_int_equal(mirror_level(0x40000 + 5 * FRAME + 77), LEVEL_2M);
	assert_int_equal(mirror_level(0x80000 + 5 * FRAME + 77), LEVEL_1G);
	mirror_accept(0x40023, LEVEL_4K);
	mirror_accept(0x40000 + 5 * FRAME, LEVEL_2M);
	assert_int_equal(fake_touch(&fake, 0, 0x40023, &page), FAKE_GOOD);
	assert_true(page == GIB(2) + 0x23000);
	assert_int_equal(fake_touch(&fake, 0, 0x40000 + 5 * FRAME + 77, &page), FAKE_GOOD);
	assert_true(page == GIB(2) + 5 * MIB(2) + 77 * PAGE_SIZE);
	mirror_agrees();
	/* From 1G to 4K in one go: two splits. */
	assert_int_equal(mirror_accept(0x80000 + 5 * FRAME + 77, LEVEL_4K), LEVEL_4K);
	assert_int_equal(mirror_level(0x80000 + 5 * FRAME + 78), LEVEL_4K);
	assert_int_equal(mirror_level(0x80000 + 6 * FRAME), LEVEL_2M);
	mirror_agrees();
	assert_int_equal(mirror_convert(0x80000 + 6 * FRAME + 5, 3 * FRAME, false), 0);
	assert_int_equal(mirror_level(0x80000 + 6 * FRAME + 4), LEVEL_4K);
	assert_int_equal(mirror_level(0x80000 + 6 * FRAME + 5), 0);
	assert_int_equal(mirror_level(0x80000 + 8 * FRAME), 0);
	assert_int_equal(mirror_level(0x80000 + 9 * FRAME + 5), LEVEL_4K);
	assert_int_equal(mirror_level(0x80000 + 10 * FRAME), LEVEL_2M);
}

/* Where a larger page was mapped than the guest accepts: no endless exits. */
static void accept_smaller(void **state)
{
	(void)state;
	mirror_run();
	assert_int_equal(mirror_fault(100), FAULT_MAPPED);
	assert_int_equal(mirror_level(100), LEVEL_2M);
	assert_int_equal(mirror_accept(100, LEVEL_4K), LEVEL_4K);
	assert_int_equal(mirror_level(100), LEVEL_4K);
	assert_int_equal(mirror_state(100), FAKE_MAPPED);
	assert_int_equal(mirror_state(101), FAKE_PENDING);
	/* What was said stands after the memory has been away: the frame stays at 4K. */
	assert_int_equal(mirror_convert(0, FRAME, false), 0);
	assert_int_equal(mirror_convert(0, FRAME, true), 0);
	assert_int_equal(mirror_fault(5), FAULT_MAPPED);
	assert_int_equal(mirror_level(5), LEVEL_4K);
	/* A fresh frame, accepted at 4K before it was mapped, and one accepted at 2M. */
	assert_int_equal(mirror_accept(FRAME + 9, LEVEL_4K), LEVEL_4K);
	assert_int_equal(mirror_fault(FRAME + 10), FAULT_MAPPED);
	assert_int_equal(mirror_level(FRAME + 10), LEVEL_4K);
	assert_int_equal(mirror_accept(2 * FRAME, LEVEL_2M), LEVEL_2M);
}

/* What a guest said about its pages is not the next one's affair. */
static void next_guest(void **state)
{
	(void)state;
	mirror_run();
	assert_int_equal(mirror_accept(FRAME + 9, LEVEL_4K), LEVEL_4K);
	assert_int_equal(mirror_convert(2 * FRAME, 3, false), 0);
	mirror_world_renew();
	assert_int_equal(mirror_convert(2 * FRAME, 3, true), 0);
	mirror_run();
	for (gfn_t gfn = 0; gfn < 4 * FRAME; gfn += FRAME)
		assert_int_equal(mirror_accept(gfn, LEVEL_2M), LEVEL_2M);
	mirror_agrees();
}

/* Each guest of the same memory needs the same tables: who builds the images keeps none of those given back. */
static void many_lives(void **state)
{
	uint64_t blocks = 0;

	(void)state;
	for (int life = 0; life < 12; life++) {
		fake.adding = true;
		for (gfn_t gfn = 0; gfn < 100; gfn++)
			assert_int_equal(mmu_mirror_build(&mirrored.host, gfn, &why), 0);
		fake.adding = false;
		mirror_run();
		for (gfn_t gfn = FRAME; gfn < 5 * FRAME; gfn += FRAME)
			assert_int_equal(mirror_accept(gfn, LEVEL_4K), LEVEL_4K);
		if (life == 3) /* by then every cache has its fill */
			blocks = mirrored.pool.block_count;
		mirror_world_renew();
	}
	assert_int_equal(mirrored.pool.block_count, blocks);
}

/* Part of a 2M page becomes shared: the rest keeps its contents, and nothing is promoted on the way back. */
static void convert_part(void **state)
{
	hpa_t page;

	(void)state;
	mirror_run();
	assert_int_equal(mirror_accept(0, LEVEL_2M), LEVEL_2M);
	assert_int_equal(fake_touch(&fake, 2, 10, &page), FAKE_GOOD); /* in a TLB */
	assert_int_equal(mirror_convert(10, 20, false), 0);
	mirror_agrees();
	for (gfn_t gfn = 0; gfn < FRAME; gfn++) {
		assert_int_equal(mirror_state(gfn), gfn - 10 < 20 ? FAKE_FREE : FAKE_MAPPED);
		assert_int_equal(mirror_level(gfn), gfn - 10 < 20 ? 0 : LEVEL_4K);
	}
	assert_int_equal(mmu_fault(&mirror_vcpus[0], SHARED(0xa000), MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(mirror_convert(10, 20, true), 0);
	for (gfn_t gfn = 10; gfn < 30; gfn++)
		assert_int_equal(mirror_fault(gfn), FAULT_MAPPED);
	assert_int_equal(mirror_level(10), LEVEL_4K);
	assert_int_equal(mirror_state(10), FAKE_PENDING); /* to be accepted anew */
	assert_int_equal(mirror_counts().mirror.kept_4k, 1);
	/* Only the end of what goes, and only its start, is inside a large page. */
	assert_int_equal(mirror_accept(2 * FRAME, LEVEL_2M), LEVEL_2M);
	assert_int_equal(mirror_accept(3 * FRAME, LEVEL_2M), LEVEL_2M);
	assert_int_equal(mirror_convert(FRAME, FRAME + 10, false), 0);
	assert_int_equal(mirror_state(2 * FRAME + 9), FAKE_FREE);
	assert_int_equal(mirror_state(2 * FRAME + 10), FAKE_MAPPED);
	assert_int_equal(mirror_convert(4 * FRAME - 10, FRAME, false), 0);
	assert_int_equal(mirror_state(4 * FRAME - 11), FAKE_MAPPED);
	assert_int_equal(mirror_state(4 * FRAME - 10), FAKE_FREE);
	assert_int_equal(mirror_counts().mirror.kept_4k, 3);
	/* All of it, and back: the table has stayed. */
	assert_int_equal(mirror_convert(0, FRAME, false), 0);
	assert_int_equal(mmu_fault(&mirror_vcpus[0], SHARED(0x3000), MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(mirror_counts().mapped[LEVEL_2M], 1); /* the shared root has its large page */
	assert_int_equal(mirror_convert(0, FRAME, true), 0);
	assert_int_equal(mirror_fault(3), FAULT_MAPPED);
	assert_int_equal(mirror_level(3), LEVEL_4K);
}

/* The frame is shared again as a whole: the ordinary root gets its large page back, whatever the mirror has. */
static void shared_root_collapses(void **state)
{
	(void)state;
	mirror_run();
	mirror_accept(7, LEVEL_4K); /* which forbids a large private page for ever */
	assert_int_equal(mirror_convert(0, FRAME / 2, false), 0);
	assert_int_equal(mmu_fault(&mirror_vcpus[0], SHARED(0x3000), MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(mirror_counts().mapped[LEVEL_4K], 1);
	assert_int_equal(mirror_convert(FRAME / 2, FRAME / 2, false), 0);
	assert_int_equal(mirror_counts().mapped[LEVEL_4K], 0);
	assert_int_equal(mirror_counts().mapped[LEVEL_2M], 1);
	assert_int_equal(mirror_counts().mirror.kept_4k, 1);
	mmu_zap_range(&mirrored, 0, FRAME);
	assert_int_equal(mmu_fault(&mirror_vcpus[0], SHARED(0x3000), MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(mirror_counts().mapped[LEVEL_2M], 1);
}

/* What a rival vCPU meets while an entry is frozen for this one. */
static gpa_t rival_gpa;
static enum fault_result rival_result;
static uint32_t rival_met;

static void rival(struct fake *f, enum external_op op, gfn_t gfn, int level)
{
	(void)op;
	(void)gfn;
	(void)level;
	f->meanwhile = NULL; /* its own changes are its own */
	rival_result = mmu_fault(&mirror_vcpus[1], rival_gpa, MMU_WRITE);
	rival_met++;
	if (rival_result == FAULT_RETRY)
		f->meanwhile = rival;
}

/* 4K and 2M in one frame, at every step of the other: a page, once there, is there for both. */
static void two_vcpus_one_frame(void **state)
{
	(void)state;
	mirror_run();
	fake.meanwhile = rival;
	rival_gpa = 0x9000;
	rival_met = 0;
	assert_int_equal(mmu_fault(&mirror_vcpus[0], 0x3000, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(rival_result, FAULT_RETRY);
	assert_int_equal(rival_met, 3); /* two tables and the leaf */
	mirror_agrees();
	rival_gpa = MIB(2) + 0x9000;
	assert_int_equal(mmu_mirror_accept(&mirror_vcpus[0], MIB(2) + 0x3000, LEVEL_4K), FAULT_MAPPED);
	assert_int_equal(rival_met, 4 + 1); /* the table: to be retried; the leaf: the other's is another one */
	assert_int_equal(rival_result, FAULT_MAPPED);
	fake.meanwhile = NULL;
	assert_int_equal(mirror_level(FRAME + 3), LEVEL_4K);
	assert_int_equal(mirror_level(FRAME + 9), LEVEL_4K);
}

/* However many entries: one TRACK and one kick. */
static void removal_is_batched(void **state)
{
	uint64_t tracks, kicks;

	(void)state;
	mirror_run();
	for (gfn_t gfn = 0; gfn < 2 * FRAME; gfn++)
		mirror_accept(gfn, LEVEL_4K);
	mirror_fault(2 * FRAME);
	mirror_fault(3 * FRAME);
	tracks = fake.ops_done[EXTERNAL_TRACK];
	kicks = fake.kicks;
	assert_int_equal(mirror_convert(5, 3 * FRAME - 5, false), 0);
	assert_int_equal(fake.ops_done[EXTERNAL_TRACK] - tracks, 1);
	assert_int_equal(fake.kicks - kicks, 1);
	/* Both edges of a range in the middle of two large pages: one for the splits, one for the rest. */
	mirror_fault(4 * FRAME);
	assert_int_equal(mirror_convert(3 * FRAME + 5, FRAME, false), 0);
	assert_int_equal(fake.ops_done[EXTERNAL_TRACK] - tracks, 3);
	assert_int_equal(fake.ops_done[EXTERNAL_DEMOTE], 2);
	/* Nothing mapped: nothing to track. */
	assert_int_equal(mirror_convert(6 * FRAME, FRAME, false), 0);
	assert_int_equal(fake.ops_done[EXTERNAL_TRACK] - tracks, 3);
}

/* The transition refuses by itself what the fault path never asks for. */
static void refusals(void **state)
{
	struct transition t;
	struct flush_token token;
	gfn_t frame = 0;
	int promoted, unlinked, replaced;

	(void)state;
	mirror_run();
	mirror_accept(3, LEVEL_4K);
	t = mirror_find(&mirrored, 3);
	t.sptep = NULL;
	for (uint64_t *table = mirrored.mirror->table; t.sptep == NULL; table = phys_to_virt(spte_hpa(*table)))
		if (spte_is_table(*table, LEVEL_2M) && !spte_is_table(*(uint64_t *)phys_to_virt(spte_hpa(*table)), LEVEL_2M))
			t.sptep = table;
	t.level = LEVEL_2M;
	t.gfn = frame;
	t.old = spte_read(t.sptep);
	t.new = spte_make_leaf(MIRROR_RAM, LEVEL_2M, true);
	assert_int_equal(transition_install(&t), -EPERM); /* promotion */
	mmu_exclusive_begin(&mirrored);
	token = flush_token_new(&mirrored);
	promoted = transition_begin(&t, &token);
	t.new = SPTE_EMPTY;
	unlinked = transition_begin(&t, &token);
	t = mirror_find(&mirrored, 3);
	t.new = spte_make_leaf(MIRROR_RAM + MIB(2), LEVEL_4K, true);
	replaced = transition_begin(&t, &token);
	flush_spend(&mirrored, token);
	mmu_exclusive_end(&mirrored);
	assert_int_equal(promoted, -EPERM);
	assert_int_equal(unlinked, -EPERM);
	assert_int_equal(replaced, -EPERM);
	assert_int_equal(transition_install(&t), -EPERM);
	assert_int_equal(mirrored.mirror_refused, 5);
	mirrored.mirror_refused = 0;
	assert_int_equal(fake.ops_done[EXTERNAL_TRACK], 0);
}

static void busy_is_retried(void **state)
{
	uint64_t before;

	(void)state;
	mirror_run();
	fake.busy_percent = 100;
	assert_int_equal(mmu_fault(&mirror_vcpus[0], 0x3000, MMU_READ), FAULT_RETRY);
	assert_true(mirrored.mirror->table[0] == SPTE_EMPTY);
	fake.busy_percent = 0;
	mirror_agrees();
	mirror_accept(0, LEVEL_2M);
	before = fake.kicks;
	fake.busy_percent = 100; /* each time, until entry is barred and all are out */
	assert_int_equal(mirror_convert(7, 1, false), 0);
	fake.busy_percent = 0;
	assert_false(fake.barred);
	/* DEMOTE and REMOVE with BLOCK and TRACK each, all busy; and after each TRACK its own kick. */
	assert_int_equal(fake.kicks - before, 6 + 2);
	assert_int_equal(mirror_counts().mirror.kicks, 6);
	assert_int_equal(mirror_level(7), 0);
}

/* An interrupted split leaves everything as it was. */
static void split_interrupted(void **state)
{
	struct mmu_counts before, after;

	(void)state;
	mirror_run();
	mirror_accept(0, LEVEL_2M);
	before = mirror_counts();
	fake.interrupt_percent = 100;
	assert_int_equal(mmu_set_attributes(&mirrored, 7, 1, false, &why), -EAGAIN);
	assert_int_equal(fake.ops_done[EXTERNAL_UNBLOCK], 1);
	assert_int_equal(mmu_mirror_accept(&mirror_vcpus[0], 0x5000, LEVEL_4K), FAULT_RETRY);
	assert_int_equal(mirror_level(7), LEVEL_2M);
	assert_int_equal(mirror_state(7), FAKE_MAPPED);
	after = mirror_counts();
	assert_int_equal(before.mirror.tables, after.mirror.tables);
	mirror_agrees();
	fake.interrupt_percent = 50;
	assert_int_equal(mirror_convert(7, 1, false), 0);
}

/* Out of memory: nothing is half done, and it works once there is some. */
static void no_memory(void **state)
{
	enum fault_result result = FAULT_MAPPED;
	gfn_t frame = 0;

	(void)state;
	mirror_run();
	for (gfn_t i = 0; i < 8; i++)
		assert_int_equal(mirror_accept(i * FRAME, LEVEL_2M), LEVEL_2M);
	mirror_add(GIB(1) >> PAGE_SHIFT, FRAME, MIRROR_RAM + GIB(1), SLOT_PRIVATE);
	mirror_add(GIB(600) >> PAGE_SHIFT, 64 * FRAME, MIRROR_RAM + GIB(2), SLOT_PRIVATE);
	world_allocs_left = 0;
	while (result == FAULT_MAPPED)
		result = mmu_mirror_accept(&mirror_vcpus[0], GIB(600) + frame++ * MIB(2), LEVEL_4K);
	assert_int_equal(result, FAULT_OUT_OF_MEMORY);
	mirror_agrees();
	assert_int_equal(mirror_fault(GIB(1) >> PAGE_SHIFT), FAULT_OUT_OF_MEMORY);
	assert_int_equal(mmu_mirror_build(&mirror_vcpus[0], GIB(1) >> PAGE_SHIFT, &why), -ENOMEM);
	for (gfn_t i = 0; i < 8; i++)
		assert_int_equal(mirror_convert(i * FRAME + 5, 1, false), -ENOMEM);
	assert_int_equal(mmu_mirror_accept(&mirror_vcpus[0], 0x3000, LEVEL_4K), FAULT_OUT_OF_MEMORY);
	mirror_agrees();
	assert_int_equal(mirror_level(5), LEVEL_2M);
	world_allocs_left = ~(uint64_t)0;
	assert_int_equal(mirror_convert(5, 1, false), 0);
	assert_int_equal(mirror_accept(GIB(1) >> PAGE_SHIFT, LEVEL_2M), LEVEL_2M);
}

static void slots_come_and_go(void **state)
{
	(void)state;
	mirror_run();
	mirror_add(0x10000, 700, GIB(2), SLOT_PRIVATE);
	mirror_add(0x20000, FRAME, GIB(3) + PAGE_SIZE, SLOT_PRIVATE); /* not congruent: no large page */
	for (gfn_t i = 0; i < 700; i += 99)
		mirror_accept(0x10000 + i, LEVEL_2M);
	mirror_accept(0x20005, LEVEL_2M);
	assert_int_equal(mirror_level(0x10000), LEVEL_2M);
	assert_int_equal(mirror_level(0x10000 + 594), LEVEL_4K);
	assert_int_equal(mirror_level(0x20005), LEVEL_4K);
	assert_int_equal(mirror_counts().mirror.kept_4k, 0); /* these could never be larger */
	mirror_agrees();
	mmu_zap_range(&mirrored, 0, BIT(28)); /* of shared memory: the mirror stays */
	assert_int_equal(mirror_level(0x10000), LEVEL_2M);
	assert_int_equal(mmu_slot_delete(&mirrored, 0x10000, &why), 0);
	assert_int_equal(mirror_level(0x10000), 0);
	assert_int_equal(mirror_level(0x20005), LEVEL_4K);
	mirror_agrees();
	assert_int_equal(mmu_slot_delete(&mirrored, 0x20000, &why), 0);
	mirror_add(0x20000, FRAME, GIB(3), SLOT_PRIVATE);
	assert_int_equal(mirror_fault(0x20005), FAULT_MAPPED);
	assert_int_equal(mirror_level(0x20005), LEVEL_4K); /* its table has stayed */
	assert_int_equal(mirror_counts().mirror.kept_4k, 1);
}

/* Forgetting the TRACK is noticed where it is made. */
static void token_unspent(void **state)
{
	struct flush_token token;
	struct transition t;

	bool panicked;
	int begun, abandoned;

	(void)state;
	mirror_run();
	mirror_accept(0, LEVEL_2M);
	mmu_exclusive_begin(&mirrored);
	token = flush_token_new(&mirrored);
	t = mirror_find(&mirrored, 0);
	t.new = SPTE_EMPTY;
	begun = transition_begin(&t, &token);
	panicked = EXPECT_PANIC(begun = transition_finish(&t));
	flush_spend(&mirrored, token);
	abandoned = transition_abandon(&t);
	mmu_exclusive_end(&mirrored);
	assert_int_equal(begun, 0);
	assert_true(panicked);
	assert_int_equal(abandoned, 0);
}

static void configuration(void **state)
{
	struct mmu_config config = { .vm_id = WORLD_VM, .hpa_bits = 46, .gpa_bits = 48, .max_level = LEVEL_1G,
				     .external = &fake.ops, .shared_bit = 47 };
	struct mmu mmu;

	(void)state;
	world_start();
	assert_int_equal(mmu_init(&mmu, &config, &why), -EINVAL);
	config.shared_bit = 52;
	assert_int_equal(mmu_init(&mmu, &config, &why), -EINVAL);
	world_end();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, mirror_setup, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(maps_large),
		TEST(private_or_shared),
		TEST(image_then_large),
		TEST(large_over_children),
		TEST(goal_1g_over_tables),
		TEST(accept_smaller),
		TEST(next_guest),
		TEST(many_lives),
		TEST(convert_part),
		TEST(shared_root_collapses),
		TEST(two_vcpus_one_frame),
		TEST(removal_is_batched),
		TEST(refusals),
		TEST(busy_is_retried),
		TEST(split_interrupted),
		TEST(no_memory),
		TEST(slots_come_and_go),
		TEST(token_unspent),
		cmocka_unit_test(configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
