/* sources: tdx/soft/ tdx/module.c tdx/module_memory.c tdx/tdmr.c tdx/seamcall.c tdx/status.c tdx/td.c tdx/td_vcpu.c tdx/sept.c mmu/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/tdx_world.c tests/unit/tdx_guest.c tests/unit/soft_cpu.c */
/*
 * The host's side of TDX on the software module: start-up, the life of a TD, and its private memory.
 */
#include "tests/unit/tdx_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/phys.h"
#include "mmu/check.h"
#include "tests/unit/support/support.h"
#include "vmx/core/reasons.h"

static struct failure why;

static int start(void **state)
{
	(void)state;
	tdx_world_start();
	return 0;
}

static int ready(void **state)
{
	(void)state;
	tdx_world_ready();
	return 0;
}

static int end(void **state)
{
	(void)state;
	tdx_world_end();
	return 0;
}

/* ---- start-up ---- */

static void module_starts(void **state)
{
	const struct tdx_module *m = &tdx_module;

	(void)state;
	if (tdx_module_start(&tdx_world.machine, &why))
		fail_msg("%s", why.text);
	assert_true(m->ready);
	assert_int_equal(m->memory.count, 1);
	assert_int_equal(tdx_world.cache_flushes, 0xf);
	assert_int_equal(tdx_world.calls[TDH_SYS_LP_INIT], WORLD_CPUS);
	assert_int_equal(tdx_world.calls[TDH_SYS_KEY_CONFIG], WORLD_PACKAGES);
	assert_int_equal(tdx_world.calls[TDH_SYS_TDMR_INIT], 256); /* 4 MiB a call */
	assert_int_equal(frame_count(OWNER_PAMT), (MIB(4) + KIB(8) + KIB(4)) >> PAGE_SHIFT);
	assert_int_equal(frame_count(OWNER_HV), 0);
	assert_int_equal(tdx_hkids_free(), WORLD_HKIDS - 1);
	assert_int_equal(tdx_shared_bit(), WORLD_GPAW - 1);
	assert_non_null(strstr(test_last_log, "MiB for TDs in 1 regions"));
	assert_null(tdx_world_owners_wrong(true));
}

/* ---- life ---- */

static void td_lives(void **state)
{
	struct tdx_regs r = { 0 };
	uint64_t value;

	(void)state;
	if (tdx_guest_build())
		fail_msg("%s", tdx_guest.why.text);
	assert_int_equal(tdx_guest.td.state, TD_RUNNABLE);
	assert_null(tdx_guest_differs());
	assert_null(tdx_world_owners_wrong(true));
	assert_int_equal(tdx_guest_enter(1, 2, &r), REASON_EXTERNAL_INTERRUPT);
	assert_int_equal(tdx_guest_enter(0, 1, &r), REASON_EXTERNAL_INTERRUPT);
	(void)value;
	if (tdx_guest_destroy())
		fail_msg("%s", tdx_guest.why.text);
}

static void ten_lives(void **state)
{
	uint64_t before = tdx_world_free_frames();

	(void)state;
	for (int i = 0; i < 10; i++) {
		td_lives(state);
		assert_int_equal(tdx_world_free_frames(), before);
		assert_int_equal(tdx_hkids_free(), WORLD_HKIDS - 1);
		assert_null(tdx_world_owners_wrong(true));
	}
	assert_int_equal(tdx_world.calls[TDH_MEM_RANGE_BLOCK], 0);
	assert_int_equal(tdx_world.calls[TDH_MEM_TRACK], 0);
	assert_int_equal(tdx_world.calls[TDH_MEM_PAGE_REMOVE], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(module_starts, start, end),
		cmocka_unit_test_setup_teardown(td_lives, ready, end),
		cmocka_unit_test_setup_teardown(ten_lives, ready, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
