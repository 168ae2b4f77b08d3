/*
 * gdb at guests over the network: a port for one guest, for one peer, one connection at a time. Opened and
 * closed by the monitor's command `gdb`. All in the monitor's context; a vCPU that stops wakes it.
 */
#ifndef HV_GDB_SERVER_H
#define HV_GDB_SERVER_H

#include "hv/vm.h"

/* What has happened since: vCPUs have stopped, or let go. Called whenever the monitor's context wakes. */
void gdb_poll(void);
/* The guest's vCPUs have come to rest for good; before it may be started again. */
void gdb_guest_stopped(struct vm *vm);

#endif
