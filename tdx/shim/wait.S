/*
 * The wait loop of a TD's secondary vCPUs: hv/guest/wakeup_loop.S, where HLT would be a #VE.
 */
#include "tdx/shim/asm.h"

#define REST TD_REST
#include "hv/guest/wakeup_loop.S"
