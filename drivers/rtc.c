/*
 * The MC146818's time of day: registers 0, 2, 4, 7, 8, 9 behind ports 70h and 71h.
 */
#include "drivers/rtc.h"

#include "hv/base/x86.h"

#define PORT_INDEX 0x70
#define PORT_DATA 0x71
#define REG_A 0x0a
#define REG_B 0x0b
#define A_UPDATE BIT(7)
#define B_24H BIT(1)
#define B_BINARY BIT(2)
#define HOUR_PM 0x80
#define TRIES 100000 /* an update takes 2 ms at most, a port access about 1 us */

struct rtc_time {
	uint8_t second, minute, hour, day, month, year;
};

static uint8_t rtc_read(uint8_t index)
{
	outb(PORT_INDEX, index);
	return inb(PORT_DATA);
}

static bool same(const struct rtc_time *a, const struct rtc_time *b)
{
	return a->second == b->second && a->minute == b->minute && a->hour == b->hour && a->day == b->day &&
	       a->month == b->month && a->year == b->year;
}

static struct rtc_time read_once(void)
{
	return (struct rtc_time){ rtc_read(0), rtc_read(2), rtc_read(4), rtc_read(7), rtc_read(8), rtc_read(9) };
}

/* Two equal readings with no update between them. */
static bool read_steady(struct rtc_time *t)
{
	for (unsigned i = 0; i < TRIES; i++) {
		struct rtc_time again;

		if (rtc_read(REG_A) & A_UPDATE)
			continue;
		*t = read_once();
		again = read_once();
		if (same(t, &again) && !(rtc_read(REG_A) & A_UPDATE))
			return true;
	}
	return false;
}

static uint8_t plain(uint8_t v, bool binary) { return binary ? v : (uint8_t)((v >> 4) * 10 + (v & 15)); }

/* Days since 1970-01-01 of a date from 2000 to 2099, where every fourth year is a leap year. */
static uint64_t days(unsigned year, unsigned month, unsigned day)
{
	static const uint16_t before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	unsigned since_2000 = year * 365 + (year + 3) / 4 + before[month - 1] + day - 1;

	if (month > 2 && year % 4 == 0)
		since_2000++;
	return 10957 + since_2000;
}

uint64_t rtc_epoch(void)
{
	uint8_t b = rtc_read(REG_B);
	bool binary = b & B_BINARY, pm;
	unsigned hour, month;
	struct rtc_time t;

	if (!read_steady(&t))
		return 0;
	pm = !(b & B_24H) && (t.hour & HOUR_PM);
	hour = plain(t.hour & (b & B_24H ? 0xff : 0x7f), binary);
	if (!(b & B_24H))
		hour = hour % 12 + (pm ? 12 : 0);
	month = plain(t.month, binary);
	if (month < 1 || month > 12 || hour > 23)
		return 0;
	return ((days(plain(t.year, binary), month, plain(t.day, binary)) * 24 + hour) * 60 +
		plain(t.minute, binary)) * 60 + plain(t.second, binary);
}
