/* A TD's secure EPT in the software module's machine; see the header. */
#include "tests/unit/soft_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "vmx/core/reasons.h"

#define SOURCE MIB(66) /* of PAGE.ADD */

uint64_t mem(const struct world_td *td, enum tdh_leaf leaf, gpa_t gpa, uint32_t level, hpa_t r8)
{
	return sc(0, leaf, gpa | level, td->tdr, r8, SOURCE);
}

void mem_is(const struct world_td *td, enum tdh_leaf leaf, gpa_t gpa, uint32_t level, hpa_t r8, uint64_t status,
	uint64_t rcx, uint64_t rdx)
{
	assert_int_equal(mem(td, leaf, gpa, level, r8), status);
	assert_int_equal(out.gpr[TDX_RCX], rcx);
	assert_int_equal(out.gpr[TDX_RDX], rdx);
}

void mem_ok(const struct world_td *td, enum tdh_leaf leaf, gpa_t gpa, uint32_t level, hpa_t r8)
{
	mem_is(td, leaf, gpa, level, r8, SUCCESS, 0, 0);
}

void tree_to(const struct world_td *td, gpa_t gpa, uint32_t level)
{
	for (uint32_t at = td_tdcs(td)->ept_levels - 1; at > level; at--) {
		gpa_t base = align_down(gpa, level_size(at));

		if (mem(td, TDH_MEM_SEPT_RD, base, at, 0) == SUCCESS && out.gpr[TDX_RCX] == SEEN_FREE)
			mem_ok(td, TDH_MEM_SEPT_ADD, base, at, world_page());
	}
}

void tree_is(const struct world_td *td, gpa_t gpa, uint32_t level, uint64_t rcx, enum tdx_sept_state state)
{
	mem_is(td, TDH_MEM_SEPT_RD, gpa, level, 0, SUCCESS, rcx, AT(level, state));
}

hpa_t tree_aug(const struct world_td *td, gpa_t gpa, uint32_t level)
{
	hpa_t page = level == SOFT_2M ? world_large_page() : world_page();

	tree_to(td, gpa, level);
	mem_ok(td, TDH_MEM_PAGE_AUG, gpa, level, page);
	return page;
}

hpa_t tree_add(const struct world_td *td, gpa_t gpa, uint8_t byte)
{
	hpa_t page = world_page();

	tree_to(td, gpa, SOFT_4K);
	memset(world_at(SOURCE), byte, PAGE_SIZE);
	mem_ok(td, TDH_MEM_PAGE_ADD, gpa, SOFT_4K, page);
	return page;
}

static struct {
	const struct world_td *td;
	guest_leaf_fn leaf;
	uint64_t rcx, rdx, r8;
	struct tdg_call *t;
	enum tdg_end end;
} calling;

static void call_inside(struct soft_vp *vp)
{
	const struct world_td *td = calling.td;
	struct soft_call c = { .m = &world.m, .lp = 0 };
	struct soft_vcpu v = { .vp = vp, .td = { .hpa = td->tdr, .tdr = td_tdr(td), .tdcs = td_tdcs(td) } };

	vp->gpr[TDX_RCX] = calling.rcx;
	vp->gpr[TDX_RDX] = calling.rdx;
	vp->gpr[TDX_R8] = calling.r8;
	*calling.t = (struct tdg_call){ .c = &c, .v = &v };
	calling.end = calling.leaf(calling.t);
}

enum tdg_end guest_call(const struct world_td *td, guest_leaf_fn leaf, uint64_t rcx, uint64_t rdx, uint64_t r8,
	struct tdg_call *t)
{
	void (*other)(struct soft_vp *vp) = world.guest;

	calling.td = td;
	calling.leaf = leaf;
	calling.rcx = rcx;
	calling.rdx = rdx;
	calling.r8 = r8;
	calling.t = t;
	world.guest = call_inside;
	assert_int_equal(enter(0, td->vp[0]), REASON_EXTERNAL_INTERRUPT);
	world.guest = other;
	return calling.end;
}

uint64_t guest_accept(const struct world_td *td, gpa_t gpa, uint32_t level)
{
	struct tdg_call t;

	assert_int_equal(guest_call(td, tdg_mem_page_accept, gpa | level, 0, 0, &t), TDG_DONE);
	return t.status;
}

