/* The log in host tests: remembers the last line. */
#include "hv/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/support/support.h"

char test_last_log[400];
unsigned test_log_count;

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list args;

	(void)level;
	va_start(args, fmt);
	vsnprintf(test_last_log, sizeof(test_last_log), fmt, args);
	va_end(args);
	test_log_count++;
	if (getenv("TEST_LOG"))
		fprintf(stderr, "gnomon: %s\n", test_last_log);
}
