/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/shadow_mem.c tests/unit/shadow_oracle.c tests/unit/shadow_cpu.c */
/*
 * vCPUs under shadow paging as threads: they touch memory through page tables that they all write to, flush, and load
 * CR3, while another thread deletes and adds slots, zaps, and logs. A page carries its gfn, of which each address can
 * have four; a deleted slot's pages are overwritten at once. So a translation of something else, or one that outlives
 * its flush, is seen, and so is a page of the shadow that is freed too early.
 */
#include "mmu/check.h"
#include "mmu/dirty.h"
#include "mmu/gpa.h"
#include "mmu/shadow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/mmu_world.h"
#include "tests/unit/shadow_cpu.h"

#define THREADS 3
#define ROUNDS 25
#define TABLE_GFN 0x10ul /* two of level 4, one of level 3 and 2, then those of level 1 */
#define PTS 4u
#define PT_GFN (TABLE_GFN + 4)
#define TABLE_PAGES 16ul
#define PAGES 16u        /* that each table of level 1 maps */
#define WINDOW 100u      /* and where the first of them maps all tables */
#define DATA_GFN 0x200ul /* two slots */
#define DATA_PAGES 512ul
#define CHOICES 4u
#define GONE 0xdeadul
#define USABLE 0x67ul    /* present, writable, user, accessed, dirty */
#define PATIENCE 1000u

static struct mmu mmu;
static uint64_t seed;
static uint32_t stop, accesses;

static struct guest {
	struct mmu_vcpu vcpu;
	struct guest_paging g;
	struct cpu cpu;
	pthread_t thread;
	uint32_t in_guest, flush_wanted;
	uint64_t id;
} guests[THREADS];

static uint64_t *ram(gfn_t gfn) { return phys_to_virt(MEM_RAM_HPA + (gfn << PAGE_SHIFT)); }

/* A CPU in root mode flushes before it enters; one in the guest is waited for. */
static void flush_all(void *ctx, const struct flush_range *range)
{
	(void)ctx;
	(void)range;
	for (int i = 0; i < THREADS; i++)
		__atomic_store_n(&guests[i].flush_wanted, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < THREADS; i++)
		while (__atomic_load_n(&guests[i].in_guest, __ATOMIC_SEQ_CST) &&
		       __atomic_load_n(&guests[i].flush_wanted, __ATOMIC_SEQ_CST))
			sched_yield();
}

static void load(struct guest *t, bool flush)
{
	int err = mmu_shadow_load(&t->vcpu, &t->g, flush);

	if (err < 0)
		abort();
	if (err != MMU_LOAD_SAME)
		cpu_forget(&t->cpu);
}

static void leave(struct guest *t) { __atomic_store_n(&t->in_guest, 0, __ATOMIC_SEQ_CST); }

static void enter(struct guest *t)
{
	for (;;) {
		if (mmu_shadow_stale(&t->vcpu))
			load(t, false);
		__atomic_store_n(&t->in_guest, 1, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&t->flush_wanted, __ATOMIC_SEQ_CST) && !mmu_shadow_stale(&t->vcpu))
			break;
		leave(t);
		cpu_forget(&t->cpu);
		__atomic_store_n(&t->flush_wanted, 0, __ATOMIC_SEQ_CST);
	}
	cpu_enter(&t->cpu, &t->g, mmu_shadow_cr3(&t->vcpu));
}

/* Of page j of table i, the choice'th gfn that it can be. */
static gfn_t data_gfn(uint32_t i, uint32_t j, uint64_t choice)
{
	return DATA_GFN + ((i * PAGES + j) * 37 + choice) % (2 * DATA_PAGES);
}

static bool is_choice(uint32_t i, uint32_t j, uint64_t tag)
{
	for (uint32_t n = 0; n < CHOICES; n++)
		if (data_gfn(i, j, n) == tag)
			return true;
	return false;
}

/* A store, or NULL for a load: a page of data must be one of those that it can be. */
struct access {
	gva_t gva;
	uint32_t kind, i, j;
	const uint64_t *store;
};

/* False: a page fault. */
static bool try_access(struct guest *t, const struct access *a, uint32_t *error)
{
	struct cpu_leaf leaf;
	uint64_t *page;

	enter(t);
	*error = cpu_access(&t->cpu, &t->g, a->gva, a->kind, rnd(4), &leaf);
	if (*error == CPU_OK) {
		page = phys_to_virt(leaf.hpa);
		if (a->store)
			__atomic_store_n(&page[(a->gva & PAGE_MASK) / 8], *a->store, __ATOMIC_SEQ_CST);
		else if (!is_choice(a->i, a->j, __atomic_load_n(page, __ATOMIC_SEQ_CST)))
			world_fail("address %lx shows page %lx", a->gva, *page);
	}
	leave(t);
	return *error == CPU_OK;
}

