/*
 * Touches private memory where the TD has none: the host must end the TD and say where.
 */
#include "tests/guests/lib/report.h"
#include "tests/guests/td/lib/td.h"

const char guest_name[] = "tdwild";

#define NOWHERE 0xd0000000ul /* between the RAM below 4 GiB and the devices */

void guest_main(void)
{
	print("NEXT tdwild: %lx\n", NOWHERE);
	*(volatile uint32_t *)NOWHERE = 1;
	report(false, "stopped", "the TD runs on");
}
