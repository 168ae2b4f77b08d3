/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/mmu_space.c */
/*
 * The parts of mmu/ by hand: entry format, large-page words, flush tokens, MMIO, guest memory.
 */
#include "mmu/check.h"
#include "mmu/flush.h"
#include "mmu/gpa.h"
#include "mmu/hugepage.h"
#include "mmu/inspect.h"
#include "mmu/slot.h"
#include "mmu/sp.h"
#include "mmu/spte.h"
#include "mmu/tdp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "tests/unit/mmu_space.h"
#include "tests/unit/support/support.h"


static int start(void **state)
{
	const struct mmu_config config = space_config(40);

	(void)state;
	space_start(&config);
	return 0;
}

static uint64_t entry_at(gpa_t gpa, int level)
{
	struct mmu_step steps[ROOT_LEVEL];
	int n = mmu_walk_gpa(&mmu, gpa, steps);

	assert_true(n > ROOT_LEVEL - level);
	assert_int_equal(steps[ROOT_LEVEL - level].level, level);
	return steps[ROOT_LEVEL - level].spte;
}

/* --- entries --------------------------------------------------------------------------------- */

static void entry_kinds(void **state)
{
	(void)state;
	assert_int_equal(spte_kind(SPTE_EMPTY, 1), SPTE_KIND_EMPTY);
	assert_int_equal(spte_kind(SPTE_FROZEN, 1), SPTE_KIND_FROZEN);
	assert_int_equal(spte_kind(spte_make_table(0x5000), 2), SPTE_KIND_TABLE);
	assert_int_equal(spte_kind(spte_make_leaf(0x5000, 1, true), 1), SPTE_KIND_LEAF);
	assert_int_equal(spte_kind(spte_make_leaf(MIB(2), 2, true), 2), SPTE_KIND_LEAF);
	assert_int_equal(spte_kind(0, 1), SPTE_KIND_BROKEN);
	assert_int_equal(spte_kind(SPTE_EMPTY | 1, 1), SPTE_KIND_BROKEN);
	for (int i = 0; i < 10000; i++) {
		gfn_t gfn = rnd(BIT(40 - 12));
		uint64_t generation = rnd(BIT(24)), spte = spte_make_mmio(gfn, generation);

		assert_int_equal(spte_kind(spte, 1), SPTE_KIND_MMIO);
		assert_true(spte_mmio_gfn(spte) == gfn);
		assert_true(spte_mmio_generation(spte) == generation % BIT(19));
		assert_true((spte & 7) == 6 && !(spte & BIT(11)) && (spte >> 63));
		/* What an L1 terminal fault could reach is in the upper half of the host's addresses. */
		if (spte_mmio_is_safe(gfn << 12, 40))
			assert_true(spte & BIT(39));
	}
}

static void entry_rules(void **state)
{
	struct mmu_config c = space_config(40);
	uint64_t leaf = spte_make_leaf(0x5000, 1, true), large = spte_make_leaf(MIB(4), 2, true);
	uint64_t table = spte_make_table(0x5000);
	static const struct {
		int what, level;
		uint64_t set, clear;
	} broken[] = {
		{ 0, 1, 0, EPT_SUPPRESS_VE }, { 0, 1, 0, EPT_RWX }, { 0, 1, 0, EPT_READ },
		{ 0, 1, 0, EPT_READ | EPT_WRITE }, { 0, 1, BIT(40), 0 }, { 0, 1, BIT(51), 0 },
		{ 0, 1, BIT(3), 0 }, { 0, 1, 0, BIT(4) | BIT(5) | SPTE_MMU_WRITABLE },
		{ 0, 1, 0, SPTE_HOST_WRITABLE }, { 0, 1, 0, SPTE_MMU_WRITABLE },
		{ 1, 2, BIT(12), 0 }, { 1, 2, BIT(20), 0 }, { 1, 3, 0, 0 },
		{ 2, 4, EPT_LARGE, 0 }, { 2, 4, BIT(3), 0 }, { 2, 2, BIT(6), 0 }, { 2, 3, BIT(5), 0 },
	};

	(void)state;
	c.max_level = LEVEL_2M;
	assert_null(spte_fault_in(leaf, 1, &c));
	assert_null(spte_fault_in(large, 2, &c));
	assert_null(spte_fault_in(table, 2, &c));
	assert_null(spte_fault_in(table, 4, &c));
	assert_null(spte_fault_in(leaf & ~EPT_WRITE, 1, &c));
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		uint64_t base = broken[i].what == 0 ? leaf : broken[i].what == 1 ? large : table;

		base = (base | broken[i].set) & ~broken[i].clear;
		assert_non_null(spte_fault_in(base, broken[i].level, &c));
	}
	c.execute_only = true;
	assert_null(spte_fault_in(spte_make_leaf(0x5000, 1, false) & ~EPT_READ, 1, &c));
}

