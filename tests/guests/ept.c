/*
 * Proves the guest's memory: every page is there, its own and keeps its content, wherever and however
 * it is touched first; and that nothing is where nothing should be.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "ept";

#define STRIDE (MIB(1) + 3 * PAGE_SIZE) /* many different pages of many 2 MiB regions */
#define TEST_BASE (FREE_MEMORY + MIB(64))
#define MAPPED 0x400000000ul
#define OWN_ENTRY 5
#define RET 0xc3

extern uint64_t boot_pml4[512];

static uint64_t ram_end; /* of the low RAM */

static uint64_t mark(uint64_t address) { return address * 0x9e3779b97f4a7c15u ^ 0x5555; }

static void test_stride(void)
{
	uint64_t wrong = 0, dirty = 0;

	for (uint64_t a = TEST_BASE; a + 8 <= ram_end; a += STRIDE) {
		dirty += *(volatile uint64_t *)a != 0;
		*(volatile uint64_t *)a = mark(a);
	}
	for (uint64_t a = TEST_BASE; a + 8 <= ram_end; a += STRIDE)
		wrong += *(volatile uint64_t *)a != mark(a);
	report_equal("fresh-memory-is-clear", dirty, 0);
	report_equal("every-page-is-its-own", wrong, 0);
	*(volatile uint64_t *)(ram_end - 8) = mark(ram_end);
	report_equal("last-bytes", *(volatile uint64_t *)(ram_end - 8), mark(ram_end));
}

static void test_low_memory(void)
{
	volatile uint32_t *low = (volatile uint32_t *)0x500;
	volatile uint32_t *conventional = (volatile uint32_t *)0x9f000;

	*low = 0x600df00d;
	*conventional = 0x600df00e;
	report_equal("low-memory", *low, 0x600df00d);
	report_equal("below-640k", *conventional, 0x600df00e);
}

/* A write over a boundary of 2 MiB, and of 4 KiB, none of whose pages was touched before. */
static void test_straddle(void)
{
	uint64_t edge = fresh_memory() + MIB(2);

	(void)fresh_memory();
	*(volatile uint64_t *)(edge - 4) = 0x1122334455667788;
	report_equal("write-over-2m", *(volatile uint64_t *)(edge - 4), 0x1122334455667788);
	report_equal("bytes-behind-2m", *(volatile uint32_t *)edge, 0x11223344);
	edge = fresh_memory() + 0x5000;
	*(volatile uint64_t *)(edge - 5) = 0x8877665544332211;
	report_equal("write-over-4k", *(volatile uint64_t *)(edge - 5), 0x8877665544332211);
}

static void test_first_touch(void)
{
	uint64_t a = fresh_memory(), value = 0;
	uint8_t *code = (uint8_t *)fresh_memory();
	uint64_t from = fresh_memory(), to = fresh_memory(), n = 3 * PAGE_SIZE;

	__asm__ volatile("lock xaddq %0, %1" : "+r"(value), "+m"(*(volatile uint64_t *)a) : : "memory");
	report_equal("locked-first-touch", value, 0);
	__asm__ volatile("call *%0" : : "r"(({ *code = RET; code; })) : "memory");
	report(true, "executed-where-written", "yes");
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	report_equal("copy-between-untouched", n, 0);
}

/* Page tables in untouched memory: the walk itself takes the fault, also for accessed and dirty. */
static void test_walk(void)
{
	uint64_t pdpt = fresh_memory(), pd = fresh_memory(), pt = fresh_memory(), page = fresh_memory();
	uint64_t *entry = &boot_pml4[OWN_ENTRY]; /* below it no table has been touched */
	volatile uint64_t *mapped = (volatile uint64_t *)((uint64_t)OWN_ENTRY << 39);

	*entry = pdpt | PTE_P | PTE_W;
	report_vector("walk-untouched-table", TRY("movq (%0), %%rax", : : "r"(mapped) : "rax", "memory"), VEC_PF);
	*(volatile uint64_t *)pdpt = pd | PTE_P | PTE_W;
	*(volatile uint64_t *)pd = pt | PTE_P | PTE_W;
	*(volatile uint64_t *)pt = page | PTE_P | PTE_W;
	report_equal("read-by-walk", *mapped, 0);
	report_equal("accessed-set", *(volatile uint64_t *)pt & (PTE_A | PTE_D), PTE_A);
	*mapped = 7;
	report_equal("dirty-set", *(volatile uint64_t *)pt & (PTE_A | PTE_D), PTE_A | PTE_D);
	report_equal("walk-reaches-page", *(volatile uint64_t *)page, 7);
	report_equal("table-accessed-set", *(volatile uint64_t *)pd & PTE_A, PTE_A);
	*entry = 0;
	write_cr3(read_cr3());
}

static void test_aliases(void)
{
	uint64_t page = fresh_memory();

	page_map(MAPPED, page, PTE_P | PTE_W);
	page_map(MAPPED + PAGE_SIZE, page, PTE_P | PTE_W);
	*(volatile uint64_t *)MAPPED = 0xabc;
	report_equal("two-views", *(volatile uint64_t *)(MAPPED + PAGE_SIZE), 0xabc);
	page_map(MAPPED, page + PAGE_SIZE, PTE_P | PTE_W);
	report_equal("remapped", *(volatile uint64_t *)MAPPED, 0);
}

static void test_holes(void)
{
	volatile uint32_t *beyond = (volatile uint32_t *)align_up(ram_end + MIB(4), MIB(2));

	*beyond = 0x12345678;
	report_equal("beyond-ram", *beyond, 0xffffffff);
	page_map(MAPPED, GUEST_HIGH_RAM_BASE + GIB(60), PTE_P | PTE_W);
	report_equal("far-beyond-ram", *(volatile uint64_t *)MAPPED, ~0ul);
	*(volatile uint32_t *)0xd0000000 = 1;
	report_equal("mmio-hole", *(volatile uint32_t *)0xd0000000, 0xffffffff);
}

void guest_main(void)
{
	uint64_t size = memory_above_1m();

	ram_end = MIB(1) + size;
	if (!CHECK("memory-size-known", size >= MIB(80)))
		return;
	if (option_number("memory", 0))
		report_equal("memory-size-as-asked", ram_end, MIB(option_number("memory", 0)));
	test_low_memory();
	test_first_touch();
	test_straddle();
	test_walk();
	test_aliases();
	test_stride();
	test_holes();
}
