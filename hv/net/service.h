/*
 * A service of the network, as bring-up knows it: each has a row in hv/net/net_services.c. All of it runs in the
 * monitor's context; no locks.
 */
#ifndef HV_NET_SERVICE_H
#define HV_NET_SERVICE_H

#include "hv/base/config.h"
#include "hv/base/types.h"

struct net_service {
	const char *name;
	/* Once, when the link has got its first address: opens what gnomon.conf asks for, and says so or why not. */
	void (*start)(const struct config *c);
	/* May be NULL. In every turn of the monitor from then on: does what is due by now, a host TSC, and returns the
	 * TSC at which it wants the next turn at the latest. NEVER: when something wakes the monitor. */
	uint64_t (*poll)(uint64_t now);
};

#endif
