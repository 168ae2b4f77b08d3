/*
 * The registers that gdb sees: their numbers, the description of the target that tells gdb so, and where
 * each is among a stopped vCPU's. Pure.
 */
#ifndef HV_GDB_REGISTERS_H
#define HV_GDB_REGISTERS_H

#include "hv/debug.h"

#define GDB_REGISTER_BYTES 16 /* of the largest */

unsigned gdb_register_count(void);
/* Size in bytes of register n < gdb_register_count(). */
unsigned gdb_register_size(unsigned n);
void gdb_register_get(const struct debug_regs *r, unsigned n, void *bytes);
/*
 * False: the value is another one, and this register is not for the debugger to change (control registers,
 * selectors), or cannot have it (RIP not canonical, reserved flags).
 */
bool gdb_register_set(struct debug_regs *r, unsigned n, const void *bytes);

/* target.xml: GDB manual, "Target Description Format". *size without a NUL. */
const char *gdb_target_xml(size_t *size);

#endif
