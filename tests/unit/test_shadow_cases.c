/* sources: mmu/ -mmu/unsync.c hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c tests/unit/shadow_mem.c tests/unit/shadow_oracle.c tests/unit/shadow_cpu.c tests/unit/shadow_world.c tests/unit/shadow_slots.c tests/unit/shadow_log.c tests/unit/shadow_skip.c */
/*
 * Histories under shadow paging that chance rarely makes: what other hypervisors got wrong, and what random
 * guests found here.
 */
#include "tests/unit/shadow_small.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "mmu/dirty.h"
#include "mmu/shadow_mmio.h"

/* A directory entry changes from a large page to a table at the same place, unseen by the hypervisor: the
 * page that stood for part of the large page is not the table's. */
static void large_page_becomes_table(void **state)
{
	(void)state;
	set(ROOT + 2, 1, LARGE << PAGE_SHIFT | 0xe5);
	set(ROOT + 2, 2, (LARGE + 1) << PAGE_SHIFT | 0x67); /* a table inside, so that it is mapped by 4K */
	set(LARGE + 1, 0, DATA << PAGE_SHIFT | 0x67);
	assert_int_equal(touch(MIB(4), WALK_READ, 0), DONE);
	assert_int_equal(touch(MIB(2), WALK_READ, 0), DONE);
	set(LARGE, 8, DATA << PAGE_SHIFT | 0x67);
	mem_write(mem_hpa(entry(ROOT + 2, 1)), 8, LARGE << PAGE_SHIFT | 0x67, true);
	guest_invlpg(v, MIB(2) + 8 * PAGE_SIZE);
	assert_int_equal(touch(MIB(2) + 8 * PAGE_SIZE, WALK_WRITE, 1), DONE);
}

/* An entry changes to another gfn of the same frame; then the slot of that gfn goes. */
static void frame_by_another_gfn(void **state)
{
	(void)state;
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
	assert_int_equal(touch(PAGE_SIZE, WALK_WRITE, ALIAS << PAGE_SHIFT | 0x67), DONE);
	guest_invlpg(v, 0);
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
	guest_slot_delete(0x1000);
	assert_int_equal(touch(0, WALK_READ, 0), DEVICE);
}

/* An entry changes to another frame, and then the guest flushes all. No frame has two gfns, and the entry leads into
 * the slot that the table is in: a glance tells. */
static void entry_changes_frame(void **state)
{
	(void)state;
	guest_slot_delete(0x1000);
	for (uint64_t i = 2; i < 5; i++) {
		set(PT, i, (NEAR + i) << PAGE_SHIFT | 0x67);
		assert_int_equal(touch(i * PAGE_SIZE, WALK_READ, 0), DONE);
	}
	assert_int_equal(touch(PAGE_SIZE + 4 * 8, WALK_WRITE, NEAR << PAGE_SHIFT | 0x67), DONE);
	vcpu_load(v, true);
	vcpu_flushed_all(v);
	assert_int_equal(touch(4 * PAGE_SIZE, WALK_READ, 0), DONE);
}

/* An entry changes to another frame, and the first write, for which the leaf lacks the right, finds that out. */
static void clean_page_changes_frame(void **state)
{
	(void)state;
	set(PT, 5, DATA << PAGE_SHIFT | 0x23);
	assert_int_equal(touch(5 * PAGE_SIZE, WALK_READ, 0), DONE);
	assert_int_equal(touch(PAGE_SIZE + 5 * 8, WALK_WRITE, (DATA + 3) << PAGE_SHIFT | 0x67), DONE);
	assert_int_equal(touch(5 * PAGE_SIZE, WALK_WRITE, 1), DONE);
}

/* An entry changes to another gfn of the same frame, and the guest flushes all; then the slot of that gfn goes. */
static void entry_changes_gfn(void **state)
{
	(void)state;
	for (uint64_t i = 2; i < 5; i++) {
		set(PT, i, ((i < 4 ? ALIAS : DATA) + i) << PAGE_SHIFT | 0x67);
		assert_int_equal(touch(i * PAGE_SIZE, WALK_READ, 0), DONE);
	}
	assert_int_equal(touch(PAGE_SIZE + 4 * 8, WALK_WRITE, (ALIAS + 4) << PAGE_SHIFT | 0x67), DONE);
	vcpu_load(v, true);
	vcpu_flushed_all(v);
	assert_int_equal(touch(4 * PAGE_SIZE, WALK_READ, 0), DONE);
	guest_slot_delete(0x1000);
	assert_int_equal(touch(4 * PAGE_SIZE, WALK_READ, 0), DEVICE);
}

