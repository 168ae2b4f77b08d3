/*
 * Time in a tiny guest: the TSC, its rate, and the fixed clocks of a PC.
 */
#ifndef TESTS_GUESTS_LIB_TIME_H
#define TESTS_GUESTS_LIB_TIME_H

#include "hv/base/types.h"

#define PIT_HZ 1193182u
#define PM_TIMER_HZ 3579545u

/* TSC ticks per millisecond, by CPUID 15h where it is complete, else by the PM timer; found once. */
uint64_t tsc_khz(void);
/* TSC ticks that pass while the PM timer counts `counts` (below 2^23). */
uint64_t tsc_per_pm_counts(uint32_t counts);
void delay_us(uint64_t us);
/* Waits until *word >= value or so many microseconds are over; true when it came. */
bool wait_for(const volatile uint32_t *word, uint32_t value, uint64_t us);

/* Port 61h gate of PIT channel 2: off and on (speaker off). */
void pit2_gate(bool on);
/* Programs channel 2 (mode 0..5) with a 16-bit count. */
void pit2_start(unsigned mode, uint16_t count);
/* Latches and reads the channel's counter. */
uint16_t pit_read(unsigned channel);
/* Programs channel 0, whose output is IRQ 0: rate generator, or one shot (mode 0). */
void pit0_start(unsigned mode, uint16_t count);

#endif
