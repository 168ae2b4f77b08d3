/*
 * Proves the interrupt controllers: local APIC in xAPIC and x2APIC mode with its timer, priorities
 * and IPIs, I/O APIC pins edge and level, and the PIC through LINT0.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/time.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "apic";

#define VECTOR_A 0x41
#define VECTOR_B 0x51
#define VECTOR_C 0x61
#define VECTOR_ERROR 0x71
#define ILLEGAL_VECTOR 3 /* below 16 */
#define PIC_VECTOR 0x90
#define PIN_PIT 2
#define LVT_EXTINT 0x700
#define ESR_ILLEGAL_VECTOR_SENT 0x20
#define PM1_ENABLE (GUEST_PORT_PM1_EVT + 2)
#define PM_TIMER_BIT 1 /* of PM1 status and enable */

static const char *mode; /* "xapic" or "x2apic", for the names of checks */

static bool check(const char *name, uint64_t got, uint64_t want)
{
	char full[64];
	unsigned n = 0;

	for (const char *s = mode; *s; s++)
		full[n++] = *s;
	full[n++] = '-';
	for (; *name && n < sizeof(full) - 1; name++)
		full[n++] = *name;
	full[n] = 0;
	return report_equal(full, got, want);
}

static uint32_t count(unsigned vector) { return __atomic_exchange_n(&trap_count[vector], 0, __ATOMIC_SEQ_CST); }

/* Lets what is pending come in. */
static void open_window(void)
{
	sti();
	delay_us(50);
	cli();
}

static void test_registers(void)
{
	uint32_t id = apic_read(VLAPIC_ID);

	check("id", apic_is_x2apic() ? id : id >> 24, 0);
	check("version-is-integrated", apic_read(VLAPIC_VERSION) >> 4 & 0xf, 1);
	CHECK("max-lvt", (apic_read(VLAPIC_VERSION) >> 16 & 0xff) >= 5);
	check("svr", apic_read(VLAPIC_SVR), APIC_SVR_ENABLE | SPURIOUS_VECTOR);
	apic_write(VLAPIC_LVT_ERROR, VECTOR_ERROR);
	check("lvt-reads-back", apic_read(VLAPIC_LVT_ERROR), VECTOR_ERROR);
	apic_write(VLAPIC_TIMER_DIVIDE, APIC_DIVIDE_16);
	check("divide-reads-back", apic_read(VLAPIC_TIMER_DIVIDE), APIC_DIVIDE_16);
	if (apic_is_x2apic())
		check("ldr", apic_read(VLAPIC_LDR), 1);
}

static void test_ipis(void)
{
	apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_A);
	CHECK("ipi-in-irr", apic_test_bit(VLAPIC_IRR, VECTOR_A));
	open_window();
	check("self-ipi", count(VECTOR_A), 1);
	apic_send(apic_id(), ICR_ASSERT | VECTOR_A);
	open_window();
	check("ipi-by-id", count(VECTOR_A), 1);
	apic_send(0, ICR_ALL | ICR_ASSERT | VECTOR_A);
	open_window();
	check("ipi-to-all", count(VECTOR_A), 1);
	apic_send(0, ICR_OTHERS | ICR_ASSERT | VECTOR_A);
	open_window();
	check("ipi-to-others-spares-self", count(VECTOR_A), 0);
	if (apic_is_x2apic()) {
		wrmsr(MSR_X2APIC + (VLAPIC_SELF_IPI >> 4), VECTOR_A);
		open_window();
		check("self-ipi-register", count(VECTOR_A), 1);
		apic_send(apic_read(VLAPIC_LDR), ICR_LOGICAL | ICR_ASSERT | VECTOR_A);
	} else {
		apic_write(VLAPIC_DFR, 0xffffffff);
		apic_write(VLAPIC_LDR, 0x04000000);
		apic_send(0x04, ICR_LOGICAL | ICR_ASSERT | VECTOR_A);
		apic_send(0x02, ICR_LOGICAL | ICR_ASSERT | VECTOR_B);
	}
	open_window();
	check("logical", count(VECTOR_A), 1);
	check("logical-other-bit", count(VECTOR_B), 0);
	check("no-isr-left", apic_test_bit(VLAPIC_ISR, VECTOR_A), 0);
}

