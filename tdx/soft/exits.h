/*
 * What the exits of a TD's vCPU mean: one table by exit reason. TDX Module 1.5 base specification, "TD Non-Root
 * Mode Execution Environment".
 */
#ifndef TDX_SOFT_EXITS_H
#define TDX_SOFT_EXITS_H

#include "tdx/soft/run.h"

/* The exit that the VMCS holds. Whether the guest goes on. */
bool exits_handle(struct run *r);

#endif
