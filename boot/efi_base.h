/*
 * The firmware as gnomon.efi sees it: its tables, and the UEFI types with Gnomon's own beside them.
 */
#ifndef BOOT_EFI_BASE_H
#define BOOT_EFI_BASE_H

#include <efi.h>

#include "boot/boot_info.h"
#include "hv/base/failure.h"
#include "hv/base/types.h"

extern EFI_HANDLE efi_image;
extern EFI_SYSTEM_TABLE *efi_system;
extern EFI_BOOT_SERVICES *efi_boot;

/* A status in words for a sentence: "not found", "device error", "status 12h". Static storage. */
const char *efi_status_text(EFI_STATUS status);

/*
 * Whole pages below 4 GiB, cleared, for good; page_align is a power of two of pages.
 * 0 with a sentence naming what when there are none.
 */
hpa_t efi_alloc_pages(uint64_t npages, uint64_t page_align, const char *what, struct failure *f);

#endif
