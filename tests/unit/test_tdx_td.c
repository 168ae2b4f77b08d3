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

static void build(void)
{
	if (tdx_guest_build())
		fail_msg("%s", tdx_guest.why.text);
	assert_int_equal(tdx_guest.td.state, TD_RUNNABLE);
	assert_null(tdx_guest_differs());
	assert_null(tdx_world_owners_wrong(true));
}

static void destroy(void)
{
	if (tdx_guest_destroy())
		fail_msg("%s", tdx_guest.why.text);
	assert_int_equal(tdx_guest.td.state, TD_NONE);
}

static void td_lives(void **state)
{
	struct tdx_regs r = { 0 };

	(void)state;
	build();
	assert_int_equal(tdx_guest_enter(1, 2, &r), REASON_EXTERNAL_INTERRUPT);
	assert_int_equal(tdx_guest_enter(0, 1, &r), REASON_EXTERNAL_INTERRUPT);
	/* Another CPU has it now, and only by VP.FLUSH does it come away from there. */
	assert_true(tdx_status_is(tdx_guest_enter(0, 3, &r), TDX_VCPU_ASSOCIATED));
	tdx_guest.td.vcpu[0].cpu = 1;
	assert_int_equal(td_vcpu_flush(&tdx_guest.td, 0, &why), 0);
	assert_int_equal(tdx_guest_enter(0, 3, &r), REASON_EXTERNAL_INTERRUPT);
	destroy();
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

/* ---- memory ---- */

static uint64_t calls_before[TDH_LEAF_COUNT];

static void count_from_here(void) { memcpy(calls_before, tdx_world.calls, sizeof(calls_before)); }

static uint64_t calls(uint32_t leaf) { return tdx_world.calls[leaf] - calls_before[leaf]; }

static bool is_clear(gfn_t gfn)
{
	const uint8_t *page = phys_to_virt(tdx_guest.ram + (gfn << PAGE_SHIFT));

	return page[0] == 0 && memcmp(page, page + 1, PAGE_SIZE - 1) == 0;
}

static frame_owner_t owner_at(gfn_t gfn) { return frame_owner(tdx_guest.ram + (gfn << PAGE_SHIFT)); }

/* Many BLOCKs, one TRACK and kick, many REMOVEs; a page comes back clear and ours. */
static void conversions_are_batched(void **state)
{
	(void)state;
	build();
	assert_int_equal(owner_at(0), OWNER_TD(TDX_GUEST_VM));
	assert_int_equal(owner_at(2), OWNER_VM(TDX_GUEST_VM));
	for (gfn_t gfn = 2; gfn < 40; gfn++)
		assert_int_equal(tdx_guest_fault(gfn), FAULT_MAPPED);
	count_from_here();
	tdx_world.kicks = 0;
	assert_int_equal(tdx_guest_convert(0, 40, false), 0);
	assert_int_equal(calls(TDH_MEM_RANGE_BLOCK), 40);
	assert_int_equal(calls(TDH_MEM_TRACK), 1);
	assert_int_equal(tdx_world.kicks, 1);
	assert_int_equal(calls(TDH_MEM_PAGE_REMOVE), 40);
	assert_int_equal(calls(TDH_PHYMEM_PAGE_WBINVD), 40);
	for (gfn_t gfn = 0; gfn < 40; gfn++) {
		assert_int_equal(owner_at(gfn), OWNER_VM(TDX_GUEST_VM));
		assert_true(is_clear(gfn));
	}
	assert_null(tdx_guest_differs());
	destroy();
}

/* A part of a 2M page: it is demoted, and stays in small pages when the part is private again. */
static void parts_of_large_pages(void **state)
{
	(void)state;
	build();
	count_from_here();
	assert_int_equal(tdx_guest_fault(1024 + 9), FAULT_MAPPED);
	assert_int_equal(calls(TDH_MEM_PAGE_AUG), 1);
	assert_int_equal(owner_at(1024 + 511), OWNER_TD(TDX_GUEST_VM));
	assert_int_equal(tdx_guest_convert(1024 + 5, 2, false), 0);
	assert_int_equal(calls(TDH_MEM_PAGE_DEMOTE), 1);
	assert_int_equal(calls(TDH_MEM_RANGE_BLOCK), 3);
	assert_int_equal(calls(TDH_MEM_TRACK), 2);
	assert_int_equal(calls(TDH_MEM_PAGE_REMOVE), 2);
	assert_int_equal(owner_at(1024 + 5), OWNER_VM(TDX_GUEST_VM));
	assert_int_equal(owner_at(1024 + 7), OWNER_TD(TDX_GUEST_VM));
	assert_int_equal(tdx_guest_convert(1024 + 5, 2, true), 0);
	assert_int_equal(tdx_guest_fault(1024 + 5), FAULT_MAPPED);
	assert_null(tdx_guest_differs());
	assert_null(tdx_world_owners_wrong(true));
	/* All of it, large, in one. */
	assert_int_equal(tdx_guest_fault(1536), FAULT_MAPPED);
	count_from_here();
	assert_int_equal(tdx_guest_convert(1536, 512, false), 0);
	assert_int_equal(calls(TDH_MEM_RANGE_BLOCK) + calls(TDH_MEM_TRACK) + calls(TDH_MEM_PAGE_REMOVE), 3);
	assert_int_equal(calls(TDH_PHYMEM_PAGE_WBINVD), 512);
	assert_int_equal(calls(TDH_MEM_PAGE_DEMOTE) + tdx_world.calls[TDH_MEM_PAGE_PROMOTE], 0);
	for (uint32_t leaf = 0; leaf < TDH_LEAF_COUNT; leaf++)
		assert_int_equal(tdx_counts[leaf].repeats, 0);
	destroy();
}

/* ---- refusals ---- */

static void refusals(void **state)
{
	struct td_config config = { .attributes = TDX_ATTR_SEPT_VE_DISABLE, .xfam = 3, .max_vcpus = 1, .tsc_units = 40 };
	static struct td tds[WORLD_HKIDS];
	uint64_t before = tdx_world_free_frames();

	(void)state;
	config.tsc_units = 3;
	assert_int_equal(td_create(&tds[0], 1, &config, &why), -EINVAL);
	assert_non_null(strstr(why.text, "75 MHz"));
	config.tsc_units = 40;
	config.attributes = BIT(7);
	assert_int_equal(td_create(&tds[0], 1, &config, &why), -EINVAL);
	assert_non_null(strstr(why.text, "ATTRIBUTES"));
	config.attributes = 0;
	assert_int_equal(tdx_world_free_frames(), before);
	for (uint32_t i = 0; i < WORLD_HKIDS - 1; i++)
		assert_int_equal(td_create(&tds[i], i + 1, &config, &why), 0);
	assert_int_equal(td_create(&tds[WORLD_HKIDS - 1], WORLD_HKIDS, &config, &why), -EBUSY);
	assert_non_null(strstr(why.text, "every key"));
	assert_true(td_finalize(&tds[0], &why) < 0);
	assert_non_null(strstr(why.text, "no vCPU"));
	for (uint32_t i = 0; i < WORLD_HKIDS; i++)
		assert_int_equal(td_end(&tds[i], NULL, &why), 0);
	assert_int_equal(tdx_world_free_frames(), before);
	assert_null(tdx_world_owners_wrong(true));
	/* Without memory, however far it comes. */
	for (uint64_t n = 0; n < 8; n++) {
		tdx_world.frames_left = n;
		assert_int_equal(td_create(&tds[0], 1, &config, &why), -ENOMEM);
		tdx_world.frames_left = ~(uint64_t)0;
		assert_int_equal(tdx_world_free_frames(), before);
		assert_int_equal(tdx_hkids_free(), WORLD_HKIDS - 1);
		/* The same for want of page tables of the hypervisor's. */
		tdx_world.tables_left = n ? n - 1 : 0;
		assert_int_equal(td_create(&tds[0], 1, &config, &why), -ENOMEM);
		tdx_world.tables_left = ~(uint64_t)0;
		assert_int_equal(tdx_world_free_frames(), before);
		assert_null(tdx_world_owners_wrong(true));
	}
}

/* Private memory that cannot be taken out of the hypervisor's map is given to no module. */
static void no_table_for_the_map(void **state)
{
	(void)state;
	build();
	tdx_world.tables_left = 0;
	assert_int_equal(tdx_guest_fault(1024), FAULT_BROKEN);
	tdx_world.tables_left = ~(uint64_t)0;
	assert_non_null(strstr(tdx_guest.td.broken, "out of the hypervisor's map"));
	assert_int_equal(owner_at(1024), OWNER_VM(TDX_GUEST_VM));
	assert_null(tdx_world_owners_wrong(true));
	destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(module_starts, start, end),
		cmocka_unit_test_setup_teardown(td_lives, ready, end),
		cmocka_unit_test_setup_teardown(ten_lives, ready, end),
		cmocka_unit_test_setup_teardown(conversions_are_batched, ready, end),
		cmocka_unit_test_setup_teardown(parts_of_large_pages, ready, end),
		cmocka_unit_test_setup_teardown(refusals, ready, end),
		cmocka_unit_test_setup_teardown(no_table_for_the_map, ready, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
