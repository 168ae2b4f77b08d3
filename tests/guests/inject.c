/*
 * Proves that events reach a guest as they should: exceptions with their error codes, interrupts
 * when the guest can take them and not before, NMIs one at a time, and each of them exactly once
 * also when its own delivery causes a VM exit and has to be repeated.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/time.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "inject";

#define VECTOR_LOW 0x40
#define VECTOR_HIGH 0x80
#define VECTOR_SOFT 0x60
#define IST_FRESH 3
#define UNMAPPED 0x7000000000ul
#define NON_CANONICAL 0x800000000000ul

static volatile uint64_t seen_rip, seen_rsp, seen_error, seen_cr2;
static volatile unsigned nmi_nested, nmi_depth, nmi_runs;

/* Handlers that note what they saw and skip a two-byte instruction where the event is a fault. */
static void note(struct frame *f)
{
	trap_count[f->vector]++;
	seen_rip = f->rip;
	seen_rsp = (uint64_t)f;
	seen_error = f->error;
	seen_cr2 = read_cr2();
	if (f->vector == VEC_UD || f->vector == VEC_PF)
		f->rip += 2; /* ud2, mov (%rax),%al */
	if (f->vector >= 0x20 && f->vector != VECTOR_SOFT)
		apic_eoi();
}

static void test_exceptions(void)
{
	report_vector("divide", TRY("div %0", : : "r"(0u), "a"(1), "d"(0) : "memory"), VEC_DE);
	report_vector("undefined-opcode", TRY("ud2", : : : "memory"), VEC_UD);
	report_vector("breakpoint", TRY("int3", : : : "memory"), VEC_BP);
	report_vector("gp-non-canonical", TRY("mov (%0), %%al", : : "r"(NON_CANONICAL) : "rax", "memory"), VEC_GP);
	report_equal("gp-error-code", fault.error, 0);
	report_vector("gp-selector", TRY("mov %0, %%fs", : : "r"(0xfff8) : "memory"), VEC_GP);
	report_equal("gp-selector-error-code", fault.error, 0xfff8);
	report_vector("software-interrupt", TRY("int $0x21", : : : "memory"), NO_FAULT);
	trap_idt[0x22].type &= 0x7f;
	report_vector("np-gate", TRY("int $0x22", : : : "memory"), VEC_NP);
	report_equal("np-gate-error-code", fault.error, 0x22 << 3 | 2);
	report_vector("pf-read", TRY("mov (%0), %%al", : : "r"(UNMAPPED) : "rax", "memory"), VEC_PF);
	report_equal("pf-read-error-code", fault.error, 0);
	report_equal("pf-cr2", fault.cr2, UNMAPPED);
	report_vector("pf-write", TRY("movb $1, (%0)", : : "r"(UNMAPPED + 5) : "memory"), VEC_PF);
	report_equal("pf-write-error-code", fault.error, 2);
	report_equal("pf-write-cr2", fault.cr2, UNMAPPED + 5);
	report_vector("pf-fetch", TRY("jmp *%0", : : "r"(UNMAPPED) : "memory"), VEC_PF);
	report_equal("pf-fetch-error-code", fault.error, 0x10);
	report_equal("pf-fetch-rip", fault.rip, UNMAPPED);
}

static void test_page_protection(void)
{
	uint64_t page = fresh_memory();

	page_map(page, page, PTE_P);
	report_vector("pf-protection", TRY("movb $1, (%0)", : : "r"(page) : "memory"), VEC_PF);
	report_equal("pf-protection-error-code", fault.error, 3);
	page_map(page, page, PTE_P | PTE_W | PTE_NX);
	report_vector("pf-no-execute", TRY("jmp *%0", : : "r"(page) : "memory"), VEC_PF);
	report_equal("pf-no-execute-error-code", fault.error, 0x11);
	page_map(page, page, PTE_P | PTE_W | BIT(51));
	report_vector("pf-reserved-bit", TRY("movb $1, (%0)", : : "r"(page) : "memory"), VEC_PF);
	report_equal("pf-reserved-error-code", fault.error, 0xb);
	page_map(page, page, PTE_P | PTE_W | PTE_U);
}