/* The supervisor may write to a user page that its key forbids to write as long as CR0.WP is 0. */
static void key_and_no_wp(void **state)
{
	(void)state;
	set(PT, 2, (uint64_t)3 << 59 | DATA << PAGE_SHIFT | 0x67);
	v->g.cr0 &= ~CR0_WP;
	v->g.cr4 |= CR4_PKE;
	v->g.pkru = 2u << 6;
	vcpu_load(v, false);
	assert_int_equal(touch(2 * PAGE_SIZE, WALK_READ, 0), DONE);
	assert_int_equal(touch(2 * PAGE_SIZE, WALK_WRITE, 1), EMULATED);
	v->g.cpl = 3;
	assert_int_equal(touch(2 * PAGE_SIZE, WALK_WRITE, 1), REFUSED);
}

/* One unsync table below two directory entries is counted once. As it has few entries it stays unsync, but not
 * for ever. */
static void table_with_two_parents(void **state)
{
	struct shadow_counts c;

	(void)state;
	set(ROOT + 2, 1, PT << PAGE_SHIFT | 0x67);
	assert_int_equal(touch(MIB(2), WALK_READ, 0), DONE);
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
	assert_int_equal(touch(PAGE_SIZE, WALK_WRITE, 0), DONE);
	mmu_shadow_count(&world_mmu, &c);
	assert_int_equal(c.unsync, 1);
	vcpu_load(v, true);
	vcpu_flushed_all(v);
	mmu_shadow_count(&world_mmu, &c);
	assert_int_equal(c.unsync, 1);
	assert_int_equal(touch(0, WALK_READ, 0), REFUSED); /* the write was to its entry */
	for (int i = 0; i < 8; i++) {
		vcpu_load(v, true);
		vcpu_flushed_all(v);
	}
	mmu_shadow_count(&world_mmu, &c);
	assert_int_equal(c.unsync, 0);
}

/* A large page that is mapped as such gets a table inside. */
static void table_inside_large_page(void **state)
{
	(void)state;
	set(ROOT + 2, 1, LARGE << PAGE_SHIFT | 0xe7);
	assert_int_equal(touch(MIB(2), WALK_WRITE, 0), DONE);
	set(ROOT + 2, 2, (LARGE + 1) << PAGE_SHIFT | 0x67);
	set(LARGE + 1, 0, DATA << PAGE_SHIFT | 0x67);
	assert_int_equal(touch(MIB(4), WALK_READ, 0), DONE);
	assert_int_equal(touch(MIB(2) + PAGE_SIZE, WALK_WRITE, (DATA + 1) << PAGE_SHIFT | 0x67), DONE);
	vcpu_load(v, true);
	vcpu_flushed_all(v);
	assert_int_equal(touch(MIB(4), WALK_READ, 0), DONE);
}

/* The entry above the table that a fault came through leads elsewhere by now, unseen by the hypervisor, as it may be
 * where a frame has two gfns: the guest gets no page fault that its tables do not explain. */
static void table_above_changes_unseen(void **state)
{
	const gfn_t other = PT + 1;

	(void)state;
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
	set(other, 5, DATA << PAGE_SHIFT | 0x67);
	mem_write(mem_hpa(entry(ROOT + 2, 0)), 8, other << PAGE_SHIFT | 0x67, true);
	assert_int_equal(touch(5 * PAGE_SIZE, WALK_WRITE, 7), DONE);
	/* And where neither way leads anywhere. */
	assert_int_equal(touch(6 * PAGE_SIZE, WALK_READ, 0), REFUSED);
}

static int64_t logged(gfn_t slot, uint64_t npages)
{
	return mmu_dirty_fetch(&world_mmu, slot, 0, npages / 64, NULL);
}

