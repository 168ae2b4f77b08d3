/*
 * Multiboot kernels, by the Multiboot Specification version 0.6.96: 32-bit protected mode, ELF32 or
 * the header's own load addresses, the initrd as the only module.
 */
#include "hv/guest/loader_parts.h"

#include <string.h>

#include "hv/guest/e820.h"
#include "hv/guest/elf.h"
#include "hv/guest/guest.h"

#define HEADER_SEARCH 8192
#define HEADER_MAGIC 0x1badb002u
#define LOADER_MAGIC 0x2badb002u

#define FLAG_PAGE_ALIGN BIT(0)
#define FLAG_MEMORY_INFO BIT(1)
#define FLAG_ADDRESSES BIT(16)
#define FLAGS_REQUIRED 0xffffu /* a loader that does not know one of these must refuse */

#define INFO_MEMORY BIT(0)
#define INFO_CMDLINE BIT(2)
#define INFO_MODULES BIT(3)
#define INFO_MEMMAP BIT(6)
#define INFO_LOADER_NAME BIT(9)

struct multiboot_header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr; /* FLAG_ADDRESSES */
};

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
};

struct multiboot_module {
	uint32_t start, end, string, reserved;
};

struct multiboot_mmap {
	uint32_t size; /* of the rest */
	struct e820_entry e;
} __attribute__((packed));

struct multiboot_boot {
	struct multiboot_info info;
	struct multiboot_module module;
	struct multiboot_mmap map[E820_MAX_ENTRIES];
	char loader_name[8];
};

/* The header's place in the file, -1 when there is none. The fields after the checksum are read only
 * as far as the file goes; whether they are there is checked by their user. */
static int64_t find_header(const struct guest_file *k, struct multiboot_header *h)
{
	const uint8_t *p = k->data;
	uint64_t end = min_u64(k->size, HEADER_SEARCH);

	for (uint64_t off = 0; off + 12 <= end; off += 4) {
		memset(h, 0, sizeof(*h));
		memcpy(h, p + off, min_u64(sizeof(*h), k->size - off));
		if (h->magic == HEADER_MAGIC && h->magic + h->flags + h->checksum == 0)
			return (int64_t)off;
	}
	return -1;
}

bool multiboot1_recognise(const struct guest_file *k)
{
	struct multiboot_header h;

	return find_header(k, &h) >= 0;
}

static int check_flags(const struct guest_file *k, const struct multiboot_header *h, struct failure *f)
{
	uint32_t unknown = h->flags & FLAGS_REQUIRED & ~(FLAG_PAGE_ALIGN | FLAG_MEMORY_INFO);

	if (unknown)
		return fail(f, -ENOEXEC, "kernel %s has Multiboot flags %xh; of the required ones only 1 "
			    "(page-aligned modules) and 2 (memory map) can be met, not %xh (4 is a video "
			    "mode)", k->name, h->flags, unknown);
	return 0;
}

/* The load addresses in the header, as numbers of file and memory. */
struct addresses {
	uint64_t file_offset, file_size, memory_size;
};

static int check_addresses(const struct guest_file *k, const struct multiboot_header *h, uint64_t at,
			   struct addresses *a, struct failure *f)
{
	uint64_t before = (uint64_t)h->header_addr - h->load_addr;

	if (!in_file(at, sizeof(*h), k->size))
		return fail(f, -ENOEXEC, "kernel %s ends within its Multiboot header: copy it again",
			    k->name);
	if (h->header_addr < h->load_addr || before > at)
		return fail(f, -ENOEXEC, "kernel %s is corrupt: its Multiboot header at offset %lxh says %xh "
			    "and to load from %xh: that is before the file begins", k->name, at,
			    h->header_addr, h->load_addr);
	a->file_offset = at - before;
	a->file_size = k->size - a->file_offset;
	if (h->load_end_addr)
		a->file_size = (uint64_t)h->load_end_addr - h->load_addr;
	if (h->load_end_addr &&
	    (h->load_end_addr < h->load_addr || !in_file(a->file_offset, a->file_size, k->size)))
		return fail(f, -ENOEXEC, "kernel %s is truncated or corrupt: Multiboot wants it loaded to "
			    "%xh..%xh, the file has %lxh bytes", k->name, h->load_addr, h->load_end_addr,
			    k->size);
	a->memory_size = h->bss_end_addr ? (uint64_t)h->bss_end_addr - h->load_addr : a->file_size;
	if (h->bss_end_addr && (h->bss_end_addr < h->load_addr || a->memory_size < a->file_size))
		return fail(f, -ENOEXEC, "kernel %s is corrupt: its bss ends at %xh, before its data",
			    k->name, h->bss_end_addr);
	if (h->entry_addr < h->load_addr || h->entry_addr - h->load_addr >= a->memory_size)
		return fail(f, -ENOEXEC, "kernel %s is corrupt: its Multiboot entry %xh is outside what is "
			    "loaded", k->name, h->entry_addr);
	return 0;
}

static int load_by_addresses(const struct guest_mem *m, const struct guest_file *k,
			     const struct multiboot_header *h, uint64_t at, struct span *kernel,
			     struct failure *f)
{
	struct addresses a = { 0 };
	int err = check_addresses(k, h, at, &a, f);

