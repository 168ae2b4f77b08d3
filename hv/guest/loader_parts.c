/*
 * The steps that all kernel loaders share.
 */
#include "hv/guest/loader_parts.h"

#include <string.h>

#include "hv/guest/guest.h"

#define PTE_PRESENT BIT(0)
#define PTE_WRITABLE BIT(1)
#define PTE_LARGE BIT(7)

/* SDM volume 3A "Segment Descriptors": base 0, limit 4 GiB, accessed, ring 0. */
#define DESC_CODE64 0x00af9b000000fffful
#define DESC_CODE32 0x00cf9b000000fffful
#define DESC_DATA 0x00cf93000000fffful

static uint64_t mib_up(uint64_t bytes) { return align_up(bytes, MIB(1)) >> 20; }

int boot_check_place(const struct guest_mem *m, const struct guest_file *file, const char *what, gpa_t gpa,
		     uint64_t len, struct failure *f)
{
	if (len > GUEST_LOW_RAM_END || gpa > GUEST_LOW_RAM_END - len)
		return fail(f, -ENOEXEC, "kernel %s wants its %s at %lxh, %lxh bytes: that is not below "
			    "%lxh, where guest RAM ends", file->name, what, gpa, len, GUEST_LOW_RAM_END);
	if (!guest_mem_in_low_ram(m, gpa, len))
		return fail(f, -ENOMEM, "kernel %s wants its %s at %lxh..%lxh but the guest has %lu MiB: set "
			    "memory = %luM or more", file->name, what, gpa, gpa + len, m->ram_size >> 20,
			    mib_up(gpa + len));
	if (gpa < MIB(1) && gpa + len > GUEST_EBDA)
		return fail(f, -ENOEXEC, "kernel %s wants its %s at %lxh..%lxh, over the PC's reserved area "
			    "%lxh..100000h: link it at 100000h or higher", file->name, what, gpa, gpa + len,
			    GUEST_EBDA);
	if (gpa < BOOT_AREA_END && gpa + len > BOOT_AREA)
		return fail(f, -ENOEXEC, "kernel %s wants its %s at %lxh..%lxh, over the boot data at "
			    "%lxh..%lxh: link it at 100000h or higher", file->name, what, gpa, gpa + len,
			    BOOT_AREA, BOOT_AREA_END);
	return 0;
}

int boot_place_high(const struct guest_mem *m, const struct guest_image *img, gpa_t limit, struct span kernel,
		    gpa_t *where, struct failure *f)
{
	gpa_t top = min_u64(limit, guest_mem_low_end(m));
	uint64_t size = img->initrd.size;
	gpa_t base;

	if (size <= top) {
		base = align_down(top - size, PAGE_SIZE);
		if (base < kernel.end && base + size > kernel.base && size <= kernel.base)
			base = align_down(kernel.base - size, PAGE_SIZE);
		if (base >= MIB(1) && (base >= kernel.end || base + size <= kernel.base)) {
			*where = base;
			return 0;
		}
	}
	return fail(f, -ENOMEM, "initrd %s of %lu MiB does not fit beside the kernel at %lxh..%lxh below "
		    "%lxh: set memory = %luM or more, or give a smaller initrd", img->initrd.name,
		    mib_up(size), kernel.base, kernel.end, top, mib_up(kernel.end + size) + 1);
}

int boot_put_cmdline(const struct guest_mem *m, const struct guest_image *img, uint64_t max,
		     struct failure *f)
{
	uint64_t len = strlen(img->cmdline);

	max = min_u64(max, BOOT_CMDLINE_MAX - 1);
	if (len > max)
		return fail(f, -E2BIG, "the command line has %lu characters but kernel %s takes %lu: shorten "
			    "cmdline =", len, img->kernel.name, max);
	return boot_copy(m, BOOT_CMDLINE, img->cmdline, len + 1, f);
}

int boot_copy(const struct guest_mem *m, gpa_t gpa, const void *data, uint64_t len, struct failure *f)
{
	if (!guest_mem_write(m, gpa, data, len))
		return fail(f, -ENOMEM, "guest memory %lxh..%lxh cannot be written", gpa, gpa + len);
	return 0;
}

int boot_clear(const struct guest_mem *m, gpa_t gpa, uint64_t len, struct failure *f)
{
	if (!guest_mem_clear(m, gpa, len))
		return fail(f, -ENOMEM, "guest memory %lxh..%lxh cannot be cleared", gpa, gpa + len);
	return 0;
}

/* 2 MiB pages, because 1 GiB pages are optional (CPUID.80000001h:EDX[26]). */
int boot_put_identity_map(const struct guest_mem *m, gpa_t at, struct failure *f)
{
	const uint64_t link = PTE_PRESENT | PTE_WRITABLE;
	gpa_t pdpt = at + PAGE_SIZE, pd = pdpt + PAGE_SIZE;
	uint64_t table[512] = { pdpt | link };
	int err = boot_copy(m, at, table, sizeof(table), f);

	for (unsigned i = 0; i < 4; i++)
		table[i] = (pd + i * PAGE_SIZE) | link;
	if (!err)
		err = boot_copy(m, pdpt, table, sizeof(table), f);
	for (unsigned i = 0; i < 4 && !err; i++) {
		for (unsigned j = 0; j < 512; j++)
			table[j] = (i * GIB(1) + j * MIB(2)) | link | PTE_LARGE;
		err = boot_copy(m, pd + i * PAGE_SIZE, table, sizeof(table), f);
	}
	return err;
}

int boot_prepare(const struct guest_mem *m, enum guest_entry_mode mode, struct guest_entry *entry,
		 struct failure *f)
{
	const uint64_t gdt[] = { 0, 0, mode == ENTRY_LONG ? DESC_CODE64 : DESC_CODE32, DESC_DATA };
	int err = boot_clear(m, BOOT_AREA, BOOT_AREA_END - BOOT_AREA, f);

	if (!err)
		err = boot_copy(m, BOOT_GDT, gdt, sizeof(gdt), f);
	if (!err && mode == ENTRY_LONG)
		err = boot_put_identity_map(m, BOOT_PAGE_TABLES, f);
	*entry = (struct guest_entry){
		.mode = mode,
		.rsp = BOOT_STACK_TOP,
		.cr3 = mode == ENTRY_LONG ? BOOT_PAGE_TABLES : 0,
		.gdt_base = BOOT_GDT,
		.gdt_limit = sizeof(gdt) - 1,
		.cs = BOOT_CS,
		.ds = BOOT_DS,
	};
	return err;
}
