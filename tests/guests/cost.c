/*
 * What an operation costs a guest, in TSC ticks: RDTSC, which is not trapped, before and after each
 * of many repetitions. Prints `COST name median min`; the cost of an empty bracket is subtracted.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/acpi.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/smp.h"
#include "tests/guests/lib/time.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "cost";

#define REPEAT 1000
#define VECTOR 0x41
#define VECTOR_OTHER 0x42
#define ANSWER_US 100000
#define SCRATCH_PORT (GUEST_PORT_COM1 + 7)

static uint64_t samples[REPEAT];
static uint64_t empty;
static uint64_t touch_next;
static volatile uint32_t answered, unanswered;

/* Shell sort: few samples, no library. */
static void sort(uint64_t *a, unsigned n)
{
	for (unsigned gap = n / 2; gap; gap /= 2)
		for (unsigned i = gap; i < n; i++)
			for (unsigned j = i; j >= gap && a[j - gap] > a[j]; j -= gap) {
				uint64_t t = a[j];
				a[j] = a[j - gap];
				a[j - gap] = t;
			}
}

static void measure(const char *name, void (*operation)(void), unsigned repeat)
{
	uint64_t start;

	for (unsigned i = 0; i < repeat; i++) {
		start = rdtsc();
		operation();
		samples[i] = rdtsc() - start;
	}
	sort(samples, repeat);
	if (!name) {
		empty = samples[repeat / 2];
		return;
	}
	for (unsigned i = 0; i < repeat; i++)
		samples[i] = samples[i] > empty ? samples[i] - empty : 0;
	print("COST %s %lu %lu\n", name, samples[repeat / 2], samples[0]);
}

/* The mode of this CPU's APIC, asked once: apic_read() and its like ask each time, which is an exit. */
static bool x2apic;

static inline volatile uint32_t *lapic_page(uint32_t reg) { return (volatile uint32_t *)(GUEST_LAPIC_BASE + reg); }

static inline uint32_t lapic_get(uint32_t reg)
{
	return x2apic ? (uint32_t)rdmsr(MSR_X2APIC + (reg >> 4)) : *lapic_page(reg);
}

static inline void lapic_set(uint32_t reg, uint32_t value)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + (reg >> 4), value);
	else
		*lapic_page(reg) = value;
}

static void lapic_send(uint32_t destination, uint32_t command)
{
	if (x2apic) {
		wrmsr(MSR_X2APIC + (VLAPIC_ICR >> 4), (uint64_t)destination << 32 | command);
		return;
	}
	*lapic_page(VLAPIC_ICR_HIGH) = destination << 24;
	*lapic_page(VLAPIC_ICR) = command;
}

static void count_irq(struct frame *f)
{
	trap_count[f->vector]++;
	lapic_set(VLAPIC_EOI, 0);
}

static void nothing(void) {}
static void do_cpuid(void) { (void)cpuid(1, 0); }
static void port_read(void) { (void)inb(SCRATCH_PORT); }
static void port_write(void) { outb(SCRATCH_PORT, 0); }
static void absent_port_read(void) { (void)inb(0x2e0); }
static void msr_read(void) { (void)rdmsr(MSR_MTRRCAP); }
static void msr_write(void) { wrmsr(MSR_BIOS_SIGN_ID, 0); }
static void ioapic_mmio_read(void) { (void)*(volatile uint32_t *)(GUEST_IOAPIC_BASE + 0x10); }
static void ioapic_mmio_write(void) { *(volatile uint32_t *)GUEST_IOAPIC_BASE = 1; }
static void lapic_read(void) { (void)lapic_get(VLAPIC_LVT_ERROR); }
static void lapic_write(void) { lapic_set(VLAPIC_LVT_ERROR, APIC_LVT_MASKED); }
static void tpr_write(void) { lapic_set(VLAPIC_TPR, 0); }
static void cr4_write(void) { write_cr4(read_cr4()); }
static void cr0_ts(void)
{
	__asm__ volatile("mov %%cr0, %%rax\n\tor $8, %%al\n\tmov %%rax, %%cr0\n\tclts" : : : "rax");
}
static void do_wbinvd(void) { __asm__ volatile("wbinvd" : : : "memory"); }

