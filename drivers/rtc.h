/*
 * The host's real-time clock, read once per guest start.
 */
#ifndef DRIVERS_RTC_H
#define DRIVERS_RTC_H

#include "hv/base/types.h"

/* Seconds since 1970-01-01, the clock being taken for UTC; 0 when it does not answer or shows
 * nonsense. Bounded wait. One CPU at a time. */
uint64_t rtc_epoch(void);

#endif
