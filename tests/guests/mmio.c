/*
 * Proves that instructions which touch device memory do what the CPU would have done: every common
 * form, on registers that keep what they are given.
 *
 * The local APIC's initial count keeps all 32 bits (its timer is masked); the I/O APIC's index
 * register keeps a byte. Bytes, words and quadwords are read from a hole, where nobody answers.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "mmio";

#define COUNT_REGISTER (GUEST_LAPIC_BASE + VLAPIC_TIMER_INIT)
#define HOLE 0xd0000000ul
#define IOAPIC_VERSION_MASK 0xff00ff

static volatile uint32_t *const count = (volatile uint32_t *)COUNT_REGISTER;
static volatile uint8_t *const ioapic_index = (volatile uint8_t *)GUEST_IOAPIC_BASE;
static volatile uint32_t *const ioapic_window = (volatile uint32_t *)(GUEST_IOAPIC_BASE + 0x10);

#define START 0x12345678u
#define SOURCE 0x0f0f00ffu

/* One instruction on the register, which holds START; %0 is it, %1 the source register. */
#define MODIFY(name, instruction, want)                                                             \
	do {                                                                                        \
		uint32_t source = SOURCE, accumulator = START;                                      \
		*count = START;                                                                     \
		__asm__ volatile(instruction                                                        \
				 : "+m"(*count), "+r"(source), "+a"(accumulator) : : "cc", "memory"); \
		report_equal(name, *count, (uint32_t)(want));                                       \
	} while (0)

/* One instruction that reads the register, holding START, into %0, which holds SOURCE. */
#define LOAD(name, instruction, want)                                                               \
	do {                                                                                        \
		uint64_t result = SOURCE;                                                           \
		*count = START;                                                                     \
		__asm__ volatile(instruction : "+r"(result) : "m"(*count) : "cc", "memory");        \
		report_equal(name, result, want);                                                   \
	} while (0)

/* One instruction that reads the register into the accumulator, which holds SOURCE, or into RDX:RAX. */
#define ACCUMULATE(name, instruction, want)                                                         \
	do {                                                                                        \
		uint64_t rax = SOURCE, rdx = 0;                                                     \
		*count = START;                                                                     \
		__asm__ volatile(instruction : "+a"(rax), "+d"(rdx) : "m"(*count) : "cc", "memory"); \
		report_equal(name, rdx << 32 | (uint32_t)rax, want);                                \
	} while (0)

/* The flags after the instruction: OF SF ZF AF PF CF. */
#define FLAGS(name, instruction, want)                                                              \
	do {                                                                                        \
		uint64_t flags;                                                                     \
		*count = START;                                                                     \
		__asm__ volatile(instruction "\n\tpushfq\n\tpopq %0"                                \
				 : "=&r"(flags) : "m"(*count), "r"(START) : "cc", "memory");         \
		report_equal(name, flags & 0x8d5, want);                                            \
	} while (0)

static void test_stores(void)
{
	MODIFY("mov-register", "movl %1, %0", SOURCE);
	MODIFY("mov-immediate", "movl $0x89abcdef, %0", 0x89abcdef);
	MODIFY("mov-moffs", "movabsl %%eax, 0xfee00380", START);
	MODIFY("movnti", "movnti %1, %0", SOURCE);
	MODIFY("add", "addl %1, %0", START + SOURCE);
	MODIFY("add-immediate-8", "addl $-1, %0", START - 1);
	MODIFY("or", "orl %1, %0", START | SOURCE);
	MODIFY("adc", "stc\n\tadcl %1, %0", START + SOURCE + 1);
	MODIFY("sbb", "stc\n\tsbbl %1, %0", START - SOURCE - 1);
	MODIFY("and", "andl %1, %0", START & SOURCE);
	MODIFY("and-immediate", "andl $0xff00ff00, %0", START & 0xff00ff00);
	MODIFY("sub", "subl %1, %0", START - SOURCE);
	MODIFY("xor", "xorl %1, %0", START ^ SOURCE);
	MODIFY("lock-or", "lock orl %1, %0", START | SOURCE);
	MODIFY("inc", "incl %0", START + 1);
	MODIFY("dec", "decl %0", START - 1);
	MODIFY("not", "notl %0", ~START);
	MODIFY("neg", "negl %0", -START);
	MODIFY("bts", "btsl $31, %0", START | BIT(31));
	MODIFY("btr", "btrl $3, %0", START & ~8u);
	MODIFY("btc", "btcl $0, %0", START ^ 1);
	MODIFY("cmpxchg-equal", "lock cmpxchgl %1, %0", SOURCE);
	MODIFY("cmpxchg-differs", "movl $1, %%eax\n\tlock cmpxchgl %1, %0", START);
	MODIFY("xchg", "xchgl %1, %0", SOURCE);
	MODIFY("xadd", "lock xaddl %1, %0", START + SOURCE);
	MODIFY("shl-1", "shll %0", START << 1);
	MODIFY("shr-immediate", "shrl $9, %0", START >> 9);
	MODIFY("sar-immediate", "sarl $4, %0", START >> 4);
	MODIFY("rcr", "stc\n\trcrl %0", START >> 1 | BIT(31));
	MODIFY("shld", "shldl $8, %1, %0", START << 8 | SOURCE >> 24);
	MODIFY("shrd", "shrdl $8, %1, %0", START >> 8 | SOURCE << 24);
	*count = START;
	__asm__ volatile("roll %%cl, %0" : "+m"(*count) : "c"(8) : "cc");
	report_equal("rol-cl", *count, START << 8 | START >> 24);
}

