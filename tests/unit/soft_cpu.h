/*
 * Processors for tests of the software TDX module: capabilities as generations of Intel CPUs have them, and
 * what their CPUID says.
 */
#ifndef SOFT_CPU_FAKE_H
#define SOFT_CPU_FAKE_H

#include "tdx/soft/cpu.h"

enum soft_cpu_kind {
	SOFT_CPU_FULL,  /* virtual-interrupt delivery, #VE by the CPU, TSC scaling, XSAVES */
	SOFT_CPU_PLAIN, /* none of these */
	SOFT_CPU_OLD,   /* no unrestricted guest: cannot run TDs */
};

struct soft_cpu soft_cpu_fake(enum soft_cpu_kind kind);

#endif
