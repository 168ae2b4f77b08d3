/*
 * The monitor's command tables, one per file of commands.
 */
#ifndef HV_MONITOR_COMMANDS_H
#define HV_MONITOR_COMMANDS_H

#include "hv/monitor/line.h"

extern const struct monitor_command commands_vm[];    /* vm, regs */
extern const struct monitor_command commands_exits[]; /* exits */
extern const struct monitor_command commands_gdb[];   /* gdb; in hv/gdb/server.c */
extern const struct monitor_command commands_trace[]; /* trace; in hv/trace.c */
extern const struct monitor_command commands_host[];  /* cpu, caps, mem, log, reboot, poweroff */
extern const struct monitor_command commands_mmu[];   /* mmu, audit */
extern const struct monitor_command commands_pci[];   /* pci */
extern const struct monitor_command commands_net[];   /* net; in hv/net/commands.c */
extern const struct monitor_command commands_tdx[];   /* tdx; in tdx/describe.c */

struct vm;
/* The guest of that name, or NULL after saying so. With no name and one guest only, that one. */
struct vm *command_vm(struct monitor_out *out, int argc, char **argv, int arg);
/* Whether the command comes from the operator's serial line or from a session that has authenticated; false
 * after saying that only these may. For commands that open a port. */
bool command_trusted(struct monitor_out *out);
/* A decimal or 0x number; false after saying what is wrong. */
bool command_number(struct monitor_out *out, const char *text, uint64_t *value);

#endif
