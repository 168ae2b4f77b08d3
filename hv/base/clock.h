/*
 * Host time: the TSC, its frequency found once at start (CPUID 15h, PIT, PM timer: the first that
 * answers in bounded time, cross-checked), and conversions. Interrupt-free, any CPU.
 */
#ifndef HV_BASE_CLOCK_H
#define HV_BASE_CLOCK_H

#include "hv/base/types.h"

extern uint64_t tsc_khz; /* host TSC ticks per millisecond; set before any guest exists */

/* Exact to one part in 10^9; 0 while the frequency is not known. */
uint64_t tsc_to_ns(uint64_t ticks);
uint64_t ns_to_tsc(uint64_t ns);

/* Measures and sets tsc_khz; says in the log what it was taken from, and gives up when nothing on
 * this machine tells the time. Boot CPU, start-up, after acpi_host_init; some 30 ms. */
void clock_init(void);
void clock_set_khz(uint64_t khz);

/* What the sources say, 0 for one that is missing or did not answer. */
struct clock_sources {
	uint64_t cpuid_khz;    /* leaf 15h with its crystal frequency */
	uint64_t pit_khz;
	uint64_t pm_timer_khz;
	uint64_t base_khz;     /* leaf 16h, the advertised frequency: a last resort */
};

struct clock_choice {
	uint64_t khz;          /* 0: no source at all */
	const char *source;
	bool cpuid_lies;       /* leaf 15h is more than 1 % off what was measured, which wins */
	bool measures_differ;  /* PIT and PM timer are more than 1 % apart */
};

struct clock_choice clock_choose(const struct clock_sources *s);

/*
 * One exchange with another CPU: this CPU's TSC before asking, the other's when it answered, this
 * CPU's after. Were both TSCs equal, theirs would lie in between.
 */
struct tsc_sample {
	uint64_t before, theirs, after;
};
/* How far the other TSC is ahead (below zero: behind) by the exchange that took least, in the middle
 * of what it allows; *error is the most that can be off by, either way. */
int64_t clock_offset(const struct tsc_sample *samples, unsigned count, uint64_t *error);
/* Leaf 15h: EBX/EAX times the crystal in ECX. 0 when it leaves one out. */
uint64_t clock_khz_from_leaf15(uint32_t eax, uint32_t ebx, uint32_t ecx);
/* TSC ticks that passed while a counter of hz made count steps. */
uint64_t clock_khz_from_count(uint64_t tsc_ticks, uint64_t count, uint64_t hz);

#endif
