/*
 * The EFI tables of a TD that accepts its memory lazily.
 */
#include "tdx/shim/efi.h"

#include "hv/guest/guest.h"
#include "hv/guest/loader_parts.h"
#include "tdx/shim/lazy.h"

#define BP_EFI_INFO 0x1c0 /* struct efi_info in boot_params */

#define SYSTEM_TABLE_REVISION (2 << 16 | 100) /* 2.10 */
#define DESCRIPTOR_VERSION 1
#define UNACCEPTED_MEMORY 15
#define MEMORY_WB BIT(3)
#define MAP_ENTRIES 2

struct table_header {
	uint64_t signature;
	uint32_t revision, size, crc32, reserved;
};

struct system_table {
	struct table_header header;
	uint64_t vendor; /* a string of 16-bit characters */
	uint32_t vendor_revision, pad;
	uint64_t console[6];
	uint64_t runtime_services, boot_services;
	uint64_t table_count, tables;
};
_Static_assert(sizeof(struct system_table) == 120, "EFI_SYSTEM_TABLE");

struct config_table {
	uint8_t guid[16];
	uint64_t table;
};

struct memory_descriptor {
	uint32_t type, pad;
	uint64_t start, virtual_start, pages, attribute;
};

struct efi_info {
	char signature[4];
	uint32_t system_table, descriptor_size, descriptor_version, map, map_size, system_table_high, map_high;
};
_Static_assert(sizeof(struct efi_info) == 32, "efi_info of boot_params");

/* All of it, as it lies at LAZY_EFI. */
struct efi_area {
	struct system_table system;
	struct config_table config;
	struct memory_descriptor map[MAP_ENTRIES];
	uint16_t vendor[8];
};
_Static_assert(LAZY_EFI + sizeof(struct efi_area) <= LAZY_TABLE, "before the table of unaccepted memory");

#define AT(member) (LAZY_EFI + offsetof(struct efi_area, member))

/* Called so also where it is accepted already: Linux then takes it for free memory, and e820 says what is RAM. */
static struct memory_descriptor describe(gpa_t start, gpa_t end)
{
	return (struct memory_descriptor){ .type = UNACCEPTED_MEMORY, .start = start,
					   .pages = (end - start) >> PAGE_SHIFT, .attribute = MEMORY_WB };
}

/* CRC32 is for those who look for the system table in memory; Linux is told where it is. */
int efi_build(const struct guest_mem *m, gpa_t boot_params, struct failure *f)
{
	gpa_t high_end = guest_high_ram_end(m->ram_size);
	uint32_t entries = high_end > GUEST_HIGH_RAM_BASE ? 2 : 1;
	struct efi_area a = {
		.system = {
			.header = { 0x5453595320494249, SYSTEM_TABLE_REVISION, sizeof(a.system), 0, 0 },
			.vendor = AT(vendor),
			.table_count = 1,
			.tables = AT(config),
		},
		.config = {
			.guid = { 0x3c, 0xde, 0xd1, 0xd5, 0x5c, 0x10, 0xf9, 0x44, 0x9e, 0xa9, 0xbc, 0xef, 0x98, 0x12,
				  0x00, 0x31 },
			.table = LAZY_TABLE,
		},
		.map = {
			describe(LAZY_UNIT, guest_low_ram_end(m->ram_size)),
			describe(GUEST_HIGH_RAM_BASE, high_end),
		},
		.vendor = { 'G', 'n', 'o', 'm', 'o', 'n' },
	};
	struct efi_info info = {
		.signature = { 'E', 'L', '6', '4' },
		.system_table = LAZY_EFI,
		.descriptor_size = sizeof(a.map[0]),
		.descriptor_version = DESCRIPTOR_VERSION,
		.map = AT(map),
		.map_size = entries * sizeof(a.map[0]),
	};
	int err = boot_copy(m, LAZY_EFI, &a, sizeof(a), f);

	return err ? err : boot_copy(m, boot_params + BP_EFI_INFO, &info, sizeof(info), f);
}
