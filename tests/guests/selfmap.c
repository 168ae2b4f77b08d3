/*
 * Proves that page tables may be changed in any way that memory can be written: by every kind of
 * instruction, through the identity map's large pages, through a mapping of the table in itself, at every
 * level, and that a change counts from the flush on that the SDM asks for, or at once where it asks for
 * none (volume 3A, "Invalidation of TLBs and Paging-Structure Caches").
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "selfmap";

#define VIEW (200ul << 39)
#define RECURSIVE 510ul
#define SIGN (0xfffful << 48)
#define FLAGS (PTE_P | PTE_W | PTE_U)
#define ROUNDS 64
#define FRAMES 16

extern uint64_t boot_pml4[512];

static uint64_t pdpt[2][512] __attribute__((aligned(4096)));
static uint64_t pd[2][512] __attribute__((aligned(4096)));
static uint64_t pt[3][512] __attribute__((aligned(4096)));
static uint64_t frames; /* FRAMES pages, each begins with its number */

static uint64_t frame(unsigned i) { return frames + i * PAGE_SIZE; }

/* Which frame a page of the view shows; -1: a page fault. */
static int shown(unsigned page)
{
	uint64_t value = 0;
	int vector = TRY("movq (%1), %0", : "+r"(value) : "r"(VIEW + page * PAGE_SIZE) : "memory");

	return vector == NO_FAULT ? (int)value : -1;
}

static void flush(unsigned page) { invlpg((void *)(VIEW + page * PAGE_SIZE)); }

static void expect(const char *name, unsigned page, int want)
{
	int got = shown(page);

	report(got == want, name, "page %u shows frame %d, not %d", page, got, want);
}

static void build(void)
{
	frames = fresh_memory();
	for (unsigned i = 0; i < FRAMES; i++)
		*(volatile uint64_t *)frame(i) = i;
	for (unsigned i = 0; i < 2; i++) {
		pdpt[i][0] = (uint64_t)pd[i] | FLAGS;
		pd[i][0] = (uint64_t)pt[i] | FLAGS;
		for (unsigned page = 0; page < 512; page++)
			pt[i][page] = frame((page + 8 * i) % FRAMES) | FLAGS;
	}
	boot_pml4[200] = (uint64_t)pdpt[0] | FLAGS;
	boot_pml4[RECURSIVE] = (uint64_t)boot_pml4 | PTE_P | PTE_W;
}

/* An entry that was not present needs no flush. */
static void test_present(void)
{
	pt[0][3] = 0;
	flush(3);
	expect("not-present", 3, -1);
	pt[0][3] = frame(5) | FLAGS;
	expect("present-at-once", 3, 5);
	pd[0][1] = 0;
	expect("no-table", 512, -1);
	pd[0][1] = (uint64_t)pt[1] | FLAGS;
	expect("table-at-once", 512, 8);
	pd[0][1] = 0;
	flush(512);
	expect("table-gone", 512, -1);
	pt[0][3] = frame(3) | FLAGS;
	flush(3);
}

static void test_flushes(void)
{
	expect("before", 1, 1);
	pt[0][1] = frame(2) | FLAGS;
	flush(1);
	expect("invlpg", 1, 2);
	pt[0][1] = frame(3) | FLAGS;
	write_cr3(read_cr3());
	expect("cr3", 1, 3);
	pt[0][1] = frame(4) | FLAGS;
	write_cr4(read_cr4() ^ CR4_PGE);
	expect("pge", 1, 4);
	pt[0][1] = frame(1) | FLAGS;
	write_cr4(read_cr4() ^ CR4_PGE);
	expect("pge-back", 1, 1);
}

/* Rights taken away and given back. */
static void test_rights(void)
{
	uint64_t *view = (uint64_t *)VIEW;

	pt[0][0] = frame(0) | PTE_P;
	flush(0);
	write_cr0(read_cr0() | CR0_WP);
	report_vector("read-only", TRY("movq $0, (%0)", : : "r"(view) : "memory"), VEC_PF);
	pt[0][0] |= PTE_W;
	flush(0);
	report_vector("writable", TRY("movq $0, (%0)", : : "r"(view) : "memory"), NO_FAULT);
	CHECK("dirty", pt[0][0] & PTE_D);
	pt[0][0] &= ~(PTE_D | PTE_A);
	flush(0);
	expect("read-again", 0, 0);
	CHECK("accessed-not-dirty", (pt[0][0] & (PTE_A | PTE_D)) == PTE_A);
	*(volatile uint64_t *)view = 0;
	CHECK("dirty-again", pt[0][0] & PTE_D);
}

