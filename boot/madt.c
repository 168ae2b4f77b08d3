/* Owns nothing: reads ACPI's list of CPUs (ACPI specification, "Multiple APIC Description Table"). */
#include "boot/madt.h"

#include <string.h>

#define HEADER_SIZE 36        /* of every system description table */
#define MADT_ENTRIES 44       /* where a MADT's entries begin */
#define MADT_LOCAL_APIC 0     /* 8 bytes: type, length, ACPI id, APIC id, flags */
#define MADT_LOCAL_X2APIC 9   /* 16 bytes: type, length, 0, 0, x2APIC id, flags, ACPI id */
#define MADT_CPU_ENABLED 1
#define TABLE_MAX MIB(1)      /* a longer one is damaged */
#define RSDP_V1_SIZE 20
#define RSDP_V2_SIZE 36

static uint32_t read32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static uint64_t read64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static bool sums_to_zero(const uint8_t *at, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *at++);
	return sum == 0;
}

static void add_cpu(struct boot_info *info, uint32_t apic_id)
{
	for (uint32_t i = 0; i < info->cpu_count; i++)
		if (info->cpus[i].apic_id == apic_id)
			return;
	if (info->cpu_count < BOOT_MAX_CPUS)
		info->cpus[info->cpu_count++].apic_id = apic_id;
}

void madt_list_cpus(const void *table, size_t len, struct boot_info *info)
{
	const uint8_t *bytes = table;
	size_t at = MADT_ENTRIES;

	while (at + 2 <= len) {
		const uint8_t *entry = bytes + at;
		size_t size = entry[1];

		if (size < 2 || size > len - at)
			return;
		if (entry[0] == MADT_LOCAL_APIC && size >= 8 && (read32(entry + 4) & MADT_CPU_ENABLED))
			add_cpu(info, entry[3]);
		if (entry[0] == MADT_LOCAL_X2APIC && size >= 16 && (read32(entry + 8) & MADT_CPU_ENABLED))
			add_cpu(info, read32(entry + 4));
		at += size;
	}
}

/* The table at pa when its length and checksum are good and its signature is the one wanted. */
static const uint8_t *table_at(hpa_t pa, const char *signature, size_t *len)
{
	const uint8_t *table = (const uint8_t *)(uintptr_t)pa;

	if (!table || memcmp(table, signature, 4) != 0)
		return NULL;
	*len = read32(table + 4);
	if (*len < HEADER_SIZE || *len > TABLE_MAX || !sums_to_zero(table, *len))
		return NULL;
	return table;
}

const void *madt_find(hpa_t rsdp, size_t *len)
{
	const uint8_t *root = (const uint8_t *)(uintptr_t)rsdp, *list, *madt = NULL;
	bool wide;
	size_t list_len, step;

	if (!root || memcmp(root, "RSD PTR ", 8) != 0 || !sums_to_zero(root, RSDP_V1_SIZE))
		return NULL;
	wide = root[15] >= 2 && read64(root + 24) && sums_to_zero(root, RSDP_V2_SIZE);
	step = wide ? 8 : 4;
	list = wide ? table_at(read64(root + 24), "XSDT", &list_len) : table_at(read32(root + 16), "RSDT", &list_len);
	if (!list)
		return NULL;
	for (size_t at = HEADER_SIZE; !madt && at + step <= list_len; at += step)
		madt = table_at(wide ? read64(list + at) : read32(list + at), "APIC", len);
	return madt;
}
