/*
 * Proves process-context identifiers: an address space by its PCID, loads of CR3 with and without a flush,
 * all types of INVPCID, global pages, and what each of them refuses. A translation that may be cached
 * longer than it must is no fault, so only what must be gone, or must not be mixed up, is looked for.
 * SDM volume 3A "Process-Context Identifiers (PCIDs)", volume 2 "INVPCID".
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "pcid";

#define VIEW (200ul << 39)
#define FLAGS (PTE_P | PTE_W)
#define GLOBAL BIT(8)
#define KEEP BIT(63)
#define SPACES 3
#define ROUNDS 32

#define INVPCID_ADDRESS 0
#define INVPCID_CONTEXT 1
#define INVPCID_ALL 2
#define INVPCID_ALL_BUT_GLOBAL 3

extern uint64_t boot_pml4[512];

static struct space {
	uint64_t pml4[512], pdpt[512], pd[512], pt[512];
} spaces[SPACES] __attribute__((aligned(4096)));
static uint64_t frames;

static uint64_t frame(unsigned i) { return frames + i * PAGE_SIZE; }

static uint64_t root(unsigned i) { return (uint64_t)spaces[i].pml4 | (i + 1); }

static uint64_t shown(unsigned page) { return *(volatile uint64_t *)(VIEW + page * PAGE_SIZE); }

static int invpcid(uint64_t type, uint64_t pcid, uint64_t address)
{
	struct { uint64_t pcid, address; } descriptor = { pcid, address };

	return TRY("invpcid %1, %0", : : "r"(type), "m"(descriptor) : "memory");
}

/* Space i shows frame 16 * i + page; page 4 is global, one for all. */
static void build(void)
{
	frames = fresh_memory();
	for (unsigned i = 0; i < 512; i++)
		*(volatile uint64_t *)frame(i) = i;
	for (unsigned i = 0; i < SPACES; i++) {
		struct space *s = &spaces[i];

		memcpy(s->pml4, boot_pml4, sizeof(s->pml4));
		s->pml4[200] = (uint64_t)s->pdpt | FLAGS;
		s->pdpt[0] = (uint64_t)s->pd | FLAGS;
		s->pd[0] = (uint64_t)s->pt | FLAGS;
		for (unsigned page = 0; page < 16; page++)
			s->pt[page] = frame(16 * i + page) | FLAGS;
		s->pt[4] = frame(4) | FLAGS | GLOBAL;
	}
}

static void put(unsigned space, unsigned page, unsigned to)
{
	spaces[space].pt[page] = frame(to) | FLAGS | (page == 4 ? GLOBAL : 0);
}

static void test_refusals(void)
{
	uint64_t cr3 = read_cr3(), cr4 = read_cr4();

	report_vector("keep-without-pcide", TRY("mov %0, %%cr3", : : "r"(cr3 | KEEP) : "memory"), VEC_GP);
	write_cr3(cr3 | 8); /* PWT: not a PCID yet */
	report_vector("pcide-with-low-bits", TRY("mov %0, %%cr4", : : "r"(cr4 | CR4_PCIDE) : "memory"), VEC_GP);
	write_cr3(cr3);
	report_vector("pcide", TRY("mov %0, %%cr4", : : "r"(cr4 | CR4_PCIDE) : "memory"), NO_FAULT);
	report_vector("cr3-bit-62", TRY("mov %0, %%cr3", : : "r"(cr3 | BIT(62)) : "memory"), VEC_GP);
	report_vector("paging-off-under-pcide", TRY("mov %0, %%cr0", : : "r"(read_cr0() & ~CR0_PG) : "memory"),
		      VEC_GP);
}

static void test_spaces(void)
{
	bool good = true;

	for (unsigned round = 0; round < ROUNDS && good; round++)
		for (unsigned i = 0; i < SPACES; i++) {
			write_cr3(root(i) | (round ? KEEP : 0));
			good &= shown(1) == 16 * i + 1 && shown(4) == 4;
		}
	CHECK("each-shows-its-own", good);
	report_equal("cr3-reads-without-bit-63", read_cr3(), root(SPACES - 1));
}

