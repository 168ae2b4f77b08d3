/*
 * Calendar arithmetic of the RTC: seconds since 1970 to date and back, registers in BCD or binary,
 * 12 or 24 hours, and the next match of an alarm. Pure.
 */
#ifndef HV_DEVICES_VRTC_TIME_H
#define HV_DEVICES_VRTC_TIME_H

#include "hv/base/types.h"

struct rtc_date {
	unsigned year, month, day;       /* 1970.., 1..12, 1..31 */
	unsigned hour, minute, second;
	unsigned weekday;                /* 1: Sunday .. 7 */
};

#define RTC_NEVER UINT64_MAX
#define RTC_ANY (-1)     /* alarm field: matches everything */
#define RTC_INVALID (-2) /* alarm field: matches nothing */

void rtc_date_from_seconds(uint64_t seconds, struct rtc_date *d);
/* Out-of-range fields are carried (day 32 is the next month's first); years before 1970 give 0. */
uint64_t rtc_date_to_seconds(const struct rtc_date *d);

/* One register's value; register B's DM and 24/12 bits say how. */
uint8_t rtc_encode(unsigned v, bool binary);
unsigned rtc_decode(uint8_t v, bool binary);
uint8_t rtc_encode_hour(unsigned hour, bool binary, bool is_24h);
unsigned rtc_decode_hour(uint8_t v, bool binary, bool is_24h);

/* The first second after `after` (since 1970) whose time of day matches, or RTC_NEVER. */
uint64_t rtc_next_alarm(uint64_t after, int hour, int minute, int second);

#endif
