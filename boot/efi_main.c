/*
 * gnomon.efi: from firmware to the hypervisor. efi_main() reads as the list of steps; each is
 * announced before it starts, and a failure is a sentence and the way back to the firmware's menu.
 */
#include "boot/efi_base.h"

#include <string.h>

#include "boot/boot_info.h"
#include "boot/console.h"
#include "boot/efi_file.h"
#include "boot/efi_host.h"
#include "boot/efi_map.h"
#include "boot/load_elf.h"
#include "boot/options.h"
#include "boot/paging.h"
#include "boot/ranges.h"
#include "hv/base/config.h"
#include "hv/base/x86.h"

#define CONFIG_FILE_MAX KIB(64)
#define STACK_PAGES 8
#define IMAGE_ALIGN MIB(2)

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);
NORETURN void boot_enter(hpa_t cr3, uint64_t entry, hpa_t info, hpa_t stack_top);

struct boot {
	struct boot_info *info;
	struct elf_layout layout;
	struct page_tables tables;
	hpa_t stack_top;
};

static EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;

static int make_boot_info(struct boot *b, struct failure *f)
{
	uint64_t pages = align_up(sizeof(struct boot_info), PAGE_SIZE) >> PAGE_SHIFT;
	hpa_t at = efi_alloc_pages(pages, 1, "boot_info", f);

	if (!at)
		return -ENOMEM;
	map_own(at, sizeof(struct boot_info), BOOT_RANGE_BOOT);
	b->info = (struct boot_info *)at;
	b->info->magic = BOOT_INFO_MAGIC;
	b->info->size = sizeof(struct boot_info);
	return 0;
}

static int override_from_options(struct config *config, struct failure *f)
{
	EFI_LOADED_IMAGE *image;
	char text[OPTIONS_MAX], *rest = text, *word;

	if (EFI_ERROR(efi_boot->HandleProtocol(efi_image, &loaded_image_guid, (void **)&image)) || !image->LoadOptions)
		return 0;
	if (!options_to_text(image->LoadOptions, image->LoadOptionsSize, text)) {
		say("the load options are data of the firmware, not text: not used");
		return 0;
	}
	while ((word = options_next(&rest))) {
		int err;

		say("option %s", word);
		err = config_override(config, word, f);
		if (err)
			return err;
	}
	return 0;
}

static int read_config(struct config *config, struct failure *f)
{
	struct boot_file file = { .path = "gnomon.conf" };
	int err = file_read(&file, f);

	if (err)
		return err;
	if (file.size > CONFIG_FILE_MAX)
		return fail(f, -E2BIG, "gnomon.conf has more than %lu KiB; it is not the right file", CONFIG_FILE_MAX >> 10);
	config_defaults(config);
	err = config_parse(config, (const char *)file.base, file.size, f);
	efi_boot->FreePages(file.base, align_up(file.size, PAGE_SIZE) >> PAGE_SHIFT);
	if (!err)
		err = override_from_options(config, f);
	if (!err)
		err = config_check(config, f);
	if (!err)
		console_init(&config->serial);
	return err;
}

static int load_hypervisor(struct boot *b, struct failure *f)
{
	struct boot_info *info = b->info;
	struct failure why;
	int err;

	strcpy(info->elf.path, "/gnomon/gnomon.elf");
	err = file_read(&info->elf, f);
	if (err)
		return err;
	map_own(info->elf.base, info->elf.size, BOOT_RANGE_FILE);
	err = elf_check((const void *)info->elf.base, info->elf.size, &b->layout, &why);
	if (err)
		return fail(f, err, "%s cannot be used: %s", info->elf.path, why.text);
	info->image_size = align_up(b->layout.size, IMAGE_ALIGN);
	info->image_base = efi_alloc_pages(info->image_size >> PAGE_SHIFT, IMAGE_ALIGN >> PAGE_SHIFT, "the hypervisor", f);
	if (!info->image_base)
		return -ENOMEM;
	map_own(info->image_base, info->image_size, BOOT_RANGE_IMAGE);
	elf_place((const void *)info->elf.base, &b->layout, (void *)info->image_base);
	return 0;
}

static bool already_loaded(const struct boot_info *info, const char *path)
{
	for (uint32_t i = 0; i < info->file_count; i++)
		if (strcmp(info->files[i].path, path) == 0)
			return true;
	return false;
}

