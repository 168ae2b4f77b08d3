/*
 * Never gives its CPUs back by itself: interrupts off, and no exit, or with `how=exits` nothing but
 * exits; with `how=others` its first CPU rests; with `how=writes`, interrupts on, writing to the same 600
 * pages. For what must work nevertheless.
 */
#include "hv/base/x86.h"
#include "tests/guests/lib/acpi.h"
#include "tests/guests/lib/apic.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/regs.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/smp.h"

const char guest_name[] = "spin";

#define PAGES_WRITTEN 600ul /* more than a page-modification log holds */

static void write_to_all(void *arg)
{
	(void)arg;
	sti(); /* no device has been told to interrupt */
	for (;;)
		for (uint64_t page = 0; page < PAGES_WRITTEN; page++)
			++*(volatile uint64_t *)(FREE_MEMORY + page * PAGE_SIZE);
}

static void exit_always(void *arg)
{
	(void)arg;
	for (;;)
		(void)cpuid(0, 0);
}

static void hold_on(void *arg)
{
	(void)arg;
	cli();
	for (;;)
		__asm__ volatile("");
}

void guest_main(void)
{
	smp_fn spin = option_is("how", "exits") ? exit_always : option_is("how", "writes") ? write_to_all : hold_on;

	apic_enable();
	smp_start(acpi_cpu_count());
	for (unsigned i = 1; i < smp_count; i++)
		smp_run(i, spin, NULL);
	print("NEXT spin: for ever\n");
	while (option_is("how", "others"))
		__asm__ volatile("cli; hlt");
	spin(NULL);
}
