/*
 * Proves that registers which the hypervisor does not use itself belong to the guest: x87, SSE and
 * AVX state, debug registers, and MSRs switched between guests. Meant to run in several VMs on one
 * CPU at once, each with another `pattern=N` on its command line.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/time.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "fpu";

#define ROUNDS 40
#define SPIN_US 1500
#define VECTOR 0x41
#define CPUID1_ECX_XSAVE BIT(26)
#define CPUID1_ECX_AVX BIT(28)

struct vectors {
	uint8_t reg[16][32];
} __attribute__((aligned(64)));

static struct vectors want, got;
static bool avx;
static uint64_t seed;

static const uint32_t own_msrs[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK, MSR_KERNEL_GS_BASE, MSR_FS_BASE, MSR_GS_BASE,
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
};

/* A value of this guest's own; 31 bits, so that any register takes it. */
static uint64_t own(unsigned index) { return (seed * 0x9e3779b9u + index * 0x85ebca6bu) & 0x7fffffff; }

/* SYSENTER_CS is a selector. */
static uint64_t own_msr(unsigned i) { return own(10 + i) & (own_msrs[i] == MSR_SYSENTER_CS ? 0xfff8 : ~0ul); }

#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

static void vectors_load(const struct vectors *v)
{
#define LOAD_YMM(n) __asm__ volatile("vmovdqa %0, %%ymm" #n : : "m"(v->reg[n]));
#define LOAD_XMM(n) __asm__ volatile("movdqa %0, %%xmm" #n : : "m"(v->reg[n]));
	if (avx) {
		EACH(LOAD_YMM)
	} else {
		EACH(LOAD_XMM)
	}
}

static void vectors_store(struct vectors *v)
{
#define STORE_YMM(n) __asm__ volatile("vmovdqa %%ymm" #n ", %0" : "=m"(v->reg[n]));
#define STORE_XMM(n) __asm__ volatile("movdqa %%xmm" #n ", %0" : "=m"(v->reg[n]));
	if (avx) {
		EACH(STORE_YMM)
	} else {
		EACH(STORE_XMM)
	}
}

static void x87_load(void)
{
	uint32_t value = (uint32_t)own(100);
	uint16_t control = (uint16_t)(0x37f | (seed & 3) << 10); /* rounding */
	uint32_t mxcsr = 0x1f80 | (uint32_t)(seed & 3) << 13;

	__asm__ volatile("fninit\n\tfldcw %0\n\tfildl %1\n\tldmxcsr %2" : : "m"(control), "m"(value), "m"(mxcsr));
}

static bool x87_is_own(void)
{
	uint32_t value, mxcsr;
	uint16_t control;

	__asm__ volatile("fistl %0\n\tfnstcw %1\n\tstmxcsr %2" : "=m"(value), "=m"(control), "=m"(mxcsr));
	return value == own(100) && (control >> 10 & 3) == (seed & 3) && (mxcsr >> 13 & 3) == (seed & 3);
}

static void take_over(void)
{
	for (unsigned r = 0; r < 16; r++)
		for (unsigned i = 0; i < 32; i += 4) {
			uint32_t word = (uint32_t)own(r * 8 + i / 4 + 200);
			memcpy(&want.reg[r][i], &word, 4);
		}
	vectors_load(&want);
	x87_load();
	write_dr0(own(0));
	write_dr1(own(1));
	write_dr2(own(2));
	write_dr3(own(3));
	for (unsigned i = 0; i < ARRAY_LEN(own_msrs); i++)
		wrmsr(own_msrs[i], own_msr(i));
}

static bool debug_is_own(void)
{
	return read_dr0() == own(0) && read_dr1() == own(1) && read_dr2() == own(2) && read_dr3() == own(3);
}

static bool msrs_are_own(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(own_msrs); i++)
		if (rdmsr(own_msrs[i]) != own_msr(i))
			return false;
	return true;
}

static bool vectors_are_own(void)
{
	vectors_store(&got);
	for (unsigned r = 0; r < 16; r++)
		if (memcmp(got.reg[r], want.reg[r], avx ? 32 : 16))
			return false;
	return true;
}

/* What may cost a guest its registers: exits, interrupts, halting, the end of a slice. */
static void provoke(unsigned round)
{
	switch (round % 4) {
	case 0:
		(void)cpuid(0, 0);
		(void)inb(GUEST_PORT_COM1 + 5);
		break;
	case 1:
		apic_write(VLAPIC_TIMER_INIT, 100000);
		__asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
		break;
	case 2:
		apic_write(VLAPIC_TIMER_INIT, 50000);
		sti();
		delay_us(SPIN_US);
		cli();
		break;
	default:
		delay_us(SPIN_US);
	}
}

static void test_lazy_trap(void)
{
	write_cr0(read_cr0() | CR0_TS);
	report_vector("ts-traps", TRY("movdqa %%xmm0, %%xmm0", : : : "memory"), VEC_NM);
	__asm__ volatile("clts");
	report_vector("clts-lets", TRY("movdqa %%xmm0, %%xmm0", : : : "memory"), NO_FAULT);
}

/* A data breakpoint on a store. */
static void test_breakpoint(void)
{
	static volatile uint32_t watched;

	write_dr0((uint64_t)&watched);
	write_dr7(0x400 | 1 | 0xd0000); /* L0, write, 4 bytes */
	report_vector("data-breakpoint", TRY("movl $1, %0", : "=m"(watched) : : "memory"), VEC_DB);
	report_equal("breakpoint-in-dr6", read_dr6() & 0xf, 1);
	write_dr7(0x400);
	write_dr6(0xffff0ff0);
}

void guest_main(void)
{
	unsigned lost[4] = { 0 };

	seed = option_number("pattern", 1);
	apic_enable();
	trap_set(VECTOR, trap_count_irq);
	apic_write(VLAPIC_TIMER_DIVIDE, APIC_DIVIDE_1);
	apic_write(VLAPIC_LVT_TIMER, VECTOR);
	if ((cpuid(1, 0).ecx & CPUID1_ECX_XSAVE) && (cpuid(1, 0).ecx & CPUID1_ECX_AVX)) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		xsetbv(0, 7);
		avx = true;
	}
	test_lazy_trap();
	test_breakpoint();
	take_over();
	for (unsigned round = 0; round < ROUNDS; round++) {
		provoke(round);
		lost[0] += !vectors_are_own();
		lost[1] += !x87_is_own();
		lost[2] += !debug_is_own();
		lost[3] += !msrs_are_own();
	}
	report_equal(avx ? "sse-and-avx-kept" : "sse-kept", lost[0], 0);
	report_equal("x87-and-mxcsr-kept", lost[1], 0);
	report_equal("debug-registers-kept", lost[2], 0);
	report_equal("msrs-kept", lost[3], 0);
}
