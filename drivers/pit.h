/*
 * The host's 8254: its channel 2 as a stopwatch, without interrupts. Guests never see it.
 */
#ifndef DRIVERS_PIT_H
#define DRIVERS_PIT_H

#include "hv/base/types.h"

#define PIT_HZ 1193182
#define PIT_MEASURE_COUNT 11932 /* 10 ms */

/* TSC ticks while the PIT counts PIT_MEASURE_COUNT; 0 when it does not count (gated or absent). */
uint64_t pit_measure_tsc(void);

#endif
