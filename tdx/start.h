/*
 * Which TDX module the TDs of this machine get, and what the operator is told of it. The start-up step itself is
 * tdx_start() in hv/vm.h.
 */
#ifndef TDX_START_H
#define TDX_START_H

#include "hv/monitor/line.h"
#include "tdx/discover.h"
#include "tdx/module.h"

/* What the machine was found to offer. */
const struct tdx_facts *tdx_facts(void);
const char *tdx_why_no_hardware(void); /* "" when it has it */

/* The machine's and the module's properties in a few lines, for `caps` and `tdx`. Any CPU. */
void tdx_describe(struct monitor_out *out);

#endif