static void carry_out(struct guest *t, const struct access *a)
{
	uint32_t error;

	for (uint32_t n = 0; !try_access(t, a, &error); n++) {
		struct walk_result r;
		enum fault_result result = mmu_shadow_fault(&t->vcpu, &t->g, a->gva, error, &r);

		cpu_forget_page(&t->cpu, a->gva);
		if (n == PATIENCE)
			world_fail("%lx: fault %x ends in %s again and again", a->gva, error, fault_result_names[result]);
		if (result == FAULT_WRITE_TRACKED && a->store)
			gpa_write(&t->vcpu, r.gpa, a->store, 8);
		if (result != FAULT_MAPPED && result != FAULT_RETRY)
			break;
	}
	__atomic_fetch_add(&accesses, 1, __ATOMIC_RELAXED);
}

static void touch(struct guest *t)
{
	uint32_t i = (uint32_t)rnd(PTS), j = (uint32_t)rnd(PAGES);
	uint64_t value = rnd(BIT(40));
	struct access a = { .gva = i * MIB(2) + j * PAGE_SIZE, .kind = WALK_READ << rnd(3), .i = i, .j = j };

	if (a.kind & WALK_WRITE) {
		a.gva += 8 + rnd(511) * 8;
		a.store = &value;
	}
	carry_out(t, &a);
}

/* Through the window, as a kernel writes to its page tables. */
static void store_entry(struct guest *t, gfn_t table, uint64_t index, uint64_t value)
{
	struct access a = { .gva = (WINDOW + table - TABLE_GFN) * PAGE_SIZE + index * 8, .kind = WALK_WRITE,
			    .store = &value };

	t->g.cpl = 0;
	carry_out(t, &a);
}

static uint64_t data_entry(uint32_t i, uint32_t j)
{
	return data_gfn(i, j, rnd(CHOICES)) << PAGE_SHIFT | (rnd(8) ? 1 : 0) | (rnd(3) ? 2 : 0) | (rnd(4) ? 4 : 0) |
	       (rnd(4) ? 0x60 : 0);
}

static void change_page(struct guest *t)
{
	uint32_t i = (uint32_t)rnd(PTS), j = (uint32_t)rnd(PAGES);

	store_entry(t, PT_GFN + i, j, data_entry(i, j));
	if (rnd(2)) {
		mmu_shadow_invlpg(&t->vcpu, &t->g, i * MIB(2) + j * PAGE_SIZE);
		cpu_forget_page(&t->cpu, i * MIB(2) + j * PAGE_SIZE);
	}
}

/* The first table of level 1, which has the window, stays. */
static void change_table(struct guest *t)
{
	uint64_t i = 1 + rnd(PTS - 1);

	store_entry(t, TABLE_GFN + 3, i, rnd(4) ? (PT_GFN + i) << PAGE_SHIFT | USABLE : 0);
}

static void load_cr3(struct guest *t)
{
	t->g.cr3 = (TABLE_GFN + rnd(2)) << PAGE_SHIFT;
	load(t, true);
}

static void *vcpu_main(void *arg)
{
	struct guest *t = arg;

	rnd_seed(seed + t->id);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		t->g.cpl = rnd(2) ? 3 : 0;
		switch (rnd(32)) {
		case 0: load_cr3(t); break;
		case 1: change_table(t); break;
		case 2 ... 7: change_page(t); break;
		case 8: mmu_shadow_flush(&t->vcpu); cpu_forget(&t->cpu); break;
		default: touch(t); break;
		}
	}
	return NULL;
}

/* ---- the world ---- */

static void slot(gfn_t gfn, uint64_t npages)
{
	struct failure why;

	if (mmu_slot_add(&mmu, gfn, npages, MEM_RAM_HPA + (gfn << PAGE_SHIFT), 0, &why))
		fail_msg("%s", why.text);
}

static void data_in(gfn_t gfn)
{
	for (gfn_t n = gfn; n < gfn + DATA_PAGES; n++)
		*ram(n) = n;
	slot(gfn, DATA_PAGES);
}

static void data_out(gfn_t gfn)
{
	struct failure why;

	assert_int_equal(mmu_slot_delete(&mmu, gfn, &why), 0);
	for (gfn_t n = gfn; n < gfn + DATA_PAGES; n++)
		*(volatile uint64_t *)ram(n) = GONE;
}

