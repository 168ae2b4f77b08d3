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

/* Who follows at his own pace gets what sinks get, each line once, and is told how many he missed. */
static void readers(void **state)
{
	static struct log_reader r;
	static struct log_entry e;
	uint64_t read = 0, lost = 0, before;

	(void)state;
	while (log_next(&r, &e))
		;
	before = __builtin_ia32_rdtsc();
	log_info("one");
	log_debug("not for sinks");
	log_error("two");
	assert_true(log_next(&r, &e));
	assert_true(e.len == 3 && memcmp(e.text, "one", 3) == 0 && e.level == LOG_INFO && e.lost == 0);
	assert_true(e.tsc >= before && e.tsc <= __builtin_ia32_rdtsc());
	assert_true(log_next(&r, &e));
	assert_true(e.len == 3 && memcmp(e.text, "two", 3) == 0 && e.level == LOG_ERROR);
	assert_false(log_next(&r, &e));
	for (unsigned i = 0; i < 20000; i++) {
		forget();
		log_info("number %u", i);
		if (i % 3 == 0 && i < 9000 && log_next(&r, &e))
			read++, lost += e.lost;
	}
	while (log_next(&r, &e))
		read++, lost += e.lost;
	assert_int_equal(read + lost, 20000);
	assert_true(lost > 1000);
	assert_true(e.len == 12 && memcmp(e.text, "number 19999", 12) == 0);
	for (unsigned i = 0; i < 20000; i++) /* nothing for sinks, but much is gone */
		log_debug("quiet");
	assert_false(log_next(&r, &e));
	log_info("last");
	assert_true(log_next(&r, &e));
	assert_true(e.lost > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_reach_the_sink),
		cmocka_unit_test(lines_are_cut_and_clean),
		cmocka_unit_test(a_late_sink_hears_what_was_said),
		cmocka_unit_test(the_ring_keeps_the_newest),
		cmocka_unit_test(the_last_lines),
		cmocka_unit_test(readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
