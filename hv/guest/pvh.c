/*
 * PVH: an ELF kernel that names its 32-bit entry in a Xen note and takes an hvm_start_info.
 * Facts from Xen's docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h.
 */
#include "hv/guest/loader_parts.h"

#include <string.h>

#include "hv/guest/e820.h"
#include "hv/guest/elf.h"

#define NOTE_PHYS32_ENTRY 18
#define START_INFO_MAGIC 0x336ec578u

struct start_info {
	uint32_t magic, version, flags, module_count;
	uint64_t modules, cmdline, rsdp, memmap;
	uint32_t memmap_count, reserved;
};

struct start_module {
	uint64_t base, size, cmdline, reserved;
};

struct start_memmap {
	uint64_t base, size;
	uint32_t type, reserved;
};

/* All that hvm_start_info points to, in one page. */
struct pvh_boot {
	struct start_info info;
	struct start_module module;
	struct start_memmap map[E820_MAX_ENTRIES];
};

struct note {
	uint32_t namesz, descsz, type;
};

/* Looks through one note segment. Notes are padded to 4 bytes, or 8 where the segment says so. */
static bool find_in_notes(const uint8_t *p, uint64_t size, uint64_t align, uint64_t *entry)
{
	struct note n;

	align = align == 8 ? 8 : 4;
	for (uint64_t off = 0; in_file(off, sizeof(n), size);) {
		uint64_t name = off + sizeof(n), desc;

		memcpy(&n, p + off, sizeof(n));
		desc = off + align_up(sizeof(n) + (uint64_t)n.namesz, align);
		if (!in_file(desc, n.descsz, size))
			return false;
		if (n.type == NOTE_PHYS32_ENTRY && n.namesz == 4 && !memcmp(p + name, "Xen", 4) &&
		    (n.descsz == 4 || n.descsz == 8)) {
			*entry = n.descsz == 8 ? get64(p + desc) : get32(p + desc);
			return true;
		}
		off = desc + align_up(n.descsz, align);
	}
	return false;
}

static bool find_entry(const struct elf *e, uint64_t *entry)
{
	for (unsigned i = 0; i < e->phnum; i++) {
		struct elf_segment s = elf_segment(e, i);

		if (s.type == ELF_PT_NOTE &&
		    find_in_notes((const uint8_t *)e->file->data + s.offset, s.filesz, s.align, entry))
			return true;
	}
	return false;
}

bool pvh_recognise(const struct guest_file *k)
{
	struct elf e;
	uint64_t entry;

	return elf_is(k) && !elf_open(k, &e, NULL) && find_entry(&e, &entry);
}

static int write_start_info(const struct guest_mem *m, const struct guest_image *img, gpa_t initrd,
			    struct failure *f)
{
	struct pvh_boot boot = {
		.info = {
			.magic = START_INFO_MAGIC,
			.version = 1,
			.module_count = img->initrd.size ? 1 : 0,
			.modules = img->initrd.size ? BOOT_INFO_PAGE + offsetof(struct pvh_boot, module) : 0,
			.cmdline = BOOT_CMDLINE,
			.rsdp = img->rsdp,
			.memmap = BOOT_INFO_PAGE + offsetof(struct pvh_boot, map),
		},
		.module = { .base = initrd, .size = img->initrd.size },
	};
	struct e820_entry map[E820_MAX_ENTRIES];

	boot.info.memmap_count = e820_build(m->ram_size, img->platform, map);
	for (unsigned i = 0; i < boot.info.memmap_count; i++)
		boot.map[i] = (struct start_memmap){ map[i].base, map[i].size, map[i].type, 0 };
	return boot_copy(m, BOOT_INFO_PAGE, &boot, sizeof(boot), f);
}

/* Finds the entry and checks that the kernel has code there. */
static int read_entry(const struct elf *e, uint64_t *entry, struct failure *f)
{
	if (!find_entry(e, entry))
		return fail(f, -ENOEXEC, "kernel %s has no PVH entry note: build with CONFIG_PVH",
			    e->file->name);
	if (!elf_covers(e, *entry))
		return fail(f, -ENOEXEC, "kernel %s is corrupt: its PVH entry %lxh is in none of its "
			    "segments: copy it again", e->file->name, *entry);
	return 0;
}

int pvh_load(const struct guest_mem *m, const struct guest_image *img, struct guest_entry *entry,
	     struct failure *f)
{
	struct elf e;
	struct span kernel;
	gpa_t initrd = 0;
	uint64_t rip = 0;
	int err = elf_open(&img->kernel, &e, f);

	if (!err)
		err = read_entry(&e, &rip, f);
	if (!err)
		err = elf_load(m, &e, &kernel, f);
	if (!err && img->initrd.size)
		err = boot_place_high(m, img, UINT64_MAX, kernel, &initrd, f);
	if (!err)
		err = boot_prepare(m, ENTRY_PROTECTED, entry, f);
	if (!err)
		err = boot_put_cmdline(m, img, UINT64_MAX, f);
	if (!err)
		err = boot_copy(m, initrd, img->initrd.data, img->initrd.size, f);
	if (!err)
		err = write_start_info(m, img, initrd, f);
	entry->protocol = "PVH";
	entry->rip = rip;
	entry->rbx = BOOT_INFO_PAGE;
	return err;
}