static void self_ipi(void)
{
	uint32_t before = trap_count[VECTOR];

	lapic_send(0, ICR_SELF | ICR_ASSERT | VECTOR);
	while (trap_count[VECTOR] == before)
		;
}

static void deadline_tick(void)
{
	uint32_t before = trap_count[VECTOR];

	wrmsr(MSR_TSC_DEADLINE, rdtsc());
	while (trap_count[VECTOR] == before)
		;
}

static void one_shot_tick(void)
{
	uint32_t before = trap_count[VECTOR];

	lapic_set(VLAPIC_TIMER_INIT, 1);
	while (trap_count[VECTOR] == before)
		;
}

static void halt_and_wake(void)
{
	cli(); /* it must not fire before HLT */
	lapic_set(VLAPIC_TIMER_INIT, 5000);
	__asm__ volatile("sti; hlt");
}

static void touch_4k(void)
{
	*(volatile uint8_t *)touch_next = 1;
	touch_next += PAGE_SIZE;
}

static void touch_2m(void)
{
	*(volatile uint8_t *)touch_next = 1;
	touch_next += MIB(2);
}

/* On the other CPU, which is in the same mode: a mistake here leaves the vector in service for ever. */
static void on_answer(struct frame *f)
{
	(void)f;
	answered++;
	lapic_set(VLAPIC_EOI, 0);
}

static void ipi_round_trip(void)
{
	uint32_t before = answered;

	lapic_send(smp_cpus[1].apic_id, ICR_ASSERT | VECTOR_OTHER);
	if (!wait_for(&answered, before + 1, ANSWER_US))
		unanswered++;
}

static void measure_exits(void)
{
	static const struct { const char *name; void (*operation)(void); } table[] = {
		{ "cpuid", do_cpuid }, { "port-read", port_read }, { "port-write", port_write },
		{ "absent-port-read", absent_port_read }, { "msr-read", msr_read }, { "msr-write", msr_write },
		{ "ioapic-read", ioapic_mmio_read }, { "ioapic-write", ioapic_mmio_write },
		{ "lapic-read", lapic_read }, { "lapic-write", lapic_write }, { "tpr-write", tpr_write },
		{ "cr4-write", cr4_write }, { "cr0-ts-clts", cr0_ts }, { "wbinvd", do_wbinvd },
	};

	measure(NULL, nothing, REPEAT);
	for (unsigned i = 0; i < ARRAY_LEN(table); i++)
		measure(table[i].name, table[i].operation, REPEAT);
}

static void measure_interrupts(void)
{
	trap_set(VECTOR, count_irq);
	apic_write(VLAPIC_TIMER_DIVIDE, APIC_DIVIDE_1);
	apic_write(VLAPIC_LVT_TIMER, VECTOR);
	sti();
	measure("self-ipi", self_ipi, REPEAT);
	measure("timer-one-shot", one_shot_tick, REPEAT);
	measure("hlt-and-timer", halt_and_wake, REPEAT / 10);
	if (cpuid(1, 0).ecx & BIT(24)) {
		apic_write(VLAPIC_LVT_TIMER, APIC_TIMER_DEADLINE | VECTOR);
		measure("timer-deadline", deadline_tick, REPEAT);
	}
	apic_write(VLAPIC_LVT_TIMER, APIC_LVT_MASKED);
	cli();
}

/* ---- what shadow paging makes exits of ---- */

#define VIEW (5ul << 39) /* pages mapped here for the purpose */
#define TABLE (VIEW + MIB(2)) /* and many of them, by one table */
#define TABLE_ENTRIES 256u

static uint64_t view_pages[2], cr3_value, other_root[512] __attribute__((aligned(4096)));

static void cr3_read(void) { (void)read_cr3(); }
static void cr3_same(void) { write_cr3(cr3_value); }

static void cr3_switch(void)
{
	write_cr3((uint64_t)other_root);
	write_cr3(cr3_value);
}

/* With CR4.PCIDE, and a PCID that is never flushed. */
static void cr3_keep(void)
{
	write_cr3(BIT(63) | (uint64_t)other_root | 1);
	write_cr3(BIT(63) | cr3_value);
}