/* --- slots and large pages ------------------------------------------------------------------- */

static int level_at(gfn_t gfn)
{
	const struct slot *s = slot_set_find(mmu.slots, gfn);

	return s ? hugepage_max_level(s, gfn) : 0;
}

static void hugepage_edges(void **state)
{
	(void)state;
	space_add(5, 1, MIB(1), 0);                        /* one page */
	assert_int_equal(level_at(5), 1);
	space_add(1000, 100, GIB(2) + (1000 << 12), 0);    /* crosses one 2M line */
	assert_int_equal(level_at(1023), 1);
	assert_int_equal(level_at(1024), 1);
	space_add(2048, 512, GIB(2) + (2048 << 12), 0);    /* exactly one 2M frame */
	assert_int_equal(level_at(2048), 2);
	assert_int_equal(level_at(2559), 2);
	space_add(4000, 1500, GIB(2) + (4000 << 12), 0);   /* misaligned head and tail */
	assert_int_equal(level_at(4000), 1);
	assert_int_equal(level_at(4096), 2);
	assert_int_equal(level_at(5119), 2);
	assert_int_equal(level_at(5120), 1);
	space_add(0x40000, 0x80000, GIB(4), 0);            /* two 1G frames */
	assert_int_equal(level_at(0x40000), 3);
	assert_int_equal(level_at(0xbffff), 3);
	space_add(0x100000, 0x80000, GIB(8) + MIB(2), 0);  /* congruent modulo 2M alone */
	assert_int_equal(level_at(0x100000), 2);
	space_add(0x200000, 0x80000, GIB(16) + 0x1000, 0); /* not congruent */
	assert_int_equal(level_at(0x200000), 1);
	space_is_good();
}

static void slot_refusals(void **state)
{
	(void)state;
	space_add(100, 100, MIB(64), 0);
	assert_int_equal(mmu_slot_add(&mmu, 0, 0, MIB(1), 0, &why), -EINVAL);
	assert_int_equal(mmu_slot_add(&mmu, 0, 1, 0, 0, &why), -EINVAL);
	assert_int_equal(mmu_slot_add(&mmu, 0, 1, 0x1800, 0, &why), -EINVAL);
	assert_int_equal(mmu_slot_add(&mmu, BIT(28), 1, MIB(1), 0, &why), -EINVAL);
	assert_int_equal(mmu_slot_add(&mmu, BIT(28) - 1, 2, MIB(1), 0, &why), -EINVAL);
	assert_int_equal(mmu_slot_add(&mmu, 1, ~(uint64_t)0, MIB(1), 0, &why), -EINVAL);
	assert_int_equal(mmu_slot_add(&mmu, 0, 2, BIT(40) - PAGE_SIZE, 0, &why), -EINVAL);
	assert_int_equal(mmu_slot_add(&mmu, 0, 101, MIB(1), 0, &why), -EEXIST);
	assert_int_equal(mmu_slot_add(&mmu, 199, 1, MIB(1), 0, &why), -EEXIST);
	assert_string_equal(why.text, "the memory slot at gfn c7 starts inside the one at gfn 64");
	assert_int_equal(mmu_slot_delete(&mmu, 101, &why), -ENOENT);
	space_add(0, 100, MIB(1), 0);
	space_add(200, 1, MIB(1), 0);
	space_is_good();
	for (gfn_t i = 0; i < SLOTS_MAX - 3; i++)
		space_add(1000 + i, 1, MIB(1), 0);
	assert_int_equal(mmu_slot_add(&mmu, 5000, 1, MIB(1), 0, &why), -ENOSPC);
	assert_true(slot_set_find(mmu.slots, 1100)->base == 1100);
	space_is_good();
	assert_int_equal(mmu_slot_delete(&mmu, 1100, &why), 0);
	assert_null(slot_set_find(mmu.slots, 1100));
}

