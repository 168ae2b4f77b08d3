/*
 * ELF executables for x86, 32 and 64 bits wide, read with every bound checked. Private to hv/guest.
 */
#ifndef HV_GUEST_ELF_H
#define HV_GUEST_ELF_H

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "hv/guest/guest_mem.h"
#include "hv/guest/loader.h"
#include "hv/guest/loader_parts.h"

#define ELF_PT_LOAD 1
#define ELF_PT_NOTE 4
#define ELF_MAX_SEGMENTS 64

struct elf {
	const struct guest_file *file;
	bool is64;
	uint64_t entry;
	uint64_t phoff;
	unsigned phnum, phentsize;
};

struct elf_segment {
	uint32_t type;
	uint64_t offset, paddr, filesz, memsz, align;
};

bool elf_is(const struct guest_file *k); /* the magic alone */

/* Checks the headers and that every segment lies within the file. -ENOEXEC with a sentence. */
int elf_open(const struct guest_file *k, struct elf *e, struct failure *f);

/* Segment i below phnum. */
struct elf_segment elf_segment(const struct elf *e, unsigned i);

/* Copies all PT_LOAD segments to their physical addresses, after checking all of them. kernel gets
 * the span from the lowest to the highest byte. Negative errno with a sentence. */
int elf_load(const struct guest_mem *m, const struct elf *e, struct span *kernel, struct failure *f);

/* Whether gpa lies in a loaded segment. */
bool elf_covers(const struct elf *e, gpa_t gpa);

#endif
