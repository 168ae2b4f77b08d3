/*
 * Power-off and reset of the host: firmware's ResetSystem first, then ever blunter means.
 */
#ifndef HV_RESET_H
#define HV_RESET_H

#include "boot/boot_info.h"
#include "hv/base/types.h"

/* Prepares all that a reset needs, since nothing can be allocated then. Boot CPU, after acpi_host_init.
 * Without memory for it, firmware's ResetSystem is left out, with a warning. */
void reset_init(const struct boot_info *bi);
/* hook runs on every CPU before the machine goes down (VMX off). At most 4; start-up only. */
void reset_add_hook(void (*hook)(void));

enum reset_kind { RESET_RESTART, RESET_POWER_OFF };
/* Any CPU, no lock held. Stops the other CPUs, runs the hooks on each, and does it. A machine that
 * cannot be powered off says so and halts. */
NORETURN void host_reset(enum reset_kind kind);

#endif
