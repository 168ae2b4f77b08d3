/* Owns the pointers to the firmware's tables, set once by efi_main(). */
#include "boot/efi_base.h"

#include <string.h>

#include "hv/base/format.h"

EFI_HANDLE efi_image;
EFI_SYSTEM_TABLE *efi_system;
EFI_BOOT_SERVICES *efi_boot;

const char *efi_status_text(EFI_STATUS status)
{
	static const struct {
		EFI_STATUS status;
		const char *text;
	} texts[] = {
		{ EFI_NOT_FOUND, "not found" },
		{ EFI_DEVICE_ERROR, "the device reports an error" },
		{ EFI_MEDIA_CHANGED, "the medium was changed" },
		{ EFI_NO_MEDIA, "no medium" },
		{ EFI_VOLUME_CORRUPTED, "the file system is damaged" },
		{ EFI_OUT_OF_RESOURCES, "out of memory" },
		{ EFI_ACCESS_DENIED, "access denied" },
		{ EFI_UNSUPPORTED, "not supported" },
		{ EFI_INVALID_PARAMETER, "invalid parameter" },
		{ EFI_TIMEOUT, "timeout" },
	};
	static char other[32];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	format(other, sizeof(other), "status %lxh", (unsigned long)(status & ~BIT(63)));
	return other;
}

hpa_t efi_alloc_pages(uint64_t npages, uint64_t page_align, const char *what, struct failure *f)
{
	EFI_PHYSICAL_ADDRESS at = GIB(4) - 1, aligned;
	uint64_t wanted = npages + page_align - 1, front;
	EFI_STATUS status = efi_boot->AllocatePages(AllocateMaxAddress, EfiLoaderData, wanted, &at);

	if (EFI_ERROR(status)) {
		fail(f, -ENOMEM, "no %lu KiB of memory below 4 GiB for %s (%s); this machine has too little",
		     wanted * 4, what, efi_status_text(status));
		return 0;
	}
	aligned = align_up(at, page_align * PAGE_SIZE);
	front = (aligned - at) >> PAGE_SHIFT;
	if (front)
		efi_boot->FreePages(at, front);
	if (wanted - front > npages)
		efi_boot->FreePages(aligned + npages * PAGE_SIZE, wanted - front - npages);
	memset((void *)aligned, 0, npages * PAGE_SIZE);
	return aligned;
}
