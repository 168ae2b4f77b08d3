/*
 * Computes the same checksum over and over while a timer ticks `hz=N` times a second (a hundred), and says in the end
 * what came out: rounds that differed from the first, ticks and how many there should have been. For what must not
 * disturb a guest, and to see how much of its time it loses. `rounds=N` ends it after so many; otherwise a key does.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "steady";

#define WORDS 16384u
#define VECTOR 0x41
#define COM1_LSR (GUEST_PORT_COM1 + 5)
#define LSR_DATA_READY 1

static uint32_t *const words = (uint32_t *)FREE_MEMORY;

static void fill(void)
{
	for (uint32_t i = 0; i < WORDS; i++)
		words[i] = i * 0x9e3779b9u;
}

/* Each word written back once, so that what is read next is what was kept. */
static uint32_t checksum(void)
{
	uint32_t sum = 1;

	for (uint32_t i = 0; i < WORDS; i++) {
		uint32_t word = ((volatile uint32_t *)words)[i];

		sum = (sum << 5 | sum >> 27) ^ word;
		((volatile uint32_t *)words)[i] = word;
	}
	return sum;
}

/* Starts the ticks; returns the TSC ticks between two of them, exactly: SDM "Time Stamp Counter and Nominal Core
 * Crystal Clock Information Leaf". None: as if there were one at the end of time. */
static uint64_t start_ticks(uint64_t hz)
{
	struct cpuid_regs r = cpuid(0x15, 0);
	uint32_t counts = hz ? (uint32_t)(r.ecx / hz) : 0;

	if (!hz)
		return UINT64_MAX;
	CHECK("crystal-known", r.eax && r.ebx && counts);
	trap_set(VECTOR, trap_count_irq);
	apic_write(VLAPIC_TIMER_DIVIDE, APIC_DIVIDE_1);
	apic_write(VLAPIC_LVT_TIMER, APIC_TIMER_PERIODIC | VECTOR);
	apic_write(VLAPIC_TIMER_INIT, counts);
	return (uint64_t)counts * r.ebx / r.eax;
}

static bool goes_on(uint64_t done, uint64_t rounds)
{
	return rounds ? done < rounds : !(inb(COM1_LSR) & LSR_DATA_READY);
}

void guest_main(void)
{
	uint64_t rounds = option_number("rounds", 0), done = 0, wrong = 0, begun, period, elapsed, ticks;
	uint32_t sum;

	apic_enable();
	fill();
	sum = checksum();
	period = start_ticks(option_number("hz", 100));
	begun = rdtsc();
	sti();
	print("NEXT steady: rounds\n");
	while (goes_on(done, rounds)) {
		wrong += checksum() != sum;
		done++;
	}
	cli();
	elapsed = rdtsc() - begun;
	ticks = trap_count[VECTOR] + apic_test_bit(VLAPIC_IRR, VECTOR);
	print("STEADY sum %x, rounds %lu, TSC %lu, ticks %lu of %lu\n", sum, done, elapsed, ticks, elapsed / period);
	CHECK("same-sum", wrong == 0);
	/* Between two ticks, or at one. */
	report(ticks + 1 >= elapsed / period && ticks <= elapsed / period + 1, "ticks", "%lu ticks, not %lu", ticks,
	       elapsed / period);
	finish();
}