static void cr4_pge(void) { write_cr4(read_cr4() ^ CR4_PGE); }
static void do_invlpg(void) { invlpg((void *)VIEW); }
static void page_fault(void) { (void)TRY("mov (%0), %%al", : : "r"(VIEW + PAGE_SIZE) : "rax"); }

static void remap(void)
{
	static unsigned turn;

	page_map(VIEW, view_pages[++turn & 1], PTE_P | PTE_W);
	(void)*(volatile uint64_t *)VIEW;
}

/* Loads after a change have functions of their own, so that a trace can begin there. */
static NOINLINE void load_after_remap(void) { write_cr3(cr3_value); }

static void remap_and_load_cr3(void)
{
	remap();
	load_after_remap();
}

static NOINLINE void load_after_rewrite(void)
{
	write_cr3(cr3_value);
	(void)*(volatile uint64_t *)TABLE;
}

/* A table with many entries in use, one of which changes. */
static void rewrite_table_and_load_cr3(void)
{
	static unsigned turn;

	page_map(TABLE, view_pages[++turn & 1], PTE_P | PTE_W);
	load_after_rewrite();
}

static void fill_table(void)
{
	for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
		page_map(TABLE + i * PAGE_SIZE, view_pages[0] + (i ? i + 1 : 0) * PAGE_SIZE, PTE_P | PTE_W);
		(void)*(volatile uint64_t *)(TABLE + i * PAGE_SIZE);
	}
}

static void measure_paging(void)
{
	static const struct { const char *name; void (*operation)(void); } table[] = {
		{ "cr3-read", cr3_read }, { "cr3-same", cr3_same }, { "cr3-switch", cr3_switch },
		{ "cr4-pge", cr4_pge }, { "invlpg", do_invlpg }, { "page-fault", page_fault },
		{ "rewrite-table-and-cr3", rewrite_table_and_load_cr3 }, { "remap", remap },
		{ "remap-and-cr3", remap_and_load_cr3 },
	};

	cr3_value = read_cr3();
	view_pages[0] = fresh_memory();
	view_pages[1] = fresh_memory();
	page_map(VIEW + PAGE_SIZE, 0, 0);
	page_map(VIEW, view_pages[0], PTE_P | PTE_W);
	fill_table();
	memcpy(other_root, (const void *)(cr3_value & BITS(51, 12)), sizeof other_root);
	for (unsigned i = 0; i < ARRAY_LEN(table); i++)
		measure(table[i].name, table[i].operation, REPEAT);
	if (!(cpuid(1, 0).ecx & BIT(17))) /* PCID */
		return;
	write_cr4(read_cr4() | CR4_PCIDE);
	measure("cr3-keep", cr3_keep, REPEAT);
	write_cr4(read_cr4() & ~CR4_PCIDE);
}

/* First touches: pages one after the other within 2 MiB, then each in a region of its own. */
static void measure_memory(void)
{
	uint64_t end = MIB(1) + memory_above_1m();
	unsigned regions;

	touch_next = fresh_memory();
	measure("touch-page", touch_4k, 512);
	touch_next = FREE_MEMORY + MIB(16);
	regions = end > touch_next ? (unsigned)((end - touch_next) / MIB(2)) : 0;
	if (regions)
		measure("touch-region", touch_2m, regions < REPEAT ? regions : REPEAT);
}

static void measure_other_cpu(void)
{
	smp_start(acpi_cpu_count());
	if (smp_count < 2)
		return;
	trap_set(VECTOR_OTHER, on_answer);
	measure("ipi-to-other", ipi_round_trip, REPEAT / 10);
	report_equal("ipis-are-answered", unanswered, 0);
}

void guest_main(void)
{
	apic_enable();
	measure_exits();
	measure_interrupts();
	x2apic = apic_enter_x2apic();
	if (x2apic) {
		measure("x2apic-read", lapic_read, REPEAT);
		measure("x2apic-write", lapic_write, REPEAT);
		measure("x2apic-tpr-write", tpr_write, REPEAT);
		trap_set(VECTOR, count_irq);
		sti();
		measure("x2apic-self-ipi", self_ipi, REPEAT);
		cli();
	}
	measure_paging();
	measure_memory();
	measure_other_cpu();
	report(true, "measured", "all");
}