/* What writes get into the log: the guest's, flags in its tables, the hypervisor's; reads do not. And large pages. */
static void what_is_logged(void **state)
{
	struct failure f;
	uint64_t bitmap[16];

	(void)state;
	set(ROOT + 2, 1, LARGE << PAGE_SHIFT | 0xe7);
	assert_int_equal(touch(MIB(2), WALK_WRITE, 1), DONE);
	assert_int_equal(mmu_dirty_start(&world_mmu, 0x200, &f), 0);
	assert_int_equal(mmu_dirty_start(&world_mmu, 0x200, &f), -EALREADY);
	assert_int_equal(mmu_dirty_start(&world_mmu, 0x10, &f), 0);
	assert_int_equal(logged(0x200, 0x400), 0);
	assert_int_equal(touch(MIB(2) + 3 * PAGE_SIZE, WALK_READ, 0), DONE);
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
	assert_int_equal(logged(0x200, 0x400), 0);
	assert_int_equal(touch(MIB(2) + 3 * PAGE_SIZE, WALK_WRITE, 1), DONE);
	assert_int_equal(touch(MIB(2) + 3 * PAGE_SIZE, WALK_WRITE, 2), DONE);
	guest_dma(DATA << PAGE_SHIFT, 8, 5);
	assert_int_equal(mmu_dirty_fetch(&world_mmu, 0x200, 0, 16, bitmap), 2);
	assert_true(bitmap[(LARGE + 3 - 0x200) / 64] == BIT((LARGE + 3) % 64) && bitmap[0] == BIT(DATA - 0x200));
	assert_int_equal(logged(0x200, 0x400), 0);
	assert_int_equal(touch(MIB(2) + 3 * PAGE_SIZE, WALK_WRITE, 2), DONE); /* again, by what the CPU remembers */
	assert_int_equal(logged(0x200, 0x400), 1);
	(void)logged(0x10, 0x80);
	set(PT, 7, DATA << PAGE_SHIFT | 7);
	assert_int_equal(touch(7 * PAGE_SIZE, WALK_READ, 0), DONE); /* sets the accessed flag in PT */
	assert_int_equal(logged(0x10, 0x80), 1);
	assert_int_equal(mmu_dirty_stop(&world_mmu, 0x200, &f), 0);
	assert_int_equal(mmu_dirty_stop(&world_mmu, 0x200, &f), -EALREADY);
	world_mmu.host.stats.installed[LEVEL_2M] = 0;
	assert_int_equal(touch(MIB(2) + 9 * PAGE_SIZE, WALK_WRITE, 1), DONE);
	assert_int_equal(world_mmu.host.stats.installed[LEVEL_2M], 1); /* large again */
}

/* A directory lies in a large page, whose parts are mapped as a whole by the first fault: all but that one writable. */
static void directory_inside_large_page(void **state)
{
	(void)state;
	set(ROOT + 1, 1, (LARGE + 2) << PAGE_SHIFT | 0x67);
	set(LARGE + 2, 0, PT << PAGE_SHIFT | 0x67);
	assert_int_equal(touch(GIB(1), WALK_READ, 0), DONE);
	set(ROOT + 2, 1, LARGE << PAGE_SHIFT | 0xe7);
	assert_int_equal(touch(MIB(2) + 5 * PAGE_SIZE, WALK_WRITE, 1), DONE);
	assert_int_equal(touch(MIB(2) + 2 * PAGE_SIZE, WALK_WRITE, PT << PAGE_SHIFT | 0x65), EMULATED);
	assert_int_equal(touch(GIB(1), WALK_READ, 0), DONE);
}

static enum outcome store_half(gva_t gva, uint64_t value)
{
	struct guest_access a = { .gva = gva, .kind = WALK_WRITE, .bytes = 4, .value = value, .tlb = true };
	enum outcome o = guest_access(v, &a);

	guests_check();
	vcpu_check(v);
	return o;
}

/* The table that CR3 leads to is cleared by halves of entries while it is in use, as kernels do when they start:
 * what is below other entries stays, and what was below a cleared one is gone. */
