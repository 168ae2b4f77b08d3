/*
 * The small guest under shadow paging that histories begin with: one table of each level, and what it does.
 */
#ifndef TESTS_UNIT_SHADOW_SMALL_H
#define TESTS_UNIT_SHADOW_SMALL_H

#include "tests/unit/shadow_world.h"

#define ROOT 0x10ul /* tables of level 4 to 2 from here on; the 4K table after them */
#define PT (ROOT + 3)
#define LARGE 0x400ul /* a gfn that a large page can start at */
#define DATA 0x210ul
#define NEAR 0x50ul /* in the slot that has the tables */
#define ALIAS 0x1010ul

static struct vcpu *const v = &world_vcpus[0];

static inline gpa_t entry(gfn_t table, uint64_t index) { return (table << PAGE_SHIFT) + index * 8; }

static inline void set(gfn_t table, uint64_t index, uint64_t value)
{
	mem_write(mem_hpa(entry(table, index)), 8, value, false);
}

/* Address 0 on is mapped by PT, whose entry 1 is PT itself. */
static inline int start(void **state)
{
	struct world_options o = { .max_level = LEVEL_2M, .maxphyaddr = 40 };

	(void)state;
	rnd_seed(1);
	guests_start(&o);
	guest_slot_add(0x10, 0x90, 0x10000, false);
	guest_slot_add(0x200, 0x400, 0x200000, false);
	guest_slot_add(0x1000, 0x200, 0x200000, false); /* half of those again */
	for (uint64_t i = 0; i < 3; i++)
		set(ROOT + i, 0, (ROOT + i + 1) << PAGE_SHIFT | 0x67);
	set(PT, 0, DATA << PAGE_SHIFT | 0x67);
	set(PT, 1, PT << PAGE_SHIFT | 0x67);
	v->g.cr0 = CR0_PE | CR0_PG | CR0_WP;
	v->g.cr4 = CR4_PAE;
	v->g.efer = EFER_LME | EFER_LMA | EFER_NXE;
	v->g.cr3 = ROOT << PAGE_SHIFT;
	vcpu_load(v, true);
	vcpu_flushed_all(v);
	return 0;
}

static inline int end(void **state)
{
	(void)state;
	guests_check();
	guests_end();
	return 0;
}

static inline enum outcome touch(gva_t gva, uint32_t kind, uint64_t value)
{
	struct guest_access a = { .gva = gva, .kind = kind, .bytes = 8, .value = value, .tlb = true };
	enum outcome o = guest_access(v, &a);

	guests_check();
	vcpu_check(v);
	return o;
}

static inline struct shadow_counts counts(void)
{
	struct shadow_counts c;

	mmu_shadow_count(&world_mmu, &c);
	return c;
}

#endif
