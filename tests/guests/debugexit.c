/*
 * Ends with the value of `value=N` (0 when absent) at the debug-exit port; it must appear in the log.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/option.h"
#include "tests/guests/lib/report.h"

const char guest_name[] = "debugexit";

void guest_main(void)
{
	uint8_t value = (uint8_t)option_number("value", 0);

	print("NEXT debugexit: value %u\n", value);
	outb(GUEST_PORT_DEBUG_EXIT, value);
	report(false, "stopped", "the guest runs on");
}
