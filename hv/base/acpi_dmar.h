/*
 * The units of VT-d that the host's ACPI table DMAR (DMA Remapping Reporting) names. Pure; the table is input: every
 * length is checked.
 */
#ifndef HV_BASE_ACPI_DMAR_H
#define HV_BASE_ACPI_DMAR_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

#define ACPI_MAX_DMAR_UNITS 32

/* Where a unit's registers are, one page at least. */
struct acpi_dmar_unit {
	hpa_t base;
	uint16_t segment;
};

/* Adds the table's units to list, whose *count grows to ACPI_MAX_DMAR_UNITS at most. t: the whole table, its sum
 * checked. -EINVAL with a sentence for one that is damaged; units before the damage are in the list. */
int acpi_read_dmar(struct acpi_dmar_unit *list, uint32_t *count, const uint8_t *t, uint64_t len, struct failure *f);

#endif