/* Other tables at each level, by one store. */
static void test_upper_levels(void)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned other = (round + 1) % 2;
		bool good = true;

		pd[0][0] = (uint64_t)pt[other] | FLAGS;
		flush(1);
		good &= shown(1) == (int)(1 + 8 * other);
		pdpt[0][0] = (uint64_t)pd[1] | FLAGS;
		flush(1);
		good &= shown(1) == 9;
		pdpt[0][0] = (uint64_t)pd[0] | FLAGS;
		boot_pml4[200] = (uint64_t)pdpt[other] | FLAGS;
		write_cr3(read_cr3());
		good &= shown(1) == (int)(1 + 8 * other);
		boot_pml4[200] = (uint64_t)pdpt[0] | FLAGS;
		flush(1);
		if (!good || round == ROUNDS - 1)
			report(good, "other-tables", "in round %u", round);
		if (!good)
			break;
	}
	pd[0][0] = (uint64_t)pt[0] | FLAGS;
	flush(1);
}

/* A large page in place of a table and back. */
static void test_split(void)
{
	expect("small", 7, 7);
	pd[0][0] = frames | FLAGS | PTE_PS;
	flush(7);
	expect("large", 7, 7);
	expect("large-8", 8, 8);
	pd[0][0] = (uint64_t)pt[1] | FLAGS;
	flush(7);
	expect("small-other", 7, 15);
	pd[0][0] = (uint64_t)pt[0] | FLAGS;
	write_cr3(read_cr3());
	expect("small-again", 7, 7);
}

/* The PML4's own entry makes one page a table of every level: an entry of it is a PML4E, and through 1 to
 * 4 rounds also PDPTE, PDE and PTE. */
static uint64_t *recursive_pte(uint64_t va)
{
	return (uint64_t *)(SIGN | RECURSIVE << 39 | (va >> 9 & BITS(38, 3)));
}

static uint64_t *recursive_pml4e(uint64_t va)
{
	return (uint64_t *)(SIGN | RECURSIVE << 39 | RECURSIVE << 30 | RECURSIVE << 21 | RECURSIVE << 12 |
			    (va >> 39 & 511) << 3);
}

static void test_recursive(void)
{
	report_equal("recursive-pml4e", *recursive_pml4e(VIEW) & BITS(51, 12), (uint64_t)pdpt[0]);
	report_equal("recursive-pte", *recursive_pte(VIEW + 2 * PAGE_SIZE) & BITS(51, 12), frame(2));
	*recursive_pte(VIEW + 2 * PAGE_SIZE) = frame(6) | FLAGS;
	flush(2);
	expect("recursive-write", 2, 6);
	*recursive_pml4e(VIEW) = (uint64_t)pdpt[1] | FLAGS;
	write_cr3(read_cr3());
	expect("recursive-top-write", 2, 10);
	report_equal("recursive-sees-it", *recursive_pte(VIEW + 2 * PAGE_SIZE) & BITS(51, 12), frame(10));
	*recursive_pml4e(VIEW) = (uint64_t)pdpt[0] | FLAGS;
	write_cr3(read_cr3());
	*recursive_pte(VIEW + 2 * PAGE_SIZE) = frame(2) | FLAGS;
	flush(2);
	expect("recursive-back", 2, 2);
}

/* ---- instructions ---- */

#define PTE ((volatile uint64_t *)&pt[0][10])
#define CHANGE(name, frame_no, instruction, ...)                                                        \
	do {                                                                                            \
		*PTE = frame(10) | FLAGS;                                                               \
		flush(10);                                                                              \
		expect(name "-before", 10, 10);                                                         \
		__asm__ volatile(instruction __VA_ARGS__ : "memory", "cc");                             \
		flush(10);                                                                              \
		expect(name, 10, frame_no);                                                             \
	} while (0)

