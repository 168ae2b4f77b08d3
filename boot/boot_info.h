/*
 * All that boot/ hands to the hypervisor, in one page-aligned block of physical memory.
 * The hypervisor is entered in 64-bit mode, interrupts off, with rdi = physical address of this
 * block, on page tables of boot's making: low 4 GiB and all RAM identity-mapped, all RAM at
 * PHYS_MAP_BASE, the image at its linked address. It copies what it keeps and builds its own.
 */
#ifndef BOOT_BOOT_INFO_H
#define BOOT_BOOT_INFO_H

#include "hv/base/config.h"
#include "hv/base/types.h"

/* Magic and size of struct boot_info stand, as two 64-bit numbers, right before the image's entry point too:
 * gnomon.efi refuses an image that was built to be handed something else. */
#define BOOT_INFO_MAGIC 0x4e4f4d4f4e47aa01ul
#define BOOT_MAX_RANGES 256
#define BOOT_MAX_CPUS 256
#define BOOT_MAX_FILES (2 * CONFIG_MAX_VMS + 2)

enum boot_range_kind {
	BOOT_RANGE_RAM,          /* free for the hypervisor once boot_info is copied */
	BOOT_RANGE_BOOT,         /* RAM holding boot_info, boot's page tables and stack: free after the copy */
	BOOT_RANGE_FILE,         /* RAM holding loaded files */
	BOOT_RANGE_IMAGE,        /* RAM holding the hypervisor's image */
	BOOT_RANGE_ACPI_RECLAIM, /* ACPI tables */
	BOOT_RANGE_ACPI_NVS,
	BOOT_RANGE_EFI_RUNTIME,  /* code and data ResetSystem needs */
	BOOT_RANGE_RESERVED,     /* anything else the map names, device memory included */
};

struct boot_range {
	hpa_t base; /* page aligned */
	uint64_t size;
	enum boot_range_kind kind;
};

struct boot_file {
	char path[CONFIG_PATH_MAX]; /* as written in gnomon.conf */
	hpa_t base;                 /* page aligned */
	uint64_t size;
};

enum boot_cpu_source { BOOT_CPUS_MP_SERVICES, BOOT_CPUS_MADT, BOOT_CPUS_SELF };

struct boot_cpu {
	uint32_t apic_id;
};

enum boot_pixel { BOOT_PIXEL_NONE, BOOT_PIXEL_RGBX, BOOT_PIXEL_BGRX };

struct boot_framebuffer {
	hpa_t base;       /* 0: no framebuffer */
	uint64_t size;
	uint32_t width, height; /* pixels */
	uint32_t stride;  /* pixels per line */
	enum boot_pixel format;
};

struct boot_info {
	uint64_t magic;
	uint64_t size; /* sizeof(struct boot_info) */

	hpa_t image_base; /* physical base of the image, 2 MiB aligned, contiguous */
	uint64_t image_size;
	struct boot_file elf; /* the hypervisor's ELF file itself: its symbol table serves backtraces */

	hpa_t rsdp; /* 0: firmware gave none */
	hpa_t efi_system_table;
	uint64_t efi_runtime_reset; /* physical (identity) address of ResetSystem */
	struct boot_framebuffer framebuffer;

	uint32_t range_count; /* sorted by base, not overlapping */
	struct boot_range ranges[BOOT_MAX_RANGES];

	enum boot_cpu_source cpu_source;
	uint32_t cpu_count; /* entry 0 is the CPU that runs */
	struct boot_cpu cpus[BOOT_MAX_CPUS];

	uint64_t tsc_at_entry; /* TSC when gnomon.efi started, for the start-up time in the log */
	uint32_t file_count;
	struct boot_file files[BOOT_MAX_FILES]; /* each distinct path once */
	struct config config;
};

#endif