/* A load without bit 63 flushes the PCID that it loads. */
static void test_cr3_flush(void)
{
	write_cr3(root(0));
	(void)shown(2);
	write_cr3(root(1) | KEEP);
	put(0, 2, 100);
	write_cr3(root(0));
	report_equal("load-flushes", shown(2), 100);
	put(0, 2, 101);
	invlpg((void *)(VIEW + 2 * PAGE_SIZE));
	report_equal("invlpg", shown(2), 101);
	put(0, 2, 2);
	write_cr3(root(0));
	report_equal("reload-flushes", shown(2), 2);
}

/* Changes space 0 while in space 1, flushes it from there, and comes back without a flush. */
static void test_from_afar(const char *name, uint64_t type, uint64_t pcid, unsigned page)
{
	write_cr3(root(0));
	(void)shown(page);
	write_cr3(root(1) | KEEP);
	(void)shown(page);
	put(0, page, 200);
	put(1, page, page == 4 ? 200 : 16 + page);
	report_vector(name, invpcid(type, pcid, VIEW + page * PAGE_SIZE), NO_FAULT);
	report_equal("here", shown(page), page == 4 ? 200 : 16 + page);
	write_cr3(root(0) | KEEP);
	report_equal("there", shown(page), 200);
	put(0, page, page);
	put(1, page, page == 4 ? 4 : 16 + page);
	invpcid(INVPCID_ALL, 0, 0);
	report_equal("back", shown(page), page);
}

/* The same with a table of a higher level. */
static void test_upper_level(void)
{
	write_cr3(root(0));
	(void)shown(3);
	write_cr3(root(1) | KEEP);
	spaces[0].pd[0] = (uint64_t)spaces[2].pt | FLAGS;
	invpcid(INVPCID_CONTEXT, 1, 0);
	report_equal("upper-level-here", shown(3), 19);
	write_cr3(root(0) | KEEP);
	report_equal("upper-level-there", shown(3), 35);
	spaces[0].pd[0] = (uint64_t)spaces[0].pt | FLAGS;
	write_cr3(root(0));
	report_equal("upper-level-back", shown(3), 3);
}

static void test_invpcid(void)
{
	test_from_afar("invpcid-address", INVPCID_ADDRESS, 1, 5);
	test_from_afar("invpcid-context", INVPCID_CONTEXT, 1, 6);
	test_from_afar("invpcid-all", INVPCID_ALL, 0, 7);
	test_from_afar("invpcid-all-global", INVPCID_ALL, 0, 4);
	test_from_afar("invpcid-all-but-global", INVPCID_ALL_BUT_GLOBAL, 0, 8);
	test_upper_level();
	report_vector("invpcid-type-4", invpcid(4, 0, 0), VEC_GP);
	report_vector("invpcid-reserved", invpcid(INVPCID_CONTEXT, BIT(12), 0), VEC_GP);
	report_vector("invpcid-non-canonical", invpcid(INVPCID_ADDRESS, 1, BIT(62)), VEC_GP);
}

/* CR4.PGE and CR4.PCIDE going off flush all. */
static void test_cr4(void)
{
	write_cr3(root(0));
	write_cr4(read_cr4() | CR4_PGE);
	(void)shown(9);
	write_cr3(root(1) | KEEP);
	(void)shown(4);
	put(0, 9, 300);
	put(1, 4, 301);
	write_cr4(read_cr4() & ~CR4_PGE);
	report_equal("pge-flushes-global", shown(4), 301);
	write_cr3(root(0) | KEEP);
	report_equal("pge-flushes-others", shown(9), 300);
	put(0, 9, 9);
	put(1, 4, 4);
	write_cr3((uint64_t)boot_pml4);
	write_cr4(read_cr4() & ~CR4_PCIDE);
	write_cr3((uint64_t)spaces[0].pml4);
	report_equal("pcide-off-flushes", shown(9), 9);
	report_vector("invpcid-of-other-without-pcide", invpcid(INVPCID_CONTEXT, 1, 0), VEC_GP);
	report_vector("invpcid-without-pcide", invpcid(INVPCID_CONTEXT, 0, 0), NO_FAULT);
	write_cr3((uint64_t)boot_pml4);
}

void guest_main(void)
{
	bool pcid = cpuid(1, 0).ecx & BIT(17), has_invpcid = cpuid(7, 0).ebx & BIT(10);

	CHECK("offered-together", pcid || !has_invpcid);
	if (!pcid)
		return;
	build();
	test_refusals();
	test_spaces();
	test_cr3_flush();
	if (!has_invpcid)
		return;
	test_invpcid();
	test_cr4();
}
