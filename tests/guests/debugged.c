/*
 * For a debugger to work on: a piece of code with every kind of instruction that a single step could show
 * itself in, a variable to watch, a second CPU that counts. It does not go on before the debugger has set `go`,
 * and says in the end what it has noticed of all that, which is nothing.
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/acpi.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/smp.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "debugged";

#define VECTOR_SOFT 0x60
#define VECTOR_APIC 0x61
#define DR7_FIXED BIT(10)

void sequence(void);
void system_code(void);
void touch(uint64_t value);
uint64_t look(void);
void own_break(void);

volatile uint64_t go, watched, other_count, pushed_flags, popped_flags;
uint64_t fresh[PAGE_SIZE / 8] __attribute__((aligned(PAGE_SIZE))); /* a page that nothing has touched yet */
static volatile uint64_t seen_flags[256];
static const uint64_t own_dr[4] = { 0x123456, 0x7ffffffff000, 0xffff800000000001, 0x42 };

static void note(struct frame *f)
{
	trap_count[f->vector]++;
	seen_flags[f->vector] = f->rflags;
	if (f->vector == VEC_UD || f->vector == VEC_PF)
		f->rip += 2;
	if (f->vector == VECTOR_APIC)
		apic_eoi();
	if (f->vector == VEC_DB)
		f->rflags |= RFLAGS_RF;
}

/* A symbol at each instruction that a debugger wants to name. */
__asm__(".text\n"
	".globl sequence, at_pushf, at_cpuid, at_int, at_ud2, at_shadow, at_popf, at_int3, at_end\n"
	".type sequence, @function\n"
	"sequence:\n\t"
	"push %rbx\n"
	"at_pushf:\n\t"
	"pushfq\n\t"
	"pop %rax\n\t"
	"mov %rax, pushed_flags(%rip)\n\t"
	"xor %eax, %eax\n"
	"at_cpuid:\n\t"
	"cpuid\n"
	"at_int:\n\t"
	"int $0x60\n"
	"at_ud2:\n\t"
	"ud2\n"
	"at_shadow:\n\t"
	"sti\n\t"
	"nop\n\t"
	"cli\n\t"
	"mov %ss, %eax\n\t"
	"mov %eax, %ss\n\t"
	"nop\n"
	"at_popf:\n\t"
	"pushfq\n\t"
	"popfq\n\t"
	"pushfq\n\t"
	"popq popped_flags(%rip)\n"
	"at_int3:\n\t"
	"int3\n"
	"at_end:\n\t"
	"pop %rbx\n\t"
	"ret\n\t"
	".size sequence, . - sequence\n"
	/* With an interrupt pending. */
	".globl system_code, at_cr3, at_sti, at_fault, at_fresh, at_iret, at_return\n"
	".type system_code, @function\n"
	"system_code:\n\t"
	"push %rbx\n"
	"at_cr3:\n\t"
	"mov %cr3, %rax\n\t"
	"mov %rax, %cr3\n"
	"at_sti:\n\t"
	"sti\n\t"
	"hlt\n\t"
	"cli\n\t"
	"movabs $0x700000000000, %rax\n"
	"at_fault:\n\t"
	"mov (%rax), %eax\n"
	"at_fresh:\n\t"
	"movl $7, fresh(%rip)\n\t"
	"mov %rsp, %rbx\n\t"
	"mov %ss, %eax\n\t"
	"push %rax\n\t"
	"push %rbx\n\t"
	"pushfq\n\t"
	"mov %cs, %eax\n\t"
	"push %rax\n\t"
	"lea at_return(%rip), %rax\n\t"
	"push %rax\n"
	"at_iret:\n\t"
	"iretq\n"
	"at_return:\n\t"
	"pop %rbx\n\t"
	"ret\n\t"
	".size system_code, . - system_code\n");

NOINLINE void touch(uint64_t value) { watched = value; }
NOINLINE uint64_t look(void) { return watched; }