static void bad_configurations(void **state)
{
	struct mmu_config c = space_config(40);
	static struct mmu other;

	(void)state;
	c.hpa_bits = 53;
	assert_int_equal(mmu_init(&other, &c, &why), -EINVAL);
	c = space_config(40);
	c.max_level = 4;
	assert_int_equal(mmu_init(&other, &c, &why), -EINVAL);
	c = space_config(40);
	c.max_level = LEVEL_4K;
	c.gpa_bits = 49;
	assert_int_equal(mmu_init(&other, &c, &why), -EINVAL);
}

static void premap_levels(void **state)
{
	struct mmu_counts counts;

	(void)state;
	space_add(0, 160, MIB(64), 0);
	space_add(256, 0x80000 - 256, GIB(4) + MIB(1), 0);
	assert_int_equal(mmu_premap_slot(&mmu, 0, &why), 0);
	assert_int_equal(mmu_premap_slot(&mmu, 256, &why), 0);
	assert_int_equal(mmu_premap_slot(&mmu, 256, &why), 0);
	assert_int_equal(mmu_premap_slot(&mmu, 257, &why), -ENOENT);
	mmu_count(&mmu, &counts);
	assert_int_equal(counts.mapped[3], 1);
	assert_int_equal(counts.mapped[2], 511);
	assert_int_equal(counts.mapped[1], 160 + 256);
	assert_int_equal(counts.tables, 4);
	assert_int_equal(flushes, 0); /* nothing was removed */
	space_is_good();
	mmu_zap_range(&mmu, 300, 1);
	assert_int_equal(flushes, 1);
	mmu_count(&mmu, &counts);
	assert_int_equal(counts.mapped[1], 160 + 255);
	assert_int_equal(mmu_slot_delete(&mmu, 256, &why), 0);
	mmu_count(&mmu, &counts);
	assert_true(counts.mapped[1] == 160 && counts.mapped[2] == 0 && counts.mapped[3] == 0);
	assert_int_equal(counts.tables, 4);
	space_is_good();
}

/* --- faults ---------------------------------------------------------------------------------- */

static void fault_kinds(void **state)
{
	(void)state;
	space_add(0x1000, 512, MIB(512), 0);
	space_add(0x2000, 1, MIB(600), SLOT_READONLY);
	assert_int_equal(mmu_fault(&vcpu, BIT(40), MMU_READ), FAULT_BAD_ADDRESS);
	assert_int_equal(mmu_fault(&vcpu, ~(gpa_t)0, MMU_READ), FAULT_BAD_ADDRESS);
	assert_int_equal(mmu_fault(&vcpu, 0x1000000, MMU_FETCH), FAULT_MAPPED);
	assert_true((entry_at(0x1000000, 2) & (EPT_ACCESSED | EPT_DIRTY)) == EPT_ACCESSED);
	assert_int_equal(mmu_fault(&vcpu, 0x11ff123, MMU_WRITE), FAULT_MAPPED);
	assert_int_equal(vcpu.stats.spurious, 1);
	assert_int_equal(mmu_fault(&vcpu, 0x2000000, MMU_WRITE), FAULT_READONLY_WRITE);
	assert_int_equal(mmu_fault(&vcpu, 0x2000000, MMU_READ), FAULT_MAPPED);
	assert_int_equal(mmu_fault(&vcpu, 0x2000000, MMU_WRITE), FAULT_READONLY_WRITE);
	assert_int_equal(mmu_fault(&vcpu, 0x3000000, MMU_READ), FAULT_MMIO);
	assert_true(mmu_eptp(&mmu) == (sp_hpa(mmu.root) | 0x5e));
	space_is_good();
}

