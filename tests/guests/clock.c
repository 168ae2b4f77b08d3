/*
 * Proves that all clocks of the machine tell the same time: TSC, PIT, PM timer, RTC, local APIC
 * timer, and what CPUID says of their rates.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/time.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "clock";

#define PERIOD_MS 20
#define TOLERANCE 100 /* one in so many: 1 % */
#define PIT2_OUTPUT 0x20
#define RTC_SECONDS 0
#define RTC_STATUS_A 0xa
#define RTC_UPDATING 0x80
#define VECTOR 0x41

static void check_near(const char *name, uint64_t got, uint64_t want)
{
	uint64_t difference = got > want ? got - want : want - got;
	report(difference <= want / TOLERANCE, name, "got %lu kHz, want %lu kHz within 1 in 100", got, want);
}

static uint64_t khz_by_pm_timer(void)
{
	uint32_t counts = PM_TIMER_HZ / 1000 * PERIOD_MS;
	return tsc_per_pm_counts(counts) * (PM_TIMER_HZ / 1000) / counts;
}

static uint64_t khz_by_pit(void)
{
	uint16_t count = PIT_HZ * PERIOD_MS / 1000;
	uint64_t start;

	pit2_gate(true);
	pit2_start(0, count);
	start = rdtsc();
	while (!(inb(GUEST_PORT_SYSB) & PIT2_OUTPUT))
		;
	return (rdtsc() - start) / PERIOD_MS;
}

static uint64_t khz_by_pit0(void)
{
	uint16_t first, last;
	uint64_t start, ticks;

	pit0_start(2, 0);
	first = pit_read(0);
	start = rdtsc();
	delay_us(PERIOD_MS * 1000);
	last = pit_read(0);
	ticks = rdtsc() - start;
	return ticks * (PIT_HZ / 1000) / (uint16_t)(first - last);
}

static uint8_t rtc(uint8_t index)
{
	outb(GUEST_PORT_RTC, index);
	return inb(GUEST_PORT_RTC + 1);
}

static uint64_t next_second(void)
{
	uint8_t now = rtc(RTC_SECONDS);

	while (rtc(RTC_SECONDS) == now || rtc(RTC_STATUS_A) & RTC_UPDATING)
		;
	return rdtsc();
}

static uint64_t khz_by_rtc(void)
{
	uint64_t start = next_second();
	return (next_second() - start) / 1000;
}

/* The local APIC timer's own rate, by the TSC. */
static uint64_t apic_timer_khz(void)
{
	uint32_t first, last;
	uint64_t start, ticks;

	apic_write(VLAPIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR);
	apic_write(VLAPIC_TIMER_DIVIDE, APIC_DIVIDE_1);
	apic_write(VLAPIC_TIMER_INIT, ~0u);
	first = apic_read(VLAPIC_TIMER_COUNT);
	start = rdtsc();
	delay_us(PERIOD_MS * 1000);
	last = apic_read(VLAPIC_TIMER_COUNT);
	ticks = rdtsc() - start;
	apic_write(VLAPIC_TIMER_INIT, 0);
	return (uint64_t)(first - last) * tsc_khz() / ticks;
}

static void test_cpuid(uint64_t khz)
{
	uint32_t max = cpuid(0, 0).eax;
	struct cpuid_regs r;

	if (max >= 0x15) {
		r = cpuid(0x15, 0);
		CHECK("cpuid-15h-complete", r.eax && r.ebx && r.ecx);
		check_near("cpuid-15h-tsc", (uint64_t)r.ecx * r.ebx / (r.eax ? r.eax : 1) / 1000, khz);
		check_near("cpuid-15h-apic-timer", r.ecx / 1000, apic_timer_khz());
	}
	if (max >= 0x16)
		check_near("cpuid-16h-base", (uint64_t)(cpuid(0x16, 0).eax & 0xffff) * 1000, khz);
}

static void test_periodic(uint64_t khz)
{
	uint64_t rate = apic_timer_khz(), start;
	uint32_t ticks = 10, period_ms = 5;

	trap_set(VECTOR, trap_count_irq);
	trap_count[VECTOR] = 0;
	apic_write(VLAPIC_LVT_TIMER, APIC_TIMER_PERIODIC | VECTOR);
	apic_write(VLAPIC_TIMER_INIT, (uint32_t)rate * period_ms);
	start = rdtsc();
	sti();
	CHECK("periodic-ticks", wait_for(&trap_count[VECTOR], ticks, 1000000));
	cli();
	check_near("periodic-rate", (rdtsc() - start) / (ticks * period_ms), khz);
	apic_write(VLAPIC_LVT_TIMER, APIC_LVT_MASKED);
	apic_write(VLAPIC_TIMER_INIT, 0);
}

static void test_monotonic(void)
{
	uint64_t last = rdtsc(), now;
	unsigned back = 0;

	for (unsigned i = 0; i < 1000; i++) {
		if (i % 100 == 0)
			(void)cpuid(0, 0);
		now = rdtsc();
		back += now < last;
		last = now;
	}
	report_equal("tsc-never-goes-back", back, 0);
	report_vector("tsc-msr-write", TRY("wrmsr", : : "c"(MSR_TSC), "a"(0), "d"(1) : "memory"), NO_FAULT);
	report_equal("tsc-msr-takes", rdtsc() >> 32, 1);
}

void guest_main(void)
{
	uint64_t khz;

	apic_enable();
	khz = khz_by_pm_timer();
	CHECK("tsc-runs", khz > 1000);
	check_near("pit-channel-2", khz_by_pit(), khz);
	check_near("pit-channel-0", khz_by_pit0(), khz);
	check_near("rtc", khz_by_rtc(), khz);
	test_cpuid(khz);
	test_periodic(khz);
	test_monotonic();
}
