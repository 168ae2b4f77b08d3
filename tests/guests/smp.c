/*
 * Proves the other CPUs: they start (by INIT and start-up IPI, or through the wakeup mailbox), take IPIs
 * of every kind, share memory coherently, stop and start again. Wants at least two CPUs.
 */
#include "tests/guests/lib/smp.h"

#include "hv/base/x86.h"
#include "tests/guests/lib/acpi.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/time.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "smp";

#define VECTOR 0x41
#define VECTOR_LOGICAL 0x51
#define ROUNDS 200
#define WORK_US 2000000

static volatile uint32_t received[SMP_MAX_CPUS];
static volatile uint32_t nmis;
static volatile uint32_t shared;
static volatile uint64_t tsc_of_other;

static void on_vector(struct frame *f)
{
	(void)f;
	__atomic_add_fetch(&received[apic_id()], 1, __ATOMIC_SEQ_CST);
	apic_eoi();
}

static void on_nmi(struct frame *f)
{
	(void)f;
	__atomic_add_fetch(&nmis, 1, __ATOMIC_SEQ_CST);
}

static void count_up(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 1000; i++)
		__atomic_add_fetch(&shared, 1, __ATOMIC_SEQ_CST);
}

static void read_tsc(void *arg)
{
	(void)arg;
	tsc_of_other = rdtsc();
}

static void send_back(void *arg)
{
	(void)arg;
	apic_send(smp_cpus[0].apic_id, ICR_ASSERT | VECTOR);
}

static void read_state(void *arg)
{
	uint64_t *out = arg;

	out[0] = apic_id();
	out[1] = rdmsr(MSR_APIC_BASE) & BIT(8);
	out[2] = cpuid(1, 0).ebx >> 24;
	out[3] = read_cr0();
}

static void clear_received(void)
{
	for (unsigned i = 0; i < SMP_MAX_CPUS; i++)
		received[i] = 0;
}

static void test_start(void)
{
	unsigned want = acpi_cpu_count();

	CHECK("at-least-two-cpus", want >= 2);
	smp_start(want);
	report_equal("all-started", smp_count, want);
	for (unsigned i = 1; i < smp_count; i++) {
		uint64_t state[4] = { 0 };
		smp_run(i, read_state, state);
		if (!report(smp_wait(i, WORK_US), "does-work", "CPU %u did not answer", i))
			continue;
		report_equal("apic-id", state[0], i);
		report_equal("not-bsp", state[1], 0);
		report_equal("cpuid-apic-id", state[2], i);
		report_equal("cr0", state[3], read_cr0());
	}
}

static void test_ipis(void)
{
	clear_received();
	for (unsigned i = 1; i < smp_count; i++) {
		apic_send(smp_cpus[i].apic_id, ICR_ASSERT | VECTOR);
		CHECK("ipi-by-id", wait_for(&received[i], 1, WORK_US));
	}
	clear_received();
	for (unsigned n = 1; n <= ROUNDS; n++) {
		apic_send(0, ICR_OTHERS | ICR_ASSERT | VECTOR);
		if (!wait_for(&received[1], n, WORK_US)) {
			report(false, "ipi-many", "only %u of %u arrived", received[1], n);
			return;
		}
	}
	report_equal("ipi-many", received[1], ROUNDS);
	report_equal("others-spares-self", received[0], 0);
	for (unsigned i = 2; i < smp_count; i++)
		CHECK("broadcast-reaches-all", wait_for(&received[i], ROUNDS, WORK_US));
	sti();
	apic_send(0, ICR_ALL | ICR_ASSERT | VECTOR);
	CHECK("all-includes-self", wait_for(&received[0], 1, WORK_US));
	CHECK("all-includes-others", wait_for(&received[1], ROUNDS + 1, WORK_US));
	clear_received();
	smp_run(1, send_back, NULL);
	CHECK("ipi-from-other", wait_for(&received[0], 1, WORK_US));
	cli();
	smp_wait(1, WORK_US);
}

static void test_nmi(void)
{
	trap_set(VEC_NMI, on_nmi);
	apic_send(smp_cpus[1].apic_id, ICR_NMI | ICR_ASSERT);
	CHECK("nmi-wakes-other", wait_for(&nmis, 1, WORK_US));
	delay_us(100);
	report_equal("nmi-once", nmis, 1);
	trap_set(VEC_NMI, NULL);
}

