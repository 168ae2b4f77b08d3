/*
 * Proves 32-bit paging, with 4 MiB pages and without: every combination of P, W and U in directory and
 * table, CR0.WP, and all accesses of both privileges, with error codes and accessed and dirty flags; tables
 * that change while they are in use; CR4.PSE turned on and off.
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/mode32.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/walk32.h"

const char guest_name[] = "pg32";

#define TARGET 0x40000000u
#define FLAGS (PTE_P | PTE_W | PTE_U)
#define TABLES 4 /* the first 16 MiB without 4 MiB pages */
#define ACCESSES 6
#define OPS_EACH 6
#define COMBOS 64
#define UD2 0x0b0f0b0fu
#define LARGE_RESERVED BIT(21)

static uint32_t dir[1024] __attribute__((aligned(4096)));
static uint32_t low[TABLES][1024] __attribute__((aligned(4096)));
static uint32_t table[1024] __attribute__((aligned(4096)));
static struct op32 ops[COMBOS * ACCESSES * OPS_EACH];
static uint32_t target, large_target; /* physical, at 4 KiB and at 4 MiB */

static uint32_t at(const void *p) { return (uint32_t)(uint64_t)p; }

/* The guest's own 16 MiB one to one, for both privileges. */
static void map_low(bool pse)
{
	for (uint32_t i = 0; i < TABLES; i++) {
		for (uint32_t j = 0; j < 1024; j++)
			low[i][j] = i << 22 | j << 12 | FLAGS;
		dir[i] = pse ? i << 22 | FLAGS | PTE_PS : at(low[i]) | FLAGS;
	}
}

static struct op32 *add(struct op32 *op, enum op32_kind kind, uint32_t address, uint32_t value)
{
	*op = (struct op32){ .kind = kind, .address = address, .value = value };
	return op + 1;
}

/* bits 2..0 of both: P W U. */
static struct walk32 combo(unsigned n, bool large, bool wp, enum op32_kind access)
{
	return (struct walk32){ .directory = n & 7, .table = n >> 3, .large = large, .wp = wp, .access = access };
}

/* Sets both entries, flushes, accesses, and looks at both entries. */
static struct op32 *add_access(struct op32 *op, const struct walk32 *w)
{
	uint32_t pde = (uint32_t)w->directory | (w->large ? large_target | (uint32_t)PTE_PS : at(table));

	op = add(op, OP_STORE, at(&dir[TARGET >> 22]), pde | (w->reserved ? (uint32_t)LARGE_RESERVED : 0));
	op = add(op, OP_STORE, at(&table[0]), target | (uint32_t)w->table);
	op = add(op, OP_INVLPG, TARGET, 0);
	op = add(op, w->access, TARGET, UD2);
	op = add(op, OP_LOAD, at(&dir[TARGET >> 22]), 0);
	return add(op, OP_LOAD, at(&table[0]), 0);
}

/* What is loaded is what lies there. */
static bool right(const struct op32 *op, const struct walk32 *w)
{
	bool load = w->access == OP_LOAD || w->access == OP_USER_LOAD;

	return walk32_right(w, op, TARGET) && (!load || walk32_expect(w) || op->value == UD2);
}

static void walk_all(bool pse, bool large, bool wp)
{
	struct mode32 m = { .cr0 = (uint32_t)(CR0_PG | (wp ? CR0_WP : 0)), .cr3 = at(dir),
			    .cr4 = pse ? (uint32_t)CR4_PSE : 0 };
	unsigned combos = large ? 8 : COMBOS, wrong = 0;
	struct op32 *op = ops;

	map_low(pse);
	for (unsigned i = 0; i < combos * ACCESSES; i++) {
		struct walk32 w = combo(i / ACCESSES, large, wp, i % ACCESSES);

		op = add_access(op, &w);
	}
	mode32(&m, ops, (unsigned)(op - ops));
	for (unsigned i = 0; i < combos * ACCESSES; i++) {
		struct walk32 w = combo(i / ACCESSES, large, wp, i % ACCESSES);
		const struct op32 *access = &ops[i * OPS_EACH + 3];

		if (!right(access, &w) && wrong++ < 4)
			print("  flags %lx %lx access %u: fault %x, want %x, cr2 %x, entries %x %x\n", w.directory,
			      w.table, w.access, op32_fault(access), walk32_expect(&w), access->cr2, access[1].value,
			      access[2].value);
	}
	print("  4M pages %s, page of %s, WP %u\n", pse ? "on" : "off", large ? "4M" : "4K", wp);
	report_equal("entered", op32_fault(&m.entry), 0);
	report_equal("as-the-sdm-says", wrong, 0);
}

