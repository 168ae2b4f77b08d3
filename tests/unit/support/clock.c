/* Host time in tests: a TSC of 1 GHz, one tick per nanosecond. */
#include "hv/base/clock.h"

uint64_t tsc_khz = 1000000;

uint64_t tsc_to_ns(uint64_t ticks) { return mul_div(ticks, 1000000, tsc_khz); }
uint64_t ns_to_tsc(uint64_t ns) { return mul_div(ns, tsc_khz, 1000000); }
