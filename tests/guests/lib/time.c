/*
 * Clocks of a tiny guest.
 */
#include "tests/guests/lib/time.h"

#include "hv/base/x86.h"
#include "hv/guest/guest.h"

#define PM_TIMER_MASK 0xffffffu /* 24 bits are in every implementation */

uint64_t tsc_per_pm_counts(uint32_t counts)
{
	uint32_t start = inl(GUEST_PORT_PM_TMR);
	uint64_t tsc = rdtsc();

	while (((inl(GUEST_PORT_PM_TMR) - start) & PM_TIMER_MASK) < counts)
		;
	return rdtsc() - tsc;
}

uint64_t tsc_khz(void)
{
	static uint64_t khz;

	if (!khz && cpuid(0, 0).eax >= 0x15) {
		struct cpuid_regs r = cpuid(0x15, 0);
		if (r.eax && r.ebx && r.ecx)
			khz = (uint64_t)r.ecx * r.ebx / r.eax / 1000;
	}
	if (!khz)
		khz = tsc_per_pm_counts(PM_TIMER_HZ / 100) / 10;
	return khz;
}

void delay_us(uint64_t us)
{
	uint64_t ticks = us * tsc_khz() / 1000;
	uint64_t start = rdtsc();

	while (rdtsc() - start < ticks)
		__builtin_ia32_pause();
}

bool wait_for(const volatile uint32_t *word, uint32_t value, uint64_t us)
{
	uint64_t ticks = us * tsc_khz() / 1000;
	uint64_t start = rdtsc();

	while (*word < value)
		if (rdtsc() - start >= ticks)
			return *word >= value;
		else
			__builtin_ia32_pause();
	return true;
}

void pit2_gate(bool on) { outb(GUEST_PORT_SYSB, (uint8_t)((inb(GUEST_PORT_SYSB) & ~3) | on)); }

static void pit_start(unsigned channel, unsigned mode, uint16_t count)
{
	outb(GUEST_PORT_PIT + 3, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	outb((uint16_t)(GUEST_PORT_PIT + channel), (uint8_t)count);
	outb((uint16_t)(GUEST_PORT_PIT + channel), (uint8_t)(count >> 8));
}

void pit2_start(unsigned mode, uint16_t count) { pit_start(2, mode, count); }
void pit0_start(unsigned mode, uint16_t count) { pit_start(0, mode, count); }

uint16_t pit_read(unsigned channel)
{
	uint8_t low;

	outb(GUEST_PORT_PIT + 3, (uint8_t)(channel << 6));
	low = inb((uint16_t)(GUEST_PORT_PIT + channel));
	return (uint16_t)(low | inb((uint16_t)(GUEST_PORT_PIT + channel)) << 8);
}
