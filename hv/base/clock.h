/*
 * Host time: the TSC, its frequency found once at start (CPUID 15h, PIT, PM timer: the first that
 * answers in bounded time, cross-checked), and conversions. Interrupt-free, any CPU.
 */
#ifndef HV_BASE_CLOCK_H
#define HV_BASE_CLOCK_H

#include "hv/base/types.h"

extern uint64_t tsc_khz; /* host TSC ticks per millisecond; set before any guest exists */

uint64_t tsc_to_ns(uint64_t ticks);
uint64_t ns_to_tsc(uint64_t ns);

#endif
