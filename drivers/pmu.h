/*
 * One performance counter as an alarm clock: an NMI after so many cycles in which the CPU was not halted.
 * SDM vol. 3B, "Performance Monitoring", architectural version 2: fixed-function counter 1. Nobody else on
 * this machine uses the counters.
 */
#ifndef DRIVERS_PMU_H
#define DRIVERS_PMU_H

#include "hv/base/types.h"
#include "hv/base/x86.h"

/* Whether a CPU with that leaf 0Ah has the counter; whether the running CPU has. */
bool pmu_offers(const struct cpuid_regs *leaf);
bool pmu_present(void);
/* From where it overflows after so many cycles, or as many as it can count. */
uint64_t pmu_start_value(const struct cpuid_regs *leaf, uint64_t cycles);
/* Takes the counters over on the running CPU: that one counts, silent until it is set. False when the
 * CPU, or what is below it, does not let it. Not in an NMI. */
bool pmu_alarm_start(void);
/* Counts from now: NMI after that many cycles, of which a CPU at turbo has more than TSC ticks. */
void pmu_alarm_set(uint64_t cycles);
/* For an NMI: whether the counter has overflown. If so it may again. */
bool pmu_alarm_rang(void);

#endif
