/* Reads DMAR: VT-d specification, "DMA Remapping Reporting Structure". */
#include "hv/base/acpi_dmar.h"

#include <errno.h>
#include <string.h>

#define STRUCTURES 48 /* behind the ACPI header, the address width, flags and reserved bytes */
#define TYPE_UNIT 0   /* DMA Remapping Hardware Unit Definition */
#define UNIT_SIZE 16  /* without its device scope */

static uint64_t field(const uint8_t *at, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, at, size);
	return v;
}

static int read_unit(struct acpi_dmar_unit *list, uint32_t *count, const uint8_t *t, struct failure *f)
{
	struct acpi_dmar_unit unit = { .base = field(t + 8, 8), .segment = (uint16_t)field(t + 6, 2) };

	if (!unit.base || !is_aligned(unit.base, PAGE_SIZE) || unit.base > UINT64_MAX - PAGE_SIZE)
		return fail(f, -EINVAL, "the ACPI table DMAR is damaged: registers of a unit at %lxh", unit.base);
	if (*count < ACPI_MAX_DMAR_UNITS)
		list[(*count)++] = unit;
	return 0;
}

int acpi_read_dmar(struct acpi_dmar_unit *list, uint32_t *count, const uint8_t *t, uint64_t len, struct failure *f)
{
	uint64_t size = 0;

	for (uint64_t at = STRUCTURES; at + 4 <= len; at += size) {
		uint64_t type = field(t + at, 2);
		int err = 0;

		size = field(t + at + 2, 2);
		if (size < 4 || size > len - at || (type == TYPE_UNIT && size < UNIT_SIZE))
			return fail(f, -EINVAL, "the ACPI table DMAR is damaged: entry at offset %lu is %lu bytes long", at,
				    size);
		if (type == TYPE_UNIT)
			err = read_unit(list, count, t + at, f);
		if (err)
			return err;
	}
	return 0;
}
