/*
 * The part of hv/debug.c that is about memory: linear addresses and software breakpoints.
 */
#ifndef HV_DEBUG_MEM_H
#define HV_DEBUG_MEM_H

#include "hv/debug.h"

/* Puts back what the guest had where the breakpoints are. All are held. */
void debug_remove_all_soft(struct debug *d);

#endif
