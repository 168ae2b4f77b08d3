/*
 * Random histories of an address space: operations on ranges that are there.
 */
#include "tests/unit/mmu_history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/mmu_world.h"

/* Pages that an operation is not to touch, and how they are mapped before it. */
#define BYSTANDERS 12

static struct {
	gfn_t gfn;
	int level;
	hpa_t hpa;
} bystanders[BYSTANDERS];
static uint32_t bystander_count;

static int lookup(gfn_t gfn, hpa_t *hpa)
{
	bool inside = gfn >> (mmu.config.gpa_bits - PAGE_SHIFT) == 0;
	uint32_t rwx;

	*hpa = 0;
	return inside ? world_ept_walk(&mmu, gfn << PAGE_SHIFT, hpa, &rwx) : 0;
}

static void stand_by(gfn_t gfn)
{
	uint32_t i = bystander_count++;

	bystanders[i].gfn = gfn;
	bystanders[i].level = lookup(gfn, &bystanders[i].hpa);
}

/* They are mapped as before, perhaps by pages of another size; without memory for tables, large pages may be gone. */
static void bystanders_agree(bool may_lose)
{
	for (uint32_t i = 0; i < bystander_count; i++) {
		hpa_t hpa;
		int level = lookup(bystanders[i].gfn, &hpa);

		if (level == 0 && may_lose && bystanders[i].level > 1)
			continue;
		if (bystanders[i].level == 0 && level != 1) /* a large page may have grown over it */
			continue;
		assert_true(hpa == bystanders[i].hpa || level < 0);
		assert_true((level != 0) == (bystanders[i].level != 0));
	}
	bystander_count = 0;
}

static void stand_around(gfn_t gfn, uint64_t npages)
{
	stand_by(gfn - 1);
	stand_by(gfn + npages);
	stand_by(gfn - 1 - rnd(600));
	stand_by(gfn + npages + rnd(600));
}

void op_zap(void)
{
	gfn_t gfn = random_gfn();
	uint64_t npages = random_size();

	SAY("  zap of %lx pages from gfn %lx\n", npages, gfn);
	stand_around(gfn, npages);
	mmu_zap_range(&mmu, gfn, npages);
	bystanders_agree(world_allocs_left == 0);
	for (int i = 0; i < 20; i++) {
		hpa_t hpa;

		assert_int_equal(lookup(gfn + rnd(npages), &hpa), 0);
	}
	for (uint32_t i = 0; i < TLB_SIZE; i++)
		assert_false(tlb[i].valid && tlb[i].gfn >= gfn && tlb[i].gfn < gfn + npages);
}

static int oracle_judge(gfn_t gfn, uint64_t npages)
{
	if (gfn + npages > BIT(mmu.config.gpa_bits - PAGE_SHIFT))
		return -EINVAL;
	for (gfn_t at = gfn; at < gfn + npages;) {
		const struct range *r = oracle_find(at);

		if (!r)
			return -ENOENT;
		at = r->gfn + r->npages;
	}
	return 0;
}

static bool page_is_private(gfn_t gfn)
{
	const struct range *r = oracle_find(gfn);

	return r->private[gfn - r->gfn];
}

/* What changes kind is gone from the TLB, and from the EPT unless a large page of the new kind is there. */
static void kinds_changed(gfn_t gfn, uint64_t npages, bool private)
{
	for (int i = 0; i < 20; i++) {
		gfn_t at = gfn + rnd(npages);
		hpa_t hpa;

		if (page_is_private(at) != private)
			assert_true(lookup(at, &hpa) != 1);
	}
	for (uint32_t i = 0; i < TLB_SIZE; i++)
		if (tlb[i].valid && tlb[i].gfn >= gfn && tlb[i].gfn < gfn + npages)
			assert_true(page_is_private(tlb[i].gfn) == private);
	for (gfn_t at = gfn; at < gfn + npages;) {
		const struct range *r = oracle_find(at);
		uint64_t run = min_u64(gfn + npages, r->gfn + r->npages) - at;

		memset(r->private + (at - r->gfn), private, run);
		at += run;
	}
}

static void kinds_as_in_mmu(gfn_t gfn, uint64_t npages)
{
	for (gfn_t at = gfn; at < gfn + npages; at++) {
		const struct range *r = oracle_find(at);

		r->private[at - r->gfn] = attr_is_private(slot_set_find(mmu.slots, at), at);
	}
}

