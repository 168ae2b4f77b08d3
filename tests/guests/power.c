/*
 * Switches the machine off as ACPI says: SLP_TYP of \_S5 with SLP_EN to the FADT's PM1a control
 * register. Proves the tables as much as the register.
 */
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "tests/guests/lib/acpi.h"
#include "tests/guests/lib/report.h"
#include "tests/guests/lib/time.h"

const char guest_name[] = "power";

#define SCI_EN 1
#define SLP_TYP(type) ((uint16_t)((type) << 10))
#define SLP_EN 0x2000

void guest_main(void)
{
	const struct acpi_fadt *fadt = (const struct acpi_fadt *)acpi_find("FACP");
	int type = acpi_s5_type();
	uint16_t control;

	CHECK("madt", acpi_find("APIC"));
	CHECK("cpus-in-madt", acpi_cpu_count() >= 1);
	if (!CHECK("fadt", fadt) || !CHECK("s5-package", type >= 0))
		return;
	control = (uint16_t)fadt->pm1a_control;
	report_equal("pm-timer-port", fadt->pm_timer, GUEST_PORT_PM_TMR);
	report_equal("sci", fadt->sci_interrupt, GUEST_IRQ_SCI);
	CHECK("acpi-mode", inw(control) & SCI_EN);
	print("NEXT power: off\n");
	outw(control, (uint16_t)((inw(control) & ~0x3c00) | SLP_TYP(type) | SLP_EN));
	delay_us(100000);
	report(false, "off", "the guest runs on");
}