static void mmio_life(void **state)
{
	(void)state;
	space_add(0x100, 16, MIB(512), 0);
	assert_int_equal(mmu_mmio_hit(&vcpu, 0xfee00000), MMIO_STALE);
	assert_int_equal(mmu_fault(&vcpu, 0xfee00300, MMU_WRITE), FAULT_MMIO);
	assert_int_equal(mmu_mmio_hit(&vcpu, 0xfee00000), MMIO_HIT);
	assert_int_equal(mmu_mmio_hit(&vcpu, 0xfee00fff), MMIO_HIT);
	assert_int_equal(mmu_mmio_hit(&vcpu, 0xfee01000), MMIO_STALE);
	/* Slots change: the entry is of an old generation until the next fault renews it. */
	space_add(0x200, 16, MIB(512), 0);
	assert_int_equal(mmu_mmio_hit(&vcpu, 0xfee00000), MMIO_STALE);
	assert_int_equal(mmu_fault(&vcpu, 0xfee00300, MMU_WRITE), FAULT_MMIO);
	assert_int_equal(mmu_mmio_hit(&vcpu, 0xfee00000), MMIO_HIT);
	space_is_good();
	/* Memory appears there: large page, no trace of the entry. */
	space_add(0xfee00, 512, GIB(1) + MIB(0xe), 0);
	assert_int_equal(mmu_mmio_hit(&vcpu, 0xfee00000), MMIO_STALE);
	assert_int_equal(mmu_fault(&vcpu, 0xfee00300, MMU_WRITE), FAULT_MAPPED);
	assert_true(entry_at(0xfee00000, 2) & EPT_LARGE);
	assert_int_equal(mmu_mmio_hit(&vcpu, 0xfee00000), MMIO_STALE);
	space_is_good();
	assert_int_equal(mmu_mmio_hit(&vcpu, BIT(40)), MMIO_BROKEN);
}

/* The generation in the entries comes round: an entry as old as the new number must not be left. */
static void mmio_generations(void **state)
{
	(void)state;
	mmu.slots->generation = BIT(19) - 3;
	space_add(0x100, 1, MIB(512), 0);
	assert_int_equal(mmu_fault(&vcpu, 0xfee00300, MMU_WRITE), FAULT_MMIO);
	assert_true(spte_is_mmio(entry_at(0xfee00000, 1)));
	space_add(0x200, 1, MIB(512), 0);
	assert_true(spte_is_mmio(entry_at(0xfee00000, 1)));
	space_add(0x300, 1, MIB(512), 0);
	assert_true(entry_at(0xfee00000, 1) == SPTE_EMPTY);
	assert_int_equal(mmu_mmio_hit(&vcpu, 0xfee00000), MMIO_STALE);
	space_is_good();
}

/* Spares go only into tables that are missing; without one, MMIO has no entry and nothing on its account. */
static void spare_use(void **state)
{
	struct fault ram = { .gfn = 3, .goal = LEVEL_4K, .access = MMU_READ }, write = ram;
	uint32_t spares;

	(void)state;
	space_add(0, 512, MIB(512) + PAGE_SIZE, SLOT_READONLY);
	ram.slot = write.slot = slot_set_find(mmu.slots, 3);
	write.access = MMU_WRITE;
	sp_topup(&vcpu, MMU_SPARES);
	spares = vcpu.spare_count;
	assert_int_equal(tdp_map(&vcpu, &ram), FAULT_MAPPED);
	assert_int_equal(vcpu.spare_count, spares - 3);
	assert_int_equal(tdp_map(&vcpu, &ram), FAULT_MAPPED);
	assert_int_equal(tdp_map(&vcpu, &write), FAULT_READONLY_WRITE);
	space_is_good();
	sp_drain(&vcpu);
	ram.gfn = 0xfee00;
	assert_int_equal(tdp_map_mmio(&vcpu, &ram), FAULT_MMIO);
	assert_int_equal(mmu.pool.mmio_tables, 0);
	space_is_good();
}

/* Premap goes on after what is there already, wherever in a large frame it starts. */
static void premap_steps(void **state)
{
	hpa_t hpa;
	uint32_t rwx;

	(void)state;
	space_add(0x1ff, 0x402, GIB(1) + (0x1ff << PAGE_SHIFT), 0);
	assert_int_equal(mmu_premap_slot(&mmu, 0x1ff, &why), 0);
	for (gfn_t gfn = 0x1ff; gfn < 0x601; gfn++)
		assert_true(world_ept_walk(&mmu, gfn << PAGE_SHIFT, &hpa, &rwx) > 0);
	space_is_good();
}

