/*
 * The host's 8254: its channel 2 as a stopwatch, without interrupts, its channel 0 as an alarm.
 * Guests never see it.
 */
#ifndef DRIVERS_PIT_H
#define DRIVERS_PIT_H

#include "hv/base/types.h"

#define PIT_HZ 1193182
#define PIT_MEASURE_COUNT 11932 /* 10 ms */

/*
 * Channel 0 as an alarm: its output, ISA interrupt 0, rises once after that many periods of PIT_HZ.
 * Setting it again before that puts it off; switched off it stays low, though some emulators' rises all the same.
 */
#define PIT_LONGEST 65536
void pit_alarm_set(uint32_t count);
void pit_alarm_off(void);
/* Whether it has risen since it was set. */
bool pit_alarm_rang(void);

/* TSC ticks while the PIT counts PIT_MEASURE_COUNT; 0 when it does not count (gated or absent). */
uint64_t pit_measure_tsc(void);

#endif
