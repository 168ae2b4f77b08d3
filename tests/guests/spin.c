/*
 * Never gives the CPU back by itself: interrupts off, and no exit, or with `how=exits` nothing but
 * exits. For what must work nevertheless.
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/report.h"

const char guest_name[] = "spin";

void guest_main(void)
{
	bool exits = option_is("how", "exits");

	print("NEXT spin: for ever\n");
	while (exits)
		(void)cpuid(0, 0);
	for (;;)
		__asm__ volatile("cli");
}
