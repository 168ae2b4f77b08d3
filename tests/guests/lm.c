/*
 * Proves the way out of 64-bit mode to protected mode without paging and back, as a kernel's start-up code
 * for other CPUs takes it: EFER.LME may stay on, the tables may change meanwhile, and what was written
 * without paging is there afterwards.
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/mode32.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "lm";

#define VIEW (200ul << 39)
#define ROUNDS 32

static uint32_t at(uint64_t p) { return (uint32_t)p; }

/* Without paging, with PAE as it may be and LME as asked for: a store, a load and a jump. */
static void test_round(unsigned round, uint64_t page)
{
	struct mode32 m = { .cr4 = round & 1 ? (uint32_t)CR4_PAE : 0, .efer = round & 2 ? (uint32_t)EFER_LME : 0 };
	struct op32 ops[] = {
		{ .kind = OP_STORE, .address = at(page), .value = round * 0x01010101u },
		{ .kind = OP_LOAD, .address = at(page) },
		{ .kind = OP_STORE, .address = at(page) + 4, .value = 0x0b0f0b0fu },
		{ .kind = OP_CALL, .address = at(page) + 4 },
	};
	bool good;

	mode32(&m, ops, ARRAY_LEN(ops));
	good = !m.entry.vector && !ops[0].vector && ops[1].value == round * 0x01010101u && !ops[3].vector &&
	       !(m.cr0_seen & CR0_PG) && *(volatile uint32_t *)page == round * 0x01010101u;
	if (!good || round == ROUNDS - 1)
		report(good, "out-and-back", "round %u: entry %x, read %x, jump %x", round, op32_fault(&m.entry),
		       ops[1].value, op32_fault(&ops[3]));
}

/* A table of the 64-bit map changes while paging is off; turning paging on flushes everything. */
static void test_tables_change(uint64_t a, uint64_t b)
{
	volatile uint64_t *view = (volatile uint64_t *)VIEW;
	struct mode32 m = { .efer = (uint32_t)EFER_LME };
	struct op32 op = { .kind = OP_STORE };
	uint64_t *entry;

	*(volatile uint64_t *)a = 1;
	*(volatile uint64_t *)b = 2;
	page_map(VIEW, a, PTE_P | PTE_W);
	report_equal("view-before", *view, 1);
	entry = page_entry_at(VIEW);
	op.address = at((uint64_t)entry);
	op.value = at(b) | PTE_P | PTE_W;
	mode32(&m, &op, 1);
	report_equal("view-after", *view, 2);
	op.value = 0;
	mode32(&m, &op, 1);
	report_vector("view-gone", TRY("movq (%0), %%rax", : : "r"(VIEW) : "rax", "memory"), VEC_PF);
}

/* Beyond 4 GiB nothing is to be seen without paging; the same linear address is the same memory. */
static void test_wrap(uint64_t page)
{
	struct mode32 m = { 0 };
	struct op32 op = { .kind = OP_LOAD, .address = 0xfffff000u };

	*(volatile uint32_t *)page = 0x600d;
	mode32(&m, &op, 1);
	report_equal("no-memory-reads-ones", op.value, UINT32_MAX);
	op = (struct op32){ .kind = OP_LOAD, .address = at(page) };
	mode32(&m, &op, 1);
	report_equal("same-memory", op.value, 0x600d);
}

void guest_main(void)
{
	uint64_t a = fresh_memory(), b = fresh_memory();

	for (unsigned round = 0; round < ROUNDS; round++)
		test_round(round, a);
	test_tables_change(a, b);
	test_wrap(a);
	report_equal("efer", rdmsr(MSR_EFER) & (EFER_LME | EFER_LMA | EFER_NXE), EFER_LME | EFER_LMA | EFER_NXE);
}
