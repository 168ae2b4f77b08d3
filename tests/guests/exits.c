/*
 * Proves what an unprivileged look at the machine shows: CPUID, MSRs, control registers, and the
 * instructions that end in the hypervisor or must be refused.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "exits";

#define CPUID1_ECX_VMX BIT(5)
#define CPUID1_ECX_MONITOR BIT(3)
#define CPUID1_ECX_XSAVE BIT(26)
#define CPUID1_ECX_OSXSAVE BIT(27)
#define CPUID1_ECX_HYPERVISOR BIT(31)
#define UNKNOWN_MSR 0x12345678
#define UNUSED_PORT 0x2e0
#define PAT_RESET 0x0007040600070406ul

static int try_rdmsr(uint32_t msr, uint64_t *value)
{
	uint32_t low = 0, high = 0;
	int vector = TRY("rdmsr", : "+a"(low), "+d"(high) : "c"(msr) : "memory");

	*value = (uint64_t)high << 32 | low;
	return vector;
}

static int try_wrmsr(uint32_t msr, uint64_t value)
{
	return TRY("wrmsr", : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* A value that must be refused; what was there is put back should it be taken after all. */
static void test_msr_refuses(const char *name, uint32_t msr, uint64_t value)
{
	uint64_t old = rdmsr(msr);

	if (!report_vector(name, try_wrmsr(msr, value), VEC_GP))
		wrmsr(msr, old);
}