NOINLINE void own_break(void) { __asm__ volatile("nop" : : : "memory"); }

static void count(void *arg)
{
	(void)arg;
	for (;;)
		other_count++;
}

static void set_own(void)
{
	write_dr0(own_dr[0]);
	write_dr1(own_dr[1]);
	write_dr2(own_dr[2]);
	write_dr3(own_dr[3]);
	write_dr7(DR7_FIXED | BIT(9));
}

static void wait_for(uint64_t value)
{
	print("NEXT debugged: waits for go = %lu\n", value);
	while (go != value)
		__asm__ volatile("pause" : : : "memory");
}

static void check_flags(void)
{
	report_equal("pushed-flags", pushed_flags & RFLAGS_TF, 0);
	report_equal("popped-flags", popped_flags & RFLAGS_TF, 0);
	report_equal("int-count", trap_count[VECTOR_SOFT], 1);
	report_equal("int-flags", seen_flags[VECTOR_SOFT] & RFLAGS_TF, 0);
	report_equal("fault-count", trap_count[VEC_UD], 1);
	report_equal("fault-flags", seen_flags[VEC_UD] & RFLAGS_TF, 0);
	report_equal("page-fault-count", trap_count[VEC_PF], 1);
	report_equal("page-fault-flags", seen_flags[VEC_PF] & RFLAGS_TF, 0);
	report_equal("interrupt-count", trap_count[VECTOR_APIC], 1);
	report_equal("interrupt-flags", seen_flags[VECTOR_APIC] & RFLAGS_TF, 0);
	report_equal("own-int3-count", trap_count[VEC_BP], 1);
	report_equal("own-int3-flags", seen_flags[VEC_BP] & RFLAGS_TF, 0);
	report_equal("no-debug-exception", trap_count[VEC_DB], 0);
}

static NOINLINE void check_registers(void)
{
	report_equal("dr0", read_dr0(), own_dr[0]);
	report_equal("dr1", read_dr1(), own_dr[1]);
	report_equal("dr2", read_dr2(), own_dr[2]);
	report_equal("dr3", read_dr3(), own_dr[3]);
	report_equal("dr6", read_dr6(), 0xffff0ff0);
	report_equal("dr7", read_dr7(), DR7_FIXED | BIT(9));
}

static void single_step_itself(void)
{
	uint32_t before = trap_count[VEC_DB];

	__asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tnop\n\tnop\n\tpushfq\n\tandl $~0x100, (%%rsp)\n\t"
			 "popfq" : : : "memory");
	CHECK("own-single-step", trap_count[VEC_DB] - before >= 4);
	write_dr6(0xffff0ff0);
}

static void own_breakpoint(void)
{
	uint32_t before = trap_count[VEC_DB];

	write_dr0((uint64_t)own_break);
	write_dr7(DR7_FIXED | BIT(9) | BIT(0));
	own_break();
	report_equal("own-breakpoint", trap_count[VEC_DB] - before, 1);
	report_equal("own-breakpoint-dr6", read_dr6() & 0xf, 1);
}

void guest_main(void)
{
	apic_enable();
	smp_start(acpi_cpu_count());
	if (smp_count > 1)
		smp_run(1, count, NULL);
	trap_set(VECTOR_SOFT, note);
	trap_set(VECTOR_APIC, note);
	trap_set(VEC_UD, note);
	trap_set(VEC_PF, note);
	trap_set(VEC_BP, note);
	trap_set(VEC_DB, note);
	set_own();
	wait_for(1);
	sequence();
	apic_send(apic_id(), ICR_FIXED | VECTOR_APIC);
	system_code();
	touch(5);
	report_equal("looked-at", look(), 5);
	__asm__ volatile("sti\n\tnop\n\tcli" : : : "memory"); /* what waited comes, if it has not */
	check_flags();
	check_registers();
	single_step_itself();
	wait_for(2); /* the debugger has gone */
	check_registers();
	own_breakpoint();
}
