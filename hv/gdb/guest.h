/* A debugged guest (hv/debug.h) as gdb's protocol sees a target: struct debug is the ctx. */
#ifndef HV_GDB_GUEST_H
#define HV_GDB_GUEST_H

#include "hv/debug.h"
#include "hv/gdb/protocol.h"

extern const struct gdb_target gdb_guest;

#endif
