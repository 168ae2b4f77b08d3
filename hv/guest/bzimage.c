/*
 * Linux bzImage, by the boot protocol of the kernel's Documentation/arch/x86/boot.rst: the 64-bit
 * entry where the kernel has one, else the 32-bit entry. Also memtest86+, which follows it.
 */
#include "hv/guest/loader_parts.h"

#include <string.h>

#include "hv/guest/e820.h"
#include "hv/guest/guest.h"

/* struct setup_header, offsets in file and boot_params alike. */
#define HDR_BEGIN 0x1f1
#define HDR_SETUP_SECTS 0x1f1
#define HDR_SYSSIZE 0x1f4   /* in 16-byte units */
#define HDR_BOOT_FLAG 0x1fe /* aa55h */
#define HDR_JUMP_OFFSET 0x201 /* the header ends this many bytes after 202h */
#define HDR_MAGIC 0x202     /* "HdrS" */
#define HDR_VERSION 0x206
#define HDR_TYPE_OF_LOADER 0x210
#define HDR_LOADFLAGS 0x211
#define HDR_CODE32_START 0x214
#define HDR_RAMDISK_IMAGE 0x218
#define HDR_RAMDISK_SIZE 0x21c
#define HDR_CMD_LINE_PTR 0x228
#define HDR_INITRD_ADDR_MAX 0x22c
#define HDR_XLOADFLAGS 0x236
#define HDR_CMDLINE_SIZE 0x238
#define HDR_PREF_ADDRESS 0x258
#define HDR_INIT_SIZE 0x260
#define HDR_END_2_12 0x268
#define HDR_MAX_END 0x290 /* boot_params has edd_mbr_sig_buffer here */

#define BP_ACPI_RSDP_ADDR 0x070
#define BP_E820_ENTRIES 0x1e8
#define BP_E820_TABLE 0x2d0

#define VERSION_2_12 0x020c
#define LOADED_HIGH 0x01
#define XLF_KERNEL_64 0x0001
#define ENTRY64_OFFSET 0x200
#define LOADER_UNDEFINED 0xff

/* What the header says, checked. */
struct bzimage {
	const uint8_t *file;
	uint64_t setup_size;   /* where the protected-mode part begins */
	uint64_t payload_size; /* its bytes in the file */
	uint64_t init_size;    /* memory it needs, from where it is loaded */
	uint64_t pref_address;
	uint64_t initrd_max;   /* exclusive */
	uint32_t cmdline_size;
	bool has_entry64;
};

bool bzimage_recognise(const struct guest_file *k)
{
	const uint8_t *p = k->data;

	return k->size >= HDR_VERSION && get16(p + HDR_BOOT_FLAG) == 0xaa55 &&
	       !memcmp(p + HDR_MAGIC, "HdrS", 4);
}

/* The setup part: is this a kernel of a protocol that has all the fields read later? */
static int check_setup(const struct guest_file *k, struct bzimage *b, struct failure *f)
{
	const uint8_t *p = k->data;
	unsigned version;

	if (k->size < HDR_END_2_12)
		return fail(f, -ENOEXEC, "kernel %s ends after %lu bytes, within its header: the file is "
			    "truncated, copy it again", k->name, k->size);
	version = get16(p + HDR_VERSION);
	if (version < VERSION_2_12)
		return fail(f, -ENOEXEC, "kernel %s has boot protocol %u.%02u, older than 2.12: use Linux "
			    "3.8 or later", k->name, version >> 8, version & 0xff);
	if (!(p[HDR_LOADFLAGS] & LOADED_HIGH))
		return fail(f, -ENOEXEC, "kernel %s is a zImage, loaded below 1 MiB: build a bzImage",
			    k->name);
	b->file = p;
	b->setup_size = 512 * (1 + (p[HDR_SETUP_SECTS] ? p[HDR_SETUP_SECTS] : 4));
	if (b->setup_size >= k->size)
		return fail(f, -ENOEXEC, "kernel %s has %lu bytes but its setup code alone %lu: the file is "
			    "truncated, copy it again", k->name, k->size, b->setup_size);
	return 0;
}

/* The protected-mode part. Bytes beyond what the header announces are a signature, not kernel. */
static int check_payload(const struct guest_file *k, struct bzimage *b, struct failure *f)
{
	const uint8_t *p = k->data;
	uint64_t announced = (uint64_t)get32(p + HDR_SYSSIZE) * 16, present = k->size - b->setup_size;

	if (announced > align_up(present, 16))
		return fail(f, -ENOEXEC, "kernel %s is truncated: its header announces %lu bytes, the file "
			    "has %lu: copy it again", k->name, b->setup_size + announced, k->size);
	b->payload_size = min_u64(announced, present);
	b->init_size = get32(p + HDR_INIT_SIZE);
	b->has_entry64 = get16(p + HDR_XLOADFLAGS) & XLF_KERNEL_64;
	if (b->payload_size <= ENTRY64_OFFSET || b->init_size < b->payload_size)
		return fail(f, -ENOEXEC, "kernel %s has a corrupt header: %lu bytes of code to run in %lu "
			    "bytes of memory: copy the file again", k->name, b->payload_size, b->init_size);
	return 0;
}