/* A zap that ends, or starts, one page short of a table leaves that page. */
static void zap_edges(void **state)
{
	hpa_t hpa;
	uint32_t rwx;

	(void)state;
	space_add(512, 1024, GIB(1) + PAGE_SIZE, 0);
	assert_int_equal(mmu_premap_slot(&mmu, 512, &why), 0);
	mmu_zap_range(&mmu, 512, 511);
	mmu_zap_range(&mmu, 1025, 511);
	assert_int_equal(world_ept_walk(&mmu, 1022ul << PAGE_SHIFT, &hpa, &rwx), 0);
	assert_int_equal(world_ept_walk(&mmu, 1023ul << PAGE_SHIFT, &hpa, &rwx), 1);
	assert_int_equal(world_ept_walk(&mmu, 1024ul << PAGE_SHIFT, &hpa, &rwx), 1);
	assert_int_equal(world_ept_walk(&mmu, 1025ul << PAGE_SHIFT, &hpa, &rwx), 0);
	space_is_good();
}

/* A guest that touches all of its address space gets no more tables than it may have. */
static void mmio_budget(void **state)
{
	struct mmu_counts counts;

	(void)state;
	for (gpa_t gpa = 0; gpa < BIT(40); gpa += GIB(1))
		assert_int_equal(mmu_fault(&vcpu, gpa, MMU_READ), FAULT_MMIO);
	mmu_count(&mmu, &counts);
	assert_true(counts.tables <= 1 + SP_MMIO_TABLES_MAX);
	space_is_good();
	/* Memory still maps, and once the entries are gone there is room again. */
	space_add(0x8000000, 512, MIB(512), 0);
	assert_int_equal(mmu_fault(&vcpu, 0x8000000000, MMU_READ), FAULT_MAPPED);
	mmu_zap_range(&mmu, 0, BIT(28));
	mmu_count(&mmu, &counts);
	assert_true(counts.tables == 1 && counts.mapped[0] == 0);
	assert_int_equal(mmu_fault(&vcpu, 0xfee00000, MMU_READ), FAULT_MMIO);
	assert_int_equal(mmu_mmio_hit(&vcpu, 0xfee00000), MMIO_HIT);
	space_is_good();
}

/* Entries made ahead of any access, by the MMU's own share: a vCPU finds them as if it had faulted. */
static void mmio_ahead(void **state)
{
	(void)state;
	space_add(0x100, 16, MIB(512), 0);
	assert_int_equal(mmu_fault(&mmu.host, 0xfec00000, 0), FAULT_MMIO);
	assert_int_equal(mmu_mmio_hit(&vcpu, 0xfec00010), MMIO_HIT);
	assert_int_equal(mmu_fault(&mmu.host, 0x100000, 0), FAULT_MAPPED);
	assert_int_equal(entry_at(0x100000, 1) & (EPT_ACCESSED | EPT_DIRTY), 0);
	space_add(0x200, 16, MIB(512), 0);
	assert_int_equal(mmu_mmio_hit(&vcpu, 0xfec00010), MMIO_STALE);
	space_is_good();
}

static void out_of_memory(void **state)
{
	int mapped = 0;

	(void)state;
	space_add(0, 0x100000, GIB(4) + PAGE_SIZE, 0); /* 4K pages only */
	world_allocs_left = 0;
	while (mmu_fault(&vcpu, (gpa_t)mapped << 21, MMU_READ) == FAULT_MAPPED)
		mapped++;
	assert_true(mapped > 0 && mapped < SP_BLOCK_FRAMES);
	space_is_good();
	assert_int_equal(mmu_fault(&vcpu, 0x5000, MMU_READ), FAULT_MAPPED); /* its table is there */
	assert_int_equal(mmu_premap_slot(&mmu, 0, &why), -ENOMEM);
	world_allocs_left = ~(uint64_t)0;
	assert_int_equal(mmu_fault(&vcpu, (gpa_t)mapped << 21, MMU_READ), FAULT_MAPPED);
	space_is_good();
}

