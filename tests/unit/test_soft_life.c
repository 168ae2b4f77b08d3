/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_check.c */
/*
 * Random SEAMCALLs on several TDs of the software TDX module: every leaf, operands that fit and operands that do
 * not, from four LPs, up to three of which have a vCPU inside; locks that are busy, no entropy, interrupts.
 * A call that does not succeed changes nothing; after one that does, all that must hold between calls is
 * recomputed (soft_check.h); and every TD, in whatever state, can be taken apart until nothing is left of it.
 * SOFT_TEST_SEED and SOFT_TEST_STEPS choose another history.
 */
#include "tests/unit/soft_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tdx/soft/sept.h"
#include "tests/unit/support/random.h"
#include "vmx/core/reasons.h"

#define FIRST WORLD_TDMR1
#define SHARED_BUFFERS MIB(70)

static uint64_t seed;
static bool trace; /* SOFT_TEST_TRACE: every call is printed */
static bool lp_inside[WORLD_LPS];
static uint32_t depth;
static uint64_t done[TDH_LEAF_COUNT], refused[TDH_LEAF_COUNT]; /* calls, by how they ended */
static uint64_t entered, torn_down;

static uint32_t rnd(uint32_t n) { return (uint32_t)((test_random(&seed) >> 32) % n); }

/* ---- operands ---- */

/* A page of that type, or any when there is none. Free ones come from the first half of the memory: there are
 * whole large pages in the other. */
static hpa_t page_of(uint8_t type)
{
	uint32_t span = type == TDX_PT_NDA ? CHECK_PAGES / 2 : CHECK_PAGES, at = rnd(span);

	for (uint32_t i = 0; i < span; i++) {
		hpa_t hpa = FIRST + (at + i) % span * PAGE_SIZE;

		if (soft_type(hpa) == type)
			return hpa;
	}
	return FIRST + at * PAGE_SIZE;
}

static uint64_t spoiled(uint64_t operand)
{
	switch (rnd(60)) {
	case 0: return test_random(&seed);
	case 1: return operand | BIT(rnd(64));
	case 2: return FIRST + rnd(CHECK_PAGES) * PAGE_SIZE;
	case 3: return rnd(16) * PAGE_SIZE;
	default: return operand;
	}
}

/* The checks know of these pages alone: no others may become a TD's. */
static uint64_t spoil(uint64_t operand)
{
	uint64_t o = spoiled(operand);

	return o >= WORLD_TDMR0 && o < WORLD_MEMORY && o - FIRST >= CHECK_PAGES * PAGE_SIZE ? operand : o;
}

static uint64_t op_tdr(void) { return page_of(TDX_PT_TDR); }
static uint64_t op_vp(void) { return page_of(TDX_PT_TDVPR); }
static uint64_t op_free(void) { return page_of(TDX_PT_NDA); }
static uint64_t op_free_any_size(void)
{
	return rnd(3) ? op_free() : FIRST + MIB(2) * (2 + rnd(2));
}
static uint64_t op_page(void) { return FIRST + rnd(CHECK_PAGES) * PAGE_SIZE; }
static uint64_t op_owned(void)
{
	static const uint8_t types[] = { TDX_PT_REG, TDX_PT_TDCX, TDX_PT_TDR, TDX_PT_EPT };

	return page_of(types[rnd(ARRAY_LEN(types))]);
}
static uint64_t op_hkid(void) { return WORLD_GLOBAL_HKID + rnd(WORLD_HKIDS); }
static uint64_t op_flag(void) { return rnd(2); }
static uint64_t op_zero(void) { return 0; }
static uint64_t op_gpa(void) { return rnd(2) * MIB(2) + rnd(4) * PAGE_SIZE; }
static uint64_t op_gpa_level(void)
{
	uint32_t level = rnd(8) < 5 ? 0 : 1 + rnd(3);

	return align_down(op_gpa(), level_size(level)) | level;
}
static uint64_t op_table(void)
{
	uint32_t level = 1 + rnd(3);

	return align_down(op_gpa(), level_size(level)) | level;
}
static uint64_t op_buffer(void) { return SHARED_BUFFERS + rnd(4) * PAGE_SIZE; }
static uint64_t op_params(void)
{
	struct tdx_td_params *p = world_params();

	p->max_vcpus = (uint16_t)rnd(4);
	if (!rnd(10))
		((uint8_t *)p)[rnd(sizeof(*p))] ^= (uint8_t)(1 + rnd(255));
	return WORLD_PARAMS;
}
static uint64_t op_field(void)
{
	static const uint64_t ids[] = { TDX_TD_OP_STATE, TDX_TD_EPTP, TDX_VP_PEND_NMI, TDX_VP_SHARED_EPTP,
		TDX_TD_HP_LOCK_TIMEOUT, TDX_SYS_VENDOR, TDX_FIELD_FIRST };

	return ids[rnd(ARRAY_LEN(ids))];
}
static uint64_t op_any(void) { return rnd(2) ? test_random(&seed) : rnd(100000); }

