/* What must hold of the software TDX module between any two calls; see the header. */
#include "tests/unit/soft_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tdx/soft/sept.h"

#define LARGE (CHECK_PAGES / 512)

/* A page as the PAMT has it, and whether what should name it has been met. */
struct page {
	uint8_t type;
	bool large; /* of a record of 2M */
	bool met;
	hpa_t owner;
};

static struct page pages[CHECK_PAGES];
static hpa_t base;

/* What is counted of one TD. */
struct count {
	hpa_t tdr;
	uint64_t pages;
	uint32_t vcpus, associated, inside[2];
};

static struct page *page_at(hpa_t hpa)
{
	assert_true(hpa >= base && hpa - base < CHECK_PAGES * PAGE_SIZE);
	assert_true(is_aligned(hpa, PAGE_SIZE));
	return &pages[(hpa - base) / PAGE_SIZE];
}

static struct pamt_entry *entry_of(hpa_t hpa, uint32_t level)
{
	struct pamt_entry *e = pamt_entry(&world.m, hpa, level);

	assert_non_null(e);
	return e;
}

/* ---- the PAMT ---- */

static void read_small(hpa_t hpa, bool inside_large)
{
	const struct pamt_entry *e = entry_of(hpa, SOFT_4K);
	struct page *p = page_at(hpa);

	if (inside_large) {
		assert_int_equal(e->type, TDX_PT_NDA);
		return;
	}
	*p = (struct page){ .type = e->type, .owner = pamt_owner(e) };
	if (e->type == TDX_PT_NDA || e->type == TDX_PT_TDR)
		assert_int_equal(p->owner, 0);
}

static void read_pamt(void)
{
	memset(pages, 0, sizeof(pages));
	assert_int_equal(entry_of(base, SOFT_1G)->type, TDX_PT_NDA);
	for (uint32_t i = 0; i < CHECK_PAGES; i++) {
		hpa_t hpa = base + i * PAGE_SIZE;
		const struct pamt_entry *large = entry_of(hpa, SOFT_2M);

		read_small(hpa, large->type != TDX_PT_NDA);
		if (large->type == TDX_PT_NDA)
			continue;
		assert_int_equal(large->type, TDX_PT_REG);
		pages[i] = (struct page){ .type = TDX_PT_REG, .large = true, .owner = pamt_owner(large) };
	}
}

static void check_owners(void)
{
	for (uint32_t i = 0; i < CHECK_PAGES; i++)
		if (pages[i].type != TDX_PT_NDA && pages[i].type != TDX_PT_TDR)
			assert_int_equal(page_at(pages[i].owner)->type, TDX_PT_TDR);
}

/* ---- what names a page ---- */

static void meet(hpa_t hpa, uint8_t type, bool large, hpa_t owner)
{
	struct page *p = page_at(hpa);

	assert_int_equal(p->type, type);
	assert_int_equal(p->large, large);
	assert_int_equal(p->owner, owner);
	assert_false(p->met);
	p->met = true;
}

static void meet_page(void *ctx, hpa_t hpa, uint32_t level, bool leaf)
{
	const struct count *n = ctx;

	assert_true(level <= SOFT_2M);
	assert_true(is_aligned(hpa, level_size(level)));
	for (hpa_t at = hpa; at < hpa + level_size(level); at += PAGE_SIZE)
		meet(at, leaf ? TDX_PT_REG : TDX_PT_EPT, level == SOFT_2M, n->tdr);
}

static void check_vcpu(hpa_t hpa, struct count *n)
{
	const struct soft_vp *vp = world_at(hpa);

	assert_true(vp->num_pages >= 1 && vp->num_pages <= VP_MAX_PAGES);
	assert_int_equal(vp->page[TDVPS_BASE], hpa);
	for (uint32_t i = 1; i < vp->num_pages; i++)
		meet(vp->page[i], TDX_PT_TDCX, false, n->tdr);
	page_at(hpa)->met = true;
	n->vcpus += vp->state != VP_UNINITIALIZED;
	n->associated += vp->associated_lp != VP_NO_LP;
	if (vp->state == VP_UNINITIALIZED)
		assert_int_equal(vp->associated_lp, VP_NO_LP);
	if (vp->state == VP_ACTIVE)
		n->inside[vp->epoch & 1]++;
	assert_int_equal(entry_of(hpa, SOFT_4K)->lock.word, vp->state == VP_ACTIVE);
}

