/* Arithmetic of the TSC: conversions, and which source of its frequency to believe. Pure. */
#include "hv/base/clock.h"

#define FRACTION_BITS 40

uint64_t tsc_khz;
static uint64_t ns_per_tick; /* fixed point, FRACTION_BITS after the point */
static uint64_t ticks_per_ns;

void clock_set_khz(uint64_t khz)
{
	tsc_khz = khz;
	ns_per_tick = khz ? mul_div(1000000, BIT(FRACTION_BITS), khz) : 0;
	ticks_per_ns = mul_div(khz, BIT(FRACTION_BITS), 1000000);
}

uint64_t tsc_to_ns(uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * ns_per_tick >> FRACTION_BITS);
}

uint64_t ns_to_tsc(uint64_t ns) { return (uint64_t)((unsigned __int128)ns * ticks_per_ns >> FRACTION_BITS); }

uint64_t clock_khz_from_leaf15(uint32_t eax, uint32_t ebx, uint32_t ecx)
{
	return eax && ebx && ecx ? mul_div(ecx, ebx, eax) / 1000 : 0;
}

uint64_t clock_khz_from_count(uint64_t tsc_ticks, uint64_t count, uint64_t hz)
{
	return count ? mul_div(tsc_ticks, hz, count) / 1000 : 0;
}

static bool apart(uint64_t a, uint64_t b)
{
	uint64_t difference = a > b ? a - b : b - a;

	return difference > max_u64(a, b) / 100;
}

/* A measurement beats what CPUID claims when they disagree: emulators and some firmware err there. */
struct clock_choice clock_choose(const struct clock_sources *s)
{
	struct clock_choice c = { 0 };
	uint64_t measured = s->pit_khz ? s->pit_khz : s->pm_timer_khz;

	c.measures_differ = s->pit_khz && s->pm_timer_khz && apart(s->pit_khz, s->pm_timer_khz);
	c.cpuid_lies = s->cpuid_khz && measured && apart(s->cpuid_khz, measured);
	/* Two that agree outvote a third: a PIT disturbed by firmware. */
	if (c.measures_differ && s->cpuid_khz && !apart(s->cpuid_khz, s->pm_timer_khz))
		c.cpuid_lies = false;
	if (s->cpuid_khz && !c.cpuid_lies) {
		c.khz = s->cpuid_khz;
		c.source = "CPUID 15h";
	} else if (measured) {
		c.khz = measured;
		c.source = s->pit_khz ? "the PIT" : "the ACPI PM timer";
	} else {
		c.khz = s->base_khz;
		c.source = "CPUID 16h";
	}
	return c;
}

int64_t clock_offset(const struct tsc_sample *samples, unsigned count, uint64_t *error)
{
	const struct tsc_sample *best = &samples[0];

	for (unsigned i = 1; i < count; i++)
		if (samples[i].after - samples[i].before < best->after - best->before)
			best = &samples[i];
	*error = (best->after - best->before + 1) / 2;
	return (int64_t)(best->theirs - best->before - (best->after - best->before) / 2);
}