static void test_priority(void)
{
	apic_write(VLAPIC_TPR, 0x50);
	apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_A);
	apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_B);
	apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_C);
	open_window();
	check("above-tpr", count(VECTOR_C), 1);
	check("at-tpr-class", count(VECTOR_B), 0);
	check("below-tpr", count(VECTOR_A), 0);
	check("ppr-is-tpr", apic_read(VLAPIC_PPR), 0x50);
	sti();
	__asm__ volatile("mov %0, %%cr8" : : "r"(4ul) : "memory");
	delay_us(50);
	check("cr8-lowered-lets-in", count(VECTOR_B), 1);
	check("still-below", count(VECTOR_A), 0);
	apic_write(VLAPIC_TPR, 0);
	delay_us(50);
	cli();
	check("tpr-0-lets-in", count(VECTOR_A), 1);
}

static volatile unsigned nested;

/* A handler that opens interrupts before its EOI: only a higher class may come in. */
static void on_nesting(struct frame *f)
{
	trap_count[f->vector]++;
	apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_A);
	apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_C);
	sti();
	delay_us(50);
	cli();
	nested = trap_count[VECTOR_C] << 8 | trap_count[VECTOR_A];
	apic_eoi();
}

static void test_nesting(void)
{
	trap_set(VECTOR_B, on_nesting);
	apic_send(0, ICR_SELF | ICR_ASSERT | VECTOR_B);
	open_window();
	check("nested-higher-only", nested, 1 << 8);
	check("lower-after-eoi", count(VECTOR_A), 1);
	count(VECTOR_B);
	count(VECTOR_C);
	trap_set(VECTOR_B, trap_count_irq);
}

static void test_timer(void)
{
	uint32_t first;

	apic_write(VLAPIC_TIMER_DIVIDE, APIC_DIVIDE_1);
	apic_write(VLAPIC_LVT_TIMER, VECTOR_A);
	apic_write(VLAPIC_TIMER_INIT, 0x10000000);
	first = apic_read(VLAPIC_TIMER_COUNT);
	delay_us(10);
	CHECK("count-runs-down", apic_read(VLAPIC_TIMER_COUNT) < first && first <= 0x10000000);
	apic_write(VLAPIC_TIMER_INIT, 0);
	check("count-0-stops", apic_read(VLAPIC_TIMER_COUNT), 0);
	sti();
	apic_write(VLAPIC_TIMER_INIT, 10000);
	check("one-shot-fires", wait_for(&trap_count[VECTOR_A], 1, 200000), 1);
	delay_us(1000);
	check("one-shot-once", trap_count[VECTOR_A], 1);
	check("one-shot-ends-at-0", apic_read(VLAPIC_TIMER_COUNT), 0);
	trap_count[VECTOR_A] = 0;
	apic_write(VLAPIC_LVT_TIMER, APIC_TIMER_PERIODIC | VECTOR_A);
	apic_write(VLAPIC_TIMER_INIT, 20000);
	check("periodic-fires-again", wait_for(&trap_count[VECTOR_A], 5, 500000), 1);
	apic_write(VLAPIC_LVT_TIMER, APIC_LVT_MASKED | APIC_TIMER_PERIODIC | VECTOR_A);
	delay_us(100);
	trap_count[VECTOR_A] = 0;
	delay_us(2000);
	check("masked-timer-is-silent", trap_count[VECTOR_A], 0);
	apic_write(VLAPIC_TIMER_INIT, 0);
	cli();
}

