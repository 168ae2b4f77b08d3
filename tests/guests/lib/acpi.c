/*
 * ACPI tables of a tiny guest.
 */
#include "tests/guests/lib/acpi.h"

#include "tests/guests/lib/memory.h"

#define BIOS_AREA 0xe0000ul
#define BIOS_AREA_END 0x100000ul
#define MADT_ENTRIES 44
#define MADT_LAPIC 0
#define MADT_X2APIC 9
#define MADT_WAKEUP 16
#define AML_PACKAGE 0x12
#define AML_BYTE_PREFIX 0x0a
#define AML_ONE 0x01

static bool sum_is_zero(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *b++);
	return sum == 0;
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;
	memcpy(&v, p, bytes);
	return v;
}

static const uint8_t *find_rsdp(void)
{
	for (uint64_t p = BIOS_AREA; p < BIOS_AREA_END; p += 16)
		if (!memcmp((const void *)p, "RSD PTR ", 8) && sum_is_zero((const void *)p, 20))
			return (const uint8_t *)p;
	return NULL;
}

/* Looks through an RSDT (4-byte entries) or XSDT (8-byte entries). */
static const struct acpi_header *find_in(const struct acpi_header *root, unsigned entry, const char *signature)
{
	const uint8_t *at = (const uint8_t *)(root + 1), *end = (const uint8_t *)root + root->length;

	for (; at + entry <= end; at += entry) {
		const struct acpi_header *h = (const struct acpi_header *)get(at, entry);
		if (!memcmp(h->signature, signature, 4) && sum_is_zero(h, h->length))
			return h;
	}
	return NULL;
}

const struct acpi_header *acpi_find(const char *signature)
{
	const uint8_t *rsdp = find_rsdp();

	if (!rsdp)
		return NULL;
	if (!memcmp(signature, "DSDT", 4)) {
		const struct acpi_fadt *fadt = (const struct acpi_fadt *)acpi_find("FACP");
		return fadt ? (const struct acpi_header *)(uint64_t)fadt->dsdt : NULL;
	}
	if (rsdp[15] >= 2 && get(rsdp + 24, 8))
		return find_in((const struct acpi_header *)get(rsdp + 24, 8), 8, signature);
	return find_in((const struct acpi_header *)get(rsdp + 16, 4), 4, signature);
}

/* The MADT's entry behind `at` (NULL: the first), or NULL. */
static const uint8_t *madt_next(const struct acpi_header *madt, const uint8_t *at)
{
	const uint8_t *end = (const uint8_t *)madt + madt->length;

	at = at ? at + at[1] : (const uint8_t *)madt + MADT_ENTRIES;
	return at + 2 <= end && at[1] >= 2 ? at : NULL;
}

unsigned acpi_cpu_count(void)
{
	const struct acpi_header *madt = acpi_find("APIC");
	const uint8_t *at = NULL;
	unsigned count = 0;

	if (!madt)
		return 1;
	while ((at = madt_next(madt, at)))
		if ((at[0] == MADT_LAPIC && at[4] & 1) || (at[0] == MADT_X2APIC && at[8] & 1))
			count++;
	return count;
}

const struct acpi_wakeup *acpi_wakeup(void)
{
	const struct acpi_header *madt = acpi_find("APIC");
	const uint8_t *at = NULL;

	while (madt && (at = madt_next(madt, at)))
		if (at[0] == MADT_WAKEUP)
			return (const struct acpi_wakeup *)at;
	return NULL;
}

/* \_S5_ is Name(_S5_, Package { SLP_TYPa, ... }) in AML. */
int acpi_s5_type(void)
{
	const struct acpi_header *dsdt = acpi_find("DSDT");
	const uint8_t *at, *end;

	if (!dsdt)
		return -1;
	end = (const uint8_t *)dsdt + dsdt->length - 8;
	for (at = (const uint8_t *)(dsdt + 1); at < end; at++)
		if (!memcmp(at, "_S5_", 4) && at[4] == AML_PACKAGE) {
			at += 5 + 1 + (at[5] >> 6) + 1; /* package length, element count */
			return *at == AML_BYTE_PREFIX ? at[1] : *at <= AML_ONE ? *at : -1;
		}
	return -1;
}
