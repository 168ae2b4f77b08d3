/* sources: hv/monitor/line.c hv/monitor/command.c hv/base/format.c */
#include "hv/monitor/line.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/base/panic.h"
#include "tests/unit/support/support.h"

static char output[8192];
static size_t output_len;
static char called[1024]; /* the words of the last command, each behind a '|' */
static int call_count;
static struct monitor_line line;

static void collect(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	assert_true(output_len + len < sizeof(output));
	memcpy(output + output_len, text, len);
	output_len += len;
	output[output_len] = 0;
}

static struct monitor_out out = { .write = collect };

static int record(struct monitor_out *o, int argc, char **argv)
{
	(void)o;
	called[0] = 0;
	for (int i = 0; i < argc; i++)
		snprintf(called + strlen(called), sizeof(called) - strlen(called), "|%s", argv[i]);
	call_count++;
	return 0;
}

static int refuse(struct monitor_out *o, int argc, char **argv)
{
	(void)argc;
	mon_printf(o, "%s: no\n", argv[0]);
	return -EINVAL;
}

static const struct monitor_command first[] = {
	{ "vm", "[NAME start|stop]", "the guests", record },
	{ "exits", "", "exits by reason", record },
	{ NULL, NULL, NULL, NULL },
};
static const struct monitor_command second[] = {
	{ "reboot", "", "restart the host", refuse },
	{ NULL, NULL, NULL, NULL },
};

static int setup(void **state)
{
	(void)state;
	monitor_line_init(&line, &out);
	monitor_line_add(&line, first);
	monitor_line_add(&line, second);
	output_len = 0;
	output[0] = called[0] = 0;
	call_count = 0;
	return 0;
}

static void type(const char *text)
{
	for (; *text; text++)
		monitor_line_byte(&line, (uint8_t)*text);
}

static void expect(const char *words)
{
	assert_string_equal(called, words);
	called[0] = 0;
}

static int run(const char *text)
{
	char copy[MONITOR_LINE_MAX + 1];

	output_len = 0;
	output[0] = 0;
	strcpy(copy, text);
	return monitor_line_run(&line, copy);
}

static void test_words(void **state)
{
	(void)state;
	type("vm\r");
	expect("|vm");
	type("  vm   linux \t start  \r");
	expect("|vm|linux|start");
	type("\r\r   \r");
	assert_int_equal(call_count, 2);
}

/* Words that a command would not look at are no reason to guess, least of all behind `reboot`. */
static void test_too_many_words(void **state)
{
	(void)state;
	assert_int_equal(run("exits now"), -EINVAL);
	assert_string_equal(output, "exits takes no word behind it, and \"now\" is one; nothing was done.\n");
	assert_int_equal(call_count, 0);
	run("exits");
	assert_int_equal(call_count, 1);
}

static void test_line_ends(void **state)
{
	(void)state;
	type("vm a\r\nvm b\nvm c\r\r\n\n");
	expect("|vm|c");
	assert_int_equal(call_count, 3);
}

static void test_editing(void **state)
{
	(void)state;
	type("vx\bm ab\x7f" "c\r");
	expect("|vm|ac");
	type("\b\b\bvm\r");
	expect("|vm");
	type("nonsense\x15vm d\r");
	expect("|vm|d");
	type("vm e\x03");
	assert_int_equal(call_count, 3);
	type("vm f\r");
	expect("|vm|f");
	type("v\x01\x02\xff\x80m g\r");
	expect("|vm|g");
}

static void test_echo(void **state)
{
	(void)state;
	type("exx\b\x15");
	assert_string_equal(output, "exx\b \b\b \b\b \b");
	monitor_line_show(&line);
	assert_string_equal(output + strlen(output) - 3, "\r> ");
	type("ab");
	output_len = 0;
	monitor_line_show(&line);
	assert_string_equal(output, "\r> ab");
}

static void test_length_limit(void **state)
{
	(void)state;
	type("vm ");
	for (int i = 0; i < 1000; i++)
		type("x");
	assert_int_equal(line.len, MONITOR_LINE_MAX);
	assert_non_null(strchr(output, '\a'));
	type("\r");
	assert_int_equal(strlen(called), 4 + MONITOR_LINE_MAX - 3);
}

