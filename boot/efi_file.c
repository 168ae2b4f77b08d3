/* Owns the open root folder of the stick. */
#include "boot/efi_file.h"

#include <string.h>

#include "boot/console.h"
#include "boot/efi_base.h"

#define CHUNK MIB(1)           /* large reads are what makes a stick quick */
#define PROGRESS_FROM MIB(2)   /* smaller files come without percentages */
#define INFO_MAX 1024          /* an EFI_FILE_INFO with the longest FAT name */

static EFI_FILE_HANDLE stick_root;

static EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
static EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
static EFI_GUID file_info_guid = EFI_FILE_INFO_ID;

static EFI_STATUS open_root(EFI_HANDLE device, EFI_FILE_HANDLE *root)
{
	EFI_FILE_IO_INTERFACE *volume;
	EFI_STATUS status = efi_boot->HandleProtocol(device, &file_system_guid, (void **)&volume);

	return EFI_ERROR(status) ? status : volume->OpenVolume(volume, root);
}

static EFI_STATUS open_path(EFI_FILE_HANDLE root, const char *path, EFI_FILE_HANDLE *file)
{
	CHAR16 wide[CONFIG_PATH_MAX + 1];
	size_t n = 0;

	if (path[0] != '/' && path[0] != '\\')
		wide[n++] = '\\';
	for (; *path && n < ARRAY_LEN(wide) - 1; path++)
		wide[n++] = *path == '/' ? '\\' : (CHAR16)(unsigned char)*path;
	wide[n] = 0;
	return root->Open(root, file, wide, EFI_FILE_MODE_READ, 0);
}

static bool has_gnomon_conf(EFI_FILE_HANDLE root)
{
	EFI_FILE_HANDLE file;

	if (EFI_ERROR(open_path(root, "gnomon.conf", &file)))
		return false;
	file->Close(file);
	return true;
}

/* Some boot managers name a device without a file system: look at every volume there is. */
static bool search_volumes(void)
{
	EFI_HANDLE *handles;
	UINTN count = 0;
	bool found = false;

	if (EFI_ERROR(efi_boot->LocateHandleBuffer(ByProtocol, &file_system_guid, NULL, &count, &handles)))
		return false;
	for (UINTN i = 0; !found && i < count; i++)
		if (!EFI_ERROR(open_root(handles[i], &stick_root))) {
			found = has_gnomon_conf(stick_root);
			if (!found)
				stick_root->Close(stick_root);
		}
	efi_boot->FreePool(handles);
	return found;
}

int file_open_stick(struct failure *f)
{
	EFI_LOADED_IMAGE *image;
	EFI_STATUS status = efi_boot->HandleProtocol(efi_image, &loaded_image_guid, (void **)&image);

	if (!EFI_ERROR(status))
		status = open_root(image->DeviceHandle, &stick_root);
	if (!EFI_ERROR(status) && has_gnomon_conf(stick_root))
		return 0;
	if (search_volumes())
		return 0;
	return fail(f, -ENOENT, "there is no gnomon.conf in the root of the stick; write one, README says how");
}

static int read_info(EFI_FILE_HANDLE handle, struct boot_file *file, struct failure *f)
{
	union {
		EFI_FILE_INFO info;
		uint8_t space[INFO_MAX];
	} u;
	UINTN len = sizeof(u);
	EFI_STATUS status = handle->GetInfo(handle, &file_info_guid, &len, &u);

	if (EFI_ERROR(status))
		return fail(f, -EIO, "cannot look at %s: %s", file->path, efi_status_text(status));
	if (u.info.Attribute & EFI_FILE_DIRECTORY)
		return fail(f, -EISDIR, "%s is a folder; name a file", file->path);
	if (u.info.FileSize == 0)
		return fail(f, -ENODATA, "%s is empty; copy it to the stick again", file->path);
	file->size = u.info.FileSize;
	return 0;
}

static int alloc_file(struct boot_file *file, struct failure *f)
{
	EFI_PHYSICAL_ADDRESS at;
	EFI_STATUS status = efi_boot->AllocatePages(AllocateAnyPages, EfiLoaderData,
	                                            align_up(file->size, PAGE_SIZE) >> PAGE_SHIFT, &at);

	if (EFI_ERROR(status))
		return fail(f, -ENOMEM, "%s has %lu MiB, more than this machine has memory free", file->path,
		            align_up(file->size, MIB(1)) >> 20);
	file->base = at;
	/* The rest of the last page is handed on with the file. */
	memset((uint8_t *)at + file->size, 0, align_up(file->size, PAGE_SIZE) - file->size);
	return 0;
}

static int read_chunks(EFI_FILE_HANDLE handle, const struct boot_file *file, struct failure *f)
{
	uint64_t done = 0, shown = 0;

	while (done < file->size) {
		UINTN len = min_u64(CHUNK, file->size - done);
		EFI_STATUS status = handle->Read(handle, &len, (uint8_t *)file->base + done);

		if (EFI_ERROR(status))
			return fail(f, -EIO, "cannot read %s beyond %lu KiB: %s", file->path, done >> 10,
			            efi_status_text(status));
		if (len == 0)
			return fail(f, -EIO, "%s ends early, at %lu KiB; copy it to the stick again", file->path, done >> 10);
		done += len;
		while (file->size >= PROGRESS_FROM && (shown + 10) * file->size <= done * 100)
			say_more(" %lu%%", shown += 10);
	}
	return 0;
}

static int read_open(EFI_FILE_HANDLE handle, struct boot_file *file, struct failure *f)
{
	int err = read_info(handle, file, f);

	if (!err)
		err = alloc_file(file, f);
	if (err)
		return err;
	say_begin("reading %s, %lu KiB", file->path, align_up(file->size, KIB(1)) >> 10);
	err = read_chunks(handle, file, f);
	say_end();
	if (err)
		efi_boot->FreePages(file->base, align_up(file->size, PAGE_SIZE) >> PAGE_SHIFT);
	return err;
}

int file_read(struct boot_file *file, struct failure *f)
{
	EFI_FILE_HANDLE handle;
	EFI_STATUS status = open_path(stick_root, file->path, &handle);
	int err;

	if (status == EFI_NOT_FOUND)
		return fail(f, -ENOENT, "there is no file %s on the stick; copy it there or correct the name", file->path);
	if (EFI_ERROR(status))
		return fail(f, -EIO, "cannot open %s: %s", file->path, efi_status_text(status));
	err = read_open(handle, file, f);
	handle->Close(handle);
	return err;
}
