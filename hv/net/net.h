/*
 * The host's own network: brings up the card, its addresses and the services, and does the network's share
 * of the monitor's loop. All of it runs in the monitor's context on the boot CPU, without locks; a card's
 * interrupt only wakes the monitor. docs/network.md has the whole.
 */
#ifndef HV_NET_NET_H
#define HV_NET_NET_H

#include "hv/base/config.h"
#include "hv/base/ip_address.h"
#include "hv/base/types.h"

/* Brings up what the configuration asks for; says in the log what it found. Once, monitor's context,
 * before the guests start. Never waits for a link or an answer. */
void net_start(const struct config *c);

/*
 * Takes what the card received, runs lwIP's timers, then the services' functions. Returns the host TSC at
 * which it wants to run again if nobody wakes the monitor before; NEVER without network.
 */
uint64_t net_poll(void);

/* What it took of the boot CPU, in host TSC ticks. Monitor's context. */
struct net_work {
	uint64_t turns;    /* of net_poll */
	uint64_t ticks;    /* in them, all told */
	uint64_t services; /* of those, in the services' functions */
};
extern struct net_work net_work;

/* Link and an address: what a service needs before it sends. */
bool net_up(void);

/* Bytes of lwIP's pools and heap, which are part of the image whether there is a network or not. */
uint64_t net_pool_bytes(void);

/* The next station towards an address, for a frame that is built without lwIP (a panic's). */
struct net_hop {
	uint8_t source_mac[6], mac[6];
	struct ip_address source;
};
/*
 * 0 with *hop filled in; -ENETDOWN without network, -EHOSTUNREACH without route; -EAGAIN when the station's
 * MAC address is not known yet: it has been asked for, ask again after a second.
 */
int net_next_hop(const struct ip_address *to, struct net_hop *hop);

#endif
