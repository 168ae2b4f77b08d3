/* sources: tdx/soft/ tdx/module.c tdx/module_memory.c tdx/tdmr.c tdx/seamcall.c tdx/status.c tdx/td.c tdx/td_vcpu.c tdx/sept.c mmu/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/tdx_world.c tests/unit/tdx_guest.c tests/unit/soft_cpu.c */
/*
 * Every SEAMCALL that the host makes goes wrong, in each class of status, early, in the middle and late in a TD's
 * life: the TD fails in a sentence or goes on; the mirror is what the secure EPT is; every page comes back, or stays
 * on record as the TD's if the module has kept it.
 */
#include "tests/unit/tdx_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mmu/check.h"
#include "tests/unit/support/support.h"

static uint64_t frames_before;
static struct tdx_wrong now; /* what is being tried, for the failure's text */

static void wrong(const char *what)
{
	fail_msg("%s, after %u calls %u times %s %lx%s: %s; %s", tdx_leaf_name(now.leaf), now.after, now.times,
		 tdx_status_name(now.status), now.status, now.late ? ", carried out" : "", what, tdx_guest.why.text);
}

/* ---- one life ---- */

static bool is_broken(void)
{
	struct failure why;

	return mmu_is_broken(&tdx_guest.mmu, &why);
}

/* While the TD is in order. */
static void check_living(void)
{
	struct failure why;
	const char *differs = tdx_guest_differs();

	if (differs)
		wrong(differs);
	if (mmu_check(&tdx_guest.mmu, &why))
		wrong(why.text);
}

static int step_fault(gfn_t gfn)
{
	enum fault_result result = tdx_guest_fault(gfn);

	return result == FAULT_MAPPED ? 0 : result == FAULT_RETRY ? -EAGAIN : -EIO;
}

static int step_accept(gfn_t gfn, int level)
{
	enum fault_result result = FAULT_RETRY;

	for (int n = 0; result == FAULT_RETRY && n < 200; n++)
		result = mmu_mirror_accept(&tdx_guest.vcpu[1], gfn << PAGE_SHIFT, level);
	return result == FAULT_MAPPED ? 0 : result == FAULT_RETRY ? -EAGAIN : -EIO;
}

static int step_enter(uint32_t vcpu, uint32_t cpu)
{
	struct tdx_regs r = { 0 };

	return tdx_guest_enter(vcpu, cpu, &r) & TDX_ERROR ? -EIO : 0;
}

/* A 2M page was to be split, and an interrupt came: nothing has happened. */
static int step_interrupted(gfn_t gfn)
{
	int err;

	tdx_world.interrupt = true;
	err = mmu_set_attributes(&tdx_guest.mmu, gfn, 1, false, &tdx_guest.why);
	tdx_world.interrupt = false;
	return err == -EAGAIN ? 0 : err;
}

/* On the CPU that the vCPU runs on. */
static int step_read(void)
{
	uint64_t value;
	int err = td_read(&tdx_guest.td, TDX_TD_OP_STATE, &value, &tdx_guest.why);

	tdx_world_cpu = 1;
	if (!err)
		err = td_vcpu_read(&tdx_guest.td, 0, TDX_VP_STATE_DETAILS, &value, &tdx_guest.why);
	tdx_world_cpu = 0;
	return err;
}

static int step_write(void)
{
	int err;

	tdx_world_cpu = 3;
	err = td_vcpu_write(&tdx_guest.td, 1, TDX_VP_POSTED_VECTOR, 0xf2, 0xff, &tdx_guest.why);
	tdx_world_cpu = 0;
	return err;
}

/* Faults of both sizes, conversions of a part and of all of a 2M page, and a page accepted in pieces. */
static int step(int n)
{
	switch (n) {
	case 0: return step_enter(0, 1);
	case 1: return step_fault(1024);
	case 2: return step_fault(700);
	case 3: return step_interrupted(1024 + 7);
	case 4: return tdx_guest_convert(1024 + 7, 3, false);
	case 5: return tdx_guest_convert(1024, 512, false);
	case 6: return tdx_guest_convert(1024, 512, true);
	case 7: return step_fault(1024 + 5);
	case 8: return step_fault(1536);
	case 9: return step_accept(1536 + 3, LEVEL_4K);
	case 10: return tdx_guest_convert(0, 1024, false);
	case 11: return step_read();
	case 12: return step_write();
	case 13: return step_enter(1, 3);
	default: return 1;
	}
}

/* 0: it went through it all. */
static int live(void)
{
	int err = tdx_guest_build();

	if (err)
		return err;
	for (int n = 0; !err; n++) {
		err = step(n);
		if (err == 1)
			return 0;
		if (!is_broken())
			check_living();
	}
	return err;
}

/* ---- its end ---- */

