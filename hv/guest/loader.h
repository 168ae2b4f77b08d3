/*
 * Starting a guest: recognises the kernel file (bzImage, PVH ELF, Multiboot 1), lays it out in the
 * guest's memory together with initrd, command line and what its boot protocol wants, and says in
 * which state the first vCPU begins.
 */
#ifndef HV_GUEST_LOADER_H
#define HV_GUEST_LOADER_H

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "hv/guest/guest.h"
#include "hv/guest/guest_mem.h"

struct guest_file {
	const char *name; /* for messages: its path in gnomon.conf */
	const void *data;
	uint64_t size; /* bytes; 0: there is no such file */
};

struct guest_image {
	struct guest_file kernel;
	struct guest_file initrd;
	const char *cmdline;
	gpa_t rsdp; /* where acpi_build put it */
	enum guest_platform platform; /* with a wakeup mailbox: that is built by then */
};

enum guest_entry_mode {
	ENTRY_PROTECTED, /* 32-bit protected mode, paging off */
	ENTRY_LONG,      /* 64-bit mode on identity page tables for the first 4 GiB */
};

/*
 * Interrupts are off (RFLAGS = 2); general registers not named here are 0. The GDT lies in guest
 * memory: cs is flat code of the mode's width, ds is for every data segment register (base 0, limit
 * ffffffffh, types Bh and 3h, for a caller that sets hidden parts itself).
 */
struct guest_entry {
	const char *protocol; /* for the log: "Linux 64-bit", ... */
	enum guest_entry_mode mode;
	uint64_t rip, rsp;
	uint64_t rax, rbx, rsi;
	uint64_t cr3; /* ENTRY_LONG only, else 0 */
	/* From bzimage_load: where the initrd lies (0: there is none), and what memory the kernel begins in. */
	gpa_t initrd;
	gpa_t kernel, kernel_end;
	gpa_t gdt_base;
	uint16_t gdt_limit;
	uint16_t cs, ds;
};

/*
 * Writes the guest's first memory contents and fills entry. ELF bss and every structure built here
 * are cleared; the rest of RAM must be as the caller wants it. Negative errno with a sentence when
 * the kernel cannot be started (-ENOEXEC: file, -ENOMEM: does not fit, -E2BIG: command line);
 * memory may then be partly written.
 */
MUST_CHECK int guest_load(const struct guest_mem *m, const struct guest_image *img, struct guest_entry *entry,
			  struct failure *f);

#endif
