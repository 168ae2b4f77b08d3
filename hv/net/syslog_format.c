/* A message of RFC 5424: <PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG. */
#include "hv/net/syslog.h"

#define FACILITY_LOCAL0 16
#define SECONDS_A_DAY 86400u
#define LAST_YEAR 9999u

struct date {
	uint32_t year, month, day;
};

static bool is_leap(uint32_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static uint32_t days_of_month(uint32_t year, uint32_t month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* The day that is so many days after 1970-01-01; years go to LAST_YEAR. */
static struct date date_of(uint64_t days)
{
	struct date d = { 1970, 1, 1 };

	while (d.year < LAST_YEAR && days >= 365u + is_leap(d.year))
		days -= 365u + is_leap(d.year++);
	while (d.month < 12 && days >= days_of_month(d.year, d.month))
		days -= days_of_month(d.year, d.month++);
	d.day += (uint32_t)min_u64(days, days_of_month(d.year, d.month) - 1);
	return d;
}

/* With zeros in front. */
static void write_padded(struct text *t, uint64_t n, unsigned digits)
{
	for (uint64_t least = 10; --digits > 0; least *= 10)
		if (n < least) {
			while (digits-- > 0)
				text_char(t, '0');
			break;
		}
	text_number(t, n);
}

/* RFC 3339 as RFC 5424 restricts it, in microseconds. */
static void write_time(struct text *t, uint64_t us)
{
	uint64_t seconds = us / 1000000, of_day = seconds % SECONDS_A_DAY;
	struct date d = date_of(seconds / SECONDS_A_DAY);

	write_padded(t, d.year, 4);
	text_char(t, '-');
	write_padded(t, d.month, 2);
	text_char(t, '-');
	write_padded(t, d.day, 2);
	text_char(t, 'T');
	write_padded(t, of_day / 3600, 2);
	text_char(t, ':');
	write_padded(t, of_day / 60 % 60, 2);
	text_char(t, ':');
	write_padded(t, of_day % 60, 2);
	text_char(t, '.');
	write_padded(t, us % 1000000, 6);
	text_char(t, 'Z');
}

static uint32_t severity(enum log_level level)
{
	static const uint8_t severities[] = { [LOG_ERROR] = 3, [LOG_WARN] = 4, [LOG_INFO] = 6, [LOG_DEBUG] = 7 };

	return severities[min_u64(level, LOG_DEBUG)];
}

void syslog_format(struct text *t, const struct syslog_message *m)
{
	text_char(t, '<');
	text_number(t, FACILITY_LOCAL0 * 8 + severity(m->level));
	text_add(t, ">1 ");
	if (m->time_us)
		write_time(t, m->time_us);
	else
		text_char(t, '-');
	text_char(t, ' ');
	text_add(t, m->host);
	text_add(t, " gnomon - - [meta sequenceId=\"");
	text_number(t, m->sequence);
	text_add(t, "\"]");
	/* The clock is the machine's own; nobody says in which zone it was set. */
	text_add(t, m->time_us ? "[timeQuality tzKnown=\"0\" isSynced=\"0\"] " : " ");
	for (size_t i = 0; i < m->len; i++)
		text_char(t, m->text[i] >= ' ' && m->text[i] < 0x7f ? m->text[i] : '?');
}
