/*
 * TLB tracking: when can no vCPU know a translation any more that was blocked? A vCPU counts itself into
 * the epoch that it entered in, and begins without translations when that is another one than last time
 * (vp_enter.c). TRACK begins a new epoch, but not while anybody is left in the one before the current.
 * TDX Module 1.5 base specification, "TLB Tracking Sequence"; tests/model/epoch.pml proves it.
 */
#ifndef TDX_SOFT_TRACK_H
#define TDX_SOFT_TRACK_H

#include "tdx/soft/td.h"

/* Whether no vCPU knows a translation that was blocked in the epoch bepoch. Once true it stays true. */
bool track_is_done(const struct soft_tdcs *tdcs, uint64_t bepoch);

#endif