/* --- flush tokens ---------------------------------------------------------------------------- */

static void token_rules(void **state)
{
	struct flush_token a, b;

	(void)state;
	space_add(0, 0x1000, MIB(512), 0);
	assert_int_equal(mmu_premap_slot(&mmu, 0, &why), 0);
	mmu_exclusive_begin(&mmu);
	a = tdp_zap(&mmu, 0, 512, NULL);
	assert_true(EXPECT_PANIC(mmu_exclusive_end(&mmu)));
	b = tdp_zap(&mmu, 1024, 512, NULL);
	assert_int_equal(flushes, 0);
	a = flush_merge(&mmu, a, b);
	assert_true(EXPECT_PANIC(mmu_exclusive_end(&mmu)));
	flush_spend(&mmu, a);
	assert_int_equal(flushes, 1);
	assert_true(flushed.first == 0 && flushed.npages == 1536);
	assert_true(EXPECT_PANIC(flush_spend(&mmu, a)));
	b = tdp_zap(&mmu, 0, 512, NULL); /* nothing left: nothing owed */
	flush_spend(&mmu, b);
	assert_int_equal(flushes, 1);
	mmu_exclusive_end(&mmu);
	space_is_good();
}

/* An unlinked table is frozen until the flush, so that a late walker backs off, and is not reused. */
static void doomed_tables(void **state)
{
	struct flush_token token, other;
	struct fault f = { .gfn = 3, .goal = LEVEL_4K, .access = MMU_READ };
	uint64_t *table;

	(void)state;
	space_add(0, 512, MIB(512) + PAGE_SIZE, 0);
	assert_int_equal(mmu_fault(&vcpu, 0x3000, MMU_READ), FAULT_MAPPED);
	mmu_exclusive_begin(&mmu);
	table = phys_to_virt(spte_hpa(*(uint64_t *)phys_to_virt(sp_hpa(mmu.root))));
	token = tdp_zap(&mmu, 0, 512, NULL);
	other = flush_token_new(&mmu);
	for (int i = 0; i < SPTES_PER_TABLE; i++)
		assert_true(table[i] == SPTE_FROZEN);
	assert_non_null(mmu.flush.doomed);
	flush_spend(&mmu, token);
	assert_non_null(mmu.flush.doomed);
	flush_spend(&mmu, other);
	assert_null(mmu.flush.doomed);
	mmu_exclusive_end(&mmu);
	/* Whoever meets a frozen entry backs off. */
	mmu.root->table[0] = SPTE_FROZEN;
	f.slot = slot_set_find(mmu.slots, 3);
	assert_int_equal(tdp_map(&vcpu, &f), FAULT_RETRY);
	assert_int_equal(tdp_map_mmio(&vcpu, &f), FAULT_RETRY);
	mmu.root->table[0] = SPTE_EMPTY;
}

/* --- guest memory ---------------------------------------------------------------------------- */