typedef uint64_t (*operand_fn)(void);

/* Every leaf, how often it is called, and its operands in RCX, RDX, R8, R9. */
static const struct call {
	uint32_t leaf, weight;
	operand_fn operand[4];
} calls[] = {
	{ TDH_MNG_CREATE, 6, { op_free, op_hkid, op_any, op_any } },
	{ TDH_MNG_KEY_CONFIG, 12, { op_tdr, op_zero, op_any, op_any } },
	{ TDH_MNG_ADDCX, 8, { op_free, op_tdr, op_any, op_any } },
	{ TDH_MNG_INIT, 12, { op_tdr, op_params, op_any, op_any } },
	{ TDH_MNG_RD, 6, { op_tdr, op_field, op_any, op_any } },
	{ TDH_MNG_WR, 6, { op_tdr, op_field, op_any, op_any } },
	{ TDH_MNG_VPFLUSHDONE, 2, { op_tdr, op_zero, op_any, op_any } },
	{ TDH_MNG_KEY_FREEID, 6, { op_tdr, op_zero, op_any, op_any } },
	{ TDH_MNG_KEY_RECLAIMID, 1, { op_tdr, op_zero, op_any, op_any } },
	{ TDH_VP_CREATE, 6, { op_free, op_tdr, op_any, op_any } },
	{ TDH_VP_ADDCX, 8, { op_free, op_vp, op_any, op_any } },
	{ TDH_VP_INIT, 12, { op_vp, op_any, op_any, op_any } },
	{ TDH_VP_FLUSH, 12, { op_vp, op_zero, op_any, op_any } },
	{ TDH_VP_RD, 6, { op_vp, op_field, op_any, op_any } },
	{ TDH_VP_WR, 6, { op_vp, op_field, op_any, op_any } },
	{ TDH_VP_ENTER, 12, { op_vp, op_any, op_any, op_any } },
	{ TDH_MEM_SEPT_ADD, 10, { op_table, op_tdr, op_free, op_any } },
	{ TDH_MEM_SEPT_REMOVE, 10, { op_table, op_tdr, op_any, op_any } },
	{ TDH_MEM_SEPT_RD, 6, { op_gpa_level, op_tdr, op_any, op_any } },
	{ TDH_MEM_PAGE_ADD, 20, { op_gpa, op_tdr, op_free, op_buffer } },
	{ TDH_MEM_PAGE_AUG, 30, { op_gpa_level, op_tdr, op_free_any_size, op_any } },
	{ TDH_MEM_PAGE_REMOVE, 20, { op_gpa_level, op_tdr, op_any, op_any } },
	{ TDH_MEM_PAGE_RELOCATE, 10, { op_gpa, op_tdr, op_free, op_any } },
	{ TDH_MEM_PAGE_DEMOTE, 10, { op_table, op_tdr, op_free, op_any } },
	{ TDH_MEM_PAGE_PROMOTE, 6, { op_table, op_tdr, op_any, op_any } },
	{ TDH_MEM_RANGE_BLOCK, 20, { op_gpa_level, op_tdr, op_any, op_any } },
	{ TDH_MEM_RANGE_UNBLOCK, 15, { op_gpa_level, op_tdr, op_any, op_any } },
	{ TDH_MEM_TRACK, 20, { op_tdr, op_zero, op_any, op_any } },
	{ TDH_MEM_RD, 3, { op_gpa, op_tdr, op_any, op_any } },
	{ TDH_MEM_WR, 3, { op_gpa, op_tdr, op_any, op_any } },
	{ TDH_MR_EXTEND, 10, { op_gpa, op_tdr, op_any, op_any } },
	{ TDH_MR_FINALIZE, 3, { op_tdr, op_zero, op_any, op_any } },
	{ TDH_PHYMEM_PAGE_RDMD, 6, { op_page, op_zero, op_any, op_any } },
	{ TDH_PHYMEM_PAGE_RECLAIM, 20, { op_owned, op_zero, op_any, op_any } },
	{ TDH_PHYMEM_PAGE_WBINVD, 4, { op_page, op_zero, op_any, op_any } },
	{ TDH_PHYMEM_CACHE_WB, 12, { op_flag, op_zero, op_any, op_any } },
	{ TDH_SYS_INIT, 1, { op_zero, op_zero, op_any, op_any } },
	{ TDH_SYS_LP_INIT, 1, { op_zero, op_zero, op_any, op_any } },
	{ TDH_SYS_CONFIG, 1, { op_buffer, op_flag, op_hkid, op_any } },
	{ TDH_SYS_KEY_CONFIG, 1, { op_zero, op_zero, op_any, op_any } },
	{ TDH_SYS_TDMR_INIT, 1, { op_page, op_zero, op_any, op_any } },
	{ TDH_SYS_RD, 2, { op_zero, op_field, op_any, op_any } },
	{ TDH_SYS_RDALL, 2, { op_zero, op_buffer, op_field, op_any } },
	{ TDH_SYS_LP_SHUTDOWN, 1, { op_zero, op_zero, op_any, op_any } },
	{ TDH_LEAF_COUNT, 1, { op_any, op_any, op_any, op_any } },
};

