/* sources: hv/monitor/line.c hv/monitor/command.c boot/options.c hv/base/format.c */
/*
 * What a person types: any bytes at the monitor's line, any load options for gnomon.efi. Whatever comes, a
 * command gets words that end, and no more of them than there may be; and the line goes on working.
 */
#include "hv/monitor/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "boot/options.h"
#include "tests/fuzz/fuzz.h"

static unsigned runs, lines, texts, refused;
static size_t written;

static void count(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	for (size_t i = 0; i < len; i++)
		written += text[i] != 0;
}

static int take(struct monitor_out *out, int argc, char **argv)
{
	assert_true(argc >= 1 && argc <= MONITOR_MAX_ARGS);
	for (int i = 0; i < argc; i++)
		assert_true(strlen(argv[i]) > 0 && strlen(argv[i]) <= MONITOR_LINE_MAX);
	mon_printf(out, "%s\n", argv[argc - 1]);
	runs++;
	return 0;
}

static const struct monitor_command commands[] = {
	{ "vm", "[start|stop NAME]", "guests", take },
	{ "exits", "", "counts", take },
	{ NULL, NULL, NULL, NULL },
};

/* Much of it is typed again by the arrow keys. */
static void type(const uint8_t *data, size_t len)
{
	struct monitor_out out = { .write = count };
	struct monitor_line line;

	monitor_line_init(&line, &out);
	monitor_line_add(&line, commands);
	for (size_t i = 0; i < len; i++) {
		monitor_line_byte(&line, data[i]);
		assert_true(line.len <= MONITOR_LINE_MAX && line.text[line.len] == 0);
	}
	monitor_line_show(&line);
	monitor_line_byte(&line, 3); /* ^C drops what is there */
	monitor_line_byte(&line, '\r');
	written = 0;
	for (const char *p = "vm x\r"; *p; p++)
		monitor_line_byte(&line, (uint8_t)*p);
	assert_true(written > 0);
	lines++;
}

static void read_options(const uint8_t *data, size_t len)
{
	char *text = malloc(OPTIONS_MAX), *rest = text, *word;
	unsigned words = 0;

	if (!options_to_text(data, len, text)) {
		refused++;
		free(text);
		return;
	}
	assert_non_null(memchr(text, 0, OPTIONS_MAX));
	while ((word = options_next(&rest))) {
		assert_true(word >= text && word + strlen(word) < text + OPTIONS_MAX);
		assert_true(++words <= OPTIONS_MAX);
	}
	texts++;
	free(text);
}

static void any_keys(void **state)
{
	static const char seed[] =
		"help vm\rvm start \"linux\" now\r\x1b[A\x1b[A\x1b[B\x7f\x7f\x15"
		"vm a b c d e f g h i j k l m n o p q r\r\nexits\r\x10\x0e\x1b[Z exi\x03"
		"ve\rvm\tx\rhelp nothing\r";

	(void)state;
	type((const uint8_t *)seed, sizeof(seed) - 1);
	fuzz_run(seed, sizeof(seed) - 1, 40000, type);
	assert_true(runs > lines); /* the damaged ones run commands too */
}

static void any_options(void **state)
{
	static const char text[] = "gnomon.efi vm=linux \"cmdline=console=ttyS0 quiet\" loglevel=debug  disable=vid";
	uint16_t seed[sizeof(text)];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		seed[i] = (uint8_t)text[i];
	fuzz_run(seed, sizeof(seed), 40000, read_options);
	assert_true(texts > 1000 && refused > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(any_keys), cmocka_unit_test(any_options) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