static void test_instructions(void)
{
	uint64_t next = frame(11) | FLAGS, old, high;

	CHANGE("mov-64", 11, "movq %1, %0", : "=m"(*PTE) : "r"(next));
	CHANGE("mov-32", 11, "movl %k1, %0", : "=m"(*(volatile uint32_t *)PTE) : "r"(next));
	CHANGE("mov-16", 11, "movw %w1, %0", : "=m"(*(volatile uint16_t *)PTE) : "r"(next));
	CHANGE("mov-8", 11, "movb %b1, %0", : "=m"(*((volatile uint8_t *)PTE + 1)) : "q"(next >> 8));
	CHANGE("mov-imm", -1, "movq $0, %0", : "=m"(*PTE) :);
	CHANGE("movnti", 11, "movnti %1, %0", : "=m"(*PTE) : "r"(next));
	CHANGE("add", 11, "addq $0x1000, %0", : "+m"(*PTE) :);
	CHANGE("sub", 9, "lock subq $0x1000, %0", : "+m"(*PTE) :);
	CHANGE("xor", 11, "xorq $0x1000, %0", : "+m"(*PTE) :);
	CHANGE("and", -1, "lock andq $~1, %0", : "+m"(*PTE) :);
	CHANGE("or", 11, "lock orq $0x1000, %0", : "+m"(*PTE) :);
	CHANGE("btr", -1, "lock btrq $0, %0", : "+m"(*PTE) :);
	CHANGE("btc", 11, "btcq $12, %0", : "+m"(*PTE) :);
	CHANGE("xadd", 11, "movl $0x1000, %k1; lock xaddq %1, %0", : "+m"(*PTE), "=&r"(old) :);
	CHANGE("xchg", 11, "movq %2, %1; xchgq %1, %0", : "+m"(*PTE), "=&r"(old) : "r"(next));
	CHANGE("cmpxchg", 11, "movq %0, %%rax; lock cmpxchgq %2, %0", : "+m"(*PTE), "=&a"(old) : "r"(next));
	CHANGE("cmpxchg-32", 11, "movl %0, %%eax; lock cmpxchgl %k2, %0", : "+m"(*(volatile uint32_t *)PTE),
	       "=&a"(old) : "r"(next));
	CHANGE("cmpxchg-fails", 10, "xorl %%eax, %%eax; lock cmpxchgq %2, %0", : "+m"(*PTE), "=&a"(old) : "r"(next));
	CHANGE("cmpxchg8b", 11, "movl %0, %%eax; movl 4+%0, %%edx; lock cmpxchg8b %0", : "+m"(*PTE), "=&a"(old),
	       "=&d"(high) : "b"((uint32_t)next), "c"((uint32_t)(next >> 32)));
	CHANGE("cmpxchg16b", 11, "movq %0, %%rax; movq 8+%0, %%rdx; lock cmpxchg16b %0", : "+m"(*PTE), "=&a"(old),
	       "=&d"(high) : "b"(next), "c"(pt[0][11]));
	CHANGE("stos", 11, "stosq", : : "D"(PTE), "a"(next));
	CHANGE("movs", 11, "movsq", : : "D"(PTE), "S"(&next));
	CHANGE("pop", 11, "pushq %1; popq %0", : "=m"(*PTE) : "r"(next));
}

/* A store that crosses from one entry into the next, and a stack that lies in a table. */
static void test_odd_places(void)
{
	pt[0][20] = frame(1) | FLAGS;
	pt[0][21] = frame(1) | FLAGS;
	flush(20);
	flush(21);
	expect("crossing-before", 21, 1);
	/* Bytes 4 to 7 of one entry are 0, bytes 0 to 3 of the next name the frame. */
	*(volatile uint64_t *)((uint8_t *)&pt[0][20] + 4) = (frame(2) | FLAGS) << 32;
	flush(21);
	expect("crossing", 21, 2);
	__asm__ volatile("movq %%rsp, %%rbx\n\tmovq %0, %%rsp\n\tpushq %1\n\tmovq %%rbx, %%rsp"
			 : : "r"(&pt[0][22]), "r"(frame(3) | FLAGS) : "rbx", "memory");
	flush(21);
	expect("push", 21, 3);
}