static void root_cleared_by_halves(void **state)
{
	uint64_t zapped;

	(void)state;
	set(PT, 9, ROOT << PAGE_SHIFT | 0x67);
	set(ROOT, 1, (ROOT + 1) << PAGE_SHIFT | 0x67);
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
	assert_int_equal(touch(BIT(39), WALK_READ, 0), DONE);
	zapped = counts().zapped;
	for (uint64_t at = 511 * 8; at > 8; at -= 4)
		assert_int_equal(store_half(9 * PAGE_SIZE + at, 0), EMULATED);
	assert_int_equal(counts().zapped, zapped);
	assert_int_equal(counts().flooded, 0);
	assert_int_equal(store_half(9 * PAGE_SIZE + 8, 0), EMULATED);
	assert_int_equal(touch(BIT(39), WALK_READ, 0), REFUSED);
	assert_int_equal(touch(0, WALK_READ, 0), DONE);
}

#define DEVICE_GFN 0xfec00ul
#define DEVICE_GVA (4 * PAGE_SIZE)

/* The first access to a device makes an entry, by which the next are known; the first write sets the dirty flag. */
static void device_entry(void **state)
{
	(void)state;
	set(PT, 4, DEVICE_GFN << PAGE_SHIFT | 0x3);
	assert_int_equal(touch(DEVICE_GVA, WALK_READ, 0), DEVICE);
	assert_int_equal(counts().mmio_made, 1);
	assert_int_equal(touch(DEVICE_GVA + 8, WALK_READ, 0), DEVICE);
	assert_int_equal(counts().mmio_hits, 1);
	assert_int_equal(touch(DEVICE_GVA, WALK_WRITE, 0), DEVICE);
	assert_int_equal(counts().mmio_hits, 1);
	assert_int_equal(mem_read(mem_hpa(entry(PT, 4)), 8), DEVICE_GFN << PAGE_SHIFT | 0x63);
	assert_int_equal(touch(DEVICE_GVA, WALK_WRITE, 0), DEVICE);
	assert_int_equal(counts().mmio_hits, 2);
	assert_int_equal(counts().mmio_live, 1);
	v->g.cpl = 3;
	assert_int_equal(touch(DEVICE_GVA, WALK_READ, 0), REFUSED);
	v->g.cpl = 0;
	mmu_shadow_zap_all(&world_mmu);
	assert_int_equal(counts().mmio_live, 0);
}

/* An entry goes with the guest's: written by a device, or unseen until the guest invalidates it or flushes all. */
static void device_entry_goes(void **state)
{
	const uint64_t device = DEVICE_GFN << PAGE_SHIFT | 0x67, other = device + PAGE_SIZE;

	(void)state;
	set(PT, 4, device);
	assert_int_equal(touch(DEVICE_GVA, WALK_READ, 0), DEVICE);
	guest_dma(entry(PT, 4), 8, other);
	assert_int_equal(counts().mmio_live, 0);
	assert_int_equal(touch(DEVICE_GVA, WALK_READ, 0), DEVICE);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(touch(PAGE_SIZE + 4 * 8, WALK_WRITE, i ? other : device), DONE);
		assert_int_equal(counts().mmio_live, 1);
		if (i == 0) {
			guest_invlpg(v, DEVICE_GVA);
		} else {
			vcpu_load(v, true);
			vcpu_flushed_all(v);
		}
		assert_int_equal(counts().mmio_live, 0);
		assert_int_equal(touch(DEVICE_GVA, WALK_READ, 0), DEVICE);
	}
	assert_int_equal(counts().mmio_hits, 0);
	assert_int_equal(touch(PAGE_SIZE + 4 * 8, WALK_WRITE, other | 0x80), DONE); /* PAT is nothing to it */
	guest_invlpg(v, DEVICE_GVA);
	assert_int_equal(touch(DEVICE_GVA, WALK_READ, 0), DEVICE);
	assert_int_equal(counts().mmio_hits, 1);
	assert_int_equal(touch(PAGE_SIZE + 4 * 8, WALK_WRITE, other & ~(uint64_t)2), DONE);
	vcpu_load(v, true);
	vcpu_flushed_all(v);
	assert_int_equal(touch(DEVICE_GVA, WALK_WRITE, 0), REFUSED);
}

/* An entry has the guest's protection key, and what that allows is asked at each access. */
static void device_with_key(void **state)
{
	(void)state;
	set(PT, 4, (uint64_t)3 << 59 | DEVICE_GFN << PAGE_SHIFT | 0x67);
	v->g.cr4 |= CR4_PKE;
	vcpu_load(v, false);
	assert_int_equal(touch(DEVICE_GVA, WALK_WRITE, 0), DEVICE);
	v->g.pkru = 2u << 6;
	assert_int_equal(touch(DEVICE_GVA, WALK_READ, 0), DEVICE);
	assert_int_equal(counts().mmio_hits, 1);
	assert_int_equal(touch(DEVICE_GVA, WALK_WRITE, 0), REFUSED);
	v->g.pkru = 1u << 6;
	assert_int_equal(touch(DEVICE_GVA, WALK_READ, 0), REFUSED);
}

