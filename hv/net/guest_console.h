/*
 * Guests' consoles over TCP, beside the serial line: a port is opened by command alone, for one peer and one
 * connection. What a client does not take in time is dropped and counted; the guest never waits for it.
 * Monitor's context; no locks but the console's, for short.
 */
#ifndef HV_NET_GUEST_CONSOLE_H
#define HV_NET_GUEST_CONSOLE_H

#include "hv/monitor/line.h"
#include "hv/net/service.h"

#define GUEST_CONSOLE_RING KIB(64) /* output of a guest that a client has not taken yet */
#define GUEST_CONSOLE_GATHER_MS 10 /* output is sent when it has waited so long: a segment for many characters */

extern const struct net_service guest_console_service;
extern const struct monitor_command commands_console[]; /* console */

#endif
