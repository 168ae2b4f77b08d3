/*
 * Lazy acceptance: which 2M units of the RAM are left for the kernel to accept, in a bitmap that it reads
 * (tdx/shim/efi.h), and acceptance of what the shim itself touches. The bitmap lies in the guest's memory.
 */
#ifndef TDX_SHIM_LAZY_H
#define TDX_SHIM_LAZY_H

#include "hv/base/failure.h"
#include "hv/guest/guest.h"
#include "hv/guest/guest_mem.h"
#include "tdx/shim/accept.h"

#define LAZY_UNIT MIB(2)

/* Behind the ACPI tables, where e820 says the same: the EFI tables, then the table of unaccepted memory. */
#define LAZY_EFI (GUEST_ACPI_BASE + 0x4000)
#define LAZY_TABLE (GUEST_ACPI_BASE + 0x5000)
#define LAZY_TABLE_END (GUEST_ACPI_BASE + GUEST_ACPI_SIZE)

/* The EFI table d5d1de3c-105c-44f9-9ea9-bcef98120031, as Linux has it in include/linux/efi.h. */
struct lazy_table {
	uint32_t version;
	uint32_t unit;      /* bytes of memory for each bit */
	uint64_t base;      /* address of the first bit's unit */
	uint64_t size;      /* bytes of the bitmap */
	uint8_t bitmap[];   /* 1: not accepted */
};

struct lazy {
	struct lazy_table *table; /* NULL: all memory was accepted */
	struct guest_mem ram;     /* the RAM as it was given, accepted or not */
	struct accept_counts *counts;
	struct failure failure;   /* why a pointer was refused */
};

/*
 * Begins with all units unaccepted from LAZY_UNIT up to low_end and above 4 GiB, and changes m so that what it
 * gives a pointer to is accepted. -ENOMEM: the table's place is no RAM; -E2BIG: more memory than it has bits for.
 */
MUST_CHECK int lazy_start(struct lazy *l, struct guest_mem *m, struct accept_counts *counts, gpa_t low_end,
			  struct failure *f);

/* Accepts the units of [start, end) that are not accepted. -EIO. */
MUST_CHECK int lazy_need(struct lazy *l, gpa_t start, gpa_t end, struct failure *f);

#endif