void op_attributes(void)
{
	gfn_t gfn = random_gfn();
	const struct range *r = oracle_find(gfn);
	uint64_t npages = random_size();
	bool private = rnd(2), oom = world_allocs_left != ~(uint64_t)0;
	int err, expect;

	if (r && rnd(8)) /* mostly within one range */
		npages = 1 + rnd(min_u64(npages, r->gfn + r->npages - gfn));
	expect = oracle_judge(gfn, npages);
	stand_around(gfn, npages);
	for (int i = 0; expect == 0 && i < 8; i++) {
		gfn_t at = gfn + rnd(npages);

		if (page_is_private(at) == private)
			stand_by(at);
	}
	SAY("  %lx pages from gfn %lx become %s\n", npages, gfn, private ? "private" : "shared");
	err = mmu_set_attributes(&mmu, gfn, npages, private, &why);
	bystanders_agree(false);
	if (expect)
		assert_int_equal(err, expect);
	else if (err)
		assert_true(err == -ENOMEM && oom);
	if (err == 0)
		kinds_changed(gfn, npages, private);
	else if (err == -ENOMEM)
		kinds_as_in_mmu(gfn, npages);
}

/* ---- the dirty log ---- */

/* What the CPU has logged and nobody has fetched. */
static uint64_t pml[512];
static uint32_t pml_count;
static bool pml_on;

static void pml_drain(void)
{
	mmu_pml_drain(&mmu.host, pml, pml_count);
	pml_count = 0;
}

void pml_switch(void *ctx, bool on)
{
	assert_ptr_equal(ctx, &tlb);
	assert_true(on != pml_on);
	pml_on = on;
}

void pml_sync(void *ctx)
{
	assert_ptr_equal(ctx, &tlb);
	pml_drain();
}

void pml_start(void)
{
	pml_on = false;
	pml_count = 0;
}

/* The walk of a write whose translation is not in the TLB, or there without the dirty flag. */
static void walk_for_write(struct tlb_entry *t)
{
	struct mmu_step steps[ROOT_LEVEL];
	int n = mmu_walk_gpa(&mmu, t->gfn << PAGE_SHIFT, steps);
	uint64_t *sptep = (uint64_t *)phys_to_virt(steps[n - 1].table) + steps[n - 1].index;

	assert_true(steps[n - 1].kind == SPTE_KIND_LEAF && (*sptep & EPT_WRITE));
	if (mmu.config.ept_ad && !(*sptep & EPT_DIRTY)) {
		*sptep |= EPT_DIRTY;
		if (pml_on)
			pml[pml_count++] = t->gfn << PAGE_SHIFT;
	}
	t->dirty = true;
	if (pml_count == 512)
		pml_drain();
}

/* The guest writes through what the CPU has in its TLB. */
void op_guest_write(void)
{
	uint32_t first = (uint32_t)rnd(TLB_SIZE);

	for (uint32_t i = 0; i < TLB_SIZE; i++) {
		struct tlb_entry *t = &tlb[(first + i) % TLB_SIZE];

		if (!t->valid || !t->writable || rnd(2))
			continue;
		if (!t->dirty)
			walk_for_write(t);
		oracle_write(t->gfn);
	}
}

/* Nothing by which the guest could write unnoticed to pages of the range that are not dirty. */
static void tlb_is_protected(const struct range *r)
{
	for (uint32_t i = 0; i < TLB_SIZE; i++) {
		bool quiet = mmu.config.pml ? tlb[i].dirty : tlb[i].valid;

		if (tlb[i].valid && tlb[i].writable && quiet && oracle_find(tlb[i].gfn) == r)
			assert_true(r->dirty[tlb[i].gfn - r->gfn]);
	}
}

static void log_start(struct range *r, gfn_t gfn)
{
	bool oom = world_allocs_left != ~(uint64_t)0;
	int err = mmu_dirty_start(&mmu, gfn, &why);

	if (!r || r->gfn != gfn) {
		assert_int_equal(err, -ENOENT);
	} else if (r->logged) {
		assert_int_equal(err, -EALREADY);
	} else if (err) {
		assert_true(err == -ENOMEM && oom);
	} else {
		r->logged = r->was_logged = true;
		tlb_is_protected(r);
	}
}

static void log_stop(struct range *r, gfn_t gfn)
{
	int err = mmu_dirty_stop(&mmu, gfn, &why);

	if (!r || r->gfn != gfn)
		assert_int_equal(err, -ENOENT);
	else
		assert_int_equal(err, r->logged ? 0 : -EALREADY);
	if (err)
		return;
	r->logged = false;
	memset(r->dirty, 0, r->npages);
}

/* The word of a page that the TLB knows, if one of them is the range's; else any. */
static uint64_t choose_word(const struct range *r)
{
	uint32_t first = (uint32_t)rnd(TLB_SIZE);

	for (uint32_t i = 0; i < TLB_SIZE; i++) {
		const struct tlb_entry *t = &tlb[(first + i) % TLB_SIZE];

		if (t->valid && oracle_find(t->gfn) == r && rnd(4))
			return (t->gfn - r->gfn) / 64;
	}
	return rnd((r->npages + 63) / 64);
}