static const struct call *pick_call(void)
{
	uint32_t all = 0, at;

	for (uint32_t i = 0; i < ARRAY_LEN(calls); i++)
		all += calls[i].weight;
	at = rnd(all);
	for (uint32_t i = 0;; i++) {
		if (at < calls[i].weight)
			return &calls[i];
		at -= calls[i].weight;
	}
}

/* ---- a call that fails changes nothing ---- */

static uint64_t mix(uint64_t hash, const void *data, size_t bytes)
{
	const uint64_t *words = data;

	for (size_t i = 0; i < bytes / 8; i++)
		hash = (hash ^ words[i]) * 0x100000001b3ul + (hash >> 47);
	return hash;
}

/* The module, the PAMTs, all of its own pages, and a word of every other. */
static uint64_t hash_all(void)
{
	uint64_t hash = mix(1, &world.m, sizeof(world.m));

	hash = mix(hash, pamt_entry(&world.m, FIRST, SOFT_4K), CHECK_PAGES * sizeof(struct pamt_entry));
	hash = mix(hash, pamt_entry(&world.m, FIRST, SOFT_2M), CHECK_PAGES / 512 * sizeof(struct pamt_entry));
	for (uint32_t i = 0; i < CHECK_PAGES; i++) {
		hpa_t hpa = FIRST + i * PAGE_SIZE;
		uint8_t type = soft_type(hpa);

		hash = mix(hash, world_at(hpa), type == TDX_PT_NDA || type == TDX_PT_REG ? 8 : PAGE_SIZE);
	}
	return hash;
}

/* These may leave the vCPU with this LP although they fail in the end. */
static bool may_associate(uint32_t leaf) { return leaf == TDH_VP_RD || leaf == TDH_VP_WR || leaf == TDH_VP_ENTER; }

/* ---- faults ---- */

static bool random_fault(enum soft_fault fault, uint32_t operand)
{
	(void)fault;
	(void)operand;
	return !rnd(25);
}

static void choose_faults(uint32_t lp)
{
	world.fault = rnd(4) ? NULL : random_fault;
	world.no_entropy = !rnd(12);
	world.interrupt[lp] = !rnd(8);
}

static void no_faults(void)
{
	world.fault = NULL;
	world.no_entropy = false;
	memset(world.interrupt, 0, sizeof(world.interrupt));
}

/* ---- steps ---- */

static uint32_t free_lp(void)
{
	uint32_t lp = rnd(WORLD_LPS);

	while (lp_inside[lp])
		lp = (lp + 1) % WORLD_LPS;
	return lp;
}

struct request {
	uint64_t leaf; /* with its version */
	uint32_t lp;
	uint64_t o[4]; /* RCX, RDX, R8, R9 */
};

static struct request random_request(void)
{
	const struct call *call = pick_call();
	struct request q = { .leaf = call->leaf == TDH_LEAF_COUNT ? rnd(300) : call->leaf, .lp = free_lp() };

