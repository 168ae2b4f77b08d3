/*
 * Where a host CPU is, in words: for the roll call, the watch, and a panic.
 */
#ifndef HV_WHERE_H
#define HV_WHERE_H

#include "hv/base/percpu.h"

/* One line for what c runs and where it was when its latest NMI came, then one for each address on its stack
 * that can be a caller's. noted: that NMI is the one meant; else it answers none. No lock; any context. */
void where_tell(const struct cpu *c, bool noted, void (*say)(const char *text));

/* For a panic: all CPUs but the one that panics, as they were stopped. */
void where_report_others(void);

#endif