/* What was mapped goes before an entry for a device takes its place, and the reverse. */
static void memory_becomes_device(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(touch(0, WALK_WRITE, 1), DONE);
		assert_int_equal(touch(PAGE_SIZE, WALK_WRITE, DEVICE_GFN << PAGE_SHIFT | 0x67), DONE);
		v->g.cpl = 0;
		cpu_forget(&v->cpu);
		guest_invlpg(v, 0);
		assert_int_equal(touch(0, WALK_WRITE, 1), DEVICE);
		assert_int_equal(touch(PAGE_SIZE, WALK_WRITE, DATA << PAGE_SHIFT | 0x67), DONE);
		assert_int_equal(touch(8, WALK_FETCH, 1), DEVICE); /* as a TLB would */
		guest_invlpg(v, 0);
	}
	set(PT, 5, DATA << PAGE_SHIFT | 0x23); /* clean: the first write faults */
	assert_int_equal(touch(5 * PAGE_SIZE, WALK_READ, 0), DONE);
	assert_int_equal(touch(PAGE_SIZE + 5 * 8, WALK_WRITE, DEVICE_GFN << PAGE_SHIFT | 0x67), DONE);
	assert_int_equal(touch(5 * PAGE_SIZE, WALK_WRITE, 1), DEVICE);
}

/* Entries of another generation are none, and when the number begins anew there are none. */
static void memory_appears(void **state)
{
	(void)state;
	set(PT, 4, 0x980ul << PAGE_SHIFT | 0x67);
	assert_int_equal(touch(DEVICE_GVA, WALK_READ, 0), DEVICE);
	guest_slot_add(0xa05, 1, 0xc10000, false);
	assert_int_equal(touch(DEVICE_GVA, WALK_READ, 0), DEVICE);
	assert_int_equal(counts().mmio_hits, 0);
	guest_slot_add(0x980, 1, 0xc00000, false);
	assert_int_equal(touch(DEVICE_GVA, WALK_WRITE, 1), DONE);
	guest_slot_delete(0x980);
	assert_int_equal(touch(DEVICE_GVA, WALK_WRITE, 1), DEVICE);
	world_mmu.slots->generation |= SHADOW_MMIO_GENERATION_MASK;
	guest_slot_delete(0xa05);
	assert_int_equal(counts().mmio_live, 0);
	assert_int_equal(touch(DEVICE_GVA, WALK_WRITE, 1), DEVICE);
}

/* A device behind a large page, and one without paging. */
static void large_device(void **state)
{
	(void)state;
	set(ROOT + 2, 1, 0xfec00ul << PAGE_SHIFT | 0xe3);
	assert_int_equal(touch(MIB(2) + 8, WALK_READ, 0), DEVICE);
	assert_int_equal(touch(MIB(2) + 8, WALK_WRITE, 0), DEVICE);
	assert_int_equal(touch(MIB(2) + PAGE_SIZE, WALK_WRITE, 0), DEVICE);
	assert_int_equal(touch(MIB(2) + 8, WALK_FETCH, 0), DEVICE);
	assert_int_equal(counts().mmio_hits, 2);
	v->g = (struct guest_paging){ .cr0 = CR0_PE, .maxphyaddr = 40 };
	vcpu_load(v, true);
	vcpu_flushed_all(v);
	assert_int_equal(touch(0xfee00000, WALK_READ, 0), DEVICE);
	assert_int_equal(touch(0xfee00000, WALK_WRITE, 0), DEVICE);
	assert_int_equal(counts().mmio_hits, 3);
}

/* Where every address is one that the CPU has, and where the cache may hold what an entry's address means, no
 * entry can be. */