static void test_arithmetic(void)
{
	const uint64_t product = (uint64_t)START * SOURCE;

	ACCUMULATE("mul", "mull %2", product);
	ACCUMULATE("imul", "imull %2", product);
	ACCUMULATE("imul-register", "imull %2, %k0", (uint32_t)product);
	ACCUMULATE("imul-immediate", "imull $3, %2, %k0", START * 3);
	ACCUMULATE("div", "movl $1, %k1\n\tdivl %2",
		   (BIT(32) | SOURCE) % START << 32 | (BIT(32) | SOURCE) / START);
	ACCUMULATE("idiv", "idivl %2", (uint64_t)SOURCE << 32);
	*count = 0;
	report_vector("divide-by-zero", TRY("divl %0", : : "m"(*count), "a"(1), "d"(0) : "cc"), VEC_DE);
}

static void test_loads(void)
{
	LOAD("load", "movl %1, %k0", START);
	LOAD("load-moffs", "movabsl 0xfee00380, %%eax\n\tmovl %%eax, %k0", START);
	LOAD("movsxd", "movslq %1, %0", START);
	LOAD("add-to-register", "addl %1, %k0", (uint32_t)(START + SOURCE));
	LOAD("and-to-register", "andl %1, %k0", START & SOURCE);
	LOAD("sub-from-register", "subl %1, %k0", (uint32_t)(SOURCE - START));
	LOAD("xor-to-register", "xorl %1, %k0", START ^ SOURCE);
	LOAD("cmov-taken", "stc\n\tcmovcl %1, %k0", START);
	LOAD("cmov-not-taken", "clc\n\tcmovcl %1, %k0", SOURCE);
	LOAD("xchg-result", "xchgl %k0, %1", START);
	FLAGS("cmp-equal", "cmpl %2, %1", 0x44);
	FLAGS("cmp-immediate-above", "cmpl $0x7fffffff, %1", 0x91);
	FLAGS("test", "testl $0x80000000, %1", 0x44);
	FLAGS("bt-set", "btl $3, %1\n\tsetc %b0\n\tmovzbl %b0, %k0\n\tcmpl $1, %k0", 0x44);
}

static void test_byte_register(void)
{
	uint64_t result = ~0ul;

	*ioapic_index = 1;
	report_equal("byte-store", *ioapic_index, 1);
	__asm__ volatile("movzbl %1, %k0" : "=r"(result) : "m"(*ioapic_index));
	report_equal("movzx-byte", result, 1);
	__asm__ volatile("movzwl %1, %k0" : "=r"(result) : "m"(*(volatile uint16_t *)ioapic_index));
	report_equal("movzx-word", result, 1);
	result = 0x1122334455667788;
	__asm__ volatile("movb %1, %b0" : "+r"(result) : "m"(*ioapic_index));
	report_equal("byte-load-keeps-upper", result, 0x1122334455667701);
	{
		uint64_t rax = 0x1122334455667788;
		/* AH goes with no REX prefix, so the address must be in an old register. */
		__asm__ volatile("movb (%1), %%ah" : "+a"(rax) : "b"(ioapic_index) : "memory");
		report_equal("byte-load-ah", rax, 0x1122334455660188);
	}
	__asm__ volatile("stc\n\tsetc %0" : "=m"(*ioapic_index));
	report_equal("setcc", *ioapic_index, 1);
	__asm__ volatile("xchgb %b0, %1" : "+r"(result), "+m"(*ioapic_index));
	report_equal("window-follows-index", *ioapic_window & IOAPIC_VERSION_MASK, (GUEST_IOAPIC_PINS - 1) << 16 |
		     (*ioapic_window & 0xff));
}