	if (q.leaf == TDH_SYS_SHUTDOWN)
		q.leaf = TDH_LEAF_COUNT;
	if (!rnd(20))
		q.leaf |= rnd(4) << 16;
	for (uint32_t i = 0; i < 4; i++)
		q.o[i] = spoil(call->operand[i]());
	return q;
}

/* A TDVPR of that TD, or 0. */
static hpa_t vp_of(hpa_t tdr)
{
	uint32_t at = rnd(CHECK_PAGES);

	for (uint32_t i = 0; i < CHECK_PAGES; i++) {
		hpa_t hpa = FIRST + (at + i) % CHECK_PAGES * PAGE_SIZE;

		if (soft_type(hpa) == TDX_PT_TDVPR && pamt_owner(pamt_entry(&world.m, hpa, SOFT_4K)) == tdr)
			return hpa;
	}
	return 0;
}

/* What brings a vCPU further. */
static struct request for_vcpu(hpa_t hpa, uint32_t op_state)
{
	const struct soft_vp *vp = world_at(hpa);
	uint32_t lp = vp->associated_lp == VP_NO_LP ? free_lp() : vp->associated_lp;

	if (vp->num_pages < TDX_TDVPS_PAGES)
		return (struct request){ TDH_VP_ADDCX, lp, { op_free(), hpa } };
	if (vp->state == VP_UNINITIALIZED)
		return (struct request){ TDH_VP_INIT, lp, { hpa } };
	if (op_state == TDX_RUNNABLE && !lp_inside[lp])
		return (struct request){ rnd(5) ? TDH_VP_ENTER : TDH_VP_FLUSH, lp, { hpa } };
	return random_request();
}

/* Where the entry for some gpa is free: something goes there; else something happens to what is there. */
static struct request for_memory(hpa_t hpa, const struct soft_tdcs *t)
{
	static const uint32_t change[] = { TDH_MEM_RANGE_BLOCK, TDH_MEM_RANGE_BLOCK, TDH_MEM_PAGE_REMOVE,
		TDH_MEM_PAGE_REMOVE, TDH_MEM_RANGE_UNBLOCK, TDH_MEM_PAGE_RELOCATE, TDH_MEM_PAGE_DEMOTE, TDH_MEM_PAGE_PROMOTE,
		TDH_MEM_SEPT_REMOVE, TDH_MEM_SEPT_RD, TDH_MR_EXTEND };
	const struct soft_tdr *tdr = world_at(hpa);
	struct sept_walk w;
	gpa_t gpa = op_gpa(), at;
	uint32_t up;

	sept_walk(&world.m, tdr->tdcx[TDCS_SEPT_ROOT], SOFT_512G, gpa, SOFT_4K, &w);
	up = w.level + !rnd(6);
	at = align_down(gpa, level_size(w.level));
	if (!sept_is(w.value, SEPT_IN(TDX_SEPT_FREE)))
		return (struct request){ change[rnd(ARRAY_LEN(change))], free_lp(),
			{ align_down(gpa, level_size(up)) | up, hpa, op_free() } };
	if (w.level > SOFT_2M || (w.level == SOFT_2M && rnd(3)))
		return (struct request){ TDH_MEM_SEPT_ADD, free_lp(), { at | w.level, hpa, op_free() } };
	if (t->op_state == TDX_INITIALIZED && w.level == SOFT_4K && rnd(2))
		return (struct request){ TDH_MEM_PAGE_ADD, free_lp(), { at, hpa, op_free(), op_buffer() } };
	return (struct request){ TDH_MEM_PAGE_AUG, free_lp(), { at | w.level, hpa,
		w.level ? FIRST + MIB(2) * (2 + rnd(2)) : op_free() } };
}

/* What brings a TD further, if it is not at its end. */
static struct request for_td(hpa_t hpa)
{
	const struct soft_tdr *tdr = world_at(hpa);
	const struct soft_tdcs *t = world_at(tdr->tdcx[TDCS_BASE]);
	uint32_t lp = free_lp();
	hpa_t vp = vp_of(hpa);

	if (tdr->lifecycle == TDX_HKID_ASSIGNED)
		return (struct request){ TDH_MNG_KEY_CONFIG, lp, { hpa } };
	if (tdr->lifecycle != TDX_KEYS_CONFIGURED)
		return random_request();
	if (tdr->num_tdcx < TDX_TDCS_PAGES)
		return (struct request){ TDH_MNG_ADDCX, lp, { op_free(), hpa } };
	if (t->op_state == TDX_UNINITIALIZED)
		return (struct request){ TDH_MNG_INIT, lp, { hpa, op_params() } };
	if (t->op_state == TDX_INITIALIZED && !rnd(30))
		return (struct request){ TDH_MR_FINALIZE, lp, { hpa } };
	if (rnd(2))
		return for_memory(hpa, t);
	return vp && rnd(8) ? for_vcpu(vp, t->op_state) : (struct request){ TDH_VP_CREATE, lp, { op_free(), hpa } };
}