static void device_without_entry(void **state)
{
	(void)state;
	assert_true(shadow_mmio_fits(BIT(50 - PAGE_SHIFT) - 1, 51));
	assert_false(shadow_mmio_fits(BIT(50 - PAGE_SHIFT), 51));
	assert_false(shadow_mmio_fits(DEVICE_GFN, 52));
	world_mmu.config.hpa_bits = 52;
	set(PT, 4, DEVICE_GFN << PAGE_SHIFT | 0x67);
	assert_int_equal(touch(DEVICE_GVA, WALK_READ, 0), DEVICE);
	assert_int_equal(touch(DEVICE_GVA, WALK_READ, 0), DEVICE);
	assert_int_equal(counts().mmio_made, 0);
}

static void store_late(void) { set(PT, 20, (DATA + 40) << PAGE_SHIFT | 0x67); }

/* A vCPU that is still in the guest stores to a table while it is brought up to date: that is not lost. */
static void table_changes_before_the_flush(void **state)
{
	(void)state;
	for (uint64_t i = 2; i < 22; i++) { /* too many entries to leave it unsync */
		set(PT, i, (DATA + i) << PAGE_SHIFT | 0x67);
		assert_int_equal(touch(i * PAGE_SIZE, WALK_READ, 0), DONE);
	}
	assert_int_equal(touch(PAGE_SIZE + 21 * 8, WALK_WRITE, (DATA + 50) << PAGE_SHIFT | 0x67), DONE);
	world_before_flush = store_late;
	vcpu_load(v, true);
	world_before_flush = NULL;
	vcpu_flushed_all(v);
	assert_int_equal(touch(20 * PAGE_SIZE, WALK_READ, 0), DONE);
}

static void flush_all(void)
{
	vcpu_load(v, true);
	vcpu_flushed_all(v);
}

/* The guest changes each entry of a table that is brought up to date again and again, one at a time. */
static void each_entry_changes(void **state)
{
	const uint64_t last = 70; /* beyond the first word of the page's bitmaps */

	(void)state;
	guest_slot_delete(0x1000);
	for (uint64_t i = 2; i <= last; i++) {
		set(PT, i, (DATA + i) << PAGE_SHIFT | 0x67);
		assert_int_equal(touch(i * PAGE_SIZE, WALK_READ, 0), DONE);
	}
	for (uint64_t i = 2; i <= last; i++) {
		uint64_t other = (DATA + 100 + i) << PAGE_SHIFT | 0x67;

		assert_int_equal(touch(PAGE_SIZE + i * 8, WALK_WRITE, i % 3 ? other : i % 2 ? other & ~PTE_RW : 0), DONE);
		flush_all();
		assert_int_equal(touch(i * PAGE_SIZE, WALK_READ, 0), i % 3 || i % 2 ? DONE : REFUSED);
	}
	assert_true(counts().syncs >= last - 2);
}

/* A leaf of one slot; then the entry means an address where no slot is, but where the frame would be if it were in the
 * slot that the table is in. */
static void entry_leaves_slot(void **state)
{
	(void)state;
	guest_slot_delete(0x1000);
	guest_slot_add(0x3000, 0x10, 0x900000, false);
	set(PT, 2, (uint64_t)0x3000 << PAGE_SHIFT | 0x67);
	assert_int_equal(touch(2 * PAGE_SIZE, WALK_READ, 0), DONE);
	assert_int_equal(touch(PAGE_SIZE + 2 * 8, WALK_WRITE, 0x900067), DONE);
	flush_all();
	assert_int_equal(touch(2 * PAGE_SIZE, WALK_READ, 0), DEVICE);
}

/* INVLPG gives a leaf a right that the guest's entry did not give when the table was last compared with its copy. */
static void right_comes_and_goes(void **state)
{
	(void)state;
	guest_slot_delete(0x1000);
	for (uint64_t i = 2; i <= 20; i++) {
		set(PT, i, (DATA + i) << PAGE_SHIFT | (i == 5 ? 0x63 : 0x67));
		assert_int_equal(touch(i * PAGE_SIZE, WALK_READ, 0), DONE);
	}
	assert_int_equal(touch(PAGE_SIZE + 30 * 8, WALK_WRITE, 0), DONE);
	flush_all();
	assert_int_equal(touch(PAGE_SIZE + 5 * 8, WALK_WRITE, (DATA + 5) << PAGE_SHIFT | 0x67), DONE);
	guest_invlpg(v, 5 * PAGE_SIZE);
	assert_int_equal(touch(PAGE_SIZE + 5 * 8, WALK_WRITE, (DATA + 5) << PAGE_SHIFT | 0x63), DONE);
	flush_all();
	v->g.cpl = 3;
	assert_int_equal(touch(5 * PAGE_SIZE, WALK_READ, 0), REFUSED);
}

