/*
 * Power-off and reset of the host: firmware's ResetSystem first, then ever blunter means.
 */
#ifndef HV_RESET_H
#define HV_RESET_H

#include "boot/boot_info.h"
#include "hv/base/acpi_tables.h"

/* Prepares all that a reset needs, since nothing can be allocated then. Boot CPU, after map_init.
 * Without memory for it, firmware's ResetSystem is left out, with a warning. */
void reset_init(const struct boot_info *bi, const struct acpi_host *acpi);
/* hook runs on every online CPU before the machine goes down (VMX off). At most 4; start-up only. */
void reset_add_hook(void (*hook)(void));

/* Any CPU, no lock held. Stops the other CPUs, runs the hooks on each, and does it. */
NORETURN void reset_machine(void);
NORETURN void power_off_machine(void);

#endif
