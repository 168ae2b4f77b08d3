/*
 * Recognises a kernel file and calls its loader.
 */
#include "hv/guest/loader.h"

#include <string.h>

#include "hv/guest/elf.h"
#include "hv/guest/guest.h"
#include "hv/guest/loader_parts.h"

/* BIOS data area: what a kernel that looks for the EBDA or the serial port by hand finds. */
#define BDA_COM1 0x400
#define BDA_EBDA_SEGMENT 0x40e
#define BDA_BASE_MEMORY_KIB 0x413

struct kernel_format {
	bool (*recognise)(const struct guest_file *k);
	int (*load)(const struct guest_mem *m, const struct guest_image *img, struct guest_entry *entry,
		    struct failure *f);
};

/* In order of preference: an ELF file may have both a PVH note and a Multiboot header. */
static const struct kernel_format formats[] = {
	{ bzimage_recognise, bzimage_load },
	{ pvh_recognise, pvh_load },
	{ multiboot1_recognise, multiboot1_load },
};

/* Files that people give by mistake, told by their first bytes. */
static const struct {
	const char *magic;
	uint8_t len;
	const char *what;
} lookalikes[] = {
	{ "\x1f\x8b", 2, "a gzip file: unpack it with gunzip, or give the bzImage" },
	{ "\xfd" "7zXZ", 5, "an xz file: unpack it with unxz, or give the bzImage" },
	{ "\x28\xb5\x2f\xfd", 4, "a zstd file: unpack it with unzstd, or give the bzImage" },
	{ "070701", 6, "a cpio archive: it belongs under initrd =, not kernel =" },
	{ "MZ", 2, "an EFI program that is no Linux bzImage: give a bzImage" },
};

static int refuse_unknown(const struct guest_file *k, struct failure *f)
{
	struct elf elf;

	for (size_t i = 0; i < ARRAY_LEN(lookalikes); i++)
		if (k->size >= lookalikes[i].len && !memcmp(k->data, lookalikes[i].magic, lookalikes[i].len))
			return fail(f, -ENOEXEC, "kernel %s is %s", k->name, lookalikes[i].what);
	if (!elf_is(k))
		return fail(f, -ENOEXEC, "kernel %s is no bzImage, PVH ELF or Multiboot 1 file: give one of "
			    "these", k->name);
	if (elf_open(k, &elf, f))
		return -ENOEXEC;
	return fail(f, -ENOEXEC, "kernel %s is an ELF file without PVH entry note or Multiboot 1 header: "
		    "give the bzImage, or build with CONFIG_PVH", k->name);
}

static void write_bda(const struct guest_mem *m)
{
	static const struct {
		gpa_t at;
		uint16_t value;
	} bda[] = {
		{ BDA_COM1, GUEST_PORT_COM1 },
		{ BDA_EBDA_SEGMENT, GUEST_EBDA >> 4 },
		{ BDA_BASE_MEMORY_KIB, GUEST_EBDA >> 10 },
	};

	for (size_t i = 0; i < ARRAY_LEN(bda); i++)
		guest_mem_write(m, bda[i].at, &bda[i].value, sizeof(bda[i].value));
}

int guest_load(const struct guest_mem *m, const struct guest_image *img, struct guest_entry *entry,
	       struct failure *f)
{
	*entry = (struct guest_entry){ 0 };
	if (m->ram_size < MIB(2))
		return fail(f, -ENOMEM, "%lu KiB of memory cannot hold a kernel: set memory = 2M or more",
			    m->ram_size >> 10);
	if (!img->kernel.size)
		return fail(f, -ENOEXEC, "kernel %s is an empty file", img->kernel.name);
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (formats[i].recognise(&img->kernel)) {
			write_bda(m);
			return formats[i].load(m, img, entry, f);
		}
	}
	return refuse_unknown(&img->kernel, f);
}