static void test_history(void **state)
{
	char text[16];

	(void)state;
	for (int i = 1; i <= 10; i++) {
		snprintf(text, sizeof(text), "vm %d\r", i);
		type(text);
	}
	type("\x1b[A\r");
	expect("|vm|10");
	type("\x1b[A\x1b[A\r"); /* repeating "vm 10" added nothing */
	expect("|vm|9");
	type("\x10\x10\x10\x0e\r"); /* back three, forward one: 9, 10, 9 -> 10 */
	expect("|vm|10");
	type("half\x1b[A\x1b[B\r"); /* past the newest: an empty line */
	expect("");
	for (int i = 0; i < 20; i++)
		type("\x1bOA");
	type("\r");
	expect("|vm|5"); /* eight kept: 10 9 10 and 5..9 before them */
}

static void test_no_history(void **state)
{
	(void)state;
	type("\x1b[A\x1b[B\r");
	assert_int_equal(call_count, 0);
	assert_non_null(strchr(output, '\a'));
}

static void test_broken_escapes(void **state)
{
	(void)state;
	type("vm\x1b[3~ a\x1bx\r");
	expect("|vm|a");
	type("vm b\x1b[12\r"); /* the sequence never ends: the return counts all the same */
	expect("|vm|b");
	type("vm c\x1b\r");
	expect("|vm|c");
}

static void test_help(void **state)
{
	(void)state;
	assert_int_equal(run("help"), 0);
	assert_non_null(strstr(output, "vm [NAME start|stop]"));
	assert_non_null(strstr(output, "exits by reason"));
	assert_non_null(strstr(output, "restart the host"));
	assert_non_null(strstr(output, "help [COMMAND]"));
	assert_int_equal(run("help exits"), 0);
	assert_non_null(strstr(output, "exits by reason"));
	assert_null(strstr(output, "the guests"));
	assert_int_equal(run("help help"), 0);
	assert_non_null(strstr(output, "this list"));
	assert_int_equal(run("help nothing"), -ENOENT);
	assert_non_null(strstr(output, "no command \"nothing\""));
}

static void test_unknown(void **state)
{
	(void)state;
	assert_int_equal(run("exit"), -ENOENT);
	assert_string_equal(output, "There is no command \"exit\"; did you mean \"exits\"?\n");
	assert_int_equal(run("rebot now"), -ENOENT);
	assert_non_null(strstr(output, "did you mean \"reboot\"?"));
	assert_int_equal(run("hlep"), -ENOENT);
	assert_non_null(strstr(output, "did you mean \"help\"?"));
	assert_int_equal(run("qqqqqqqq"), -ENOENT);
	assert_non_null(strstr(output, "\"help\" lists"));
	assert_int_equal(run("a-word-much-longer-than-any-command-has"), -ENOENT);
	assert_non_null(strstr(output, "\"help\" lists"));
}

static void test_results(void **state)
{
	(void)state;
	assert_int_equal(run(""), 0);
	assert_int_equal(run("reboot"), -EINVAL);
	assert_string_equal(output, "reboot: no\n");
	assert_int_equal(run("vm 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"), 0);
	assert_int_equal(run("vm 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"), -E2BIG);
	assert_string_equal(output, "A command has at most 16 words.\n");
}

/* Where the operator's terminal shows what is typed, only the prompt and what commands say is written. */
static void test_quiet(void **state)
{
	(void)state;
	line.quiet = true;
	type("vn\x7fm a\r\n");
	expect("|vm|a");
	assert_string_equal(output, "> ");
	type("reboot\n\x03\x10");
	assert_string_equal(output, "> reboot: no\n> > ");
}

static void test_printf_is_cut(void **state)
{
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	mon_printf(&out, "%s", text);
	assert_int_equal(output_len, 399);
}

static void test_too_many_tables(void **state)
{
	(void)state;
	while (line.table_count < MONITOR_MAX_TABLES)
		monitor_line_add(&line, first);
	assert_true(EXPECT_PANIC(monitor_line_add(&line, first)));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_words), TEST(test_too_many_words), TEST(test_line_ends), TEST(test_editing), TEST(test_echo),
		TEST(test_length_limit), TEST(test_history), TEST(test_no_history), TEST(test_broken_escapes),
		TEST(test_help), TEST(test_unknown), TEST(test_results), TEST(test_quiet), TEST(test_printf_is_cut),
		TEST(test_too_many_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
