/*
 * What start.S and main.c share: page tables, exception stubs, the ways in and out. SHIM_WINDOW is where the
 * staging area is mapped shared, up to 1 GiB of it by 2M pages.
 */
#ifndef TDX_SHIM_MACHINE_H
#define TDX_SHIM_MACHINE_H

#define SHIM_WINDOW 0x100000000
#define SHIM_WINDOW_FLAGS 0x83 /* present, writable, 2M */
#define SHIM_VECTORS 32
#define SHIM_STUB_SIZE 16
#define SHIM_STACK_SIZE 0x4000

#ifndef __ASSEMBLER__

#include "hv/base/types.h"
#include "hv/guest/loader.h"

extern uint64_t shim_window[512];          /* the page directory of the window */
extern uint64_t shim_idt[2 * SHIM_VECTORS];
extern const uint8_t shim_trap_stubs[];    /* SHIM_STUB_SIZE bytes each */
extern uint32_t shim_others_go;            /* secondary vCPUs leave start.S for the wait loop */

/* The first vCPU, with a stack, interrupts off. Does not return. */
void shim_main(void);
/* An exception: stack is what the CPU pushed. Does not return. */
void shim_trap(uint64_t vector, const uint64_t *stack);
/* Leaves for the kernel. */
NORETURN void shim_enter(const struct guest_entry *entry);

#endif
#endif