/* A file that cannot be had stops its VM, which the hypervisor refuses by name, and nothing else. */
static void load_guest_file(struct boot_info *info, const struct vm_config *vm, const char *path)
{
	struct boot_file *file = &info->files[info->file_count];
	struct failure f;

	if (!path[0] || already_loaded(info, path))
		return;
	strcpy(file->path, path);
	if (file_read(file, &f)) {
		say("gnomon.conf:%u: vm %s: %s", vm->line, vm->name, f.text);
		memset(file, 0, sizeof(*file));
		return;
	}
	map_own(file->base, file->size, BOOT_RANGE_FILE);
	info->file_count++;
}

static void load_guest_files(struct boot_info *info)
{
	for (uint32_t i = 0; i < info->config.vm_count; i++) {
		load_guest_file(info, &info->config.vms[i], info->config.vms[i].kernel);
		load_guest_file(info, &info->config.vms[i], info->config.vms[i].initrd);
	}
}

static void look_at_host(struct boot_info *info)
{
	static const char *const sources[] = { "MP services", "ACPI", "this one itself" };

	say("asking the firmware for CPUs, ACPI and framebuffer");
	host_find_tables(info);
	host_find_framebuffer(info);
	host_list_cpus(info);
	say("%u CPU%s (by %s), ACPI %s, framebuffer %s", info->cpu_count, info->cpu_count == 1 ? "" : "s",
	    sources[info->cpu_source], info->rsdp ? "yes" : "no", info->framebuffer.base ? "yes" : "no");
}

static int prepare_memory(struct boot *b, struct failure *f)
{
	struct page_tables *t = &b->tables;
	hpa_t top, stack;
	int err = map_read(b->info, f);

	if (err)
		return err;
	top = max_u64(align_up(ranges_top(b->info), MIB(2)), GIB(4));
	say("building page tables for %lu MiB of memory", ranges_total(b->info, BOOT_RANGE_RAM) >> 20);
	t->count = paging_pages(top);
	t->five_levels = read_cr4() & CR4_LA57;
	t->pages = efi_alloc_pages(t->count, 1, "page tables", f);
	stack = t->pages ? efi_alloc_pages(STACK_PAGES, 1, "a stack", f) : 0;
	if (!stack)
		return -ENOMEM;
	map_own(t->pages, t->count * PAGE_SIZE, BOOT_RANGE_BOOT);
	map_own(stack, STACK_PAGES * PAGE_SIZE, BOOT_RANGE_BOOT);
	b->stack_top = stack + STACK_PAGES * PAGE_SIZE;
	paging_build(t, top, b->info->image_base, b->info->image_size);
	return 0;
}

static int prepare(struct boot *b, struct failure *f)
{
	int err = make_boot_info(b, f);

	if (!err)
		err = file_open_stick(f);
	if (!err)
		err = read_config(&b->info->config, f);
	if (!err)
		err = load_hypervisor(b, f);
	if (err)
		return err;
	load_guest_files(b->info);
	look_at_host(b->info);
	return prepare_memory(b, f);
}

/* Back to the firmware's menu, or GRUB's, once someone has read why. */
static EFI_STATUS give_up(const struct failure *f)
{
	say("%s", f->text);
	say("Gnomon cannot start. Press a key to go back to the boot menu.");
	console_wait_key();
	return EFI_LOAD_ERROR;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	uint64_t tsc = rdtsc();
	struct boot b = { 0 };
	struct failure f;

	efi_image = image;
	efi_system = system;
	efi_boot = system->BootServices;
	/* The firmware restarts the machine after five minutes unless told not to: a slow stick may need longer. */
	efi_boot->SetWatchdogTimer(0, 0, 0, NULL);
	console_init(&(struct serial_config){ .kind = SERIAL_AUTO });
	say("Gnomon is being loaded");
	if (prepare(&b, &f))
		return give_up(&f);
	b.info->tsc_at_entry = tsc;

	say("leaving the firmware's boot services");
	if (map_exit_boot_services(b.info, &f)) {
		/* The console may be gone already: the UART is told too. */
		console_leave_firmware();
		say("%s; switch the machine off and on", f.text);
		for (;;)
			__asm__ volatile("cli; hlt");
	}
	console_leave_firmware();
	say("entering the hypervisor at %lx", b.layout.entry);
	boot_enter(b.tables.root, b.layout.entry, (hpa_t)b.info, b.stack_top);
}
