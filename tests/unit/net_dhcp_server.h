/*
 * A DHCP server (RFC 2131) for the station on the wire, which can also misbehave.
 */
#ifndef TESTS_UNIT_NET_DHCP_SERVER_H
#define TESTS_UNIT_NET_DHCP_SERVER_H

#include "hv/base/types.h"

struct dhcp_server {
	unsigned discovers, requests, declines;
	bool mute, refuse, taken; /* taken: somebody else answers ARP for the address */
	uint32_t lease;           /* seconds */
	uint32_t address;
};

extern struct dhcp_server dhcp_server;

/* For station_other: answers what is meant for it. */
void dhcp_server_take(const uint8_t *frame, size_t len);

#endif
