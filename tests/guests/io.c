/*
 * Proves port I/O: every size, string instructions in both directions, across a page boundary, into
 * pages that fault, and the few devices whose state can be read back exactly.
 *
 * Channel 2 of the PIT takes two bytes and counts down slowly from there: it shows order. The CMOS
 * data port gives the same byte again and again.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/memory.h"
#include "tests/guests/lib/paging.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/time.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "io";

#define UART_SCRATCH (GUEST_PORT_COM1 + 7)
#define PIT2 (GUEST_PORT_PIT + 2)
#define CMOS_FREE 0x50 /* battery-backed bytes the BIOS leaves alone */
#define UNUSED_PORT 0x2e0
#define PCI_ENABLE 0x80000000u

static uint8_t *two_pages; /* both mapped, never touched before */

static void cmos_write(uint8_t index, uint8_t value)
{
	outb(GUEST_PORT_RTC, index);
	outb(GUEST_PORT_RTC + 1, value);
}

static void cmos_select(uint8_t index) { outb(GUEST_PORT_RTC, index); }

static void ins(uint16_t port, void *to, uint64_t count)
{
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}

static void outs(uint16_t port, const void *from, uint64_t count)
{
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}

static void test_sizes(void)
{
	outb(UART_SCRATCH, 0xa5);
	report_equal("byte", inb(UART_SCRATCH), 0xa5);
	__asm__ volatile("outb %%al, %%dx" : : "a"(0xffffff5a), "d"(UART_SCRATCH));
	report_equal("byte-of-eax", inb(UART_SCRATCH), 0x5a);
	{
		uint64_t rax = 0x1122334455667788;
		__asm__ volatile("inb %%dx, %%al" : "+a"(rax) : "d"(UART_SCRATCH));
		report_equal("in-byte-keeps-rax", rax, 0x112233445566775a);
		rax = 0x1122334455667788;
		__asm__ volatile("inw %%dx, %%ax" : "+a"(rax) : "d"(UNUSED_PORT));
		report_equal("in-word-keeps-rax", rax, 0x112233445566ffff);
		rax = 0x1122334455667788;
		__asm__ volatile("inl %%dx, %%eax" : "+a"(rax) : "d"(UNUSED_PORT));
		report_equal("in-long-clears-upper", rax, 0xffffffff);
		__asm__ volatile("mov $0x80, %%al\n\toutb %%al, $0x70\n\tinb $0x71, %%al" : "=a"(rax) : "a"(0));
		report(true, "immediate-port", "%lx", rax);
	}
	/* A word to the index port reaches index and data port as two bytes. */
	outw(GUEST_PORT_RTC, 0x7700 | CMOS_FREE);
	cmos_select(CMOS_FREE);
	report_equal("word-as-two-bytes", inb(GUEST_PORT_RTC + 1), 0x77);
}

static void test_pci_config(void)
{
	outl(GUEST_PORT_PCI_ADDR, PCI_ENABLE);
	report_equal("pci-address-reads-back", inl(GUEST_PORT_PCI_ADDR), PCI_ENABLE);
	uint32_t id = inl(GUEST_PORT_PCI_DATA);
	CHECK("pci-host-bridge", id != 0xffffffff);
	report_equal("pci-id-low-word", inw(GUEST_PORT_PCI_DATA), id & 0xffff);
	report_equal("pci-id-high-word", inw(GUEST_PORT_PCI_DATA + 2), id >> 16);
	report_equal("pci-id-byte", inb(GUEST_PORT_PCI_DATA + 1), id >> 8 & 0xff);
	outl(GUEST_PORT_PCI_ADDR, PCI_ENABLE | 8);
	report_equal("pci-class-is-host-bridge", inl(GUEST_PORT_PCI_DATA) >> 16, 0x0600);
	outl(GUEST_PORT_PCI_ADDR, PCI_ENABLE | 0x1e << 11);
	report_equal("pci-absent-device", inl(GUEST_PORT_PCI_DATA), 0xffffffff);
	outl(GUEST_PORT_PCI_ADDR, 0);
	report_equal("pci-disabled", inl(GUEST_PORT_PCI_DATA), 0xffffffff);
}

