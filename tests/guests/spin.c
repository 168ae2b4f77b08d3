/*
 * Never gives the CPU back by itself: interrupts off, and no exit, or with `how=exits` nothing but
 * exits; or with `how=writes`, interrupts on, writing to the same 600 pages. For what must work nevertheless.
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"

const char guest_name[] = "spin";

#define PAGES_WRITTEN 600ul /* more than a page-modification log holds */

static void write_to_all(void)
{
	for (uint64_t page = 0; page < PAGES_WRITTEN; page++)
		++*(volatile uint64_t *)(FREE_MEMORY + page * PAGE_SIZE);
}

void guest_main(void)
{
	bool exits = option_is("how", "exits"), writes = option_is("how", "writes");

	print("NEXT spin: for ever\n");
	while (exits)
		(void)cpuid(0, 0);
	if (writes)
		__asm__ volatile("sti"); /* no device has been told to interrupt */
	while (writes)
		write_to_all();
	for (;;)
		__asm__ volatile("cli");
}
