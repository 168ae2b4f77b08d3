/*
 * Secondary vCPUs that start in 64-bit mode: the ACPI multiprocessor wakeup mailbox, the wait loop in
 * which they sit until a command comes, and what that loop needs (GDT, IDT, stacks, identity map).
 * All of it lies in guest memory that the e820 map calls ACPI NVS.
 * ACPI Specification 6.6, "Multiprocessor Wakeup Structure".
 */
#ifndef HV_GUEST_WAKEUP_H
#define HV_GUEST_WAKEUP_H

/* The area, by pages. */
#define WAKEUP_BASE 0xd0000
#define WAKEUP_MAILBOX WAKEUP_BASE
#define WAKEUP_CODE (WAKEUP_BASE + 0x1000)
#define WAKEUP_STACKS (WAKEUP_BASE + 0x2000) /* one for each vCPU */
#define WAKEUP_TABLES (WAKEUP_BASE + 0x3000) /* six: the first 4 GiB */
#define WAKEUP_END (WAKEUP_BASE + 0x9000)

#define WAKEUP_STACK_SIZE 64 /* bytes: the frame of one NMI */

/* The mailbox, and the commands that it takes. */
#define MAILBOX_COMMAND 0 /* 16 bits; the wait loop stores 0 when it has taken the command */
#define MAILBOX_APIC_ID 4 /* 32 bits: whom the command is for */
#define MAILBOX_VECTOR 8  /* 64 bits: where to go, mapped one to one */
#define MAILBOX_NOOP 0
#define MAILBOX_WAKEUP 1
#define MAILBOX_TEST 2 /* answered by taking it: the CPU is here */

#define WAKEUP_CS 0x10 /* of the GDT in the area */
#define WAKEUP_DS 0x18

#ifndef __ASSEMBLER__

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "hv/guest/guest_mem.h"
#include "hv/guest/loader.h"

/* Writes the area. -ENOMEM with a sentence when the guest has no RAM there. */
MUST_CHECK int wakeup_build(const struct guest_mem *m, struct failure *f);

/* How vCPU `index` starts: in the wait loop. */
struct guest_entry wakeup_entry(unsigned index);

/* Whether rip lies in the wait loop, whose HLT means: look again in a while. */
static inline bool wakeup_in_loop(uint64_t rip) { return rip >= WAKEUP_CODE && rip < WAKEUP_STACKS; }

#endif
#endif