static void test_ins(void)
{
	uint8_t *edge = two_pages + PAGE_SIZE - 10;
	uint64_t count = 20, rdi = (uint64_t)edge;
	bool all = true;

	cmos_write(CMOS_FREE, 0x3c);
	cmos_select(CMOS_FREE);
	__asm__ volatile("rep insb" : "+D"(rdi), "+c"(count) : "d"(GUEST_PORT_RTC + 1) : "memory");
	for (unsigned i = 0; i < 20; i++)
		all &= edge[i] == 0x3c;
	CHECK("ins-across-page", all);
	report_equal("ins-rcx", count, 0);
	report_equal("ins-rdi", rdi, (uint64_t)edge + 20);
	report_equal("ins-not-before", edge[-1], 0);
	report_equal("ins-not-behind", edge[20], 0);

	rdi = (uint64_t)edge + 19;
	count = 20;
	cmos_write(CMOS_FREE, 0xc3);
	__asm__ volatile("std\n\trep insb\n\tcld" : "+D"(rdi), "+c"(count) : "d"(GUEST_PORT_RTC + 1) : "memory");
	all = true;
	for (unsigned i = 0; i < 20; i++)
		all &= edge[i] == 0xc3;
	CHECK("ins-backward", all);
	report_equal("ins-backward-rdi", rdi, (uint64_t)edge - 1);

	rdi = (uint64_t)two_pages;
	count = 0;
	__asm__ volatile("rep insb" : "+D"(rdi), "+c"(count) : "d"(GUEST_PORT_RTC + 1) : "memory");
	report_equal("ins-zero-count", rdi, (uint64_t)two_pages);
	__asm__ volatile("insb" : "+D"(rdi) : "d"(GUEST_PORT_RTC + 1) : "memory");
	report_equal("ins-without-rep", two_pages[0] | (uint64_t)(rdi - (uint64_t)two_pages) << 8, 0x1c3);
	count = 4;
	rdi = (uint64_t)two_pages + 0x7fe; /* dwords that cross nothing, unaligned */
	__asm__ volatile("rep insl" : "+D"(rdi), "+c"(count) : "d"(UNUSED_PORT) : "memory");
	report_equal("ins-long", *(uint64_t *)(two_pages + 0x7fe + 8), ~0ul);
	count = 3;
	rdi = (uint64_t)two_pages + PAGE_SIZE - 3; /* the second word crosses into the next page */
	__asm__ volatile("rep insw" : "+D"(rdi), "+c"(count) : "d"(UNUSED_PORT) : "memory");
	report_equal("ins-word-over-edge", *(uint32_t *)(two_pages + PAGE_SIZE - 1), 0xffffffff);
	/* A 32-bit address size uses EDI and ECX alone and clears the upper halves. */
	rdi = (uint64_t)two_pages | BIT(40);
	count = 2 | BIT(35);
	__asm__ volatile("addr32 rep insb" : "+D"(rdi), "+c"(count) : "d"(GUEST_PORT_RTC + 1) : "memory");
	report_equal("ins-address-size", rdi, (uint64_t)two_pages + 2);
	report_equal("ins-address-size-rcx", count, 0);
}

/* Reads channel 2's count back with `ins`: low byte, then high byte. */
static uint16_t pit2_back(void)
{
	uint8_t back[2] = { 0, 0 };

	outb(GUEST_PORT_PIT + 3, 0x80);
	ins(PIT2, back, 2);
	return (uint16_t)(back[0] | back[1] << 8);
}

/* The count that was written, or a little later. */
static void check_count(const char *name, uint16_t want)
{
	uint16_t got = pit2_back();
	report((uint16_t)(want - got) < 0x800, name, "got %xh, want %xh or a little below", got, want);
}

