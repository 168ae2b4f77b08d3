/*
 * The hypervisor's ELF file: checked, then laid out in memory. Pure.
 */
#ifndef BOOT_LOAD_ELF_H
#define BOOT_LOAD_ELF_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

struct elf_layout {
	uint64_t size;  /* bytes of memory the image takes from HV_IMAGE_BASE on, whole pages */
	uint64_t entry; /* linear address */
};

/* Judges the file: 0, or -ENOEXEC with a sentence. Any bytes are safe. */
int elf_check(const void *file, uint64_t len, struct elf_layout *layout, struct failure *f);

/* Copies the segments of a checked file to memory (layout.size bytes) and clears what they leave. */
void elf_place(const void *file, const struct elf_layout *layout, void *memory);

#endif