static void test_hole(void)
{
	uint64_t result;
	int64_t wide;

	report_equal("hole-byte", *(volatile uint8_t *)HOLE, 0xff);
	report_equal("hole-word", *(volatile uint16_t *)(HOLE + 2), 0xffff);
	report_equal("hole-long", *(volatile uint32_t *)(HOLE + 4), 0xffffffff);
	report_equal("hole-quad", *(volatile uint64_t *)(HOLE + 8), ~0ul);
	report_equal("hole-over-page", *(volatile uint32_t *)(HOLE + 0xffe), 0xffffffff);
	__asm__ volatile("movsbq %1, %0" : "=r"(wide) : "m"(*(volatile uint8_t *)HOLE));
	report_equal("movsx-byte", (uint64_t)wide, ~0ul);
	__asm__ volatile("movswl %1, %k0" : "=r"(result) : "m"(*(volatile uint16_t *)HOLE));
	report_equal("movsx-word", result, 0xffffffff);
	__asm__ volatile("pushq %1\n\tpopq %0" : "=r"(result) : "m"(*(volatile uint64_t *)HOLE));
	report_equal("push", result, ~0ul);
	__asm__ volatile("pushq $5\n\tpopq %0" : "=m"(*(volatile uint64_t *)HOLE));
	*(volatile uint64_t *)(HOLE + 16) = 0;
	report_equal("hole-ignores-writes", *(volatile uint64_t *)(HOLE + 16), ~0ul);
}

/* XMM registers; 16 bytes go to the hole, which the register of the local APIC is too small for. */
static void test_wide(void)
{
	volatile uint64_t *hole = (volatile uint64_t *)HOLE;
	uint64_t got[2], pattern[2] = { 0x1111222233334444, 0x5555666677778888 };
	uint64_t rax = ~0ul, rdx = 0;
	bool equal;

	write_cr4(read_cr4() | CR4_OSFXSR);
	__asm__ volatile("movups %0, %%xmm9\n\tmovd %%xmm9, %1" : : "m"(pattern), "m"(*count) : "memory");
	report_equal("movd-store", *count, 0x33334444);
	__asm__ volatile("movd %1, %%xmm9\n\tmovups %%xmm9, %0" : "=m"(got) : "m"(*count));
	report_equal("movd-load", got[0], 0x33334444);
	report_equal("movd-load-clears", got[1], 0);
	__asm__ volatile("movups %1, %%xmm2\n\tmovhps %2, %%xmm2\n\tmovups %%xmm2, %0"
			 : "=m"(got) : "m"(pattern), "m"(*hole));
	report_equal("movhps-keeps-low", got[0], pattern[0]);
	report_equal("movhps-load", got[1], ~0ul);
	__asm__ volatile("movdqa %1, %%xmm15\n\tmovups %%xmm15, %0" : "=m"(got) : "m"(*hole));
	CHECK("movdqa-load", got[0] == ~0ul && got[1] == ~0ul);
	__asm__ volatile("movups %1, %%xmm0\n\tmovntdq %%xmm0, %0" : "=m"(*hole) : "m"(pattern) : "memory");
	report_equal("movntdq-to-hole", *hole, ~0ul);
	report_vector("movaps-misaligned", TRY("movaps %%xmm0, 8(%0)", : : "r"(hole) : "memory"), VEC_GP);
	__asm__ volatile("lock cmpxchg8b %1" : "=@ccz"(equal), "+m"(*hole), "+a"(rax), "+d"(rdx)
			 : "b"(0), "c"(0) : "memory");
	CHECK("cmpxchg8b-differs", !equal && (uint32_t)rax == UINT32_MAX && (uint32_t)rdx == UINT32_MAX);
	rax = rdx = ~0ul;
	__asm__ volatile("lock cmpxchg16b %1" : "=@ccz"(equal), "+m"(*hole), "+a"(rax), "+d"(rdx)
			 : "b"(0), "c"(0) : "memory");
	CHECK("cmpxchg16b-equal", equal && rax == ~0ul);
}

