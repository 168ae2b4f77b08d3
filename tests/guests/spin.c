/*
 * Never gives the CPU back by itself: interrupts off, no exit. For what must work nevertheless.
 */
#include "tests/guests/lib/report.h"

const char guest_name[] = "spin";

void guest_main(void)
{
	print("NEXT spin: for ever\n");
	for (;;)
		__asm__ volatile("cli");
}