/* ---- one TD ---- */

static void check_vcpus(struct count *n)
{
	for (uint32_t i = 0; i < CHECK_PAGES; i++)
		if (pages[i].type == TDX_PT_TDVPR && pages[i].owner == n->tdr)
			check_vcpu(base + i * PAGE_SIZE, n);
}

static void check_all_met(const struct count *n)
{
	for (uint32_t i = 0; i < CHECK_PAGES; i++)
		if (pages[i].type != TDX_PT_NDA && pages[i].owner == n->tdr)
			assert_true(pages[i].met);
}

static void check_tdcs(const struct soft_tdr *tdr, struct count *n)
{
	const struct soft_tdcs *t = world_at(tdr->tdcx[TDCS_BASE]);

	assert_int_equal(t->op_state_lock.word | t->epoch_lock.word | t->sept_lock.word | t->rtmr_lock.word, 0);
	assert_int_equal(t->num_associated, n->associated);
	assert_int_equal(t->num_vcpus, n->vcpus);
	assert_true(t->op_state <= TDX_RUNNABLE);
	assert_int_equal(t->refcount[0], n->inside[0]);
	assert_int_equal(t->refcount[1], n->inside[1]);
	if (t->op_state != TDX_UNINITIALIZED) {
		assert_true(t->num_vcpus <= t->max_vcpus);
		td_for_each_page(n->tdr, meet_page, n);
	}
}

/* While the TD has all its pages. */
static void check_whole(const struct soft_tdr *tdr, struct count *n)
{
	for (uint32_t i = 0; i < tdr->num_tdcx; i++)
		meet(tdr->tdcx[i], TDX_PT_TDCX, false, n->tdr);
	check_vcpus(n);
	if (tdr->num_tdcx >= TDX_TDCS_PAGES)
		check_tdcs(tdr, n);
	check_all_met(n);
}

static void check_td(hpa_t hpa)
{
	const struct soft_tdr *tdr = world_at(hpa);
	struct count n = { .tdr = hpa };

	for (uint32_t i = 0; i < CHECK_PAGES; i++)
		n.pages += pages[i].type != TDX_PT_NDA && pages[i].owner == hpa;
	assert_int_equal(tdr->children, n.pages);
	assert_true(tdr->lifecycle <= TDX_TEARDOWN && tdr->num_tdcx <= TD_MAX_TDCX);
	if (tdr->lifecycle != TDX_TEARDOWN)
		check_whole(tdr, &n);
	if (tdr->lifecycle >= TDX_BLOCKED)
		assert_int_equal(n.associated + n.inside[0] + n.inside[1], 0);
	assert_int_equal(entry_of(hpa, SOFT_4K)->lock.word, n.inside[0] + n.inside[1]);
}

/* ---- the module ---- */

/* Each key id's state is what its TD's is. */
static void check_hkids(void)
{
	uint8_t want[WORLD_HKIDS] = { SOFT_KOT_RESERVED };

	for (uint32_t i = 0; i < CHECK_PAGES; i++) {
		const struct soft_tdr *tdr = world_at(base + i * PAGE_SIZE);

		if (pages[i].type != TDX_PT_TDR || tdr->lifecycle == TDX_TEARDOWN)
			continue;
		assert_int_equal(want[tdr->hkid - WORLD_GLOBAL_HKID], SOFT_KOT_FREE);
		want[tdr->hkid - WORLD_GLOBAL_HKID] =
			tdr->lifecycle == TDX_BLOCKED ? SOFT_KOT_FLUSHED : SOFT_KOT_ASSIGNED;
	}
	for (uint32_t i = 0; i < WORLD_HKIDS; i++)
		assert_int_equal(world.m.kot[i].state, want[i]);
}

