/*
 * What the kernel loaders share: the area of low memory they build boot data in, and the steps that
 * every boot protocol has. Private to hv/guest.
 */
#ifndef HV_GUEST_LOADER_PARTS_H
#define HV_GUEST_LOADER_PARTS_H

#include <string.h>

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "hv/guest/guest_mem.h"
#include "hv/guest/loader.h"

/* Boot data below 640 KiB. A kernel may not be loaded over it. */
#define BOOT_AREA 0x6000ul
#define BOOT_GDT 0x6000ul
#define BOOT_INFO_PAGE 0x7000ul   /* boot_params, hvm_start_info or multiboot_info */
#define BOOT_PAGE_TABLES 0x8000ul /* PML4, PDPT, four page directories */
#define BOOT_STACK_TOP 0xf000ul
#define BOOT_CMDLINE 0x10000ul
#define BOOT_CMDLINE_MAX 0x1000ul /* with the final NUL */
#define BOOT_AREA_END 0x11000ul

#define BOOT_CS 0x10
#define BOOT_DS 0x18

/* Little-endian fields at any alignment. */
static inline uint16_t get16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t get32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t get64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Whether [off, off + len) lies within a file of size bytes. Any values. */
static inline bool in_file(uint64_t off, uint64_t len, uint64_t size)
{
	return off <= size && len <= size - off;
}

/* A stretch of guest memory that is taken. */
struct span {
	gpa_t base, end;
};

/* 0, or -ENOEXEC/-ENOMEM with a sentence, when [gpa, gpa + len) is no place for part of a kernel:
 * outside RAM below 4 GiB, in 640 KiB..1 MiB, or over the boot area. */
int boot_check_place(const struct guest_mem *m, const struct guest_file *file, const char *what, gpa_t gpa,
		     uint64_t len, struct failure *f);

/* Finds room for the initrd: as high as possible below limit (exclusive) and RAM's end, page aligned,
 * clear of the kernel. -ENOMEM with a sentence. */
int boot_place_high(const struct guest_mem *m, const struct guest_image *img, gpa_t limit, struct span kernel,
		    gpa_t *where, struct failure *f);

/* Copies the command line; max is what the kernel takes, without the NUL. -E2BIG with a sentence. */
int boot_put_cmdline(const struct guest_mem *m, const struct guest_image *img, uint64_t max,
		     struct failure *f);

/* Clears the boot area, writes GDT and, for ENTRY_LONG, page tables, and fills entry with all but
 * rip, rax, rbx, rsi and protocol. */
int boot_prepare(const struct guest_mem *m, enum guest_entry_mode mode, struct guest_entry *entry,
		 struct failure *f);

/* Writes BOOT_IDENTITY_PAGES page tables from gpa on (4 KiB aligned): the first 4 GiB one to one, for
 * 64-bit mode, supervisor, writable. */
#define BOOT_IDENTITY_PAGES 6
int boot_put_identity_map(const struct guest_mem *m, gpa_t at, struct failure *f);

/* Copies a file's bytes to a place that was checked. */
int boot_copy(const struct guest_mem *m, gpa_t gpa, const void *data, uint64_t len, struct failure *f);
int boot_clear(const struct guest_mem *m, gpa_t gpa, uint64_t len, struct failure *f);

bool bzimage_recognise(const struct guest_file *k);
int bzimage_load(const struct guest_mem *m, const struct guest_image *img, struct guest_entry *entry,
		 struct failure *f);

/* True for an ELF file that has a PVH entry note; a damaged ELF file is not recognised. */
bool pvh_recognise(const struct guest_file *k);
int pvh_load(const struct guest_mem *m, const struct guest_image *img, struct guest_entry *entry,
	     struct failure *f);

bool multiboot1_recognise(const struct guest_file *k);
int multiboot1_load(const struct guest_mem *m, const struct guest_image *img, struct guest_entry *entry,
		    struct failure *f);

#endif