static void guest_memory(void **state)
{
	hpa_t ram = frame_alloc_run(8, 1, OWNER_VM(WORLD_VM));
	char in[6000], out[6000];

	(void)state;
	space_add(10, 2, ram, 0);
	space_add(12, 2, ram + 5 * PAGE_SIZE, 0); /* the next gfn, elsewhere on the host */
	space_add(14, 1, ram + 4 * PAGE_SIZE, SLOT_READONLY);
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (char)rnd(256);
	assert_int_equal(gpa_write(&vcpu, 0xb800, in, sizeof(in)), 0);
	assert_int_equal(gpa_read(&vcpu, 0xb800, out, sizeof(out)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_memory_equal((char *)phys_to_virt(ram) + 0x1800, in, 0x800);
	assert_memory_equal((char *)phys_to_virt(ram) + 0x5000, in + 0x800, sizeof(in) - 0x800);
	/* All or nothing. */
	assert_int_equal(gpa_write(&vcpu, 0xdf00, out, 0x200), -EACCES);
	assert_int_equal(gpa_read(&vcpu, 0xdf00, out, 0x200), 0);
	assert_int_equal(gpa_read(&vcpu, 0xef00, out, 0x200), -EFAULT);
	assert_int_equal(gpa_write(&vcpu, 0x9fff, out, 2), -EFAULT);
	assert_int_equal(gpa_read(&vcpu, ~(gpa_t)0, out, 8), -EFAULT);
	mmu_enter(&vcpu);
	assert_ptr_equal(gpa_to_hva(&vcpu, 0xa123, 1), (char *)phys_to_virt(ram) + 0x123);
	assert_non_null(gpa_to_hva(&vcpu, 0xa000, 2 * PAGE_SIZE));
	assert_null(gpa_to_hva(&vcpu, 0xa000, 2 * PAGE_SIZE + 1)); /* reaches into the next slot */
	assert_null(gpa_to_hva(&vcpu, 0xa000, ~(uint64_t)0));
	assert_null(gpa_to_hva(&vcpu, 0xa000, 0));
	assert_null(gpa_to_hva(&vcpu, 0x9fff, 1));
	assert_null(gpa_to_hva_writable(&vcpu, 0xe000, 1));
	assert_non_null(gpa_to_hva_writable(&vcpu, 0xc000, 1));
	mmu_leave(&vcpu);
	assert_int_equal(mmu_slot_delete(&mmu, 10, &why), 0);
	assert_int_equal(gpa_read(&vcpu, 0xa000, out, 1), -EFAULT); /* the hint is not trusted */
	frame_free_run(ram, 8, OWNER_VM(WORLD_VM));
}

/* Every size at an odd address too (16 bytes only aligned), and nothing is touched beside it. */
static void exchanges(void **state)
{
	hpa_t ram = frame_alloc_run(2, 1, OWNER_VM(WORLD_VM));
	uint8_t *at = phys_to_virt(ram), old[16], wanted[16], around[48];

	(void)state;
	space_add(10, 1, ram, 0);
	space_add(11, 1, ram + PAGE_SIZE, SLOT_READONLY);
	for (unsigned size = 1; size <= 16; size *= 2) {
		unsigned offset = size == 16 ? 16 : 17;

		for (unsigned i = 0; i < sizeof(around); i++)
			at[i] = around[i] = (uint8_t)rnd(256);
		memcpy(old, at + offset, size);
		for (unsigned i = 0; i < size; i++)
			wanted[i] = (uint8_t)~old[i];
		for (unsigned i = 0; i < size; i++) {
			old[i] ^= 0x10;
			assert_int_equal(gpa_exchange(&vcpu, 0xa000 + offset, old, wanted, size), -EAGAIN);
			old[i] ^= 0x10;
		}
		assert_memory_equal(at, around, sizeof(around));
		assert_int_equal(gpa_exchange(&vcpu, 0xa000 + offset, old, wanted, size), 0);
		memcpy(around + offset, wanted, size);
		assert_memory_equal(at, around, sizeof(around));
		assert_int_equal(gpa_exchange(&vcpu, 0xb000, old, wanted, size), -EACCES);
		assert_int_equal(gpa_exchange(&vcpu, 0xc000, old, wanted, size), -EFAULT);
	}
	assert_int_equal(mmu_slot_delete(&mmu, 10, &why), 0);
	assert_int_equal(mmu_slot_delete(&mmu, 11, &why), 0);
	frame_free_run(ram, 2, OWNER_VM(WORLD_VM));
}

/* A reader that is inside neither enters again nor is overlooked. */
static void lock_rules(void **state)
{
	(void)state;
	mmu_enter(&vcpu);
	assert_true(EXPECT_PANIC(mmu_enter(&vcpu)));
	mmu_leave(&vcpu);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, space_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(entry_kinds), TEST(entry_rules), TEST(hugepage_edges), TEST(slot_refusals),
		TEST(bad_configurations), TEST(premap_levels), TEST(fault_kinds), TEST(mmio_life), TEST(mmio_ahead),
		TEST(mmio_generations), TEST(spare_use), TEST(premap_steps), TEST(zap_edges),
		TEST(mmio_budget), TEST(out_of_memory), TEST(token_rules), TEST(doomed_tables),
		TEST(guest_memory), TEST(exchanges), TEST(lock_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
