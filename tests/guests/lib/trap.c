/*
 * Exceptions and interrupts of a tiny guest: the IDT, dispatch, and the landing of TRY.
 */
#include "tests/guests/lib/trap.h"

#include "hv/base/x86.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"

#define GATE_INTERRUPT 0x8e
#define IST_DOUBLE_FAULT 7
#define TSS_AVAILABLE 0x89ul

extern const uint8_t trap_stubs[256][16];
extern uint64_t boot_gdt[];
void trap_dispatch(struct frame *f);

struct idt_gate trap_idt[256] __attribute__((aligned(4096)));
struct tss trap_tss;
volatile uint32_t trap_count[256];
volatile struct fault fault;
volatile uint64_t trap_resume, trap_resume_rsp;

static trap_fn handlers[256];
static uint8_t double_fault_stack[4096] __attribute__((aligned(16)));

static void gate_set(unsigned vector)
{
	uint64_t entry = (uint64_t)trap_stubs[vector];

	trap_idt[vector] = (struct idt_gate){
		.offset_low = (uint16_t)entry,
		.selector = SEL_CODE64,
		.type = GATE_INTERRUPT,
		.offset_mid = (uint16_t)(entry >> 16),
		.offset_high = (uint32_t)(entry >> 32),
	};
}

void trap_load(void)
{
	struct __attribute__((packed)) { uint16_t limit; uint64_t base; } idtr = {
		sizeof(trap_idt) - 1, (uint64_t)trap_idt
	};
	__asm__ volatile("lidt %0" : : "m"(idtr));
}

void trap_init(void)
{
	uint64_t base = (uint64_t)&trap_tss;

	for (unsigned v = 0; v < 256; v++)
		gate_set(v);
	trap_tss.io_map = sizeof(trap_tss);
	boot_gdt[SEL_TSS / 8] = (sizeof(trap_tss) - 1) | (base & 0xffffff) << 16 | TSS_AVAILABLE << 40 |
				(base >> 24 & 0xff) << 56;
	boot_gdt[SEL_TSS / 8 + 1] = base >> 32;
	__asm__ volatile("ltr %0" : : "r"((uint16_t)SEL_TSS));
	trap_set_ist(VEC_DF, IST_DOUBLE_FAULT, (uint64_t)(double_fault_stack + sizeof(double_fault_stack)));
	trap_load();
}

void trap_set(unsigned vector, trap_fn fn) { handlers[vector] = fn; }

void trap_set_ist(unsigned vector, unsigned ist, uint64_t stack_top)
{
	if (ist)
		trap_tss.ist[ist - 1] = stack_top;
	trap_idt[vector].ist = (uint8_t)ist;
}

void trap_count_only(struct frame *f) { trap_count[f->vector]++; }

void trap_count_irq(struct frame *f)
{
	trap_count[f->vector]++;
	apic_eoi();
}

static void note_fault(const struct frame *f)
{
	fault.vector = (int)f->vector;
	fault.error = f->error;
	fault.cr2 = read_cr2();
	fault.rip = f->rip;
}

void trap_dispatch(struct frame *f)
{
	if (handlers[f->vector]) {
		handlers[f->vector](f);
		return;
	}
	if (f->vector < 32 && f->vector != VEC_NMI && trap_resume) {
		note_fault(f);
		f->rip = trap_resume;
		f->cs = SEL_CODE64; /* it may have come from ring 3 */
		f->rsp = trap_resume_rsp;
		f->ss = SEL_DATA;
		return;
	}
	report(false, "unexpected-trap", "vector %u, error %lx, rip %lx, rsp %lx, cr2 %lx", (unsigned)f->vector,
	       f->error, f->rip, f->rsp, read_cr2());
	finish();
}
