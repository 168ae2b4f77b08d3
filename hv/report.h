/*
 * What a guest looked like when it stopped: registers, code bytes, page walks, in the log.
 */
#ifndef HV_REPORT_H
#define HV_REPORT_H

#include "hv/vm.h"

/* v caused its VM's stop. On v's own CPU, VMCS loaded. */
void report_stopped_vcpu(struct vcpu *v);

/* For a panic: the last exits of the vCPUs that run on this CPU, and every guest's state. No lock. */
void report_last_exits(void);

#endif