/* Delivers vector `v` by `trigger` on a stack no one has touched: the push takes an EPT violation. */
#define ON_FRESH_STACK(name, v, ...)                                                                \
	do {                                                                                        \
		uint64_t top = fresh_memory() + 0x3000;                                             \
		uint32_t before = trap_count[v];                                                    \
		trap_set(v, note);                                                                  \
		trap_set_ist(v, IST_FRESH, top);                                                    \
		__VA_ARGS__;                                                                        \
		report_equal(name "-once", trap_count[v] - before, 1);                              \
		report_equal(name "-stack", seen_rsp, top - sizeof(struct frame));                  \
		trap_set_ist(v, 0, 0);                                                              \
		trap_set(v, NULL);                                                                  \
	} while (0)

static void test_reinjection(void)
{
	ON_FRESH_STACK("again-exception", VEC_UD, __asm__ volatile("ud2" : : : "memory"));
	ON_FRESH_STACK("again-breakpoint", VEC_BP, __asm__ volatile("int3" : : : "memory"));
	ON_FRESH_STACK("again-software", VECTOR_SOFT, __asm__ volatile("int $0x60" : : : "memory"));
	ON_FRESH_STACK("again-page-fault", VEC_PF,
		       __asm__ volatile("mov (%%rax), %%al" : : "a"(UNMAPPED + 0x123) : "memory"));
	report_equal("again-page-fault-cr2", seen_cr2, UNMAPPED + 0x123);
	report_equal("again-page-fault-error-code", seen_error, 0);
	ON_FRESH_STACK("again-interrupt", VECTOR_LOW, sti(); apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_LOW);
		       delay_us(100); cli());
	ON_FRESH_STACK("again-nmi", VEC_NMI, apic_send(apic_id(), ICR_NMI | ICR_ASSERT); delay_us(100));
}

/* #PF while #PF is delivered gives #DF, here on a stack of its own that faults in EPT as well. */
static void land_double_fault(struct frame *f)
{
	trap_count[VEC_DF]++;
	seen_error = f->error;
	f->rip = trap_resume;
	f->rsp = trap_resume_rsp;
	trap_resume = 0;
}

static void test_double_fault(void)
{
	uint64_t top = fresh_memory() + 0x3000;

	trap_set(VEC_DF, land_double_fault);
	trap_set_ist(VEC_DF, 2, top);
	trap_set_ist(VEC_PF, IST_FRESH, UNMAPPED + 0x1000);
	(void)TRY("mov (%%rax), %%al", : : "a"(UNMAPPED) : "memory");
	trap_set_ist(VEC_PF, 0, 0);
	report_equal("double-fault-once", trap_count[VEC_DF], 1);
	report_equal("double-fault-error-code", seen_error, 0);
	trap_set(VEC_DF, NULL);
}

/* An interrupt sent while IF is 0 waits, and the instruction after STI still comes before it. */
static void test_interrupt_window(void)
{
	uint64_t at;

	trap_set(VECTOR_LOW, note);
	trap_count[VECTOR_LOW] = 0;
	apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_LOW);
	delay_us(100);
	report_equal("held-while-if-clear", trap_count[VECTOR_LOW], 0);
	CHECK("held-in-irr", apic_test_bit(VLAPIC_IRR, VECTOR_LOW));
	__asm__ volatile("lea 1f(%%rip), %0\n\tsti\n\tnop\n1:\tnop\n\tcli" : "=&r"(at) : : "memory");
	report_equal("taken-after-sti", trap_count[VECTOR_LOW], 1);
	report_equal("sti-shadow", seen_rip, at);

	apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_LOW);
	delay_us(100);
	__asm__ volatile("mov %%ss, %%eax\n\tlea 1f(%%rip), %0\n\tsti\n\tmov %%eax, %%ss\n\tnop\n1:\tnop\n\tcli"
			 : "=&r"(at) : : "rax", "memory");
	report_equal("taken-after-mov-ss", trap_count[VECTOR_LOW], 2);
	trap_set(VECTOR_LOW, NULL);
}