/* With PSE off the bit that makes a 4 MiB page is ignored; in one, bit 21 is reserved. */
static void test_ps_bit(void)
{
	struct mode32 m = { .cr0 = (uint32_t)CR0_PG, .cr3 = at(dir) };
	struct walk32 w = { .directory = FLAGS | PTE_PS, .table = FLAGS, .access = OP_LOAD };
	struct op32 *access = &ops[3];

	map_low(false);
	add_access(ops, &w);
	mode32(&m, ops, OPS_EACH);
	report_equal("ps-ignored", op32_fault(access), 0);
	report_equal("ps-ignored-value", access->value, UD2);
	w = (struct walk32){ .directory = FLAGS, .large = true, .reserved = true, .access = OP_USER_STORE };
	m.cr4 = (uint32_t)CR4_PSE;
	map_low(true);
	add_access(ops, &w);
	mode32(&m, ops, OPS_EACH);
	report_equal("reserved-in-4m", op32_fault(access), walk32_expect(&w));
}

/* PSE goes on and off while paging is on: the same entry is a table's, then a page's. */
static void test_pse_toggle(void)
{
	struct mode32 m = { .cr0 = (uint32_t)CR0_PG, .cr3 = at(dir) };
	struct op32 *op = ops;

	map_low(false);
	*(volatile uint32_t *)(uint64_t)large_target = 0x4444;
	table[0] = target | FLAGS;
	/* As a table at large_target: its first entry shows the target, too. */
	*(volatile uint32_t *)(uint64_t)large_target = target | FLAGS;
	dir[TARGET >> 22] = large_target | FLAGS | PTE_PS;
	op = add(op, OP_LOAD, TARGET, 0);
	op = add(op, OP_CR4, 0, (uint32_t)CR4_PSE);
	op = add(op, OP_LOAD, TARGET, 0);
	op = add(op, OP_CR4, 0, 0);
	op = add(op, OP_LOAD, TARGET, 0);
	mode32(&m, ops, (unsigned)(op - ops));
	report_equal("as-table", ops[0].value, UD2);
	report_equal("as-page", ops[2].value & ~(uint32_t)(PTE_A | PTE_D), target | FLAGS);
	report_equal("as-table-again", ops[4].value, UD2);
	*(volatile uint32_t *)(uint64_t)large_target = UD2;
}

/* WP goes on and off; CR3 is loaded with another directory and back. */
static void test_registers(void)
{
	static uint32_t other[1024] __attribute__((aligned(4096)));
	struct mode32 m = { .cr0 = (uint32_t)CR0_PG, .cr3 = at(dir), .cr4 = (uint32_t)CR4_PSE };
	struct op32 *op = ops;

	map_low(true);
	table[0] = target | PTE_P | PTE_U;
	dir[TARGET >> 22] = at(table) | FLAGS;
	memcpy(other, dir, sizeof(other));
	other[TARGET >> 22] = large_target | FLAGS | PTE_PS;
	op = add(op, OP_STORE, TARGET, UD2);
	op = add(op, OP_CR0, 0, (uint32_t)(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_PE));
	op = add(op, OP_STORE, TARGET, UD2);
	op = add(op, OP_CR3, 0, at(other));
	op = add(op, OP_STORE, TARGET + 0x3ff000, 0x5678);
	op = add(op, OP_CR3, 0, at(dir));
	op = add(op, OP_STORE, TARGET, UD2);
	op = add(op, OP_CR0, 0, (uint32_t)(CR0_PG | CR0_NE | CR0_ET | CR0_PE));
	op = add(op, OP_STORE, TARGET, UD2);
	mode32(&m, ops, (unsigned)(op - ops));
	report_equal("wp-off", op32_fault(&ops[0]), 0);
	report_equal("wp-on", op32_fault(&ops[2]), VEC_PF << 8 | 3);
	report_equal("other-directory", op32_fault(&ops[4]), 0);
	report_equal("other-directory-wrote", *(volatile uint32_t *)(uint64_t)(large_target + 0x3ff000), 0x5678);
	report_equal("back", op32_fault(&ops[6]), VEC_PF << 8 | 3);
	report_equal("wp-off-again", op32_fault(&ops[8]), 0);
}

void guest_main(void)
{
	target = (uint32_t)fresh_memory();
	large_target = 12u << 20;
	for (uint32_t i = 0; i < PAGE_SIZE; i += 4) {
		*(volatile uint32_t *)(uint64_t)(target + i) = UD2;
		*(volatile uint32_t *)(uint64_t)(large_target + i) = UD2;
	}
	for (unsigned wp = 0; wp < 2; wp++) {
		walk_all(false, false, wp);
		walk_all(true, false, wp);
		walk_all(true, true, wp);
	}
	test_ps_bit();
	test_pse_toggle();
	test_registers();
}