static void log_fetch(struct range *r)
{
	static uint64_t bitmap[64];
	uint64_t all = (r->npages + 63) / 64, first = choose_word(r), words = 1 + rnd(min_u64(64, all - first)), dirty = 0;
	int64_t pages = mmu_dirty_fetch(&mmu, r->gfn, first * 64, words, bitmap);

	for (uint64_t i = first * 64; i < min_u64(r->npages, (first + words) * 64); i++) {
		bool told = bitmap[i / 64 - first] >> (i % 64) & 1;

		assert_true(told == r->dirty[i]);
		r->dirty[i] = 0;
		dirty += told;
	}
	assert_true(pages == (int64_t)dirty);
	tlb_is_protected(r);
}

/* The hypervisor asks for a pointer to write by. */
static void write_by_pointer(struct range *r)
{
	gfn_t gfn = r->gfn + rnd(r->npages);
	uint64_t len = 1 + rnd(min_u64(20, r->gfn + r->npages - gfn) * PAGE_SIZE - 1);
	const struct slot *s = slot_set_find(mmu.slots, gfn);

	if (!r->logged)
		return;
	assert_true(gpa_writes(s, gfn << PAGE_SHIFT, len) == !r->readonly);
	for (uint64_t n = 0; !r->readonly && n < len; n += PAGE_SIZE)
		oracle_write(gfn + n / PAGE_SIZE);
}

void op_log(void)
{
	struct range *r = range_count ? &ranges[rnd(range_count)] : NULL;
	gfn_t gfn = r && rnd(8) ? r->gfn : random_gfn();

	r = oracle_find(gfn);
	SAY("  log of the slot at gfn %lx\n", gfn);
	switch (rnd(8)) {
	case 0 ... 1: log_start(r, gfn); break;
	case 2: log_stop(r, gfn); break;
	case 3: assert_true(r || mmu_dirty_fetch(&mmu, gfn, 0, 1, NULL) == -ENOENT); break;
	case 4: if (r) write_by_pointer(r); break;
	default: if (r && r->logged) log_fetch(r); break;
	}
}

/* ---- moving, and other flags ---- */

static bool is_uniform(const struct range *r) { return memcmp(r->private, r->private + 1, r->npages - 1) == 0; }

static bool fits_without(const struct range *moved, gfn_t gfn)
{
	for (uint32_t i = 0; i < range_count; i++)
		if (&ranges[i] != moved && gfn < ranges[i].gfn + ranges[i].npages &&
		    ranges[i].gfn < gfn + moved->npages)
			return false;
	return true;
}

/* No translation of what was there is left. */
static void tlb_lacks(gfn_t gfn, uint64_t npages)
{
	for (uint32_t i = 0; i < TLB_SIZE; i++)
		assert_false(tlb[i].valid && tlb[i].gfn >= gfn && tlb[i].gfn < gfn + npages);
}

void op_move(void)
{
	struct range *r = range_count ? &ranges[rnd(range_count)] : NULL;
	gfn_t from = r && rnd(8) ? r->gfn : random_gfn(), to = rnd(3) ? random_gfn() : from + rnd(600);
	bool oom = world_allocs_left != ~(uint64_t)0;
	int err;

	SAY("  slot from gfn %lx to %lx\n", from, to);
	err = mmu_slot_move(&mmu, from, to, &why);
	r = oracle_find(from);
	if (!r || r->gfn != from) {
		assert_int_equal(err, -ENOENT);
	} else if (r->logged || !is_uniform(r)) {
		assert_int_equal(err, -EBUSY);
	} else if (to + r->npages > BIT(mmu.config.gpa_bits - PAGE_SHIFT)) {
		assert_int_equal(err, -EINVAL);
	} else if (err == -ENOMEM) {
		assert_true(oom);
	} else if (!fits_without(r, to)) {
		assert_int_equal(err, -EEXIST);
	} else {
		assert_int_equal(err, 0);
		r->gfn = to;
		assert_true(attr_is_private(slot_set_find(mmu.slots, to), to) == r->private[0]);
		tlb_lacks(from, r->npages);
		tlb_lacks(to, r->npages);
	}
}

void op_flags(void)
{
	struct range *r = range_count ? &ranges[rnd(range_count)] : NULL;
	gfn_t gfn = r && rnd(8) ? r->gfn : random_gfn();
	uint32_t flags = rnd(2) ? SLOT_READONLY : 0;
	int err;

	SAY("  flags %x of the slot at gfn %lx\n", flags, gfn);
	err = mmu_slot_set_flags(&mmu, gfn, flags, &why);
	r = oracle_find(gfn);
	if (!r || r->gfn != gfn) {
		assert_int_equal(err, -ENOENT);
		return;
	}
	assert_int_equal(err, 0);
	if (r->readonly != (flags == SLOT_READONLY))
		tlb_lacks(gfn, r->npages);
	r->readonly = flags;
}
