/* panic() in host tests: jumps back into EXPECT_PANIC, or ends the program. */
#include "hv/base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/support/support.h"

jmp_buf test_panic_jump;
bool test_panic_expected;
char test_panic_text[400];

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(test_panic_text, sizeof(test_panic_text), fmt, args);
	va_end(args);
	if (test_panic_expected) {
		test_panic_expected = false;
		longjmp(test_panic_jump, 1);
	}
	fprintf(stderr, "panic: %s\n", test_panic_text);
	abort();
}