/* What the module would not give back, and the blocks of tables in which such a page lies. */
static void check_lost(void)
{
	tdx_world.wrong.status = tdx_world.also.status = 0;
	if (tdx_world_owners_wrong(false))
		wrong(tdx_world_owners_wrong(false));
	if (tdx_guest.td.state != TD_LOST || !tdx_guest.why.text[0])
		wrong("pages are lost and nobody says so");
	if (!frame_count(OWNER_TD(TDX_GUEST_VM)))
		wrong("a TD is lost without a page");
	tdx_world_ready();
	frames_before = tdx_world_free_frames();
}

static void check_clean(void)
{
	tdx_world.wrong.status = tdx_world.also.status = 0;
	if (tdx_world_owners_wrong(true))
		wrong(tdx_world_owners_wrong(true));
	if (tdx_world_free_frames() != frames_before)
		wrong("frames are missing");
	if (tdx_hkids_free() != WORLD_HKIDS - 1)
		wrong("a key is missing");
}

/* Leafs without which nothing can be given back. */
static bool ends_lives(uint32_t leaf)
{
	return leaf == TDH_MNG_VPFLUSHDONE || leaf == TDH_PHYMEM_CACHE_WB || leaf == TDH_MNG_KEY_FREEID ||
	       leaf == TDH_PHYMEM_PAGE_RECLAIM || leaf == TDH_PHYMEM_PAGE_WBINVD || leaf == TDH_VP_FLUSH;
}

static bool said_why(void)
{
	struct failure why;

	return tdx_guest.why.text[0] || tdx_guest.td.broken[0] || mmu_is_broken(&tdx_guest.mmu, &why);
}

/* Which leaf was seen to end in which class. */
static bool tried[TDH_LEAF_COUNT][TDX_CLASSES];

static void note(const struct tdx_wrong *x)
{
	if (x->done)
		tried[x->leaf][tdx_status_class(x->status)] = true;
}

/* One life in which that goes wrong, and perhaps another call when it has; returns what it came to. */
static int try_both(const struct tdx_wrong *what, const struct tdx_wrong *also)
{
	bool destroyed, may_lose = also || (ends_lives(what->leaf) && what->times > 1);
	int err;

	now = also ? *also : *what;
	memset(tdx_world.calls, 0, sizeof(tdx_world.calls));
	tdx_world.wrong = *what;
	tdx_world.also = also ? *also : (struct tdx_wrong){ 0 };
	err = live();
	/* A fault that finds the module busy says nothing: the vCPU goes on and comes again. */
	if (err && err != -EAGAIN && what->leaf != TDH_VP_ENTER && !said_why())
		wrong("it failed without a word");
	destroyed = !tdx_guest_destroy();
	note(&tdx_world.wrong);
	note(&tdx_world.also);
	if (destroyed)
		check_clean();
	else if (may_lose)
		check_lost();
	else
		wrong("pages were lost");
	return err;
}

static int try(const struct tdx_wrong *what) { return try_both(what, NULL); }

/* ---- all of them ---- */

static uint64_t clean_calls[TDH_LEAF_COUNT];

static int ready(void **state)
{
	(void)state;
	tdx_world_ready();
	frames_before = tdx_world_free_frames();
	memset(&tdx_world.wrong, 0, sizeof(tdx_world.wrong));
	memset(&tdx_world.also, 0, sizeof(tdx_world.also));
	memset(tdx_world.calls, 0, sizeof(tdx_world.calls));
	memset(&now, 0, sizeof(now));
	if (live())
		wrong("a life in which nothing goes wrong");
	if (tdx_guest_destroy())
		wrong("its end");
	memcpy(clean_calls, tdx_world.calls, sizeof(clean_calls));
	return 0;
}

static int end(void **state)
{
	(void)state;
	tdx_world_end();
	return 0;
}

/* With fn for each leaf that a life needs, going wrong at its first, middle and last call. */
static void each_place(void (*fn)(struct tdx_wrong *x))
{
	for (uint32_t leaf = 0; leaf < TDH_LEAF_COUNT; leaf++) {
		uint32_t calls = (uint32_t)clean_calls[leaf];
		uint32_t places[] = { 0, calls / 2, calls - 1 };

		for (size_t i = 0; calls && i < ARRAY_LEN(places); i++) {
			struct tdx_wrong x = { .leaf = leaf, .after = places[i], .times = 1 };

			if (i == 0 || places[i] != places[i - 1])
				fn(&x);
		}
	}
}

/* Once, or for a while: it goes on as if nothing had been. VP.ENTER is for who runs the TD to repeat. */
static void try_busy(struct tdx_wrong *x)
{
	if (x->leaf == TDH_VP_ENTER)
		return;
	x->status = TDX_OPERAND_BUSY | TDX_OP_SEPT_TREE;
	if (try(x))
		wrong("busy once was too much");
	x->times = TDX_BUSY_TRIES - 1;
	if (try(x))
		wrong("busy for a while was too much");
}

static void busy_for_a_while(void **state)
{
	(void)state;
	each_place(try_busy);
}