static struct request next_request(void)
{
	hpa_t tdr = op_tdr();

	return rnd(2) && soft_type(tdr) == TDX_PT_TDR ? for_td(tdr) : random_request();
}

static void step(void)
{
	struct request q = next_request();
	uint32_t leaf = q.leaf & TDX_LEAF_MASK;
	uint64_t before = hash_all(), status;

	if (leaf == TDH_VP_ENTER && depth == WORLD_LPS - 1)
		return;
	choose_faults(q.lp);
	lp_inside[q.lp] = leaf == TDH_VP_ENTER;
	status = sc(q.lp, q.leaf, q.o[0], q.o[1], q.o[2], q.o[3]);
	lp_inside[q.lp] = false;
	no_faults();
	if (leaf < TDH_LEAF_COUNT)
		(status ? refused : done)[leaf]++;
	if (trace)
		printf("%u: leaf %u lp %u: %lx\n", depth, leaf, q.lp, status);
	if (status == TDX_SUCCESS || may_associate(leaf))
		soft_check(FIRST);
	else if (!tdx_status_is(status, TDX_INTERRUPTED_RESUMABLE) && before != hash_all())
		fail_msg("leaf %u failed with %lx and has changed something", leaf, status);
}

/* A guest that stays for some calls of the others. */
static void guest(struct soft_vp *vp)
{
	uint32_t n = rnd(6);

	entered++;
	no_faults();
	lp_inside[vp->associated_lp] = true;
	depth++;
	soft_check(FIRST);
	while (n--)
		step();
	depth--;
	guest_exits(vp, REASON_EXTERNAL_INTERRUPT, 0);
}

/* ---- taking a TD apart ---- */

static void tear_down_some(bool all)
{
	for (uint32_t i = 0; i < CHECK_PAGES; i++) {
		hpa_t hpa = FIRST + i * PAGE_SIZE;

		if (soft_type(hpa) != TDX_PT_TDR || (!all && rnd(3)))
			continue;
		if (!rnd(3)) /* as the module does when it finds a TD broken */
			((struct soft_tdr *)world_at(hpa))->fatal = 1;
		soft_take_apart(FIRST, hpa);
		torn_down++;
	}
}

static void report(void)
{
	uint64_t ok = 0, not = 0;

	for (uint32_t i = 0; i < TDH_LEAF_COUNT; i++) {
		ok += done[i];
		not += refused[i];
	}
	printf("%lu calls done, %lu refused, %lu entries, %lu TDs taken apart\n", ok, not, entered, torn_down);
	for (uint32_t i = 0; i < ARRAY_LEN(calls) && getenv("SOFT_TEST_VERBOSE"); i++)
		if (calls[i].leaf < TDH_LEAF_COUNT)
			printf("leaf %u: %lu done, %lu refused\n", calls[i].leaf, done[calls[i].leaf], refused[calls[i].leaf]);
}

static void lives(uint64_t steps)
{
	const char *wanted_seed = getenv("SOFT_TEST_SEED"), *wanted_steps = getenv("SOFT_TEST_STEPS");

	steps = wanted_steps ? strtoul(wanted_steps, NULL, 0) : steps;
	trace = getenv("SOFT_TEST_TRACE");
	seed = wanted_seed ? strtoul(wanted_seed, NULL, 0) : 20251122;
	world_ready();
	world.guest = guest;
	depth = 0;
	for (uint64_t i = 0; i < steps; i++) {
		step();
		if (!rnd(1500))
			tear_down_some(false);
	}
	tear_down_some(true);
	assert_int_equal(soft_check_used(FIRST), 0);
	report();
	printf("at most %lu pages mapped by one call\n", world.most_maps);
	world_end();
}

static void random_lives(void **state)
{
	(void)state;
	world_confined = false;
	lives(6000);
}

/* What the module does not have mapped just then is out of its reach. */
static void confined_lives(void **state)
{
	(void)state;
	world_confined = true;
	lives(1500);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(random_lives), cmocka_unit_test(confined_lives) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