static void log_for_a_while(void)
{
	struct failure why;

	assert_int_equal(mmu_dirty_start(&mmu, TABLE_GFN, &why), 0);
	for (int i = 0; i < 4; i++)
		assert_true(mmu_dirty_fetch(&mmu, TABLE_GFN, 0, 1, NULL) >= 0);
	assert_int_equal(mmu_dirty_stop(&mmu, TABLE_GFN, &why), 0);
}

static void change_world(void)
{
	bool in[2] = { true, true };
	struct failure why;

	for (int n = 0; n < ROUNDS; n++) {
		int i = (int)rnd(2);

		switch (rnd(8)) {
		case 0: mmu_shadow_zap_all(&mmu); break;
		case 1: mmu_zap_range(&mmu, rnd(0x600), 1 + rnd(64)); break;
		case 2: log_for_a_while(); break;
		default:
			if (in[i])
				data_out(DATA_GFN + (gfn_t)i * DATA_PAGES);
			else
				data_in(DATA_GFN + (gfn_t)i * DATA_PAGES);
			in[i] = !in[i];
			break;
		}
		if (mmu_check(&mmu, &why))
			fail_msg("%s", why.text);
		for (int wait = 0; wait < 20; wait++)
			sched_yield();
	}
}

static void make_tables(void)
{
	memset(ram(TABLE_GFN), 0, TABLE_PAGES * PAGE_SIZE);
	ram(TABLE_GFN)[0] = ram(TABLE_GFN + 1)[0] = (TABLE_GFN + 2) << PAGE_SHIFT | USABLE;
	ram(TABLE_GFN + 2)[0] = (TABLE_GFN + 3) << PAGE_SHIFT | USABLE;
	for (uint32_t i = 0; i < PTS; i++) {
		ram(TABLE_GFN + 3)[i] = (PT_GFN + i) << PAGE_SHIFT | USABLE;
		for (uint32_t j = 0; j < PAGES; j++)
			ram(PT_GFN + i)[j] = data_entry(i, j);
	}
	for (gfn_t n = 0; n < TABLE_PAGES; n++)
		ram(PT_GFN)[WINDOW + n] = (TABLE_GFN + n) << PAGE_SHIFT | USABLE;
}

static void start_vcpu(int i)
{
	struct guest *t = &guests[i];

	t->id = (uint64_t)i + 1;
	t->g = (struct guest_paging){ .cr0 = CR0_PE | CR0_PG | CR0_WP, .cr4 = CR4_PAE, .maxphyaddr = 40,
				      .efer = EFER_LME | EFER_LMA | EFER_NXE, .cr3 = TABLE_GFN << PAGE_SHIFT };
	mmu_vcpu_init(&t->vcpu, &mmu);
	load(t, true);
}

/* pages: what the shadow may have, 0 for the default. */
static void run(uint64_t pages)
{
	struct mmu_config config = { .kind = MMU_SHADOW, .vm_id = WORLD_VM, .hpa_bits = cpu_hpa_bits, .gpa_bits = 40,
				     .max_level = LEVEL_2M, .shadow_pages = pages, .flush = flush_all };
	struct failure why;

	rnd_seed(seed);
	world_start_ram(MEM_RAM_HPA + MEM_RAM_BYTES);
	stop = accesses = 0;
	assert_int_equal(mmu_init(&mmu, &config, &why), 0);
	make_tables();
	slot(TABLE_GFN, TABLE_PAGES);
	data_in(DATA_GFN);
	data_in(DATA_GFN + DATA_PAGES);
	memset(guests, 0, sizeof(guests));
	for (int i = 0; i < THREADS; i++)
		start_vcpu(i);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&guests[i].thread, NULL, vcpu_main, &guests[i]), 0);
	change_world();
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++)
		pthread_join(guests[i].thread, NULL);
	assert_int_equal(mmu_check(&mmu, &why), 0);
	for (int i = 0; i < THREADS; i++)
		mmu_vcpu_destroy(&guests[i].vcpu);
	assert_true(accesses > 100);
	mmu_destroy(&mmu);
	world_end();
}

static void vcpus_against_changes(void **state)
{
	(void)state;
	seed = world_seed();
	run(0);
}

/* So few pages that every vCPU takes them from the others. */
static void vcpus_against_a_budget(void **state)
{
	(void)state;
	run(10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vcpus_against_changes),
		cmocka_unit_test(vcpus_against_a_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