/* A vCPU inside shares the entries above its TDVPR; nobody else holds anything. */
static void check_locks(void)
{
	uint32_t inside[LARGE] = { 0 }, all = 0;

	for (uint32_t i = 0; i < CHECK_PAGES; i++) {
		const struct soft_vp *vp = world_at(base + i * PAGE_SIZE);

		if (pages[i].type == TDX_PT_TDVPR)
			inside[i / 512] += vp->state == VP_ACTIVE;
		else if (pages[i].type != TDX_PT_TDR && !pages[i].large)
			assert_int_equal(entry_of(base + i * PAGE_SIZE, SOFT_4K)->lock.word, 0);
	}
	for (uint32_t i = 0; i < LARGE; i++) {
		assert_int_equal(entry_of(base + i * MIB(2), SOFT_2M)->lock.word, inside[i]);
		all += inside[i];
	}
	assert_int_equal(entry_of(base, SOFT_1G)->lock.word, all);
	assert_int_equal(world.m.sys_lock.word | world.m.kot_lock.word | world.m.ket_lock.word, 0);
	for (uint32_t i = 0; i < WORLD_PACKAGES; i++)
		assert_int_equal(world.m.wbcache_lock[i].word, 0);
}

void soft_check(hpa_t first)
{
	base = first;
	read_pamt();
	check_owners();
	for (uint32_t i = 0; i < CHECK_PAGES; i++)
		if (pages[i].type == TDX_PT_TDR)
			check_td(base + i * PAGE_SIZE);
	check_hkids();
	check_locks();
}

uint32_t soft_check_used(hpa_t first)
{
	uint32_t used = 0;

	base = first;
	read_pamt();
	for (uint32_t i = 0; i < CHECK_PAGES; i++)
		used += pages[i].type != TDX_PT_NDA;
	return used;
}

uint8_t soft_type(hpa_t page)
{
	const struct pamt_entry *large = entry_of(page, SOFT_2M);

	return large->type != TDX_PT_NDA ? large->type : entry_of(page, SOFT_4K)->type;
}

/* ---- taking a TD apart ---- */

static void flush_vcpus(hpa_t first, hpa_t tdr)
{
	for (uint32_t i = 0; i < CHECK_PAGES; i++) {
		hpa_t hpa = first + i * PAGE_SIZE;
		const struct soft_vp *vp = world_at(hpa);

		if (soft_type(hpa) == TDX_PT_TDVPR && pamt_owner(entry_of(hpa, SOFT_4K)) == tdr &&
			vp->associated_lp != VP_NO_LP)
			assert_int_equal(sc(vp->associated_lp, TDH_VP_FLUSH, hpa, 0, 0, 0), 0);
	}
}

static void write_back(void)
{
	for (uint32_t lp = 0; lp < WORLD_LPS; lp += WORLD_LPS / WORLD_PACKAGES)
		assert_false(sc(lp, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0) & TDX_ERROR);
}

static void reclaim(hpa_t first, hpa_t tdr)
{
	for (uint32_t i = 0; i < CHECK_PAGES; i++) {
		hpa_t hpa = first + i * PAGE_SIZE;

		assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RDMD, hpa, 0, 0, 0), 0);
		if (out.gpr[TDX_RDX] == tdr && is_aligned(hpa, level_size((uint32_t)out.gpr[TDX_R8])))
			assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, hpa, 0, 0, 0), 0);
	}
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, tdr, 0, 0, 0), 0);
}

void soft_take_apart(hpa_t first, hpa_t hpa)
{
	const struct soft_tdr *tdr = world_at(hpa);

	if (tdr->lifecycle == TDX_KEYS_CONFIGURED)
		flush_vcpus(first, hpa);
	if (tdr->lifecycle < TDX_BLOCKED)
		assert_int_equal(sc(0, TDH_MNG_VPFLUSHDONE, hpa, 0, 0, 0), 0);
	write_back();
	if (tdr->lifecycle == TDX_BLOCKED)
		assert_int_equal(sc(0, TDH_MNG_KEY_FREEID, hpa, 0, 0, 0), 0);
	reclaim(first, hpa);
	soft_check(first);
}
