/* sources: hv/net/syslog_format.c hv/net/text.c hv/base/format.c */
/* Any line, level and time as a message of syslog: by RFC 5424's grammar, printable, and within its size. */
#include "hv/net/syslog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz.h"

static char *p;
static unsigned timed, timeless;

static void expect(const char *text)
{
	assert_memory_equal(p, text, strlen(text));
	p += strlen(text);
}

static unsigned number(unsigned digits)
{
	unsigned n = 0;

	while (digits--) {
		assert_true(*p >= '0' && *p <= '9');
		n = n * 10 + (unsigned)(*p++ - '0');
	}
	return n;
}

static void read_time(void)
{
	assert_in_range(number(4), 1970, 9999);
	expect("-");
	assert_in_range(number(2), 1, 12);
	expect("-");
	assert_in_range(number(2), 1, 31);
	expect("T");
	assert_in_range(number(2), 0, 23);
	expect(":");
	assert_in_range(number(2), 0, 59);
	expect(":");
	assert_in_range(number(2), 0, 59);
	expect(".");
	number(6);
	expect("Z ");
}

static void format_line(const uint8_t *data, size_t len)
{
	char *buffer = malloc(SYSLOG_MESSAGE_MAX + 1);
	struct text t = { .at = buffer, .size = SYSLOG_MESSAGE_MAX };
	uint64_t time = 0;
	struct syslog_message m = { .host = "192.0.2.7" };

	memcpy(&time, data, len < 8 ? len : 8);
	m.time_us = fuzz_random(4) ? time : 0;
	m.level = (enum log_level)fuzz_random(4);
	m.sequence = 1 + (uint32_t)fuzz_random(INT32_MAX);
	m.text = (const char *)data;
	m.len = len > 400 ? 400 : len;
	syslog_format(&t, &m);
	assert_false(t.cut);
	buffer[t.len] = 0;
	assert_true(strlen(buffer) == t.len);
	p = buffer;
	expect("<13");
	assert_non_null(strchr("1245", *p++));
	expect(">1 ");
	if (m.time_us)
		read_time(), timed++;
	else
		expect("- "), timeless++;
	expect("192.0.2.7 gnomon - - [meta sequenceId=\"");
	assert_int_equal(strtoul(p, &p, 10), m.sequence);
	expect("\"]");
	if (m.time_us)
		expect("[timeQuality tzKnown=\"0\" isSynced=\"0\"]");
	expect(" ");
	assert_int_equal(strlen(p), m.len);
	for (; *p; p++)
		assert_true(*p >= ' ' && *p < 0x7f);
	free(buffer);
}

static void any_line(void **state)
{
	static const char seed[] = "\x00\xe0\xf0\x10\x10\x5f\x06\x00 guest linux has stopped: debug exit with value 42";

	(void)state;
	fuzz_run(seed, sizeof(seed) - 1, 40000, format_line);
	assert_true(timed > 1000 && timeless > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(any_line) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
