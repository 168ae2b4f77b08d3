/*
 * Proves a TD's memory: what is accepted and what not, pages that change between private and shared by 4K out
 * of 2M and back, that a neighbour keeps its contents meanwhile, and that a converted page comes back as zeros.
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"
#include "tests/guests/td/lib/td.h"

const char guest_name[] = "tdmem";

#define WINDOW 0x10000000 /* gva of pages that are mapped shared */
#define STORM 64          /* conversions there and back */

static bool filled(uint64_t gpa, uint64_t value)
{
	const volatile uint64_t *p = (const volatile uint64_t *)gpa;

	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		if (p[i] != value)
			return false;
	return true;
}

static void fill(uint64_t gpa, uint64_t value)
{
	volatile uint64_t *p = (volatile uint64_t *)gpa;

	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		p[i] = value;
}

static void check_accept(uint64_t big)
{
	report_equal("accept-again-2m", td_accept(big, 1), TDX_PAGE_ALREADY_ACCEPTED | 1);
	report_equal("accept-4k-of-2m", td_accept(big, 0), TDX_PAGE_ALREADY_ACCEPTED | 1);
	report_equal("accept-1g", td_accept(0, 2), TDX_OPERAND_INVALID | TDX_RCX);
	report_equal("accept-unaligned", td_accept(big + PAGE_SIZE, 1), TDX_OPERAND_INVALID | TDX_RCX);
	report_equal("accept-shared", td_accept(big | td_shared_bit, 0), TDX_OPERAND_INVALID | TDX_RCX);
	report_equal("accept-table", td_accept(0, 1), TDX_PAGE_SIZE_MISMATCH | TDX_RCX);
	report_equal("accept-4k-again", td_accept(0, 0), TDX_PAGE_ALREADY_ACCEPTED);
}

/* One 4K page of a 2M page that is accepted whole. */
static void check_conversion(uint64_t big)
{
	uint64_t page = big + 5 * PAGE_SIZE;

	for (unsigned i = 0; i < 8; i++)
		fill(big + i * PAGE_SIZE, 0x1111111111111111 * i);
	report_equal("to-shared", td_map_gpa(page | td_shared_bit, PAGE_SIZE), GHCI_OK);
	td_map_shared(WINDOW, page);
	fill(WINDOW, 0xabcdef);
	CHECK("shared-keeps", filled(WINDOW, 0xabcdef));
	for (unsigned i = 0; i < 8; i++)
		if (i != 5)
			report(filled(big + i * PAGE_SIZE, 0x1111111111111111 * i), "neighbour", "page %u changed", i);
	report_equal("to-private", td_map_gpa(page, PAGE_SIZE), GHCI_OK);
	page_map(WINDOW, 0, 0);
	report_equal("accept", td_accept(page, 0), TDX_SUCCESS);
	CHECK("accepted-is-zero", filled(page, 0));
	fill(page, 7);
	CHECK("private-keeps", filled(page, 7));
	report_equal("accept-2m-over-4k", td_accept(big, 1), TDX_PAGE_SIZE_MISMATCH | TDX_RCX);
}

/* All of a 2M page, which was never cut: it goes and comes back whole. */
static void check_whole(uint64_t big)
{
	fill(big + MIB(1), 3);
	report_equal("whole-to-shared", td_map_gpa(big | td_shared_bit, MIB(2)), GHCI_OK);
	td_map_shared(WINDOW, big + MIB(1));
	fill(WINDOW, 9);
	CHECK("whole-shared", filled(WINDOW, 9));
	report_equal("whole-to-private", td_map_gpa(big, MIB(2)), GHCI_OK);
	page_map(WINDOW, 0, 0);
	report_equal("whole-accept", td_accept(big, 1), TDX_SUCCESS);
	CHECK("whole-is-zero", filled(big, 0) && filled(big + MIB(1), 0) && filled(big + MIB(2) - PAGE_SIZE, 0));
}

static void check_storm(uint64_t big)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < STORM; i++) {
		uint64_t page = big + (i * 37 % 512) * PAGE_SIZE;

		bad += td_map_gpa(page | td_shared_bit, PAGE_SIZE) != GHCI_OK;
		td_map_shared(WINDOW, page);
		fill(WINDOW, i);
		bad += !filled(WINDOW, i) || td_map_gpa(page, PAGE_SIZE) != GHCI_OK;
		bad += td_accept(page, 0) != TDX_SUCCESS || !filled(page, 0);
	}
	report_equal("storm", bad, 0);
}

static void check_host_refuses(void)
{
	CHECK("map-no-memory", td_map_gpa(GIB(4) - MIB(64), PAGE_SIZE) != GHCI_OK);
	report_equal("map-nothing", td_map_gpa(MIB(32), 0), GHCI_INVALID_OPERAND);
	CHECK("map-wraps", td_map_gpa(MIB(32), ~0ul << 12) != GHCI_OK);
}

void guest_main(void)
{
	check_accept(fresh_memory());
	check_conversion(fresh_memory());
	check_whole(fresh_memory());
	check_storm(fresh_memory());
	check_host_refuses();
}