static void test_deadline(void)
{
	if (!(cpuid(1, 0).ecx & BIT(24)))
		return;
	apic_write(VLAPIC_LVT_TIMER, APIC_TIMER_DEADLINE | VECTOR_A);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_khz() / 10);
	CHECK("deadline-reads-back", rdmsr(MSR_TSC_DEADLINE) > rdtsc());
	sti();
	check("deadline-fires", wait_for(&trap_count[VECTOR_A], 1, 200000), 1);
	check("deadline-clears", rdmsr(MSR_TSC_DEADLINE), 0);
	count(VECTOR_A);
	wrmsr(MSR_TSC_DEADLINE, 1);
	delay_us(50);
	check("deadline-in-the-past", count(VECTOR_A), 1);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + tsc_khz());
	wrmsr(MSR_TSC_DEADLINE, 0);
	delay_us(2000);
	check("deadline-disarmed", count(VECTOR_A), 0);
	cli();
	apic_write(VLAPIC_LVT_TIMER, APIC_LVT_MASKED);
}

static void test_error(void)
{
	apic_write(VLAPIC_ESR, 0);
	trap_set(VECTOR_ERROR, trap_count_irq);
	apic_write(VLAPIC_LVT_ERROR, VECTOR_ERROR);
	trap_set(ILLEGAL_VECTOR, trap_count_irq);
	apic_send(0, ICR_SELF | ICR_ASSERT | ILLEGAL_VECTOR);
	open_window();
	check("illegal-vector-not-delivered", count(ILLEGAL_VECTOR), 0);
	trap_set(ILLEGAL_VECTOR, NULL);
	apic_write(VLAPIC_ESR, 0);
	check("esr-illegal-vector", apic_read(VLAPIC_ESR) & ESR_ILLEGAL_VECTOR_SENT, ESR_ILLEGAL_VECTOR_SENT);
	check("error-interrupt", count(VECTOR_ERROR), 1);
	apic_write(VLAPIC_ESR, 0);
	check("esr-clears", apic_read(VLAPIC_ESR), 0);
	trap_set(VECTOR_ERROR, NULL);
}

static void test_mode(const char *name)
{
	mode = name;
	apic_enable();
	test_registers();
	test_ipis();
	test_priority();
	test_nesting();
	test_timer();
	test_deadline();
	test_error();
}

static void test_ioapic(void)
{
	report_equal("ioapic-pins", ioapic_read(IOAPIC_VERSION) >> 16 & 0xff, GUEST_IOAPIC_PINS - 1);
	report_equal("ioapic-masked-at-reset", ioapic_read(IOAPIC_PIN(5)) & IOAPIC_MASKED, IOAPIC_MASKED);
	ioapic_route(PIN_PIT, VECTOR_B, 0);
	pit0_start(2, 1193); /* 1 ms */
	sti();
	CHECK("pit-by-ioapic-edge", wait_for(&trap_count[VECTOR_B], 3, 500000));
	ioapic_write(IOAPIC_PIN(PIN_PIT), IOAPIC_MASKED | VECTOR_B);
	delay_us(100);
	count(VECTOR_B);
	delay_us(5000);
	report_equal("masked-pin-is-silent", count(VECTOR_B), 0);
	cli();
	pit0_start(0, 0);
}

static volatile uint32_t level_seen, level_remote_irr;

/* The first time the level is left up: it must come again after EOI. Then the cause is removed. */
static void on_level(struct frame *f)
{
	trap_count[f->vector]++;
	level_remote_irr = ioapic_read(IOAPIC_PIN(GUEST_IRQ_SCI)) & IOAPIC_REMOTE_IRR;
	if (++level_seen >= 2) {
		outw(PM1_ENABLE, 0);
		outw(GUEST_PORT_PM1_EVT, PM_TIMER_BIT);
	}
	apic_eoi();
}