static void fill(void *to, uint64_t value, uint64_t count)
{
	__asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}

/* A directory in use, all but its first entries at once: those that are not written go on to work. */
static void test_fill(void)
{
	for (unsigned round = 0; round < 8; round++) {
		fill(&pd[0][3], (uint64_t)pt[round % 2] | FLAGS, 509);
		expect("filled-first", 3 * 512 + 1, 1 + 8 * (int)(round % 2));
		expect("filled-last", 511 * 512 + 2, 2 + 8 * (int)(round % 2));
		expect("filled-before", 1, 1);
		fill(&pd[0][3], 0, 509);
		write_cr3(read_cr3());
		expect("emptied", 3 * 512 + 1, -1);
		expect("emptied-before", 2, 2);
	}
}

/* All entries at once, again and again, as fork and exit do; then the table is memory like any other. */
static void test_flood(void)
{
	for (unsigned round = 0; round < 8; round++) {
		fill(pt[2], frame(round) | FLAGS, 512);
		pd[0][2] = (uint64_t)pt[2] | FLAGS;
		write_cr3(read_cr3());
		report_equal("flood", (uint64_t)shown(1024 + 100) << 8 | (uint64_t)shown(1024 + 511), round << 8 | round);
		memcpy(pt[2], pt[1], sizeof(pt[2]));
		write_cr3(read_cr3());
		report_equal("copied", (uint64_t)shown(1024 + 1), 9);
	}
	pd[0][2] = 0;
	flush(1024);
	for (unsigned i = 0; i < 512; i++)
		pt[2][i] = i * 0x1234567ul;
	for (unsigned i = 0; i < 512; i++)
		if (pt[2][i] != i * 0x1234567ul)
			report(false, "freed-table-is-memory", "entry %u", i);
	expect("freed-table", 1024, -1);
}

/* A new set of tables in CR3, and the old one again. */
static void test_roots(void)
{
	static uint64_t other[512] __attribute__((aligned(4096)));
	uint64_t cr3 = read_cr3();
	bool good = true;

	memcpy(other, boot_pml4, sizeof(other));
	other[200] = (uint64_t)pdpt[1] | FLAGS;
	for (unsigned round = 0; round < ROUNDS; round++) {
		write_cr3((uint64_t)other);
		good &= shown(4) == (int)(4 + 8 - round % 2);
		pt[1][4] = frame(11 + round % 2) | FLAGS; /* while it is in use */
		write_cr3(cr3);
		good &= shown(4) == 4;
		pt[1][4] = frame(12 - (round + 1) % 2) | FLAGS; /* while it is not */
	}
	CHECK("roots", good);
}

/* A table in use, whose upper part is a stack as well, and what an x87 instruction stores to. */
static void test_beyond_instructions(void)
{
	static const unsigned ist = 6;
	uint16_t *image = (uint16_t *)&pd[0][256];

	expect("before-fnsave", 1, 1);
	__asm__ volatile("fninit\n\tfnsave (%0)" : : "r"(image) : "memory");
	report_equal("fnsave", *image, 0x37f);
	expect("after-fnsave", 1, 1);
	trap_set_ist(VEC_BP, ist, (uint64_t)&pd[0][512]);
	for (unsigned round = 0; round < ROUNDS; round++) {
		expect("before-event", round % 8, (int)(round % 8));
		report_vector("event-on-a-table", TRY("int3", : : : "memory"), VEC_BP);
	}
	trap_set_ist(VEC_BP, 0, 0);
	CHECK("stack-was-used", pd[0][511] != 0);
	memset(&pd[0][256], 0, 256 * sizeof(pd[0][0]));
	write_cr3(read_cr3());
	expect("after-events", 1, 1);
}

void guest_main(void)
{
	build();
	write_cr3(read_cr3());
	test_present();
	test_flushes();
	test_rights();
	test_upper_levels();
	test_split();
	test_recursive();
	test_instructions();
	test_odd_places();
	test_fill();
	test_flood();
	test_roots();
	test_beyond_instructions();
}
