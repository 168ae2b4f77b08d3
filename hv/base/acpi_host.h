/*
 * The host's ACPI facts, as one set that start-up steps and drivers ask.
 */
#ifndef HV_BASE_ACPI_HOST_H
#define HV_BASE_ACPI_HOST_H

#include "hv/base/acpi_tables.h"
#include "hv/base/types.h"

/* Reads the tables below rsdp; 0: there are none, a PC's defaults hold. Damage is a warning in the
 * log. Boot CPU, after map_init. */
void acpi_host_init(hpa_t rsdp);
const struct acpi_host *acpi_host(void);

#endif
