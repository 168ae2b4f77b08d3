/*
 * The host's addresses: static, by DHCP, by IPv6 router advertisements; and what lwIP calls an address.
 * Monitor's context. Functions marked "guarded" call lwIP and belong inside lwip_guard().
 */
#ifndef HV_NET_ADDRESS_H
#define HV_NET_ADDRESS_H

#include "hv/base/config.h"
#include "hv/base/ip_address.h"
#include "hv/base/types.h"

struct ip_addr; /* lwIP's ip_addr_t */

struct ip_address address_from_lwip(const struct ip_addr *a);
void address_to_lwip(struct ip_addr *to, const struct ip_address *a);

/* Guarded. After ether_start: sets the static address or starts DHCP. */
void address_start(const struct net_config *c);
/* Says in the log which addresses have come or gone since the last call. */
void address_report(void);
/* Whether the host has an address that others can answer to: link-local ones do not count. */
bool address_any(void);

#define ADDRESS_MAX 4 /* one of IPv4, three of IPv6, as many as lwIP keeps */
struct address_shown {
	struct ip_address address;
	uint32_t prefix;
	const char *origin; /* "static", "DHCP", "SLAAC", "link-local" */
};
/* The addresses in use; returns how many. */
unsigned address_list(struct address_shown list[ADDRESS_MAX]);
/* The IPv4 router, IP_NONE without. */
struct ip_address address_gateway(void);

/* How far apart lwIP's timers need to be looked at just now, ms: the more is going on the finer. */
uint32_t address_timer_grain(void);

#endif