static void test_outs(void)
{
	uint8_t *edge = two_pages + PAGE_SIZE - 1;
	uint64_t rsi, count;

	pit2_gate(false);
	edge[0] = 0x34;
	edge[1] = 0x12;
	outb(GUEST_PORT_PIT + 3, 0xb0); /* channel 2, low then high byte, mode 0 */
	outs(PIT2, edge, 2);
	check_count("outs-across-page", 0x1234);

	rsi = (uint64_t)edge + 1;
	count = 2;
	outb(GUEST_PORT_PIT + 3, 0xb0);
	__asm__ volatile("std\n\trep outsb\n\tcld" : "+S"(rsi), "+c"(count) : "d"(PIT2) : "memory");
	check_count("outs-backward", 0x3412);
	report_equal("outs-backward-rsi", rsi, (uint64_t)edge - 1);

	/* Words to index and data port: three bytes of CMOS in one instruction, the last twice. */
	{
		const uint16_t words[4] = { 0x6100 | CMOS_FREE, 0x6200 | (CMOS_FREE + 1), 0x6300 | (CMOS_FREE + 2),
					    0x6400 | (CMOS_FREE + 2) };
		const void *from = words;
		count = 4;
		__asm__ volatile("rep outsw" : "+S"(from), "+c"(count) : "d"(GUEST_PORT_RTC) : "memory");
		cmos_select(CMOS_FREE);
		report_equal("outs-word-first", inb(GUEST_PORT_RTC + 1), 0x61);
		cmos_select(CMOS_FREE + 2);
		report_equal("outs-word-last", inb(GUEST_PORT_RTC + 1), 0x64);
	}

	/* OUTS takes a segment override; INS does not. */
	wrmsr(MSR_FS_BASE, (uint64_t)edge - 0x100);
	rsi = 0x100;
	count = 2;
	outb(GUEST_PORT_PIT + 3, 0xb0);
	__asm__ volatile("rep outsb %%fs:(%%rsi), %%dx" : "+S"(rsi), "+c"(count) : "d"(PIT2) : "memory");
	check_count("outs-segment-base", 0x1234);
	wrmsr(MSR_FS_BASE, 0);
}

static volatile uint64_t pf_rcx, pf_rdi, pf_rsi, pf_cr2, pf_error, pf_count;

/* Notes how far the instruction came and maps the page it needs. */
static void on_page_fault(struct frame *f)
{
	pf_rcx = f->rcx;
	pf_rdi = f->rdi;
	pf_rsi = f->rsi;
	pf_cr2 = read_cr2();
	pf_error = f->error;
	pf_count++;
	page_map(align_down(pf_cr2, PAGE_SIZE), align_down(pf_cr2, PAGE_SIZE), PTE_P | PTE_W | PTE_U);
}

static void test_faults(void)
{
	uint8_t *pages = (uint8_t *)fresh_memory(), *edge = pages + PAGE_SIZE - 6;
	bool all = true;

	trap_set(VEC_PF, on_page_fault);
	page_map((uint64_t)pages + PAGE_SIZE, 0, 0);
	cmos_write(CMOS_FREE, 0x99);
	ins(GUEST_PORT_RTC + 1, edge, 16);
	for (unsigned i = 0; i < 16; i++)
		all &= edge[i] == 0x99;
	CHECK("ins-fault-completes", all);
	report_equal("ins-fault-once", pf_count, 1);
	report_equal("ins-fault-cr2", pf_cr2, (uint64_t)pages + PAGE_SIZE);
	report_equal("ins-fault-error-code", pf_error, 2);
	report_equal("ins-fault-rcx", pf_rcx, 10);
	report_equal("ins-fault-rdi", pf_rdi, (uint64_t)pages + PAGE_SIZE);

	pages[PAGE_SIZE - 1] = 0x78;
	pages[PAGE_SIZE] = 0x56;
	page_map((uint64_t)pages + PAGE_SIZE, 0, 0);
	pf_count = 0;
	outb(GUEST_PORT_PIT + 3, 0xb0);
	outs(PIT2, pages + PAGE_SIZE - 1, 2);
	check_count("outs-fault-completes", 0x5678);
	report_equal("outs-fault-once", pf_count, 1);
	report_equal("outs-fault-error-code", pf_error, 0);
	report_equal("outs-fault-rsi", pf_rsi, (uint64_t)pages + PAGE_SIZE);
	trap_set(VEC_PF, NULL);

	page_map((uint64_t)pages, (uint64_t)pages, PTE_P);
	report_vector("ins-read-only", TRY("insb", : : "D"(pages), "d"(GUEST_PORT_RTC + 1) : "memory"), VEC_PF);
	report_equal("ins-read-only-error-code", fault.error, 3);
	page_map((uint64_t)pages, (uint64_t)pages, PTE_P | PTE_W | PTE_U);
	report_vector("ins-non-canonical", TRY("insb", : : "D"(BIT(63)), "d"(GUEST_PORT_RTC + 1) : "memory"), VEC_GP);
}

