/*
 * Proves the guest's paging modes: none, 32-bit, PAE and 4-level, the step between any two of them,
 * compatibility mode, and real mode (paging.S; not with the option real=no).
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/mode32.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "paging";

void real_mode_run(void);
extern const uint8_t real_code[], real_code_end[], real_isr[];

#define PAGING ((uint32_t)CR0_PG)
#define WP ((uint32_t)CR0_WP)
#define TEST_ADDRESS 0x40000000u /* not mapped one to one */
#define REAL_RESULTS ((volatile uint16_t *)0x9000)

static uint32_t dir32[1024] __attribute__((aligned(4096)));
static uint32_t table32[1024] __attribute__((aligned(4096)));
static uint64_t pdpt_pae[4] __attribute__((aligned(32)));
static uint64_t dir_pae[2][512] __attribute__((aligned(4096)));
static uint64_t table_pae[512] __attribute__((aligned(4096)));
static uint64_t page;
static uint32_t cr0_seen;

/* One access in the mode that the registers ask for. */
static struct op32 run(uint32_t cr0, uint32_t cr3, uint32_t cr4, uint32_t address, bool store)
{
	struct mode32 m = { .cr0 = cr0, .cr3 = cr3, .cr4 = cr4 };
	struct op32 op = { .kind = store ? OP_STORE : OP_LOAD, .address = address, .value = 0x5eed0001 };

	mode32(&m, &op, 1);
	cr0_seen = m.cr0_seen;
	return m.entry.vector ? m.entry : op;
}

static void test_no_paging(void)
{
	struct op32 m;

	*(volatile uint32_t *)page = 0xfeed;
	m = run(0, 0, 0, (uint32_t)page, false);
	report_equal("no-paging-read", m.value, 0xfeed);
	report_equal("no-paging-cr0", cr0_seen & (CR0_PG | CR0_PE), CR0_PE);
	m = run(0, 0, 0, (uint32_t)page, true);
	report_equal("no-paging-write", *(volatile uint32_t *)page, 0x5eed0001);
	report_equal("no-paging-fault", m.vector, 0);
}

static void test_32bit(void)
{
	uint32_t cr3 = (uint32_t)(uint64_t)dir32, cr4 = (uint32_t)CR4_PSE;
	uint32_t *leaf = &table32[0];
	struct op32 m;

	dir32[0] = 0x83 /* 4 MiB, one to one */;
	dir32[1] = 0x400083;
	dir32[TEST_ADDRESS >> 22] = (uint32_t)(uint64_t)table32 | 3;
	*leaf = (uint32_t)page | 3;
	*(volatile uint32_t *)page = 0xbead;
	m = run(PAGING, cr3, cr4, TEST_ADDRESS, false);
	report_equal("32-bit-read", m.value, 0xbead);
	report_equal("32-bit-accessed", *leaf & 0x60, 0x20);
	m = run(PAGING, cr3, cr4, TEST_ADDRESS, true);
	report_equal("32-bit-write", *(volatile uint32_t *)page, 0x5eed0001);
	report_equal("32-bit-dirty", *leaf & 0x60, 0x60);
	m = run(PAGING, cr3, cr4, TEST_ADDRESS + 0x1004, true);
	report_equal("32-bit-fault", m.vector, VEC_PF);
	report_equal("32-bit-error-code", m.error, 2);
	report_equal("32-bit-cr2", m.cr2, TEST_ADDRESS + 0x1004);
	*leaf = (uint32_t)page | 1;
	m = run(PAGING | WP, cr3, cr4, TEST_ADDRESS, true);
	report_equal("32-bit-write-protect", op32_fault(&m), VEC_PF << 8 | 3);
}

static uint32_t pae_setup(void)
{
	memset(pdpt_pae, 0, sizeof(pdpt_pae));
	pdpt_pae[0] = (uint64_t)dir_pae[0] | 1;
	pdpt_pae[TEST_ADDRESS >> 30] = (uint64_t)dir_pae[1] | 1;
	for (uint64_t i = 0; i < 4; i++)
		dir_pae[0][i] = i << 21 | 0x83;
	dir_pae[1][0] = (uint64_t)table_pae | 3;
	table_pae[0] = page | 3;
	return (uint32_t)(uint64_t)pdpt_pae;
}

