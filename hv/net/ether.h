/*
 * The card as lwIP's one network interface: frames both ways, link, multicast groups.
 * Monitor's context. Functions marked "guarded" call lwIP and belong inside lwip_guard().
 */
#ifndef HV_NET_ETHER_H
#define HV_NET_ETHER_H

#include "hv/base/config.h"
#include "hv/base/types.h"

struct nic;   /* drivers/nic.h */
struct netif; /* lwIP */

/* Frames taken from the card at a time, and how long it then waits for the next turn: what a flood may take of the
 * monitor's time. */
#define ETHER_BURST 64
#define ETHER_PAUSE_US 2000

struct ether_counters {
	uint64_t dropped_family;  /* received: of an IP version that is off */
	uint64_t dropped_memory;  /* received: lwIP's pool was empty */
	uint64_t dropped_send;    /* to be sent: the card would not take it */
	uint64_t pauses;          /* bursts that were used up */
	/* Host TSC ticks, guests' not among them: for frames from the card through lwIP, less what lwIP sent
	 * meanwhile, and for frames to the card. */
	uint64_t receive_ticks, send_ticks;
};
extern struct ether_counters ether_counters;

/* Guarded. Makes the interface of the card; IP versions that the configuration leaves off stay shut. */
void ether_start(struct nic *nic, const struct net_config *c);
/* Guarded. Takes up to ETHER_BURST frames and hands them to lwIP; true when there may be more. */
bool ether_receive(void);
/* Guarded. Tells lwIP when the card's link has changed. */
void ether_follow_link(void);

/* NULL before ether_start. */
struct netif *ether_netif(void);
struct nic *ether_nic(void);

#endif