/* The SCI is level-triggered; the PM timer raises it when its top bit changes. */
static void test_level(void)
{
	uint32_t counter = inl(GUEST_PORT_PM_TMR) & 0xffffff;

	trap_set(VECTOR_C, on_level);
	outw(GUEST_PORT_PM1_EVT, PM_TIMER_BIT);
	ioapic_route(GUEST_IRQ_SCI, VECTOR_C, IOAPIC_LEVEL);
	report_equal("remote-irr-clear", ioapic_read(IOAPIC_PIN(GUEST_IRQ_SCI)) & IOAPIC_REMOTE_IRR, 0);
	outw(PM1_ENABLE, PM_TIMER_BIT);
	report_equal("pm1-enable-reads-back", inw(PM1_ENABLE), PM_TIMER_BIT);
	sti();
	/* At most 2^23 counts to go. */
	CHECK("pm-timer-raises-sci", wait_for(&level_seen, 1, 5000000 - (uint64_t)counter / 8));
	CHECK("level-comes-again-after-eoi", wait_for(&level_seen, 2, 100000));
	delay_us(1000);
	cli();
	report_equal("level-stops-with-cause", level_seen, 2);
	report_equal("remote-irr-set-in-handler", level_remote_irr, IOAPIC_REMOTE_IRR);
	report_equal("remote-irr-cleared-by-eoi", ioapic_read(IOAPIC_PIN(GUEST_IRQ_SCI)) & IOAPIC_REMOTE_IRR, 0);
	ioapic_write(IOAPIC_PIN(GUEST_IRQ_SCI), IOAPIC_MASKED);
	count(VECTOR_C);
	trap_set(VECTOR_C, trap_count_irq);
}

static void on_pic(struct frame *f)
{
	trap_count[f->vector]++;
	outb(GUEST_PORT_PIC1, 0x20);
}

static void test_pic(void)
{
	static const uint8_t setup[2][4] = { { 0x11, PIC_VECTOR, 4, 1 }, { 0x11, PIC_VECTOR + 8, 2, 1 } };

	for (unsigned chip = 0; chip < 2; chip++) {
		uint16_t port = chip ? GUEST_PORT_PIC2 : GUEST_PORT_PIC1;
		outb(port, setup[chip][0]);
		for (unsigned i = 1; i < 4; i++)
			outb((uint16_t)(port + 1), setup[chip][i]);
		outb((uint16_t)(port + 1), 0xff);
	}
	trap_set(PIC_VECTOR, on_pic);
	apic_write(VLAPIC_LVT_LINT0, LVT_EXTINT);
	outb(GUEST_PORT_PIC1 + 1, 0xfe);
	pit0_start(2, 1193);
	sti();
	CHECK("pit-by-pic", wait_for(&trap_count[PIC_VECTOR], 3, 500000));
	outb(GUEST_PORT_PIC1 + 1, 0xff);
	delay_us(100);
	count(PIC_VECTOR);
	delay_us(5000);
	report_equal("pic-mask-is-silent", count(PIC_VECTOR), 0);
	cli();
	apic_write(VLAPIC_LVT_LINT0, APIC_LVT_MASKED);
	pit0_start(0, 0);
}

static void test_x2apic_refusals(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	report_vector("x2apic-to-xapic-refused",
		      TRY("wrmsr", : : "c"(MSR_APIC_BASE), "a"((uint32_t)(base & ~APIC_BASE_EXTD)), "d"(0) : "memory"),
		      VEC_GP);
	report_vector("x2apic-write-id-refused",
		      TRY("wrmsr", : : "c"(MSR_X2APIC + 2), "a"(0), "d"(0) : "memory"), VEC_GP);
	report_vector("x2apic-reserved-register",
		      TRY("rdmsr", : : "c"(MSR_X2APIC + 4) : "rax", "rdx", "memory"), VEC_GP);
	report_vector("x2apic-eoi-non-zero",
		      TRY("wrmsr", : : "c"(MSR_X2APIC + 0xb), "a"(1), "d"(0) : "memory"), VEC_GP);
	report_vector("x2apic-no-dfr",
		      TRY("rdmsr", : : "c"(MSR_X2APIC + 0xe) : "rax", "rdx", "memory"), VEC_GP);
}

void guest_main(void)
{
	trap_set(VECTOR_A, trap_count_irq);
	trap_set(VECTOR_B, trap_count_irq);
	trap_set(VECTOR_C, trap_count_irq);
	test_mode("xapic");
	test_ioapic();
	test_level();
	test_pic();
	if (apic_enter_x2apic()) {
		test_mode("x2apic");
		test_x2apic_refusals();
	}
}
