/*
 * The operator's console: a context of its own on the boot CPU, with a guaranteed share of it.
 * Starts the guests, reads commands, announces guests that stopped, and does what when_done says.
 */
#ifndef HV_MONITOR_MONITOR_H
#define HV_MONITOR_MONITOR_H

#include "hv/monitor/line.h"
#include "hv/vm.h"

/* Creates the context; start-up, boot CPU. */
void monitor_init(void);
/* Every table of commands, for a line that an operator types on. */
void monitor_add_commands(struct monitor_line *line);
/* Something happened that the monitor should see: input, a guest that stopped. Any CPU, any lock. */
void monitor_wake(void);
/* Shows the prompt: the operator has turned to the monitor. Monitor's context. */
void monitor_show(void);

#endif
