/* sources: tdx/soft/ hv/base/digest.c hv/base/failure.c hv/base/format.c vmx/core/inject.c tests/unit/soft_world.c tests/unit/soft_cpu.c tests/unit/soft_tree.c */
/*
 * Measurements of the software TDX module: MRTD and run-time registers as an independent SHA-384 has them, and
 * reports. Conformance checks 21 and 22.
 */
#include "tests/unit/soft_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/digest.h"
#include "tdx/abi/report.h"
#include "tests/unit/sha384sum.h"

#define GPA GIB(5)

/* What a verifier would digest, collected beside what the host does. */
static uint8_t log_bytes[1 << 20];
static size_t log_len;

static void log_record(const char *name, gpa_t gpa)
{
	memset(log_bytes + log_len, 0, 128);
	memcpy(log_bytes + log_len, name, strlen(name));
	memcpy(log_bytes + log_len + 16, &gpa, 8);
	log_len += 128;
}

static void add(gpa_t gpa, uint8_t byte)
{
	tree_add(&tree_td, gpa, byte);
	log_record("MEM.PAGE.ADD", gpa);
}

static uint64_t extend(gpa_t gpa) { return sc(0, TDH_MR_EXTEND, gpa, tree_td.tdr, 0, 0); }

static void extend_all(gpa_t page, uint8_t byte)
{
	for (gpa_t gpa = page; gpa < page + PAGE_SIZE; gpa += 256) {
		assert_int_equal(extend(gpa), SUCCESS);
		log_record("MR.EXTEND", gpa);
		memset(log_bytes + log_len, byte, 256);
		log_len += 256;
	}
}

static void finalize(void) { assert_int_equal(sc(0, TDH_MR_FINALIZE, tree_td.tdr, 0, 0, 0), SUCCESS); }

static void build_two_pages(gpa_t first, gpa_t second)
{
	log_len = 0;
	add(first, 1);
	add(second, 2);
	extend_all(second, 2);
}

static void mrtd_is_what_was_built(void **state)
{
	uint8_t expected[48];

	(void)state;
	build_two_pages(GPA, GPA + PAGE_SIZE);
	finalize();
	sha384sum(log_bytes, log_len, expected);
	assert_memory_equal(td_tdcs(&tree_td)->mrtd, expected, 48);
	assert_int_equal(sc(0, TDH_MR_FINALIZE, tree_td.tdr, 0, 0, 0), ST(0xc0000608, 0));
}

static void mrtd_of_nothing(void **state)
{
	uint8_t expected[48];

	(void)state;
	finalize();
	sha384sum("", 0, expected);
	assert_memory_equal(td_tdcs(&tree_td)->mrtd, expected, 48);
}

/* Check 22: the order counts, and each EXTEND. */
static void mrtd_tells_builds_apart(void **state)
{
	uint8_t first[48], expected[48];

	(void)state;
	build_two_pages(GPA, GPA + PAGE_SIZE);
	finalize();
	memcpy(first, td_tdcs(&tree_td)->mrtd, 48);
	tree_build(state);
	build_two_pages(GPA + PAGE_SIZE, GPA);
	finalize();
	assert_memory_not_equal(td_tdcs(&tree_td)->mrtd, first, 48);
	tree_build(state);
	build_two_pages(GPA, GPA + PAGE_SIZE);
	assert_int_equal(extend(GPA), SUCCESS);
	log_record("MR.EXTEND", GPA);
	memset(log_bytes + log_len, 1, 256);
	log_len += 256;
	finalize();
	assert_memory_not_equal(td_tdcs(&tree_td)->mrtd, first, 48);
	sha384sum(log_bytes, log_len, expected);
	assert_memory_equal(td_tdcs(&tree_td)->mrtd, expected, 48);
}

/* Check 21. */
static void extend_operands(void **state)
{
	hpa_t pending, page;

	(void)state;
	add(GPA, 1);
	assert_int_equal(extend(GPA + 128), ST(0xc0000100, 1));
	assert_int_equal(extend(GPA | WORLD_SHARED), ST(0xc0000100, 1));
	assert_int_equal(extend(GPA | BIT(60)), ST(0xc0000100, 1));
	assert_int_equal(extend(GPA + PAGE_SIZE), ST(0xc0000b03, 1));
	assert_int_equal(out.gpr[TDX_RCX], SEEN_FREE);
	assert_int_equal(out.gpr[TDX_RDX], 0);
	assert_int_equal(extend(GPA + GIB(1)), ST(0xc0000b03, 1));
	assert_int_equal(out.gpr[TDX_RDX], 2);
	pending = tree_aug(&tree_td, GPA + PAGE_SIZE, SOFT_4K);
	assert_int_equal(extend(GPA + PAGE_SIZE), ST(0xc0000b03, 1));
	assert_int_equal(out.gpr[TDX_RCX], SEEN_NO_ACCESS(pending));
	assert_int_equal(out.gpr[TDX_RDX], 0x200);
	page = tree_add(&tree_td, GPA + 2 * PAGE_SIZE, 1);
	tree_block(&tree_td, GPA + 2 * PAGE_SIZE, SOFT_4K);
	assert_int_equal(extend(GPA + 2 * PAGE_SIZE), ST(0xc0000b03, 1));
	assert_int_equal(out.gpr[TDX_RCX], SEEN_NO_ACCESS(page));
	finalize();
	assert_int_equal(extend(GPA), ST(0xc0000608, 0));
}