static void test_addressing(void)
{
	uint64_t base = COUNT_REGISTER - 0x40, index = 8, result;

	*count = START;
	__asm__ volatile("movl 0x20(%1,%2,4), %k0" : "=r"(result) : "r"(base), "r"(index));
	report_equal("base-index-displacement", result, START);
	wrmsr(MSR_GS_BASE, COUNT_REGISTER - 0x100);
	__asm__ volatile("movl %%gs:0x100, %k0" : "=r"(result));
	report_equal("gs-base", result, START);
	wrmsr(MSR_GS_BASE, 0);
	base = COUNT_REGISTER | BIT(45);
	__asm__ volatile("movl (%k1), %k0" : "=r"(result) : "r"(base));
	report_equal("address-size", result, START);
	__asm__ volatile("movl (%1), %%r15d\n\tmovl %%r15d, %k0" : "=r"(result) : "r"(COUNT_REGISTER) : "r15");
	report_equal("rex-register", result, START);
}

static void test_strings(void)
{
	uint8_t *ram = (uint8_t *)fresh_memory() + PAGE_SIZE - 8; /* crosses a page */
	const void *from;
	void *to;
	uint64_t n = 16, rax = SOURCE;
	uint64_t flags;
	bool all = true;

	to = ram;
	from = (const void *)HOLE;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	for (unsigned i = 0; i < 16; i++)
		all &= ram[i] == 0xff;
	CHECK("rep-movs-from-device", all);
	report_equal("rep-movs-counts", n | ((uint64_t)to - (uint64_t)ram) << 8, 0x1000);
	*(uint32_t *)ram = SOURCE;
	from = ram;
	to = (void *)COUNT_REGISTER;
	__asm__ volatile("movsl" : "+D"(to), "+S"(from) : : "memory");
	report_equal("movs-to-device", *count, SOURCE);
	to = (void *)COUNT_REGISTER;
	rax = START;
	__asm__ volatile("stosl" : "+D"(to) : "a"(rax) : "memory");
	report_equal("stos", *count, START);
	from = (const void *)COUNT_REGISTER;
	__asm__ volatile("lodsl" : "+S"(from), "+a"(rax) : : "memory");
	report_equal("lods", rax, START);
	to = (void *)COUNT_REGISTER;
	__asm__ volatile("scasl\n\tpushfq\n\tpopq %1" : "+D"(to), "=r"(flags) : "a"(START) : "cc", "memory");
	report_equal("scas", flags & 0x40, 0x40);
	n = 8;
	to = (void *)HOLE;
	__asm__ volatile("repe scasb" : "+D"(to), "+c"(n) : "a"(0xff) : "cc", "memory");
	report_equal("repe-scas", n, 0);
	*(uint32_t *)ram = START + 1;
	from = ram;
	to = (void *)COUNT_REGISTER;
	__asm__ volatile("cmpsl\n\tpushfq\n\tpopq %2" : "+D"(to), "+S"(from), "=r"(flags) : : "cc", "memory");
	report_equal("cmps-above", flags & 0x41, 0);
}

/* A store whose source is fine and whose device page the guest itself protects. */
static void test_protection(void)
{
	uint64_t page = fresh_memory();

	page_map(page, COUNT_REGISTER & ~PAGE_MASK, PTE_P);
	report_vector("read-only-mapping",
		      TRY("movl %0, 0x380(%1)", : : "r"(0), "r"(page) : "memory"), VEC_PF);
	report_equal("read-only-error-code", fault.error, 3);
	*count = START;
	report_equal("read-through-mapping", *(volatile uint32_t *)(page + 0x380), START);
	page_map(page, page, PTE_P | PTE_W | PTE_U);
}

void guest_main(void)
{
	apic_enable();
	apic_write(VLAPIC_LVT_TIMER, APIC_LVT_MASKED);
	test_stores();
	test_loads();
	test_arithmetic();
	test_wide();
	test_byte_register();
	test_hole();
	test_addressing();
	test_strings();
	test_protection();
	apic_write(VLAPIC_TIMER_INIT, 0);
}
