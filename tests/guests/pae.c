/*
 * Proves PAE paging: every combination of P, W, U and NX in directory and table, pages of 4 KiB and 2 MiB,
 * CR0.WP and EFER.NXE, all accesses of both privileges, with error codes and accessed and dirty flags; and
 * that the four PDPTEs are those of the last load of CR3 (SDM volume 3A, "PDPTE Registers").
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/mode32.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/walk32.h"

const char guest_name[] = "pae";

#define TARGET 0x40000000u
#define FLAGS (PTE_P | PTE_W | PTE_U)
#define ACCESSES 6
#define OPS_EACH 8
#define COMBOS 256
#define BATCH 16 /* combinations in one stay outside 64-bit mode */
#define UD2 0x0b0f0b0fu
#define LARGE_RESERVED BIT(13)

static uint64_t pdpt[4] __attribute__((aligned(32)));
static uint64_t dir[2][512] __attribute__((aligned(4096)));
static uint64_t table[512] __attribute__((aligned(4096)));
static struct op32 ops[BATCH * ACCESSES * OPS_EACH];
static uint64_t target; /* physical, at 2 MiB */

static uint32_t at(const void *p) { return (uint32_t)(uint64_t)p; }

static struct op32 *add(struct op32 *op, enum op32_kind kind, uint32_t address, uint32_t value)
{
	*op = (struct op32){ .kind = kind, .address = address, .value = value };
	return op + 1;
}

static struct op32 *add_entry(struct op32 *op, const uint64_t *entry, uint64_t value)
{
	op = add(op, OP_STORE, at(entry), (uint32_t)value);
	return add(op, OP_STORE, at(entry) + 4, (uint32_t)(value >> 32));
}

/* bits: P W U NX. */
static uint64_t flags_of(unsigned bits) { return (bits & 7) | (bits & 8 ? PTE_NX : 0); }

static struct walk32 combo(unsigned n, bool large, unsigned setting, enum op32_kind access)
{
	return (struct walk32){ .directory = flags_of(n & 15), .table = flags_of(n >> 4), .large = large,
				.wp = setting & 1, .nxe = setting & 2, .access = access };
}

static struct op32 *add_access(struct op32 *op, const struct walk32 *w)
{
	uint64_t pde = w->directory | (w->large ? target | PTE_PS : (uint64_t)table);

	op = add_entry(op, &dir[1][0], pde | (w->reserved ? LARGE_RESERVED : 0));
	op = add_entry(op, &table[0], target | w->table);
	op = add(op, OP_INVLPG, TARGET, 0);
	op = add(op, w->access, TARGET, UD2);
	op = add(op, OP_LOAD, at(&dir[1][0]), 0);
	return add(op, OP_LOAD, at(&table[0]), 0);
}

static struct mode32 mode(unsigned setting)
{
	return (struct mode32){ .cr0 = (uint32_t)(CR0_PG | (setting & 1 ? CR0_WP : 0)), .cr3 = at(pdpt),
				.cr4 = (uint32_t)CR4_PAE, .efer = setting & 2 ? (uint32_t)EFER_NXE : 0 };
}

static unsigned walk_batch(unsigned first, bool large, unsigned setting)
{
	struct mode32 m = mode(setting);
	struct op32 *op = ops;
	unsigned wrong = 0;

	for (unsigned i = 0; i < BATCH * ACCESSES; i++) {
		struct walk32 w = combo(first + i / ACCESSES, large, setting, i % ACCESSES);

		op = add_access(op, &w);
	}
	mode32(&m, ops, (unsigned)(op - ops));
	for (unsigned i = 0; i < BATCH * ACCESSES; i++) {
		struct walk32 w = combo(first + i / ACCESSES, large, setting, i % ACCESSES);
		const struct op32 *access = &ops[i * OPS_EACH + 5];

		if (!walk32_right(&w, access, TARGET) && wrong++ < 2)
			print("  flags %lx %lx access %u: fault %x, want %x, cr2 %x, entries %x %x\n", w.directory,
			      w.table, w.access, op32_fault(access), walk32_expect(&w), access->cr2, access[1].value,
			      access[2].value);
	}
	return wrong + m.entry.vector;
}

static void walk_all(unsigned setting)
{
	unsigned wrong = 0, wrong_large;

	for (unsigned first = 0; first < COMBOS; first += BATCH)
		wrong += walk_batch(first, false, setting);
	wrong_large = walk_batch(0, true, setting);
	print("  wp %u nxe %u\n", setting & 1, setting >> 1);
	report_equal("as-the-sdm-says", wrong, 0);
	report_equal("as-the-sdm-says-2m", wrong_large, 0);
}

static void test_reserved(void)
{
	struct mode32 m = mode(0);
	struct walk32 w = { .directory = FLAGS, .large = true, .reserved = true, .access = OP_USER_LOAD };

	add_access(ops, &w);
	mode32(&m, ops, OPS_EACH);
	report_equal("reserved-in-2m", op32_fault(&ops[5]), walk32_expect(&w));
	pdpt[2] = PTE_P | PTE_W;
	m = mode(0);
	mode32(&m, ops, 0);
	report_equal("reserved-in-pdpte", m.entry.vector, VEC_GP);
	pdpt[2] = 0;
}

/* A PDPTE in memory counts from the next load of CR3 on, and not by INVLPG. */
static void test_pdptes(void)
{
	struct mode32 m = mode(0);
	struct op32 *op = ops;

	dir[1][0] = (uint64_t)table | FLAGS;
	table[0] = target | FLAGS;
	op = add(op, OP_LOAD, TARGET, 0);
	op = add_entry(op, &pdpt[1], 0);
	op = add(op, OP_INVLPG, TARGET, 0);
	op = add(op, OP_LOAD, TARGET, 0);
	op = add(op, OP_CR3, 0, at(pdpt));
	op = add(op, OP_LOAD, TARGET, 0);
	op = add_entry(op, &pdpt[1], (uint64_t)dir[1] | PTE_P);
	op = add(op, OP_CR3, 0, at(pdpt));
	op = add(op, OP_LOAD, TARGET, 0);
	op = add_entry(op, &pdpt[2], PTE_P | PTE_W); /* reserved: the load is refused and changes nothing */
	op = add(op, OP_CR3, 0, at(pdpt));
	op = add(op, OP_LOAD, TARGET, 0);
	op = add_entry(op, &pdpt[2], 0);
	mode32(&m, ops, (unsigned)(op - ops));
	report_equal("before", ops[0].value, UD2);
	report_equal("old-pdpte-stays", op32_fault(&ops[4]), 0);
	report_equal("gone-by-cr3", op32_fault(&ops[6]), VEC_PF << 8);
	report_equal("back-by-cr3", op32_fault(&ops[10]), 0);
	report_equal("bad-pdpte", ops[13].vector, VEC_GP);
	report_equal("bad-pdpte-changes-nothing", op32_fault(&ops[14]), 0);
}

void guest_main(void)
{
	target = fresh_memory();
	for (uint32_t i = 0; i < PAGE_SIZE; i += 4)
		*(volatile uint32_t *)(target + i) = UD2;
	pdpt[0] = (uint64_t)dir[0] | PTE_P;
	pdpt[1] = (uint64_t)dir[1] | PTE_P;
	for (uint64_t i = 0; i < 8; i++)
		dir[0][i] = i << 21 | FLAGS | PTE_PS;
	for (unsigned setting = 0; setting < 4; setting++)
		walk_all(setting);
	test_reserved();
	test_pdptes();
}