	if (!err)
		err = boot_check_place(m, k, "code", h->load_addr, a.memory_size, f);
	if (!err)
		err = boot_copy(m, h->load_addr, (const uint8_t *)k->data + a.file_offset, a.file_size, f);
	if (!err)
		err = boot_clear(m, h->load_addr + a.file_size, a.memory_size - a.file_size, f);
	if (!err)
		*kernel = (struct span){ h->load_addr, h->load_addr + a.memory_size };
	return err;
}

static int load_elf(const struct guest_mem *m, const struct guest_file *k, struct span *kernel, uint64_t *rip,
		    struct failure *f)
{
	struct elf e;
	int err;

	if (!elf_is(k))
		return fail(f, -ENOEXEC, "kernel %s has a Multiboot header without load addresses and is no "
			    "ELF file", k->name);
	err = elf_open(k, &e, f);
	if (err)
		return err;
	if (e.is64)
		return fail(f, -ENOEXEC, "kernel %s is 64-bit ELF, which Multiboot 1 does not start: use "
			    "objcopy -O elf32-i386", k->name);
	if (!elf_covers(&e, e.entry))
		return fail(f, -ENOEXEC, "kernel %s is corrupt: its entry %lxh is in none of its segments "
			    "(link it with equal physical and virtual addresses)", k->name, e.entry);
	*rip = e.entry;
	return elf_load(m, &e, kernel, f);
}

/* The module follows the kernel, where simple kernels expect it. */
static int place_module(const struct guest_mem *m, const struct guest_image *img, struct span kernel,
			gpa_t *where, struct failure *f)
{
	*where = align_up(max_u64(kernel.end, MIB(1)), PAGE_SIZE);
	if (guest_mem_in_low_ram(m, *where, img->initrd.size))
		return 0;
	return fail(f, -ENOMEM, "initrd %s of %lu KiB does not fit after the kernel, which ends at %lxh: set "
		    "memory = %luM or more", img->initrd.name, img->initrd.size >> 10, kernel.end,
		    (*where + img->initrd.size + MIB(1)) >> 20);
}

static int write_info(const struct guest_mem *m, const struct guest_image *img, gpa_t module,
		      struct failure *f)
{
	const uint32_t page = BOOT_INFO_PAGE;
	struct e820_entry map[E820_MAX_ENTRIES];
	unsigned entries = e820_build(m->ram_size, img->platform, map);
	struct multiboot_boot boot = {
		.info = {
			.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MEMMAP | INFO_LOADER_NAME | INFO_MODULES,
			.mem_lower = GUEST_EBDA >> 10,
			.mem_upper = (guest_low_ram_end(m->ram_size) - MIB(1)) >> 10,
			.cmdline = BOOT_CMDLINE,
			.mods_count = img->initrd.size ? 1 : 0,
			.mods_addr = page + offsetof(struct multiboot_boot, module),
			.mmap_length = entries * sizeof(struct multiboot_mmap),
			.mmap_addr = page + offsetof(struct multiboot_boot, map),
			.boot_loader_name = page + offsetof(struct multiboot_boot, loader_name),
		},
		.module = { .start = module, .end = module + img->initrd.size, .string = BOOT_CMDLINE },
		.loader_name = "Gnomon",
	};

	for (unsigned i = 0; i < entries; i++)
		boot.map[i] = (struct multiboot_mmap){ sizeof(map[i]), map[i] };
	return boot_copy(m, page, &boot, sizeof(boot), f);
}

static int load_kernel(const struct guest_mem *m, const struct guest_file *k, struct span *kernel,
		       uint64_t *rip, struct failure *f)
{
	struct multiboot_header h;
	int64_t at = find_header(k, &h);
	int err;

	if (at < 0)
		return fail(f, -ENOEXEC, "kernel %s has no Multiboot header in its first 8192 bytes",
			    k->name);
	err = check_flags(k, &h, f);
	if (err)
		return err;
	if (!(h.flags & FLAG_ADDRESSES))
		return load_elf(m, k, kernel, rip, f);
	*rip = h.entry_addr;
	return load_by_addresses(m, k, &h, (uint64_t)at, kernel, f);
}

int multiboot1_load(const struct guest_mem *m, const struct guest_image *img, struct guest_entry *entry,
		    struct failure *f)
{
	struct span kernel;
	gpa_t module = 0;
	uint64_t rip = 0;
	int err = load_kernel(m, &img->kernel, &kernel, &rip, f);

	if (!err && img->initrd.size)
		err = place_module(m, img, kernel, &module, f);
	if (!err)
		err = boot_prepare(m, ENTRY_PROTECTED, entry, f);
	if (!err)
		err = boot_put_cmdline(m, img, UINT64_MAX, f);
	if (!err)
		err = boot_copy(m, module, img->initrd.data, img->initrd.size, f);
	if (!err)
		err = write_info(m, img, module, f);
	entry->protocol = "Multiboot";
	entry->rip = rip;
	entry->rax = LOADER_MAGIC;
	entry->rbx = BOOT_INFO_PAGE;
	return err;
}