static int try_xsetbv(uint32_t index, uint64_t value)
{
	return TRY("xsetbv", : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static void test_cpuid(void)
{
	struct cpuid_regs r = cpuid(1, 0), again = cpuid(1, 0), beyond, last;

	CHECK("cpuid-has-leaf-1", cpuid(0, 0).eax >= 1);
	CHECK("cpuid-repeats", r.eax == again.eax && r.ecx == again.ecx && r.edx == again.edx);
	CHECK("cpuid-hypervisor-bit", r.ecx & CPUID1_ECX_HYPERVISOR);
	CHECK("cpuid-hypervisor-leaf", cpuid(0x40000000, 0).eax >= 0x40000000);
	CHECK("cpuid-no-vmx", !(r.ecx & CPUID1_ECX_VMX));
	CHECK("cpuid-no-monitor", !(r.ecx & CPUID1_ECX_MONITOR));
	report_equal("cpuid-initial-apic-id", r.ebx >> 24, 0);
	CHECK("cpuid-extended", cpuid(0x80000000, 0).eax >= 0x80000008);
	CHECK("cpuid-physical-width", (cpuid(0x80000008, 0).eax & 0xff) >= 32);
	/* A leaf above the highest basic one gives what the highest gives. */
	beyond = cpuid(0x3fffffff, 0);
	last = cpuid(cpuid(0, 0).eax, 0);
	CHECK("cpuid-beyond-last", beyond.eax == last.eax && beyond.ebx == last.ebx);
}

static void test_osxsave(void)
{
	uint64_t cr4 = read_cr4();

	if (!(cpuid(1, 0).ecx & CPUID1_ECX_XSAVE))
		return;
	write_cr4(cr4 & ~CR4_OSXSAVE);
	CHECK("osxsave-follows-clear", !(cpuid(1, 0).ecx & CPUID1_ECX_OSXSAVE));
	report_vector("xsetbv-without-osxsave", try_xsetbv(0, 1), VEC_UD);
	write_cr4(cr4 | CR4_OSXSAVE);
	CHECK("osxsave-follows-set", cpuid(1, 0).ecx & CPUID1_ECX_OSXSAVE);
	report_vector("xsetbv-x87-sse", try_xsetbv(0, 3), NO_FAULT);
	report_equal("xgetbv", xgetbv(0), 3);
	report_vector("xsetbv-no-x87", try_xsetbv(0, 2), VEC_GP);
	report_vector("xsetbv-avx-without-sse", try_xsetbv(0, 5), VEC_GP);
	report_vector("xsetbv-reserved", try_xsetbv(0, BIT(62) | 3), VEC_GP);
	report_vector("xsetbv-index", try_xsetbv(1, 3), VEC_GP);
	report_equal("xgetbv-unchanged", xgetbv(0), 3);
	if (cpuid(0xd, 0).eax & BIT(2)) {
		uint32_t sse_size = cpuid(0xd, 0).ebx;
		report_vector("xsetbv-avx", try_xsetbv(0, 7), NO_FAULT);
		CHECK("xsave-size-follows-xcr0", cpuid(0xd, 0).ebx > sse_size);
		report_vector("xsetbv-back", try_xsetbv(0, 3), NO_FAULT);
	}
	write_cr4(cr4);
}

static void test_msr_round_trip(const char *name, uint32_t msr, uint64_t value)
{
	uint64_t old, now;

	if (!report_vector(name, try_rdmsr(msr, &old), NO_FAULT))
		return;
	report_vector(name, try_wrmsr(msr, value), NO_FAULT);
	now = rdmsr(msr);
	wrmsr(msr, old);
	report_equal(name, now, value);
}

static void test_msrs(void)
{
	uint64_t value, before;

	report_vector("rdmsr-unknown", try_rdmsr(UNKNOWN_MSR, &value), VEC_GP);
	report_equal("rdmsr-unknown-error-code", fault.error, 0);
	report_vector("wrmsr-unknown", try_wrmsr(UNKNOWN_MSR, 0), VEC_GP);
	report_vector("rdmsr-vmx-basic", try_rdmsr(MSR_VMX_BASIC, &value), VEC_GP);
	report_vector("rdmsr-apic-base", try_rdmsr(MSR_APIC_BASE, &value), NO_FAULT);
	report_equal("apic-base-address", value & BITS(35, 12), GUEST_LAPIC_BASE);
	CHECK("apic-base-bsp", value & BIT(8));
	report_vector("rdmsr-pat", try_rdmsr(MSR_PAT, &value), NO_FAULT);
	report_equal("pat-at-reset", value, PAT_RESET);
	test_msr_refuses("wrmsr-pat-reserved-type", MSR_PAT, 2);
	test_msr_refuses("wrmsr-efer-reserved", MSR_EFER, rdmsr(MSR_EFER) | BIT(20));
	test_msr_refuses("wrmsr-efer-lme-with-paging", MSR_EFER, rdmsr(MSR_EFER) & ~EFER_LME);
	test_msr_refuses("wrmsr-fs-base-non-canonical", MSR_FS_BASE, BIT(63));
	test_msr_refuses("wrmsr-sysenter-eip-non-canonical", MSR_SYSENTER_EIP, BIT(62));
	test_msr_refuses("wrmsr-apic-base-reserved", MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 1);
	test_msr_round_trip("msr-sysenter-cs", MSR_SYSENTER_CS, SEL_CODE64);
	test_msr_round_trip("msr-sysenter-esp", MSR_SYSENTER_ESP, 0xffff800012345678);
	test_msr_round_trip("msr-star", MSR_STAR, 0x0023000800000000);
	test_msr_round_trip("msr-lstar", MSR_LSTAR, 0xffffffff81234567);
	test_msr_round_trip("msr-fmask", MSR_FMASK, 0x47700);
	test_msr_round_trip("msr-fs-base", MSR_FS_BASE, 0x123456789000);
	test_msr_round_trip("msr-gs-base", MSR_GS_BASE, 0xffffffffff600000);
	test_msr_round_trip("msr-kernel-gs-base", MSR_KERNEL_GS_BASE, 0x7fffffffe000);
	test_msr_round_trip("msr-pat", MSR_PAT, 0x0407050600070106);
	if (cpuid(0x80000001, 0).edx & BIT(27))
		test_msr_round_trip("msr-tsc-aux", MSR_TSC_AUX, 0x89abcdef);
	before = rdtsc();
	value = rdmsr(MSR_TSC);
	CHECK("rdmsr-tsc-between-rdtsc", before <= value && value <= rdtsc());
	report_vector("rdmsr-high-bits-ignored", TRY("rdmsr", : : "c"(0xabcd00000000ul | MSR_PAT) : "rax", "rdx"),
		      NO_FAULT);
}

static void test_refused(void)
{
	uint64_t operand = fresh_memory();

	report_vector("vmxon", TRY("vmxon (%0)", : : "r"(operand) : "memory", "cc"), VEC_UD);
	report_vector("vmxoff", TRY("vmxoff", : : : "memory", "cc"), VEC_UD);
	report_vector("vmclear", TRY("vmclear (%0)", : : "r"(operand) : "memory", "cc"), VEC_UD);
	report_vector("vmptrld", TRY("vmptrld (%0)", : : "r"(operand) : "memory", "cc"), VEC_UD);
	report_vector("vmptrst", TRY("vmptrst (%0)", : : "r"(operand) : "memory", "cc"), VEC_UD);
	report_vector("vmread", TRY("vmread %%rax, %%rbx", : : : "rbx", "memory", "cc"), VEC_UD);
	report_vector("vmwrite", TRY("vmwrite %%rax, %%rbx", : : : "memory", "cc"), VEC_UD);
	report_vector("vmlaunch", TRY("vmlaunch", : : : "memory", "cc"), VEC_UD);
	report_vector("vmresume", TRY("vmresume", : : : "memory", "cc"), VEC_UD);
	report_vector("vmfunc", TRY(".byte 0x0f, 0x01, 0xd4", : : "a"(0), "c"(0) : "memory", "cc"), VEC_UD);
	report_vector("invept", TRY("invept (%0), %1", : : "r"(operand), "r"(1ul) : "memory", "cc"), VEC_UD);
	report_vector("invvpid", TRY("invvpid (%0), %1", : : "r"(operand), "r"(1ul) : "memory", "cc"), VEC_UD);
	report_vector("monitor", TRY("monitor", : : "a"(operand), "c"(0), "d"(0) : "memory"), VEC_UD);
	report_vector("mwait", TRY("mwait", : : "a"(0), "c"(0) : "memory"), VEC_UD);
	report_vector("getsec", TRY(".byte 0x0f, 0x37", : : "a"(0) : "rbx", "memory"), VEC_UD);
	report_vector("rsm", TRY("rsm", : : : "memory"), VEC_UD);
	report_vector("cr4-vmxe", TRY("mov %0, %%cr4", : : "r"(read_cr4() | CR4_VMXE) : "memory"), VEC_GP);
}

static void test_allowed(void)
{
	volatile uint64_t *page = (volatile uint64_t *)fresh_memory();

	report_vector("wbinvd", TRY("wbinvd", : : : "memory"), NO_FAULT);
	*page = 0x1122334455667788;
	/* A guest's INVD must not lose what its host has in the cache. */
	report_vector("invd", TRY("invd", : : : "memory"), NO_FAULT);
	report_equal("invd-keeps-memory", *page, 0x1122334455667788);
	report_vector("pause", TRY("pause", : : : "memory"), NO_FAULT);
	report_vector("invlpg", TRY("invlpg (%0)", : : "r"(page) : "memory"), NO_FAULT);
	report_vector("rdtsc", TRY("rdtsc", : : : "rax", "rdx"), NO_FAULT);
	/* Without a performance-monitoring unit any counter number is invalid. */
	if (cpuid(0, 0).eax < 0xa || !(cpuid(0xa, 0).eax & 0xff))
		report_vector("rdpmc", TRY("rdpmc", : : "c"(0x100) : "rax", "rdx"), VEC_GP);
}

static int try_cr0(uint64_t v) { return TRY("mov %0, %%cr0", : : "r"(v) : "memory"); }
static int try_cr4(uint64_t v) { return TRY("mov %0, %%cr4", : : "r"(v) : "memory"); }
static int try_cr3(uint64_t v) { return TRY("mov %0, %%cr3", : : "r"(v) : "memory"); }
static int try_cr8(uint64_t v) { return TRY("mov %0, %%cr8", : : "r"(v) : "memory"); }

static void test_cr0(void)
{
	uint64_t cr0 = read_cr0();

	report_vector("cr0-high-half", try_cr0(cr0 | BIT(32)), VEC_GP);
	report_vector("cr0-pg-without-pe", try_cr0(cr0 & ~CR0_PE), VEC_GP);
	report_vector("cr0-nw-without-cd", try_cr0(cr0 | CR0_NW), VEC_GP);
	report_vector("cr0-pg-off-in-64-bit", try_cr0(cr0 & ~CR0_PG), VEC_GP);
	report_equal("cr0-unchanged", read_cr0(), cr0);
	report_vector("cr0-ts", try_cr0(cr0 | CR0_TS), NO_FAULT);
	report_equal("cr0-ts-reads-back", read_cr0(), cr0 | CR0_TS);
	__asm__ volatile("clts");
	report_equal("clts", read_cr0(), cr0);
	report_vector("lmsw", TRY("lmsw %w0", : : "r"(0xb) : "memory"), NO_FAULT);
	report_equal("lmsw-sets-ts", read_cr0() & CR0_TS, CR0_TS);
	report_vector("cr0-cd", try_cr0(cr0 | CR0_CD), NO_FAULT);
	report_equal("cr0-cd-reads-back", read_cr0(), cr0 | CR0_CD);
	report_vector("cr0-ne-off", try_cr0(cr0 & ~CR0_NE), NO_FAULT);
	report_equal("cr0-ne-reads-back", read_cr0(), cr0 & ~CR0_NE);
	report_vector("cr0-back", try_cr0(cr0), NO_FAULT);
	report_equal("cr0-as-before", read_cr0(), cr0);
}

static void test_cr3_cr4_cr8(void)
{
	uint64_t cr3 = read_cr3(), cr4 = read_cr4(), cr8;

	report_vector("cr4-high-half", try_cr4(cr4 | BIT(32)), VEC_GP);
	report_vector("cr4-reserved", try_cr4(cr4 | BIT(15)), VEC_GP);
	report_vector("cr4-pae-off-in-64-bit", try_cr4(cr4 & ~CR4_PAE), VEC_GP);
	report_equal("cr4-unchanged", read_cr4(), cr4);
	report_vector("cr4-pge", try_cr4(cr4 ^ CR4_PGE), NO_FAULT);
	report_equal("cr4-pge-reads-back", read_cr4(), cr4 ^ CR4_PGE);
	report_vector("cr4-back", try_cr4(cr4), NO_FAULT);
	report_vector("cr3-reserved", try_cr3(cr3 | BIT(60)), VEC_GP);
	report_vector("cr3-same", try_cr3(cr3), NO_FAULT);
	report_equal("cr3-reads-back", read_cr3(), cr3);
	report_vector("cr8-write", try_cr8(9), NO_FAULT);
	__asm__ volatile("mov %%cr8, %0" : "=r"(cr8));
	report_equal("cr8-reads-back", cr8, 9);
	report_equal("cr8-is-tpr", apic_read(VLAPIC_TPR), 0x90);
	report_vector("cr8-reserved", try_cr8(0x10), VEC_GP);
	apic_write(VLAPIC_TPR, 0x30);
	__asm__ volatile("mov %%cr8, %0" : "=r"(cr8));
	report_equal("tpr-is-cr8", cr8, 3);
	apic_write(VLAPIC_TPR, 0);
}

static void test_debug_registers(void)
{
	write_dr0(0x123456789abc);
	report_equal("dr0", read_dr0(), 0x123456789abc);
	report_vector("dr7-high-half", TRY("mov %0, %%dr7", : : "r"(BIT(32)) : "memory"), VEC_GP);
	report_vector("dr6-high-half", TRY("mov %0, %%dr6", : : "r"(BIT(32)) : "memory"), VEC_GP);
	write_dr7(0x700);
	report_equal("dr7", read_dr7(), 0x700);
	report_equal("dr6-fixed-bits", read_dr6() & 0xfffe0ff0, 0xfffe0ff0);
	write_dr7(0x400);
	write_dr0(0);
}

static void test_absent_ports(void)
{
	report_equal("absent-port-byte", inb(UNUSED_PORT), 0xff);
	report_equal("absent-port-word", inw(UNUSED_PORT), 0xffff);
	report_equal("absent-port-long", inl(UNUSED_PORT), 0xffffffff);
	outb(UNUSED_PORT, 0x5a);
	outw(UNUSED_PORT, 0x5a5a);
	outl(UNUSED_PORT, 0x5a5a5a5a);
	report_equal("absent-port-ignores-writes", inb(UNUSED_PORT), 0xff);
}

void guest_main(void)
{
	apic_enable();
	test_cpuid();
	test_osxsave();
	test_msrs();
	test_refused();
	test_allowed();
	test_cr0();
	test_cr3_cr4_cr8();
	test_debug_registers();
	test_absent_ports();
}
