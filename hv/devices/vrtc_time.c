/*
 * Calendar arithmetic of the RTC. The Gregorian calendar repeats every 400 years of 146097 days;
 * years are counted from March so that the leap day comes last.
 */
#include "hv/devices/vrtc_time.h"

#define SECONDS_PER_DAY 86400u
#define DAYS_PER_ERA 146097u
#define DAYS_TO_1970 719468u /* from 1 March of year 0 */

/* Days before month m (0: March) in a year that begins with March. */
static unsigned days_before_month(unsigned m) { return (153 * m + 2) / 5; }
static unsigned days_before_year(unsigned y) { return 365 * y + y / 4 - y / 100; }

void rtc_date_from_seconds(uint64_t seconds, struct rtc_date *d)
{
	uint64_t days = seconds / SECONDS_PER_DAY;
	unsigned rest = (unsigned)(seconds % SECONDS_PER_DAY);
	d->hour = rest / 3600;
	d->minute = rest / 60 % 60;
	d->second = rest % 60;
	d->weekday = (unsigned)((days + 4) % 7) + 1; /* 1 January 1970 was a Thursday */

	days += DAYS_TO_1970;
	unsigned era_day = (unsigned)(days % DAYS_PER_ERA);
	/* The year is one of two candidates: a mean year is longer than 365 days. */
	unsigned year = era_day / 365;
	if (year > 399 || days_before_year(year) > era_day)
		year--;
	unsigned year_day = era_day - days_before_year(year);
	unsigned month = (5 * year_day + 2) / 153;
	d->day = year_day - days_before_month(month) + 1;
	d->month = month < 10 ? month + 3 : month - 9;
	d->year = (unsigned)(days / DAYS_PER_ERA) * 400 + year + (month >= 10);
}

uint64_t rtc_date_to_seconds(const struct rtc_date *d)
{
	if (d->year < 1970)
		return 0;
	unsigned month0 = d->month ? d->month - 1 : 0;
	unsigned year = d->year + month0 / 12 - (month0 % 12 < 2);
	unsigned from_march = (month0 % 12 + 10) % 12;
	uint64_t days = (uint64_t)(year / 400) * DAYS_PER_ERA + days_before_year(year % 400) +
			days_before_month(from_march) + (d->day ? d->day - 1 : 0) - DAYS_TO_1970;
	return days * SECONDS_PER_DAY + d->hour * 3600u + d->minute * 60u + d->second;
}

uint8_t rtc_encode(unsigned v, bool binary)
{
	return (uint8_t)(binary ? v : v / 10 % 10 << 4 | v % 10);
}

unsigned rtc_decode(uint8_t v, bool binary)
{
	return binary ? v : (v >> 4) * 10u + (v & 15u);
}

uint8_t rtc_encode_hour(unsigned hour, bool binary, bool is_24h)
{
	if (is_24h)
		return rtc_encode(hour, binary);
	uint8_t v = rtc_encode(hour % 12 ? hour % 12 : 12, binary);
	return hour >= 12 ? v | 0x80 : v;
}

unsigned rtc_decode_hour(uint8_t v, bool binary, bool is_24h)
{
	if (is_24h)
		return rtc_decode(v, binary);
	return rtc_decode(v & 0x7f, binary) % 12 + (v & 0x80 ? 12 : 0);
}

static bool field_matches(int field, unsigned v) { return field == RTC_ANY || field == (int)v; }

/* Jumps to the start of the next hour, minute or second that may match: at most 24 + 60 + 60 steps of
 * each kind, since within a day every matching hour holds a matching minute and second. */
uint64_t rtc_next_alarm(uint64_t after, int hour, int minute, int second)
{
	if (hour == RTC_INVALID || minute == RTC_INVALID || second == RTC_INVALID)
		return RTC_NEVER;
	uint64_t t = after + 1;
	while (t <= after + SECONDS_PER_DAY) {
		unsigned of_day = (unsigned)(t % SECONDS_PER_DAY);
		if (!field_matches(hour, of_day / 3600))
			t += 3600 - of_day % 3600;
		else if (!field_matches(minute, of_day / 60 % 60))
			t += 60 - of_day % 60;
		else if (!field_matches(second, of_day % 60))
			t++;
		else
			return t;
	}
	return RTC_NEVER;
}
