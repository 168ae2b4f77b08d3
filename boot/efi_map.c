/* Owns the buffer of the memory map and the list of pages gnomon.efi allocated for good. */
#include "boot/efi_map.h"

#include "boot/efi_base.h"
#include "boot/ranges.h"

#define MAP_PAGES 32        /* 128 KiB: some 2,700 descriptors */
#define EXIT_TRIES 8
#define OWN_MAX (BOOT_MAX_FILES + 8)
#define MEMORY_WB BIT(3)    /* EFI_MEMORY_WB */

static EFI_MEMORY_DESCRIPTOR *map;
static UINTN map_size, map_key, descriptor_size;

static struct boot_range own[OWN_MAX];
static unsigned own_count;

void map_own(hpa_t base, uint64_t size, enum boot_range_kind kind)
{
	if (own_count < OWN_MAX)
		own[own_count++] = (struct boot_range){ base, align_up(size, PAGE_SIZE), kind };
}

/* UEFI specification, "Memory Type Usage after ExitBootServices()". RAM must be cacheable to serve as such. */
static enum boot_range_kind kind_of(const EFI_MEMORY_DESCRIPTOR *d)
{
	switch (d->Type) {
	case EfiLoaderCode:
	case EfiLoaderData:
	case EfiBootServicesCode:
	case EfiBootServicesData:
	case EfiConventionalMemory:
		return d->Attribute & MEMORY_WB ? BOOT_RANGE_RAM : BOOT_RANGE_RESERVED;
	case EfiACPIReclaimMemory:
		return BOOT_RANGE_ACPI_RECLAIM;
	case EfiACPIMemoryNVS:
		return BOOT_RANGE_ACPI_NVS;
	case EfiRuntimeServicesCode:
	case EfiRuntimeServicesData:
		return BOOT_RANGE_EFI_RUNTIME;
	default:
		return BOOT_RANGE_RESERVED;
	}
}

static EFI_STATUS get_map(void)
{
	UINT32 version;

	map_size = MAP_PAGES * PAGE_SIZE;
	return efi_boot->GetMemoryMap(&map_size, map, &map_key, &descriptor_size, &version);
}

static bool convert(struct boot_info *info)
{
	bool room = true;

	ranges_clear(info);
	for (UINTN at = 0; room && at + descriptor_size <= map_size; at += descriptor_size) {
		const EFI_MEMORY_DESCRIPTOR *d = (const void *)((const uint8_t *)map + at);

		room = ranges_add(info, d->PhysicalStart, d->NumberOfPages << PAGE_SHIFT, kind_of(d));
	}
	for (unsigned i = 0; room && i < own_count; i++)
		room = ranges_carve(info, own[i].base, own[i].size, own[i].kind);
	return room;
}

int map_read(struct boot_info *info, struct failure *f)
{
	EFI_STATUS status;

	if (!map)
		map = (void *)efi_alloc_pages(MAP_PAGES, 1, "the memory map", f);
	if (!map)
		return -ENOMEM;
	status = get_map();
	if (EFI_ERROR(status))
		return fail(f, -EIO, "the firmware gives no memory map: %s", efi_status_text(status));
	if (!convert(info))
		return fail(f, -E2BIG, "the firmware's memory map has more than %u pieces", BOOT_MAX_RANGES);
	return 0;
}

int map_exit_boot_services(struct boot_info *info, struct failure *f)
{
	EFI_STATUS status = EFI_NOT_READY;

	/* A timer event of the firmware may change the map between the two calls; the key tells. */
	for (unsigned i = 0; i < EXIT_TRIES; i++) {
		int err = map_read(info, f);

		if (err)
			return err;
		status = efi_boot->ExitBootServices(efi_image, map_key);
		if (!EFI_ERROR(status))
			return 0;
	}
	return fail(f, -EIO, "the firmware does not end its boot services: %s", efi_status_text(status));
}