/* ---- the guest's calls ---- */

static struct tdg_call last;
static enum tdg_end last_end;

static uint64_t tdg(guest_leaf_fn leaf, uint64_t rcx, uint64_t rdx, uint64_t r8)
{
	last_end = guest_call(&tree_td, leaf, rcx, rdx, r8, &last);
	return last_end == TDG_DONE ? last.status : 1;
}

static void rtmrs(void **state)
{
	uint8_t both[96] = { 0 }, expected[48];
	hpa_t page;

	(void)state;
	page = tree_add(&tree_td, GPA, 0x77);
	tree_aug(&tree_td, GPA + PAGE_SIZE, SOFT_4K);
	finalize();
	for (int i = 0; i < 2; i++) {
		memset(world_at(page + 64), 0x40 + i, 48);
		memset(both + 48, 0x40 + i, 48);
		assert_int_equal(tdg(tdg_mr_rtmr_extend, GPA + 64, 2, 0), SUCCESS);
		sha384sum(both, sizeof(both), expected);
		assert_memory_equal(td_tdcs(&tree_td)->rtmr[2], expected, 48);
		memcpy(both, expected, 48);
	}
	memset(expected, 0, 48);
	assert_memory_equal(td_tdcs(&tree_td)->rtmr[3], expected, 48);
	assert_int_equal(tdg(tdg_mr_rtmr_extend, GPA + 32, 2, 0), ST(0xc0000100, 1));
	assert_int_equal(tdg(tdg_mr_rtmr_extend, GPA | WORLD_SHARED, 2, 0), ST(0xc0000100, 1));
	assert_int_equal(tdg(tdg_mr_rtmr_extend, GPA, 4, 0), ST(0xc0000100, 2));
	assert_int_equal(tdg(tdg_mr_rtmr_extend, GPA, BIT(32), 0), ST(0xc0000100, 2));
	tdg(tdg_mr_rtmr_extend, GPA + PAGE_SIZE, 0, 0);
	assert_int_equal(last_end, TDG_FAULT);
	assert_int_equal(last.gpa, GPA + PAGE_SIZE);
	assert_false(last.write);
	assert_true(sharex_try(&td_tdcs(&tree_td)->rtmr_lock, LOCK_SHARED));
	assert_int_equal(tdg(tdg_mr_rtmr_extend, GPA, 0, 0), ST(0x80000200, 168));
	sharex_release(&td_tdcs(&tree_td)->rtmr_lock, LOCK_SHARED);
}

static void report(void **state)
{
	struct tdx_report *r;
	uint8_t expected[48], mac[32];
	hpa_t page;

	(void)state;
	page = tree_add(&tree_td, GPA, 0x77);
	finalize();
	assert_int_equal(tdg(tdg_mr_rtmr_extend, GPA, 1, 0), SUCCESS);
	memset(world_at(page), 0xcd, 64);
	assert_int_equal(tdg(tdg_mr_report, GPA + 1024, GPA, 0), SUCCESS);
	r = world_at(page + 1024);
	assert_int_equal(r->mac.type, 0x81);
	assert_memory_equal(r->mac.report_data, world_at(page), 64);
	assert_int_equal(r->td.attributes, td_tdcs(&tree_td)->attributes);
	assert_int_equal(r->td.xfam, td_tdcs(&tree_td)->xfam);
	assert_memory_equal(r->td.mrtd, td_tdcs(&tree_td)->mrtd, 48);
	assert_memory_equal(r->td.rtmr, td_tdcs(&tree_td)->rtmr, sizeof(r->td.rtmr));
	sha384sum((uint8_t *)r + 512, 512, expected);
	assert_memory_equal(r->mac.tee_info_hash, expected, 48);
	sha384sum("SOFT-TDX: protects nobody", 25, expected);
	assert_memory_equal(r->tcb.mrseam, expected, 48);
	assert_int_not_equal(r->tcb.attributes, 0);
	sha384sum((uint8_t *)r + 256, 239, expected);
	assert_memory_equal(r->mac.tee_tcb_info_hash, expected, 48);
	hmac_sha256(world.m.mac_key, sizeof(world.m.mac_key), r, 224, mac);
	assert_memory_equal(r->mac.mac, mac, 32);
}