hpa_t tree_map(const struct world_td *td, gpa_t gpa, uint32_t level)
{
	hpa_t page = tree_aug(td, gpa, level);

	assert_int_equal(guest_accept(td, gpa, level), SUCCESS);
	return page;
}

void tree_block(const struct world_td *td, gpa_t gpa, uint32_t level)
{
	mem_ok(td, TDH_MEM_RANGE_BLOCK, gpa, level, 0);
}

void tree_track(const struct world_td *td) { assert_int_equal(sc(0, TDH_MEM_TRACK, td->tdr, 0, 0, 0), SUCCESS); }

void tree_block_and_track(const struct world_td *td, gpa_t gpa, uint32_t level)
{
	tree_block(td, gpa, level);
	tree_track(td);
}

enum tdx_page_type type_of(hpa_t page)
{
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RDMD, page, 0, 0, 0), SUCCESS);
	return (enum tdx_page_type)out.gpr[TDX_RCX];
}

/* ---- the invariants ---- */

#define PAGES (WORLD_MEMORY / PAGE_SIZE)
static uint8_t seen[PAGES];

/* Counts a page that was not seen before. */
static void count_page(void *ctx, hpa_t page, uint32_t level, bool leaf)
{
	uint64_t pages = level_size(level) / PAGE_SIZE;

	(void)leaf;
	for (uint64_t i = 0; i < pages; i++)
		assert_int_equal(seen[page / PAGE_SIZE + i]++, 0);
	*(uint64_t *)ctx += pages;
}

void tree_check(const struct world_td *td)
{
	const struct soft_tdcs *t = td_tdcs(td);
	uint64_t pages = TDX_TDCS_PAGES + td->vcpus * TDX_TDVPS_PAGES;

	memset(seen, 0, sizeof(seen));
	td_for_each_page(td->tdr, count_page, &pages);
	assert_int_equal(td_tdr(td)->children, pages);
	assert_int_equal(t->sept_lock.word | t->epoch_lock.word | t->op_state_lock.word | t->rtmr_lock.word, 0);
}

/* All of the TD but the TDR, which goes last: pages of whatever size, in the order of their addresses. */
static void reclaim_pages(const struct world_td *td)
{
	for (hpa_t page = WORLD_TDMR1; page < world.next_page; page += PAGE_SIZE)
		for (uint32_t level = SOFT_4K; level <= SOFT_1G && page != td->tdr; level++)
			if (is_aligned(page, level_size(level)) && pamt_entry(&world.m, page, level)->type != TDX_PT_NDA) {
				assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, page, 0, 0, 0), SUCCESS);
				assert_int_equal(out.gpr[TDX_R8], level);
			}
}

void tree_tear_down(const struct world_td *td)
{
	for (uint32_t i = 0; i < td->vcpus; i++)
		if (td_vp(td, i)->associated_lp != VP_NO_LP)
			assert_int_equal(sc(td_vp(td, i)->associated_lp, TDH_VP_FLUSH, td->vp[i], 0, 0, 0), SUCCESS);
	assert_int_equal(sc(0, TDH_MNG_VPFLUSHDONE, td->tdr, 0, 0, 0), SUCCESS);
	for (uint32_t i = 0; i < world.packages; i++)
		assert_int_equal(sc(i * WORLD_LPS / world.packages, TDH_PHYMEM_CACHE_WB, 0, 0, 0, 0), SUCCESS);
	assert_int_equal(sc(0, TDH_MNG_KEY_FREEID, td->tdr, 0, 0, 0), SUCCESS);
	reclaim_pages(td);
	assert_int_equal(td_tdr(td)->children, 0);
	assert_int_equal(sc(0, TDH_PHYMEM_PAGE_RECLAIM, td->tdr, 0, 0, 0), SUCCESS);
	assert_int_equal(type_of(td->tdr), TDX_PT_NDA);
}

/* ---- one TD ---- */

struct world_td tree_td;

int tree_build(void **state)
{
	(void)state;
	world_ready();
	td_build(&tree_td, WORLD_HKID(0));
	td_add_vcpu(&tree_td, 0);
	return 0;
}

int tree_run(void **state)
{
	(void)state;
	world_ready();
	td_run(&tree_td, WORLD_HKID(0));
	return 0;
}

int tree_end(void **state)
{
	(void)state;
	tree_check(&tree_td);
	world_end();
	return 0;
}
