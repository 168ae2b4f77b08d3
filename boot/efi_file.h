/*
 * Files on the stick: the FAT partition gnomon.efi was loaded from.
 */
#ifndef BOOT_EFI_FILE_H
#define BOOT_EFI_FILE_H

#include "boot/boot_info.h"
#include "hv/base/failure.h"
#include "hv/base/types.h"

/* Opens the volume: the one gnomon.efi came from, or else the first that has \gnomon.conf. */
int file_open_stick(struct failure *f);

/*
 * Reads the file of file->path into pages of its own and fills in base and size, showing progress
 * for long ones. -ENOENT, -ENOMEM, -EIO, -EISDIR, -ENODATA with a sentence that names the file.
 */
int file_read(struct boot_file *file, struct failure *f);

#endif