static void test_memory(void)
{
	uint64_t before, after;

	for (unsigned i = 1; i < smp_count; i++)
		smp_run(i, count_up, NULL);
	count_up(NULL);
	for (unsigned i = 1; i < smp_count; i++)
		smp_wait(i, WORK_US);
	report_equal("atomic-adds", shared, 1000 * smp_count);
	before = rdtsc();
	smp_run(1, read_tsc, NULL);
	smp_wait(1, WORK_US);
	after = rdtsc();
	CHECK("tsc-in-step", before <= tsc_of_other && tsc_of_other <= after);
}

/* As a kernel takes a CPU offline: back to the wait loop, which does not return. */
static void go_to_reset_vector(void *arg)
{
	(void)arg;
	cli();
	__asm__ volatile("jmp *%0" : : "r"(acpi_wakeup()->reset_vector));
}

/* True once it is there: only then may it be given other work. */
static bool send_to_wait_loop(unsigned index)
{
	smp_run(index, go_to_reset_vector, NULL);
	return smp_mailbox_send(index, MAILBOX_TEST);
}

/* A CPU in the wait loop: an NMI for all does not bring it out, a command for another is not for it, and
 * it answers whether it is there. */
static void test_wait_loop(void)
{
	CHECK("mailbox-test-answered", send_to_wait_loop(1));
	apic_send(1, ICR_NMI | ICR_ASSERT);
	delay_us(3000);
	CHECK("mailbox-survives-nmi", smp_mailbox_send(1, MAILBOX_TEST));
	CHECK("mailbox-of-other-id", !smp_mailbox_send(smp_count, MAILBOX_TEST));
}

/* INIT stops a CPU, also one that works; a start-up IPI to a running one does nothing. Where CPUs start
 * through the mailbox, they stop by going back to it. */
static void test_init(void)
{
	uint32_t count;

	apic_send(1, ICR_STARTUP | ICR_ASSERT | TRAMPOLINE >> 12);
	delay_us(1000);
	smp_run(1, count_up, NULL);
	CHECK("sipi-to-running-ignored", smp_wait(1, WORK_US));
	if (acpi_wakeup())
		test_wait_loop();
	else
		apic_send(1, ICR_INIT | ICR_ASSERT);
	delay_us(10000);
	clear_received();
	apic_send(1, ICR_ASSERT | VECTOR);
	delay_us(10000);
	report_equal("init-stops", received[1], 0);
	CHECK("starts-again", smp_start_one(1));
	count = shared;
	smp_run(1, count_up, NULL);
	CHECK("works-again", smp_wait(1, WORK_US));
	report_equal("work-done-again", shared - count, 1000);
}

static void test_logical(void)
{
	uint32_t before = trap_count[VECTOR_LOGICAL];

	if (!apic_is_x2apic())
		return;
	trap_set(VECTOR_LOGICAL, trap_count_irq);
	apic_send(2, ICR_LOGICAL | ICR_ASSERT | VECTOR_LOGICAL); /* cluster 0, bit 1 */
	CHECK("x2apic-logical", wait_for(&trap_count[VECTOR_LOGICAL], before + 1, WORK_US));
}

static void to_x2apic(void *arg)
{
	(void)arg;
	apic_enter_x2apic();
}

static void test_x2apic(void)
{
	bool here = true;

	if (!(cpuid(1, 0).ecx & BIT(21)))
		return;
	for (unsigned i = 1; i < smp_count; i++) {
		smp_run(i, to_x2apic, NULL);
		here &= smp_wait(i, WORK_US);
	}
	CHECK("all-to-x2apic", here && apic_enter_x2apic());
	clear_received();
	apic_send(smp_cpus[1].apic_id, ICR_ASSERT | VECTOR);
	CHECK("x2apic-ipi", wait_for(&received[1], 1, WORK_US));
	test_logical();
	CHECK("x2apic-starts-again", (!acpi_wakeup() || send_to_wait_loop(1)) && smp_start_one(1));
}

void guest_main(void)
{
	apic_enable();
	trap_set(VECTOR, on_vector);
	test_start();
	if (smp_count < 2)
		return;
	test_ipis();
	test_nmi();
	test_memory();
	test_init();
	test_x2apic();
}
