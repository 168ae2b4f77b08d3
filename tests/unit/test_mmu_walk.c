/* sources: mmu/ hv/base/failure.c hv/base/format.c tests/unit/mmu_world.c */
/*
 * The walker of the guest's tables against a second one written from the SDM's prose as one
 * straight-line function per paging mode, over random tables with few surprises and over noise.
 */
#include "mmu/walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/frame.h"
#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "mmu/gpa.h"
#include "mmu/inspect.h"
#include "tests/unit/mmu_world.h"

#define RAM_PAGES 64u
#define ROM_GFN 100u

static struct mmu mmu;
static struct mmu_vcpu vcpu;
static hpa_t ram;
static struct failure why;

static void no_flush(void *ctx, const struct flush_range *range)
{
	(void)ctx;
	(void)range;
}

static int start(void **state)
{
	struct mmu_config config = { .vm_id = WORLD_VM, .hpa_bits = 46, .gpa_bits = 48, .max_level = 3,
				     .flush = no_flush };

	(void)state;
	world_start();
	assert_int_equal(mmu_init(&mmu, &config, &why), 0);
	mmu_vcpu_init(&vcpu, &mmu);
	ram = frame_alloc_run(RAM_PAGES + 1, 1, OWNER_VM(WORLD_VM));
	assert_int_equal(mmu_slot_add(&mmu, 0, RAM_PAGES, ram, 0, &why), 0);
	assert_int_equal(mmu_slot_add(&mmu, ROM_GFN, 1, ram + RAM_PAGES * PAGE_SIZE, SLOT_READONLY, &why), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	mmu_vcpu_destroy(&vcpu);
	mmu_destroy(&mmu);
	frame_free_run(ram, RAM_PAGES + 1, OWNER_VM(WORLD_VM));
	world_end();
	return 0;
}

/* --- the oracle ------------------------------------------------------------------------------ */

struct answer {
	enum walk_status status;
	uint64_t gpa;
	uint32_t error;
};

static uint64_t phys_load(uint64_t gpa, int bytes)
{
	uint64_t v = 0;
	const char *at;

	if (gpa / PAGE_SIZE < RAM_PAGES)
		at = phys_to_virt(ram + gpa);
	else if (gpa / PAGE_SIZE == ROM_GFN)
		at = phys_to_virt(ram + RAM_PAGES * PAGE_SIZE + gpa % PAGE_SIZE);
	else
		return bytes == 4 ? 0xffffffff : ~0ul;
	memcpy(&v, at, (size_t)bytes);
	return v;
}

static bool bit(uint64_t v, int n) { return v >> n & 1; }
/* Any of bits hi..lo set? */
static bool any(uint64_t v, int hi, int lo)
{
	for (int i = lo; i <= hi; i++)
		if (bit(v, i))
			return true;
	return false;
}

struct rights {
	bool us, rw, xd;
};

static bool oracle_nxe(const struct guest_paging *g) { return g->efer & 0x800; }

static struct answer fault(const struct guest_paging *g, uint32_t access, uint32_t code)
{
	struct answer a = { WALK_PAGE_FAULT, 0, code };

	if (access & WALK_WRITE)
		a.error |= 2;
	if (g->cpl == 3 && !(access & WALK_IMPLICIT))
		a.error |= 4;
	if ((access & WALK_FETCH) && (bit(g->cr4, 20) || (bit(g->cr4, 5) && oracle_nxe(g))))
		a.error |= 16;
	return a;
}

/* SDM "Determination of Access Rights", sentence by sentence. pk < 0: no protection key applies. */
static struct answer judge(const struct guest_paging *g, uint32_t access, struct rights t, uint64_t gpa,
			   int pk)
{
	bool wp = bit(g->cr0, 16), smep = bit(g->cr4, 20), smap = bit(g->cr4, 21), ac = bit(g->rflags, 18);
	bool user_access = g->cpl == 3 && !(access & WALK_IMPLICIT);
	bool ad = pk >= 0 && bit(g->pkru, 2 * pk), wd = pk >= 0 && bit(g->pkru, 2 * pk + 1);
	bool pk_read_ok = !ad, pk_write_ok = !ad && !(wd && (user_access || wp));
	bool ok, pk_bad = false;

	if (!user_access) {
		if (access & WALK_READ) {
			if (t.us)
				ok = (!smap || (!(access & WALK_IMPLICIT) && ac)) && pk_read_ok;
			else
				ok = true;
			pk_bad = t.us && !pk_read_ok;
		} else if (access & WALK_WRITE) {
			if (t.us) {
				ok = (!smap || (!(access & WALK_IMPLICIT) && ac)) && (!wp || t.rw);
				ok = ok && pk_write_ok;
				pk_bad = !pk_write_ok;
			} else {
				ok = !wp || t.rw;
			}
		} else {
			ok = t.us ? !smep && !t.xd : !t.xd;
		}
	} else {
		if (access & WALK_READ) {
			ok = t.us && pk_read_ok;
			pk_bad = t.us && !pk_read_ok;
		} else if (access & WALK_WRITE) {
			ok = t.us && t.rw && pk_write_ok;
			pk_bad = t.us && !pk_write_ok;
		} else {
			ok = t.us && !t.xd;
		}
	}
	if (ok)
		return (struct answer){ WALK_OK, gpa, 0 };
	return fault(g, access, 1 | (pk_bad ? 32u : 0));
}

static struct answer oracle_32(const struct guest_paging *g, uint32_t va, uint32_t access)
{
	int m = g->maxphyaddr < 40 ? (int)g->maxphyaddr : 40;
	uint64_t pde = phys_load((g->cr3 & 0xfffff000) + (va >> 22) * 4, 4), pte;
	struct rights t = { bit(pde, 2), bit(pde, 1), false };

	if (!bit(pde, 0))
		return fault(g, access, 0);
	if (bit(pde, 7) && bit(g->cr4, 4)) {
		/* bits 21:(M-19) reserved */
		if (any(pde, 21, m - 19))
			return fault(g, access, 9);
		return judge(g, access, t, (pde & 0xffc00000) | (pde >> 13 & 0xff) << 32 | (va & 0x3fffff),
			     -1);
	}
	pte = phys_load((pde & 0xfffff000) + (va >> 12 & 0x3ff) * 4, 4);
	if (!bit(pte, 0))
		return fault(g, access, 0);
	t.us = t.us && bit(pte, 2);
	t.rw = t.rw && bit(pte, 1);
	return judge(g, access, t, (pte & 0xfffff000) | (va & 0xfff), -1);
}

static struct answer oracle_pae(const struct guest_paging *g, uint32_t va, uint32_t access)
{
	uint64_t pdpte = g->pdpte[va >> 30], pde, pte;
	int m = (int)g->maxphyaddr;
	struct rights t;

	if (!bit(pdpte, 0))
		return fault(g, access, 0);
	pde = phys_load((pdpte & 0xffffffffff000) + (va >> 21 & 0x1ff) * 8, 8);
	if (!bit(pde, 0))
		return fault(g, access, 0);
	if (any(pde, 62, m) || (bit(pde, 63) && !oracle_nxe(g)))
		return fault(g, access, 9);
	t = (struct rights){ bit(pde, 2), bit(pde, 1), bit(pde, 63) };
	if (bit(pde, 7)) {
		if (any(pde, 20, 13))
			return fault(g, access, 9);
		return judge(g, access, t, (pde & 0xfffffffe00000) | (va & 0x1fffff), -1);
	}
	pte = phys_load((pde & 0xffffffffff000) + (va >> 12 & 0x1ff) * 8, 8);
	if (!bit(pte, 0))
		return fault(g, access, 0);
	if (any(pte, 62, m) || (bit(pte, 63) && !oracle_nxe(g)))
		return fault(g, access, 9);
	t.us = t.us && bit(pte, 2);
	t.rw = t.rw && bit(pte, 1);
	t.xd = t.xd || bit(pte, 63);
	return judge(g, access, t, (pte & 0xffffffffff000) | (va & 0xfff), -1);
}

static struct answer oracle_64(const struct guest_paging *g, uint64_t va, uint32_t access)
{
	bool la57 = bit(g->cr4, 12);
	uint64_t table = g->cr3 & 0xffffffffff000;
	struct rights t = { true, true, false };

	if ((int64_t)(va << (la57 ? 7 : 16)) >> (la57 ? 7 : 16) != (int64_t)va)
		return (struct answer){ WALK_NON_CANONICAL, 0, 0 };
	for (int shift = la57 ? 48 : 39;; shift -= 9) {
		uint64_t e = phys_load(table + (va >> shift & 511) * 8, 8);
		bool page = shift == 12 || (bit(e, 7) && (shift == 21 || (shift == 30 && g->page_1g)));

		if (!bit(e, 0))
			return fault(g, access, 0);
		if (any(e, 51, (int)g->maxphyaddr) || (bit(e, 63) && !oracle_nxe(g)))
			return fault(g, access, 9);
		if (shift >= 30 && bit(e, 7) && !page)
			return fault(g, access, 9);
		if ((page && shift == 21 && any(e, 20, 13)) || (page && shift == 30 && any(e, 29, 13)))
			return fault(g, access, 9);
		t.us = t.us && bit(e, 2);
		t.rw = t.rw && bit(e, 1);
		t.xd = t.xd || bit(e, 63);
		table = e & 0xffffffffff000;
		if (page) {
			uint64_t low = (1ul << shift) - 1;
			bool keyed = bit(g->cr4, 22) && t.us;

			return judge(g, access, t, (table & ~low) | (va & low),
				     keyed ? (int)(e >> 59 & 15) : -1);
		}
	}
}

static struct answer oracle(const struct guest_paging *g, uint64_t va, uint32_t access)
{
	if (!bit(g->cr0, 31))
		return (struct answer){ WALK_OK, va & 0xffffffff, 0 };
	if (!bit(g->cr4, 5))
		return oracle_32(g, (uint32_t)va, access);
	if (!bit(g->efer, 10))
		return oracle_pae(g, (uint32_t)va, access);
	return oracle_64(g, va, access);
}

/* --- random guests --------------------------------------------------------------------------- */

static uint64_t random_frame(void) { return rnd(40) ? rnd(RAM_PAGES) : rnd(2) ? ROM_GFN : rnd(1ul << 28); }

/* Mostly an entry a kernel would write, now and then a surprise. */
static uint64_t random_entry(bool wide)
{
	uint64_t e = random_frame() << 12;

	e |= rnd(12) ? 1 : 0;
	e |= rnd(4) ? 2 : 0;
	e |= rnd(4) ? 4 : 0;
	e |= (rnd(4) ? 0 : 0x20) | (rnd(4) ? 0 : 0x40);
	if (rnd(6) == 0)
		e = (e & ~(rnd(8) ? 0x3fffe000ul : 0)) | 0x80;
	if (wide) {
		e |= rnd(6) ? 0 : 1ul << 63;
		e |= rnd(16) << 59 & (rnd(2) ? 0 : ~0ul);
		e |= rnd(40) ? 0 : 1ul << (32 + rnd(31));
	} else {
		e |= rnd(20) ? 0 : 1ul << (13 + rnd(9));
	}
	return e;
}

static void fill_tables(bool noise, bool wide)
{
	char *bytes = phys_to_virt(ram);

	for (uint64_t i = 0; i < (RAM_PAGES + 1) * PAGE_SIZE; i += wide ? 8 : 4) {
		uint64_t e = noise ? rnd(1ul << 32) << 32 | rnd(1ul << 32) : random_entry(wide);

		memcpy(bytes + i, &e, wide ? 8 : 4);
	}
}

static void random_guest(struct guest_paging *g, int mode)
{
	memset(g, 0, sizeof(*g));
	g->cr0 = CR0_PE | (mode ? CR0_PG : 0) | (rnd(2) ? CR0_WP : 0);
	g->cr3 = rnd(RAM_PAGES) << 12 | rnd(4096);
	g->cr4 = (mode >= 2 ? CR4_PAE : 0) | (mode == 4 ? CR4_LA57 : 0) | (rnd(2) ? CR4_PSE : 0);
	g->cr4 |= (rnd(2) ? CR4_SMEP : 0) | (rnd(2) ? CR4_SMAP : 0) | (rnd(2) ? CR4_PKE : 0);
	g->efer = (mode >= 3 ? EFER_LME | EFER_LMA : 0) | (rnd(4) ? EFER_NXE : 0);
	g->rflags = rnd(2) ? RFLAGS_AC : 0;
	for (int i = 0; i < 4; i++)
		g->pdpte[i] = (rnd(RAM_PAGES) << 12) | (rnd(8) ? 1 : 0);
	g->pkru = (uint32_t)rnd(1ul << 32);
	g->cpl = rnd(2) ? 3 : 0;
	g->maxphyaddr = (uint32_t)(32 + rnd(21));
	g->page_1g = rnd(2);
}

static uint64_t random_va(int mode)
{
	uint64_t va = rnd(1ul << 32) << 32 | rnd(1ul << 32);

	if (mode >= 3 && rnd(8))
		va = (uint64_t)((int64_t)(va << (mode == 4 ? 7 : 16)) >> (mode == 4 ? 7 : 16));
	return va;
}

static uint32_t random_access(void)
{
	return 1u << rnd(3) | (rnd(4) ? 0 : WALK_IMPLICIT) | (rnd(3) ? 0 : WALK_PEEK);
}

/* Every flag that differs from before was due, and every flag that was due is set. */
static void flags_agree(const struct walk_result *r, const uint64_t *before, uint32_t access, int bytes)
{
	for (int level = r->leaf; level > 0 && level <= r->top; level++) {
		uint64_t want = before[level], now = phys_load(r->entry_gpa[level], bytes);
		uint64_t mask = bytes == 4 ? 0xffffffff : ~0ul;
		gfn_t gfn;

		if (!(access & WALK_PEEK) && r->entry_gpa[level] / PAGE_SIZE < RAM_PAGES)
			want |= 0x20 | (level == r->leaf && (access & WALK_WRITE) ? 0x40 : 0);
		gfn = r->entry_gpa[level] / PAGE_SIZE;
		if (gfn >= RAM_PAGES && gfn != ROM_GFN)
			continue;
		/* One entry may serve two levels of a walk that meets itself: then it has both's flags. */
		assert_true(((now ^ want) & mask & ~0x60ul) == 0);
		assert_true((want & ~now & mask & 0x60) == 0);
	}
}

/* How often each answer came up: a run that hardly ever translates proves nothing. */
static uint64_t seen_ok, seen_absent, seen_reserved, seen_denied, seen_pkey;

static void note(const struct answer *a)
{
	seen_ok += a->status == WALK_OK;
	seen_reserved += (a->error & PFERR_RESERVED) != 0;
	seen_pkey += (a->error & PFERR_PKEY) != 0;
	seen_denied += (a->error & (PFERR_PRESENT | PFERR_RESERVED)) == PFERR_PRESENT;
	seen_absent += a->status == WALK_PAGE_FAULT && !(a->error & PFERR_PRESENT);
}

static void one_walk(int mode)
{
	struct guest_paging g;
	struct walk_result peek, r;
	uint64_t va = random_va(mode);
	uint32_t access = random_access();
	struct answer a;
	enum walk_status status;

	random_guest(&g, mode);
	a = oracle(&g, va, access);
	note(&a);
	status = guest_walk(&vcpu, &g, va, access | WALK_PEEK, &peek);
	assert_int_equal(status, a.status);
	status = guest_walk(&vcpu, &g, va, access, &r);
	assert_true(status == a.status || status == WALK_RETRY);
	if (status == WALK_RETRY) /* a table that is its own child: a flag set changed it */
		return;
	assert_int_equal(r.error_code, a.error);
	if (status != WALK_OK)
		return;
	assert_true(r.gpa == a.gpa && peek.gpa == a.gpa);
	assert_true(r.top == 0 || (r.gpa & (BIT(r.page_shift) - 1)) == (va & (BIT(r.page_shift) - 1)));
	flags_agree(&r, peek.entry, access, mode == 1 ? 4 : 8);
}

static void random_walks(void **state)
{
	const char *text = getenv("MMU_TEST_STEPS");
	uint64_t steps = text ? strtoull(text, NULL, 0) : 400000;

	(void)state;
	rnd_seed(world_seed());
	for (uint64_t i = 0; i < steps; i++) {
		static int mode;

		if (i % 2000 == 0) {
			mode = (int)rnd(5);
			fill_tables(rnd(4) == 0, mode != 1);
		}
		one_walk(mode);
	}
	if (steps < 100000) /* a short run by hand */
		return;
	assert_true(seen_ok > steps / 10 && seen_absent > steps / 50 && seen_reserved > steps / 50);
	assert_true(seen_denied > steps / 50 && seen_pkey > steps / 1000);
}

/* --- by hand --------------------------------------------------------------------------------- */

static void put(uint64_t gpa, uint64_t value) { memcpy((char *)phys_to_virt(ram) + gpa, &value, 8); }

/* One 4K page at 0x400000, and a 2M page at 0x200000, by 4-level tables in frames 1..4. */
static struct guest_paging plain_guest(void)
{
	struct guest_paging g = { .cr0 = CR0_PE | CR0_PG | CR0_WP, .cr3 = 0x1000, .cr4 = CR4_PAE,
				  .efer = EFER_LMA | EFER_LME | EFER_NXE, .cpl = 0, .maxphyaddr = 40 };

	memset(phys_to_virt(ram), 0, RAM_PAGES * PAGE_SIZE);
	put(0x1000, 0x2007);
	put(0x2000, 0x3007);
	put(0x3000 + 2 * 8, 0x4007);
	put(0x3000 + 1 * 8, 0x0087);
	put(0x4000, 0x5003);
	put(0x4008, 0x6001);
	return g;
}

static void rights_and_flags(void **state)
{
	struct guest_paging g = plain_guest();
	struct walk_result r;

	(void)state;
	assert_int_equal(guest_walk(&vcpu, &g, 0x400123, WALK_WRITE, &r), WALK_OK);
	assert_int_equal(r.gpa, 0x5123);
	assert_true(r.page_shift == 12 && r.writable && !r.user && r.executable && r.top == 4 && r.leaf == 1);
	assert_int_equal(phys_load(0x4000, 8), 0x5063);
	assert_int_equal(phys_load(0x1000, 8), 0x2027);
	assert_int_equal(guest_walk(&vcpu, &g, 0x401000, WALK_WRITE, &r), WALK_PAGE_FAULT);
	assert_int_equal(r.error_code, PFERR_PRESENT | PFERR_WRITE);
	assert_int_equal(phys_load(0x4008, 8), 0x6001);
	g.cpl = 3;
	assert_int_equal(guest_walk(&vcpu, &g, 0x400123, WALK_READ, &r), WALK_PAGE_FAULT);
	assert_int_equal(r.error_code, PFERR_PRESENT | PFERR_USER);
	assert_int_equal(guest_walk(&vcpu, &g, 0x234567, WALK_READ, &r), WALK_OK);
	assert_true(r.gpa == 0x34567 && r.page_shift == 21 && r.user);
	assert_int_equal(guest_walk(&vcpu, &g, 0x800000, WALK_FETCH, &r), WALK_PAGE_FAULT);
	assert_int_equal(r.error_code, PFERR_USER | PFERR_FETCH);
	assert_int_equal(guest_walk(&vcpu, &g, 0x800000000000, WALK_READ, &r), WALK_NON_CANONICAL);
}

static void pdpte_load(void **state)
{
	uint64_t pdpte[4] = { 9, 9, 9, 9 };

	(void)state;
	memset(phys_to_virt(ram), 0, PAGE_SIZE);
	put(0x20, 0x1001);
	put(0x28, 0xfffffffffffffffe); /* not present: its reserved bits do not matter */
	put(0x38, 0x2019);
	assert_int_equal(guest_load_pdptes(&vcpu, 0x3f, 40, pdpte), 0);
	assert_true(pdpte[0] == 0x1001 && pdpte[2] == 0 && pdpte[3] == 0x2019);
	put(0x30, 0x10000001001); /* bit 40 */
	assert_int_equal(guest_load_pdptes(&vcpu, 0x20, 40, pdpte), -EINVAL);
	assert_int_equal(guest_load_pdptes(&vcpu, 0x20, 41, pdpte), 0);
	put(0x30, 0x1003);
	assert_int_equal(guest_load_pdptes(&vcpu, 0x20, 40, pdpte), -EINVAL);
	assert_int_equal(guest_load_pdptes(&vcpu, 0xfffff000, 40, pdpte), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_walks),
		cmocka_unit_test(rights_and_flags),
		cmocka_unit_test(pdpte_load),
	};

	return cmocka_run_group_tests(tests, start, end);
}