static int check_addresses(const struct guest_file *k, struct bzimage *b, struct failure *f)
{
	const uint8_t *p = k->data;

	b->pref_address = get64(p + HDR_PREF_ADDRESS);
	b->cmdline_size = get32(p + HDR_CMDLINE_SIZE);
	b->initrd_max = (uint64_t)get32(p + HDR_INITRD_ADDR_MAX) + 1;
	if (b->pref_address < MIB(1))
		return fail(f, -ENOEXEC, "kernel %s has a corrupt header: preferred address %lxh is below 1 "
			    "MiB: copy the file again", k->name, b->pref_address);
	return 0;
}

static int parse(const struct guest_file *k, struct bzimage *b, struct failure *f)
{
	int err = check_setup(k, b, f);

	if (!err)
		err = check_payload(k, b, f);
	if (!err)
		err = check_addresses(k, b, f);
	return err;
}

/* Always the preferred address: it is free here, a kernel that cannot be relocated needs it, and one that
 * can moves itself up to it when loaded lower. */
static int place_kernel(const struct guest_mem *m, const struct guest_file *k, const struct bzimage *b,
			struct span *where, struct failure *f)
{
	*where = (struct span){ b->pref_address, b->pref_address + b->init_size };
	return boot_check_place(m, k, "code", b->pref_address, b->init_size, f);
}

static int write_boot_params(const struct guest_mem *m, const struct guest_image *img,
			     const struct bzimage *b, gpa_t kernel, gpa_t initrd, struct failure *f)
{
	uint8_t bp[PAGE_SIZE] = { 0 };
	struct e820_entry map[E820_MAX_ENTRIES];
	unsigned entries = e820_build(m->ram_size, img->platform, map);
	uint32_t code32 = kernel, cmdline = BOOT_CMDLINE;
	uint32_t ramdisk = initrd, ramdisk_size = img->initrd.size;
	uint64_t header_end = min_u64(HDR_MAGIC + b->file[HDR_JUMP_OFFSET], HDR_MAX_END);

	memcpy(bp + HDR_BEGIN, b->file + HDR_BEGIN, max_u64(header_end, HDR_END_2_12) - HDR_BEGIN);
	bp[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
	memcpy(bp + HDR_CODE32_START, &code32, 4);
	memcpy(bp + HDR_CMD_LINE_PTR, &cmdline, 4);
	memcpy(bp + HDR_RAMDISK_IMAGE, &ramdisk, 4);
	memcpy(bp + HDR_RAMDISK_SIZE, &ramdisk_size, 4);
	memcpy(bp + BP_ACPI_RSDP_ADDR, &img->rsdp, 8);
	memcpy(bp + BP_E820_TABLE, map, entries * sizeof(map[0]));
	bp[BP_E820_ENTRIES] = entries;
	return boot_copy(m, BOOT_INFO_PAGE, bp, sizeof(bp), f);
}

static void set_entry(const struct bzimage *b, struct span kernel, gpa_t initrd, struct guest_entry *entry)
{
	entry->initrd = initrd;
	entry->kernel = kernel.base;
	entry->kernel_end = kernel.end;
	entry->protocol = b->has_entry64 ? "Linux 64-bit" : "Linux 32-bit";
	entry->rip = b->has_entry64 ? kernel.base + ENTRY64_OFFSET : kernel.base;
	entry->rsi = BOOT_INFO_PAGE;
}

int bzimage_load(const struct guest_mem *m, const struct guest_image *img, struct guest_entry *entry,
		 struct failure *f)
{
	struct bzimage b;
	struct span kernel;
	gpa_t initrd = 0;
	int err = parse(&img->kernel, &b, f);

	if (!err)
		err = place_kernel(m, &img->kernel, &b, &kernel, f);
	if (!err && img->initrd.size)
		err = boot_place_high(m, img, b.initrd_max, kernel, &initrd, f);
	if (!err)
		err = boot_prepare(m, b.has_entry64 ? ENTRY_LONG : ENTRY_PROTECTED, entry, f);
	if (!err)
		err = boot_put_cmdline(m, img, b.cmdline_size, f);
	if (!err)
		err = boot_copy(m, kernel.base, b.file + b.setup_size, b.payload_size, f);
	if (!err)
		err = boot_copy(m, initrd, img->initrd.data, img->initrd.size, f);
	if (!err)
		err = write_boot_params(m, img, &b, kernel.base, initrd, f);
	if (!err)
		set_entry(&b, kernel, initrd, entry);
	return err;
}
