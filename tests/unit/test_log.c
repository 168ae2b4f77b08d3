/* sources: hv/base/log.c hv/base/format.c */
/* The log's ring and sinks: prefix, cut, levels, control characters, wrapping, late sinks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hv/base/log.h"

static char got[1 << 20];
static size_t got_len;
static unsigned lines;
static enum log_level last_level;

static void take(const char *line, size_t len)
{
	memcpy(got + got_len, line, len);
	got_len += len;
	got[got_len] = 0;
	lines++;
}

static void sink(enum log_level level, const char *line, size_t len)
{
	last_level = level;
	take(line, len);
}

static void late_sink(enum log_level level, const char *line, size_t len) { sink(level, line, len); }

static void each(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	take(line, len);
}

static void forget(void) { got_len = lines = 0; }

static void lines_reach_the_sink(void **state)
{
	(void)state;
	assert_int_equal(log_add_sink(sink), 0);
	log_warn("%s is %u", "seven", 7);
	assert_string_equal(got, "gnomon: seven is 7\r\n");
	assert_int_equal(last_level, LOG_WARN);
	forget();
	log_debug("quiet");
	assert_int_equal(lines, 0);
	log_set_level(LOG_DEBUG);
	log_debug("loud");
	assert_string_equal(got, "gnomon: loud\r\n");
	log_set_level(LOG_INFO);
}

static void lines_are_cut_and_clean(void **state)
{
	char text[1000];

	(void)state;
	forget();
	memset(text, 'a', sizeof text);
	text[999] = 0;
	log_info("%s", text);
	assert_int_equal(got_len, 8 + 400 + 2);
	forget();
	log_info("%s", "\x1b[31m\r\ngnomon: forged\x7f");
	assert_string_equal(got, "gnomon: ?[31m??gnomon: forged?\r\n");
}

static void a_late_sink_hears_what_was_said(void **state)
{
	(void)state;
	forget();
	assert_int_equal(log_add_sink(late_sink), 0);
	assert_int_equal(lines, 3); /* neither "quiet" nor "loud": their level is off */
	assert_non_null(strstr(got, "seven is 7"));
	assert_null(strstr(got, "loud"));
	assert_int_equal(log_add_sink(late_sink), 0);
	assert_int_equal(log_add_sink(late_sink), 0);
	assert_int_equal(log_add_sink(late_sink), -ENOSPC);
}

static void the_ring_keeps_the_newest(void **state)
{
	char first[32], last[] = "gnomon: line 19999 ";

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		forget();
		log_info("line %u %.*s", i, (int)(i % 90),
			 "................................................"
			 "................................................");
	}
	forget();
	log_replay(each, NULL);
	assert_in_range(lines, 1000, 20000);
	snprintf(first, sizeof first, "gnomon: line %u ", 20000 - lines);
	assert_memory_equal(got, first, strlen(first));
	assert_non_null(strstr(got, last));
	assert_memory_equal(got + got_len - 2, "\r\n", 2);
}

static void the_last_lines(void **state)
{
	(void)state;
	log_info("one more");
	forget();
	log_replay_last(1, each, NULL);
	assert_string_equal(got, "gnomon: one more\r\n");
	forget();
	log_replay_last(3, each, NULL);
	assert_int_equal(lines, 3);
	assert_memory_equal(got, "gnomon: line 19998 ", 19);
	forget();
	log_replay_last(0, each, NULL);
	assert_int_equal(lines, 0);
	log_replay_last(1000000, each, NULL);
	assert_in_range(lines, 1000, 20001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_reach_the_sink),
		cmocka_unit_test(lines_are_cut_and_clean),
		cmocka_unit_test(a_late_sink_hears_what_was_said),
		cmocka_unit_test(the_ring_keeps_the_newest),
		cmocka_unit_test(the_last_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
