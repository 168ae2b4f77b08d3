/* sources: tdx/soft/ tdx/module.c tdx/module_memory.c tdx/tdmr.c tdx/seamcall.c tdx/status.c tdx/td.c tdx/td_vcpu.c tdx/sept.c mmu/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/tdx_world.c tests/unit/tdx_guest.c tests/unit/soft_cpu.c */
/*
 * Start-up of a TDX module that is absent, too old, not configured, or fails at any of its calls: a sentence, and
 * the machine goes on with the memory it had.
 */
#include "tests/unit/tdx_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/support.h"

static struct failure why;

static int start(void **state)
{
	(void)state;
	tdx_world_start();
	return 0;
}

static int end(void **state)
{
	(void)state;
	tdx_world_end();
	return 0;
}

static void expect(const char *words)
{
	memset(&why, 0, sizeof(why));
	assert_true(tdx_module_start(&tdx_world.machine, &why) < 0);
	if (!strstr(why.text, words))
		fail_msg("\"%s\" does not say: %s", why.text, words);
	assert_false(tdx_module.ready);
	assert_string_equal(tdx_module.why_not, why.text);
}

/* ---- what it tells of itself ---- */

static uint64_t told_field, told_value;

static bool tell(uint64_t field, uint64_t *value)
{
	if (field != told_field)
		return false;
	*value = told_value;
	return true;
}

static void expect_told(uint64_t field, uint64_t value, const char *words)
{
	tdx_world_start();
	tdx_world.field = tell;
	told_field = field;
	told_value = value;
	expect(words);
	assert_int_equal(tdx_world_free_frames(), WORLD_RAM_BYTES / PAGE_SIZE);
}

static void unfit_modules(void **state)
{
	(void)state;
	expect_told(TDX_SYS_MINOR, 0, "version 1.0, too old");
	expect_told(TDX_SYS_MAJOR, 0, "version 0.5, too old");
	expect_told(TDX_SYS_TDCS_BASE_SIZE, 40 * PAGE_SIZE, "wants 40 pages for a TD");
	expect_told(TDX_SYS_TDVPS_BASE_SIZE, 0, "0 for a vCPU");
	expect_told(TDX_SYS_NUM_CPUID_CONFIG, 49, "49 CPUID leafs");
	expect_told(TDX_SYS_MAX_TDMRS, 0, "takes no memory");
	expect_told(TDX_SYS_NUM_CMRS, 0, "none of the machine's memory is convertible");
	expect_told(TDX_SYS_CMR_SIZE + 1, MIB(2), "there is no run of");
	expect_told(TDX_SYS_PAMT_4K_ENTRY_SIZE, 8, "INVALID_PAMT");
}

/* ---- calls that fail ---- */

static void go_wrong(uint32_t leaf, uint32_t after, uint32_t times, uint64_t status)
{
	tdx_world_start();
	tdx_world.wrong = (struct tdx_wrong){ .leaf = leaf, .after = after, .times = times, .status = status };
}

static void in_words(void **state)
{
	(void)state;
	go_wrong(TDH_SYS_INIT, 0, 1, TDX_NO_MODULE);
	expect("no TDX module is loaded");
	go_wrong(TDH_SYS_INIT, 0, 1, TDX_SYS_INIT_NOT_PENDING);
	expect("was started before");
	go_wrong(TDH_SYS_LP_INIT, 2, 1, TDX_INCONSISTENT_MSR | 0x3b);
	expect("does not take CPU 2");
	go_wrong(TDH_SYS_LP_INIT, 3, 1, TDX_INCONSISTENT_CPUID_FIELD);
	expect("CPUID leaf");
	go_wrong(TDH_SYS_RD, 0, 1, TDX_METADATA_FIELD_ID_INCORRECT);
	expect("does not tell its field");
	go_wrong(TDH_SYS_KEY_CONFIG, 1, UINT32_MAX, TDX_KEY_GENERATION_FAILED);
	expect("could not make a key");
	go_wrong(TDH_SYS_TDMR_INIT, 100, 1, TDX_OPERAND_INVALID | TDX_RCX);
	expect("for RCX");
}

/* What start-up calls: all that tdx/tdh.h has for it. */
static uint32_t leafs[TDH_LEAF_COUNT];
static size_t leaf_count;

static int know_leafs(void **state)
{
	bool made[TDH_LEAF_COUNT] = { false };

	tdx_world_host_leafs(true, made);
	leaf_count = 0;
	for (uint32_t leaf = 0; leaf < TDH_LEAF_COUNT; leaf++)
		if (made[leaf])
			leafs[leaf_count++] = leaf;
	assert_true(leaf_count > 5);
	return start(state);
}