static void test_pic(void)
{
	outb(GUEST_PORT_PIC1, 0x11);
	outb(GUEST_PORT_PIC1 + 1, 0x20);
	outb(GUEST_PORT_PIC1 + 1, 4);
	outb(GUEST_PORT_PIC1 + 1, 1);
	outb(GUEST_PORT_PIC1 + 1, 0xb7);
	report_equal("pic-mask-reads-back", inb(GUEST_PORT_PIC1 + 1), 0xb7);
	outb(GUEST_PORT_PIC1 + 1, 0xff);
	outb(GUEST_PORT_PIC1, 0x0b);
	report_equal("pic-isr-empty", inb(GUEST_PORT_PIC1), 0);
}

static void test_pit(void)
{
	uint16_t first, later;

	pit2_gate(true);
	pit2_start(0, 0xffff);
	first = pit_read(2);
	delay_us(2000);
	later = pit_read(2);
	CHECK("pit2-counts-down", later < first);
	CHECK("pit2-output-low", !(inb(GUEST_PORT_SYSB) & 0x20));
	pit2_start(0, 100);
	delay_us(1000);
	CHECK("pit2-output-high-at-end", inb(GUEST_PORT_SYSB) & 0x20);
	pit2_gate(false);
	report_equal("sysb-gate-reads-back", inb(GUEST_PORT_SYSB) & 3, 0);
}

static void test_cmos(void)
{
	for (unsigned i = 0; i < 8; i++)
		cmos_write((uint8_t)(CMOS_FREE + i), (uint8_t)(0x10 + i));
	for (unsigned i = 0; i < 8; i++) {
		cmos_select((uint8_t)(CMOS_FREE + i));
		if (inb(GUEST_PORT_RTC + 1) != 0x10 + i) {
			report(false, "cmos-bytes-are-distinct", "byte %u differs", i);
			return;
		}
	}
	report(true, "cmos-bytes-are-distinct", "all");
	cmos_select(0xd);
	report_equal("rtc-battery-good", inb(GUEST_PORT_RTC + 1) & 0x80, 0x80);
}

/* Ring 3 without I/O privilege and without a permission map: refused before any exit. */
static void test_privilege(void)
{
	trap_tss.rsp[0] = fresh_memory() + 0x4000;
	report_vector("ring3-port-refused",
		      TRY("pushq %0\n\tpushq %1\n\tpushq $0x2\n\tpushq %2\n\tpushq $7f\n\tiretq\n"
			  "7:\tinb $0x61, %%al", : : "i"(SEL_USER_DATA), "r"(two_pages + 0x800), "i"(SEL_USER_CODE)
			  : "rax", "memory"), VEC_GP);
}

void guest_main(void)
{
	two_pages = (uint8_t *)fresh_memory();
	test_sizes();
	test_pci_config();
	test_ins();
	test_outs();
	test_faults();
	test_pic();
	test_pit();
	test_cmos();
	test_privilege();
}
