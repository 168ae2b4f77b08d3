/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_check.c */
/* libraries: pthread */
/*
 * SEAMCALLs from four LPs truly at once on the same TDs, pages and key ids, with vCPUs that accept memory
 * meanwhile: nobody waits, and when all are done everything that must hold does, and all can be taken apart.
 */
#include "tests/unit/soft_check.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tdx/soft/run.h"
#include "tests/unit/support/random.h"

#define FIRST WORLD_TDMR1
#define TDS 2
#define CALLS 12000

static struct world_td td[TDS];
static __thread uint64_t seed;
static uint64_t done[TDH_LEAF_COUNT], busy, entries;

static uint32_t rnd(uint32_t n) { return (uint32_t)((test_random(&seed) >> 32) % n); }

/* ---- the guest: it accepts, and leaves when an interrupt comes ---- */

static void guest(struct soft_vp *vp)
{
	__atomic_fetch_add(&entries, 1, __ATOMIC_RELAXED);
	if (!rnd(4)) {
		guest_exits(vp, REASON_EXTERNAL_INTERRUPT, 0);
		return;
	}
	*guest_field(vp, VMCS_GUEST_EFER) |= EFER_LMA;
	*guest_field(vp, VMCS_GUEST_CS_AR) |= AR_CS_LONG;
	vp->gpr[TDX_RAX] = TDG_MEM_PAGE_ACCEPT;
	vp->gpr[TDX_RCX] = rnd(3) ? rnd(4) * PAGE_SIZE : (MIB(4) + rnd(2) * MIB(2)) | 1;
	guest_exits(vp, TDX_EXIT_TDCALL, 0);
}

/* ---- the hosts ---- */

/* Few, so that two LPs often want the same. */
static hpa_t page(void) { return FIRST + MIB(2) + rnd(64) * PAGE_SIZE; }
static hpa_t life_page(void) { return FIRST + MIB(3) + rnd(48) * PAGE_SIZE; }
static hpa_t large(void) { return FIRST + MIB(4) + rnd(2) * MIB(2); }
static gpa_t gpa(void) { return rnd(2) * MIB(2) + rnd(4) * PAGE_SIZE; }
static gpa_t large_gpa(void) { return MIB(4) + rnd(2) * MIB(2); }
static uint64_t gpa_level(void) { return rnd(3) ? gpa() : large_gpa() | 1; }

static uint64_t call(uint32_t lp, uint64_t leaf, uint64_t rcx, uint64_t rdx, uint64_t r8)
{
	struct tdx_regs r = { .gpr = { [TDX_RAX] = leaf, [TDX_RCX] = rcx, [TDX_RDX] = rdx, [TDX_R8] = r8 } };

	soft_seamcall(&world.m, lp, &r);
	if (tdx_status_is(r.gpr[TDX_RAX], TDX_OPERAND_BUSY))
		__atomic_fetch_add(&busy, 1, __ATOMIC_RELAXED);
	if (r.gpr[TDX_RAX] == TDX_SUCCESS)
		__atomic_fetch_add(&done[leaf], 1, __ATOMIC_RELAXED);
	return r.gpr[TDX_RAX];
}

/* What the host does before it can have a page back. */
static void take(uint32_t lp, hpa_t tdr, uint64_t at)
{
	call(lp, TDH_MEM_RANGE_BLOCK, at, tdr, 0);
	call(lp, TDH_MEM_TRACK, tdr, 0, 0);
	call(lp, TDH_MEM_PAGE_REMOVE, at, tdr, 0);
}

static void on_memory(uint32_t lp, hpa_t tdr)
{
	switch (rnd(11)) {
	case 0: call(lp, TDH_MEM_SEPT_ADD, rnd(2) * MIB(2) | 1, tdr, page()); break;
	case 1: call(lp, TDH_MEM_PAGE_AUG, large_gpa() | 1, tdr, large()); break;
	case 2: call(lp, TDH_MEM_RANGE_BLOCK, gpa_level(), tdr, 0); break;
	case 3: call(lp, TDH_MEM_RANGE_UNBLOCK, gpa_level(), tdr, 0); break;
	case 4: call(lp, TDH_MEM_TRACK, tdr, 0, 0); break;
	case 5: call(lp, TDH_MEM_PAGE_DEMOTE, large_gpa() | 1, tdr, page()); break;
	case 6: call(lp, TDH_MEM_PAGE_PROMOTE, large_gpa() | 1, tdr, 0); break;
	case 7: call(lp, TDH_MEM_PAGE_RELOCATE, gpa(), tdr, page()); break;
	case 8: take(lp, tdr, gpa_level()); break;
	default: call(lp, TDH_MEM_PAGE_AUG, gpa(), tdr, page());
	}
}