/* Longer than is waited for without stopping the vCPUs: what private memory needs is done with them out. */
static void try_kick(struct tdx_wrong *x)
{
	bool kicks = x->leaf == TDH_MEM_RANGE_BLOCK || x->leaf == TDH_MEM_TRACK || x->leaf == TDH_MEM_PAGE_REMOVE ||
		     x->leaf == TDH_MEM_PAGE_DEMOTE || x->leaf == TDH_VP_FLUSH || x->leaf == TDH_MNG_VPFLUSHDONE;

	x->status = TDX_OPERAND_BUSY | TDX_RCX;
	x->times = TDX_BUSY_TRIES + 5;
	if (kicks && try(x))
		wrong("busy until the vCPUs are out was too much");
	if (x->leaf != TDH_MEM_TRACK)
		return;
	x->status = TDX_PREVIOUS_TLB_EPOCH_BUSY;
	x->times = 1;
	if (try(x))
		wrong("a vCPU in the last epoch was too much");
}

static void busy_until_kicked(void **state)
{
	(void)state;
	each_place(try_kick);
	assert_true(tdx_world.kicks > 0 && tdx_world.bars > 0);
}

static void try_for_ever(struct tdx_wrong *x)
{
	x->times = UINT32_MAX;
	x->status = TDX_OPERAND_BUSY | TDX_RCX;
	try(x);
	x->status = TDX_INTERRUPTED_RESTARTABLE;
	try(x);
	x->status = TDX_TD_FATAL;
	try(x);
	x->status = TDX_OPERAND_INVALID | TDX_RCX;
	try(x);
}

static void for_ever(void **state)
{
	(void)state;
	each_place(try_for_ever);
}

static void try_once(struct tdx_wrong *x)
{
	static const uint32_t high[] = { 0x80000003, 0x80000004, 0xe0000604, 0xc0000100, 0xdead0000, 0xffffffff };

	for (size_t i = 0; i < ARRAY_LEN(high); i++) {
		x->status = (uint64_t)high[i] << 32 | (high[i] == UINT32_MAX ? UINT32_MAX : 0);
		try(x);
	}
}

static void once(void **state)
{
	(void)state;
	each_place(try_once);
}

/* No module of the specification does so: it carries the call out and returns an error. */
static void try_late(struct tdx_wrong *x)
{
	x->late = true;
	x->status = TDX_TD_FATAL;
	try(x);
	x->status = TDX_OPERAND_INVALID | TDX_RDX;
	try(x);
}

static void carried_out(void **state)
{
	(void)state;
	each_place(try_late);
}

/* It was so already: as good as done. */
static void try_informed(struct tdx_wrong *x)
{
	x->late = true;
	x->status = TDX_PAGE_ALREADY_FREE;
	if (try(x))
		wrong("what was so already was too much");
}

static void informed(void **state)
{
	(void)state;
	each_place(try_informed);
}

/* Whose a page is the host asks when a call went wrong that was given it: that may go wrong too. */
static void asked_after(void **state)
{
	static const uint64_t statuses[] = { TDX_OPERAND_BUSY | TDX_RCX, TDX_INTERRUPTED_RESUMABLE, TDX_TD_FATAL,
					     TDX_OPERAND_ADDR_RANGE_ERROR | TDX_RCX, TDX_PAGE_ALREADY_FREE };
	struct tdx_wrong first = { .leaf = TDH_MEM_PAGE_AUG, .times = 1, .status = TDX_OPERAND_INVALID | TDX_R8 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		struct tdx_wrong then = { .leaf = TDH_PHYMEM_PAGE_RDMD, .times = UINT32_MAX, .status = statuses[i] };

		then.late = tdx_status_class(statuses[i]) == TDX_CLASS_INFORMATIONAL;
		try_both(&first, &then);
	}
}

/* Runs last: whatever leaf the host has a function for was seen to end in every class. */
static void nothing_forgotten(void **state)
{
	bool made[TDH_LEAF_COUNT] = { false };

	(void)state;
	tdx_world_host_leafs(false, made);
	made[TDH_MEM_SEPT_RD] = false; /* tests look with it */
	for (uint32_t leaf = 0; leaf < TDH_LEAF_COUNT; leaf++)
		for (int class = TDX_CLASS_SUCCESS + 1; made[leaf] && class < TDX_CLASSES; class++)
			if (!tried[leaf][class])
				fail_msg("%s was never seen to end as %s", tdx_leaf_name(leaf), tdx_class_names[class]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(busy_for_a_while, ready, end),
		cmocka_unit_test_setup_teardown(busy_until_kicked, ready, end),
		cmocka_unit_test_setup_teardown(for_ever, ready, end),
		cmocka_unit_test_setup_teardown(once, ready, end),
		cmocka_unit_test_setup_teardown(carried_out, ready, end),
		cmocka_unit_test_setup_teardown(informed, ready, end),
		cmocka_unit_test_setup_teardown(asked_after, ready, end),
		cmocka_unit_test(nothing_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