/* What is busy for a while starts all the same. */
static void busy(void **state)
{
	(void)state;
	for (size_t i = 0; i < leaf_count; i++)
		for (uint32_t after = 0; after < 2; after++) {
			go_wrong(leafs[i], after, TDX_BUSY_TRIES - 1, i % 2 ? TDX_SYS_BUSY : TDX_RND_NO_ENTROPY);
			assert_int_equal(tdx_module_start(&tdx_world.machine, &why), 0);
			assert_int_equal(tdx_counts[leafs[i]].repeats, tdx_world.wrong.done);
		}
}

/* From a call on, always that status: frames are all free, or what the module has been given is on record as its. */
static void fails_from(uint32_t leaf, uint32_t after, uint64_t status)
{
	uint64_t given;

	go_wrong(leaf, after, UINT32_MAX, status);
	expect("");
	given = frame_count(OWNER_PAMT);
	assert_true(given == 0 || leaf == TDH_SYS_KEY_CONFIG || leaf == TDH_SYS_TDMR_INIT);
	assert_int_equal(tdx_world_free_frames() + given, WORLD_RAM_BYTES / PAGE_SIZE);
	assert_null(tdx_world_owners_wrong(true));
}

static void any_class(void **state)
{
	static const uint32_t high[] = { 0x80000200, 0x80000003, 0xe0000604, 0xc0000505, 0xdead0000, 0xffffffff };
	uint64_t calls[TDH_LEAF_COUNT];

	(void)state;
	assert_int_equal(tdx_module_start(&tdx_world.machine, &why), 0);
	memcpy(calls, tdx_world.calls, sizeof(calls));
	for (size_t i = 0; i < leaf_count; i++)
		for (size_t c = 0; c < ARRAY_LEN(high); c++) {
			fails_from(leafs[i], 0, (uint64_t)high[c] << 32);
			fails_from(leafs[i], (uint32_t)calls[leafs[i]] - 1, (uint64_t)high[c] << 32);
		}
}

static void out_of_memory(void **state)
{
	uint64_t n = 0;

	(void)state;
	for (;; n++) {
		tdx_world_start();
		tdx_world.frames_left = n;
		if (!tdx_module_start(&tdx_world.machine, &why))
			break;
		assert_int_equal(tdx_world_free_frames(), WORLD_RAM_BYTES / PAGE_SIZE);
	}
	assert_int_equal(n, 2); /* the PAMTs, and the list of TDMRs */
	for (n = 0;; n++) {
		tdx_world_start();
		tdx_world.tables_left = n;
		if (!tdx_module_start(&tdx_world.machine, &why))
			break;
		assert_non_null(strstr(why.text, "page tables"));
		assert_int_equal(tdx_world_free_frames(), WORLD_RAM_BYTES / PAGE_SIZE);
	}
	assert_true(n);
}

/* ---- statuses ---- */

static void every_status(void **state)
{
#define X(name, high) { (uint64_t)(high) << 32, #name },
	static const struct {
		uint64_t status;
		const char *name;
	} all[] = { TDX_STATUSES(X) };
#undef X

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		enum tdx_class class = tdx_status_class(all[i].status | 7);

		assert_string_equal(tdx_status_name(all[i].status | 7), all[i].name);
		assert_true(strlen(tdx_status_text(all[i].status)) > 3);
		/* An error is never taken for success, nor the other way round. */
		assert_int_equal(class <= TDX_CLASS_INFORMATIONAL, !(all[i].status & (TDX_ERROR | TDX_NON_RECOVERABLE)));
		if (all[i].status & TDX_FATAL)
			assert_int_equal(class, TDX_CLASS_FATAL);
		assert_true((tdx_errno(all[i].status) == 0) == (class <= TDX_CLASS_INFORMATIONAL));
	}
	assert_int_equal(tdx_status_class(0xc0001234ul << 32), TDX_CLASS_BUG);
	assert_int_equal(tdx_status_class(0xe0001234ul << 32), TDX_CLASS_FATAL);
	assert_int_equal(tdx_status_class(0x00001234ul << 32), TDX_CLASS_INFORMATIONAL);
	assert_int_equal(tdx_status_class(TDX_NO_MODULE), TDX_CLASS_BUG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(unfit_modules, start, end),
		cmocka_unit_test_setup_teardown(in_words, start, end),
		cmocka_unit_test_setup_teardown(busy, know_leafs, end),
		cmocka_unit_test_setup_teardown(any_class, know_leafs, end),
		cmocka_unit_test_setup_teardown(out_of_memory, start, end),
		cmocka_unit_test(every_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