static volatile uint8_t order[4];
static volatile unsigned order_len;

static void note_order(struct frame *f)
{
	order[order_len++ & 3] = (uint8_t)f->vector;
	apic_eoi();
}

static void test_priority(void)
{
	trap_set(VECTOR_LOW, note_order);
	trap_set(VECTOR_HIGH, note_order);
	apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_LOW);
	apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_HIGH);
	apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_LOW);
	sti();
	delay_us(100);
	cli();
	report_equal("pending-twice-is-once", order_len, 2);
	report_equal("higher-first", order[0], VECTOR_HIGH);
	report_equal("lower-second", order[1], VECTOR_LOW);
	trap_set(VECTOR_LOW, NULL);
	trap_set(VECTOR_HIGH, NULL);
}

/* The first NMI sends a second one to itself and looks whether it comes before IRET. */
static void on_nmi(struct frame *f)
{
	(void)f;
	nmi_runs++;
	if (++nmi_depth > 1)
		nmi_nested++;
	if (nmi_runs == 1) {
		apic_send(apic_id(), ICR_NMI | ICR_ASSERT);
		delay_us(100);
	}
	nmi_depth--;
}

static void test_nmi(void)
{
	trap_set(VEC_NMI, on_nmi);
	apic_send(apic_id(), ICR_NMI | ICR_ASSERT);
	delay_us(200);
	report_equal("nmi-both-delivered", nmi_runs, 2);
	report_equal("nmi-blocked-until-iret", nmi_nested, 0);
	trap_set(VEC_NMI, NULL);
}

/* HLT ends by an interrupt and by an NMI with IF clear, RIP behind it. */
static void test_halt(void)
{
	uint64_t at;

	trap_set(VECTOR_LOW, note);
	trap_count[VECTOR_LOW] = 0;
	apic_write(VLAPIC_LVT_TIMER, VECTOR_LOW);
	apic_write(VLAPIC_TIMER_DIVIDE, APIC_DIVIDE_1);
	apic_write(VLAPIC_TIMER_INIT, 200000);
	__asm__ volatile("lea 1f(%%rip), %0\n\tsti\n\thlt\n1:\tcli" : "=&r"(at) : : "memory");
	report_equal("timer-wakes-hlt", trap_count[VECTOR_LOW], 1);
	report_equal("hlt-return", seen_rip, at);
	apic_write(VLAPIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR_LOW);
	trap_set(VECTOR_LOW, NULL);
}

static void test_single_step(void)
{
	uint64_t at;

	trap_set(VEC_DB, note);
	trap_count[VEC_DB] = 0;
	__asm__ volatile("lea 1f(%%rip), %0\n\tpushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tnop\n1:\tpushfq\n\t"
			 "andl $~0x100, (%%rsp)\n\tpopfq" : "=&r"(at) : : "memory");
	CHECK("single-step", trap_count[VEC_DB] >= 3);
	trap_count[VEC_DB] = 0;
	__asm__ volatile("lea 1f(%%rip), %0\n\tpushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tcpuid\n1:\tpushfq\n\t"
			 "andl $~0x100, (%%rsp)\n\tpopfq" : "=&r"(at) : : "rax", "rbx", "rcx", "rdx", "memory");
	CHECK("single-step-over-exit", trap_count[VEC_DB] >= 3);
	trap_set(VEC_DB, NULL);
}

void guest_main(void)
{
	apic_enable();
	trap_set(0x21, trap_count_only);
	test_exceptions();
	trap_set(0x21, NULL);
	test_page_protection();
	test_reinjection();
	test_double_fault();
	test_interrupt_window();
	test_priority();
	test_nmi();
	test_halt();
	test_single_step();
}