static void test_pae(void)
{
	uint32_t cr3 = pae_setup(), cr4 = (uint32_t)CR4_PAE;
	struct op32 m;

	*(volatile uint32_t *)page = 0xcead;
	m = run(PAGING, cr3, cr4, TEST_ADDRESS, false);
	report_equal("pae-read", m.value, 0xcead);
	m = run(PAGING, cr3, cr4, TEST_ADDRESS, true);
	report_equal("pae-write", *(volatile uint32_t *)page, 0x5eed0001);
	report_equal("pae-dirty", table_pae[0] & 0x60, 0x60);
	m = run(PAGING, cr3, cr4, 0x80000000, false);
	report_equal("pae-absent-pdpte", op32_fault(&m), VEC_PF << 8);
	pdpt_pae[3] = 1 | BIT(1); /* reserved */
	m = run(PAGING, cr3, cr4, TEST_ADDRESS, false);
	report_equal("pae-reserved-pdpte", m.vector, VEC_GP);
	pdpt_pae[3] = 0;
	pdpt_pae[1] = 0;
	m = run(PAGING, cr3, cr4, TEST_ADDRESS, false);
	report_equal("pdptes-loaded-again", op32_fault(&m), VEC_PF << 8);
}

/* 32-bit code under 64-bit paging: a far return into it and a far jump back. */
static void test_compatibility(void)
{
	uint32_t result = 0;
	uint16_t cs = 0;

	__asm__ volatile("pushq %2\n\tpushq $2f\n\tlretq\n"
			 ".code32\n2:\tmov %%cs, %w1\n\tmovl $0x12345678, %0\n\tincl %0\n\tljmp %3, $3f\n"
			 ".code64\n3:\tnop"
			 : "+a"(result), "+c"(cs) : "i"(SEL_CODE32), "i"(SEL_CODE64) : "memory");
	report_equal("compatibility-cs", cs, SEL_CODE32);
	report_equal("compatibility-code", result, 0x12345679);
}

static void test_real_mode(void)
{
	memset((void *)REAL_RESULTS, 0, 32);
	memcpy((void *)TRAMPOLINE, real_code, (size_t)(real_code_end - real_code));
	*(volatile uint32_t *)(0x60 * 4ul) = (TRAMPOLINE >> 4) << 16 | (uint32_t)(real_isr - real_code);
	real_mode_run();
	trap_load();
	report_equal("real-mode-reached", REAL_RESULTS[0], 0x1234);
	report_equal("real-mode-pe-clear", REAL_RESULTS[1] & 1, 0);
	report_equal("real-mode-interrupt", REAL_RESULTS[2], 0x4321);
	report_equal("real-mode-cpuid", REAL_RESULTS[3], cpuid(1, 0).edx & 0xffff);
	report_equal("real-mode-ports", REAL_RESULTS[4], 0x5c);
	report_equal("real-mode-store", *(volatile uint32_t *)(REAL_RESULTS + 6), 0xabcd);
	report_equal("real-mode-segment", REAL_RESULTS[8], 0x900);
}

/* INVLPG, a new CR3 and a change of CR4.PGE each make a changed entry count. */
static void test_flushes(void)
{
	uint64_t a = fresh_memory(), b = fresh_memory();
	volatile uint64_t *view = (volatile uint64_t *)(6ul << 39);

	*(volatile uint64_t *)a = 1;
	*(volatile uint64_t *)b = 2;
	page_map((uint64_t)view, a, PTE_P | PTE_W);
	report_equal("first-view", *view, 1);
	page_map((uint64_t)view, b, PTE_P | PTE_W);
	report_equal("after-invlpg", *view, 2);
	page_map((uint64_t)view, a, PTE_P | PTE_W | BIT(8)); /* global */
	write_cr4(read_cr4() | CR4_PGE);
	(void)*view;
	page_map((uint64_t)view, b, PTE_P | PTE_W);
	write_cr4(read_cr4() & ~CR4_PGE);
	report_equal("after-pge", *view, 2);
	write_cr3(read_cr3());
	report_equal("after-cr3", *view, 2);
}

void guest_main(void)
{
	page = fresh_memory();
	test_flushes();
	test_compatibility();
	test_no_paging();
	test_32bit();
	test_pae();
	test_no_paging();
	if (!option_is("real", "no")) /* shadow paging has no real mode */
		test_real_mode();
	test_flushes();
	report_vector("64-bit-as-before", TRY("int3", : : : "memory"), VEC_BP);
}
