/*
 * Names for addresses: the symbol table of the hypervisor's own ELF file, kept in memory as loaded.
 * The file is input: whatever it holds, no access leaves it.
 */
#ifndef HV_BASE_SYMBOLS_H
#define HV_BASE_SYMBOLS_H

#include "hv/base/types.h"

struct boot_info; /* boot/boot_info.h */
struct failure;   /* hv/base/failure.h */

/* elf stays where it is, size bytes, for good. -EINVAL with a sentence when it has no usable table. */
int symbols_read(const void *elf, size_t size, struct failure *f);
/* The same as a step of start-up, from the file boot left in memory; warns when it is of no use. */
void symbols_init(const struct boot_info *bi);
/* The function that holds address: its name and how far into it. NULL when there is none. No lock. */
const char *symbols_find(uint64_t address, uint64_t *offset);

#endif