/* A leaf that is held back because its page is a table loses the right to write for the guest as well. */
static void held_back_leaf_loses_write(void **state)
{
	(void)state;
	set(PT, 2, PT << PAGE_SHIFT | 0x67);
	assert_int_equal(touch(PAGE_SIZE, WALK_WRITE, PT << PAGE_SHIFT | 0x67), DONE); /* to entry 0 */
	for (int i = 0; i < 9; i++)
		flush_all(); /* until the table is protected again */
	assert_int_equal(touch(2 * PAGE_SIZE + 8, WALK_WRITE, PT << PAGE_SHIFT | 0x65), DONE);
	guest_invlpg(v, PAGE_SIZE);
	assert_int_equal(touch(PAGE_SIZE + 20 * 8, WALK_WRITE, 0), REFUSED);
}

/* Another vCPU, with 32-bit paging, has the same directory as a table: a flag that its walk sets is an address bit. */
static void flag_changes_address(void **state)
{
	struct vcpu *other = &world_vcpus[1];
	struct guest_access a = { .gva = 7 * PAGE_SIZE, .kind = WALK_READ, .tlb = true };
	const gfn_t directory = ROOT + 5;

	(void)state;
	guest_slot_add(0x100000, 0x10, 0x900000, false);
	set(ROOT + 2, 3, BIT(32) | 0x67);
	set(0x100000, 0, DATA << PAGE_SHIFT | 0x67);
	assert_int_equal(touch(MIB(6), WALK_READ, 0), DONE);
	mem_write(mem_hpa(entry(directory, 0)), 8, (ROOT + 2) << PAGE_SHIFT | 0x67, false);
	other->g.cr0 = CR0_PE | CR0_PG | CR0_WP;
	other->g.cr3 = directory << PAGE_SHIFT;
	vcpu_load(other, true);
	vcpu_flushed_all(other);
	assert_int_equal(guest_access(other, &a), DEVICE);
	flush_all();
	assert_int_not_equal(touch(MIB(6), WALK_READ, 0), DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(large_page_becomes_table, start, end),
		cmocka_unit_test_setup_teardown(frame_by_another_gfn, start, end),
		cmocka_unit_test_setup_teardown(entry_changes_frame, start, end),
		cmocka_unit_test_setup_teardown(entry_changes_gfn, start, end),
		cmocka_unit_test_setup_teardown(clean_page_changes_frame, start, end),
		cmocka_unit_test_setup_teardown(table_inside_large_page, start, end),
		cmocka_unit_test_setup_teardown(directory_inside_large_page, start, end),
		cmocka_unit_test_setup_teardown(table_changes_before_the_flush, start, end),
		cmocka_unit_test_setup_teardown(each_entry_changes, start, end),
		cmocka_unit_test_setup_teardown(entry_leaves_slot, start, end),
		cmocka_unit_test_setup_teardown(flag_changes_address, start, end),
		cmocka_unit_test_setup_teardown(right_comes_and_goes, start, end),
		cmocka_unit_test_setup_teardown(held_back_leaf_loses_write, start, end),
		cmocka_unit_test_setup_teardown(key_and_no_wp, start, end),
		cmocka_unit_test_setup_teardown(table_with_two_parents, start, end),
		cmocka_unit_test_setup_teardown(table_above_changes_unseen, start, end),
		cmocka_unit_test_setup_teardown(what_is_logged, start, end),
		cmocka_unit_test_setup_teardown(root_cleared_by_halves, start, end),
		cmocka_unit_test_setup_teardown(device_entry, start, end),
		cmocka_unit_test_setup_teardown(device_entry_goes, start, end),
		cmocka_unit_test_setup_teardown(device_with_key, start, end),
		cmocka_unit_test_setup_teardown(memory_becomes_device, start, end),
		cmocka_unit_test_setup_teardown(memory_appears, start, end),
		cmocka_unit_test_setup_teardown(large_device, start, end),
		cmocka_unit_test_setup_teardown(device_without_entry, start, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
