/*
 * Where code came from: the words on a stack that can be return addresses, and names for them.
 * No lock, no allocation: from any context.
 */
#ifndef HV_BASE_BACKTRACE_H
#define HV_BASE_BACKTRACE_H

#include "hv/base/types.h"

/*
 * The code keeps no frame pointers, which would cost on the exit path: instead every word above rsp
 * that can be a return address is taken, as far as the stack is mapped, at most max of them. Stale ones
 * come too. Returns how many.
 */
unsigned backtrace_collect(uint64_t rsp, uint64_t *found, unsigned max);

/* Writes "ADDRESS FUNCTION+OFFSETh", or the address alone, into out, and returns it. */
#define BACKTRACE_NAME 96
const char *backtrace_name(uint64_t address, char *out, size_t size);
/* The same for an address to return to: behind a call that never returns another function may begin. */
const char *backtrace_return_name(uint64_t address, char *out, size_t size);

#endif