static void report_operands(void **state)
{
	(void)state;
	tree_add(&tree_td, GPA, 0x77);
	tree_aug(&tree_td, GPA + PAGE_SIZE, SOFT_4K);
	finalize();
	assert_int_equal(tdg(tdg_mr_report, GPA + 512, GPA, 0), ST(0xc0000100, 1));
	assert_int_equal(tdg(tdg_mr_report, GPA, GPA + 32, 0), ST(0xc0000100, 2));
	assert_int_equal(tdg(tdg_mr_report, GPA, GPA, 1), ST(0xc0000100, 8));
	assert_int_equal(tdg(tdg_mr_report, GPA, GPA | BIT(52), 0), ST(0xc0000100, 2));
	tdg(tdg_mr_report, GPA, GPA + PAGE_SIZE, 0);
	assert_int_equal(last_end, TDG_FAULT);
	assert_false(last.write);
	tdg(tdg_mr_report, GPA + PAGE_SIZE, GPA, 0);
	assert_int_equal(last_end, TDG_FAULT);
	assert_true(last.write);
	assert_int_equal(last.gpa, GPA + PAGE_SIZE);
	assert_true(sharex_try(&td_tdcs(&tree_td)->rtmr_lock, LOCK_EXCLUSIVE));
	assert_int_equal(tdg(tdg_mr_report, GPA, GPA, 0), ST(0x80000200, 168));
	sharex_release(&td_tdcs(&tree_td)->rtmr_lock, LOCK_EXCLUSIVE);
}

/* The same out of and into memory that the guest shares with the host. */
static void report_in_shared_memory(void **state)
{
	hpa_t table = MIB(70), data = MIB(71), page = MIB(72), large = MIB(74);
	gpa_t gpa = WORLD_SHARED | GPA;

	(void)state;
	finalize();
	assert_int_equal(tdg(tdg_mr_report, gpa, gpa, 0), 1); /* no tables yet */
	assert_int_equal(last_end, TDG_FAULT);
	((uint64_t *)world_at(table))[gpa >> 39 & 511] = (table + 0x1000) | 7;
	((uint64_t *)world_at(table + 0x1000))[gpa >> 30 & 511] = (table + 0x2000) | 7;
	((uint64_t *)world_at(table + 0x2000))[0] = (table + 0x3000) | 7;
	((uint64_t *)world_at(table + 0x2000))[1] = large | 0xb7;
	((uint64_t *)world_at(table + 0x3000))[0] = data | 0x31; /* read only */
	((uint64_t *)world_at(table + 0x3000))[1] = page | 0x37;
	((uint64_t *)world_at(table + 0x3000))[2] = tree_td.tdr | 0x37; /* the module's: not for sharing */
	td_vp(&tree_td, 0)->shared_eptp = table;
	memset(world_at(data + 64), 0x99, 64);
	assert_int_equal(tdg(tdg_mr_report, gpa + PAGE_SIZE + 2048, gpa + 64, 0), SUCCESS);
	assert_int_equal(*(uint8_t *)world_at(page + 2048), 0x81);
	assert_int_equal(tdg(tdg_mr_report, gpa + MIB(2) + MIB(1), gpa + 64, 0), SUCCESS);
	assert_memory_equal(world_at(page + 2048), world_at(large + MIB(1)), 1024);
	tdg(tdg_mr_report, gpa, gpa + 64, 0);
	assert_int_equal(last_end, TDG_FAULT);
	assert_true(last.write);
	tdg(tdg_mr_report, gpa + 2 * PAGE_SIZE, gpa + 64, 0);
	assert_int_equal(last_end, TDG_FAULT);
	assert_int_equal(tdg(tdg_mr_rtmr_extend, gpa + 64, 0, 0), ST(0xc0000100, 1));
	assert_int_equal(tdg(tdg_mr_report, gpa, BIT(WORLD_GPA_BITS) | gpa, 0), ST(0xc0000100, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mrtd_is_what_was_built, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(mrtd_of_nothing, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(mrtd_tells_builds_apart, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(extend_operands, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(rtmrs, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(report, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(report_operands, tree_build, tree_end),
		cmocka_unit_test_setup_teardown(report_in_shared_memory, tree_build, tree_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