static void on_vcpu(uint32_t lp, hpa_t vp)
{
	switch (rnd(4)) {
	case 0: call(lp, TDH_VP_FLUSH, vp, 0, 0); break;
	case 1: call(lp, TDH_VP_RD, vp, TDX_VP_PEND_NMI, 0); break;
	default: call(lp, TDH_VP_ENTER, vp, 0, 0);
	}
}

/* TDs that begin and end: pages and key ids change hands. */
static void on_lives(uint32_t lp)
{
	hpa_t tdr = life_page();

	switch (rnd(6)) {
	case 0: call(lp, TDH_MNG_CREATE, tdr, WORLD_HKID(TDS + rnd(3)), 0); break;
	case 1: call(lp, TDH_MNG_KEY_CONFIG, tdr, 0, 0); break;
	case 2: call(lp, TDH_MNG_ADDCX, life_page(), tdr, 0); break;
	case 3: call(lp, TDH_MNG_VPFLUSHDONE, tdr, 0, 0); break;
	case 4: call(lp, TDH_PHYMEM_CACHE_WB, 0, 0, 0); break;
	default:
		call(lp, TDH_MNG_KEY_FREEID, tdr, 0, 0);
		call(lp, TDH_PHYMEM_PAGE_RECLAIM, life_page(), 0, 0);
	}
}

static void *host(void *arg)
{
	uint32_t lp = (uint32_t)(uintptr_t)arg;

	seed = lp + 1;
	for (uint32_t i = 0; i < CALLS; i++) {
		const struct world_td *t = &td[rnd(TDS)];

		switch (rnd(4)) {
		case 0: on_lives(lp); break;
		case 1: on_vcpu(lp, t->vp[rnd(t->vcpus)]); break;
		default: on_memory(lp, t->tdr);
		}
	}
	return NULL;
}

static void build(uint32_t i)
{
	td_build(&td[i], WORLD_HKID(i));
	for (uint32_t k = 0; k < 3; k++)
		td_add_vcpu(&td[i], k);
	for (uint32_t level = SOFT_512G; level > SOFT_2M; level--)
		assert_int_equal(sc(0, TDH_MEM_SEPT_ADD, level, td[i].tdr, world_page(), 0), 0);
	assert_int_equal(sc(0, TDH_MR_FINALIZE, td[i].tdr, 0, 0, 0), 0);
}

static void all_at_once(void **state)
{
	pthread_t thread[WORLD_LPS];

	(void)state;
	world_ready();
	for (uint32_t i = 0; i < TDS; i++)
		build(i);
	world.guest = guest;
	for (uintptr_t lp = 0; lp < WORLD_LPS; lp++)
		assert_int_equal(pthread_create(&thread[lp], NULL, host, (void *)lp), 0);
	for (uint32_t lp = 0; lp < WORLD_LPS; lp++)
		assert_int_equal(pthread_join(thread[lp], NULL), 0);
	soft_check(FIRST);
	for (uint32_t i = 0; i < CHECK_PAGES; i++)
		if (soft_type(FIRST + i * PAGE_SIZE) == TDX_PT_TDR)
			soft_take_apart(FIRST, FIRST + i * PAGE_SIZE);
	assert_int_equal(soft_check_used(FIRST), 0);
	printf("%lu entries, %lu calls found something busy, %lu pages came and %lu went, %lu tables split\n", entries,
		busy, done[TDH_MEM_PAGE_AUG], done[TDH_MEM_PAGE_REMOVE], done[TDH_MEM_PAGE_DEMOTE]);
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_at_once) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
