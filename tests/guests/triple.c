/*
 * Ends in a triple fault on purpose: an exception with no IDT. Its VM must stop with a report.
 */
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/trap.h"

const char guest_name[] = "triple";

void guest_main(void)
{
	struct __attribute__((packed)) { uint16_t limit; uint64_t base; } none = { 0, 0 };

	print("NEXT triple: a triple fault\n");
	__asm__ volatile("lidt %0\n\tud2" : : "m"(none));
	report(false, "stopped", "the guest runs on");
}
