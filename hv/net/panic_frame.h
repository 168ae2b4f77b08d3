/*
 * What a panic sends: a syslog message (RFC 5424) for each line of its report, in a UDP datagram in an Ethernet
 * frame that is built without the network's stack. Pure; nothing that a panic could not do.
 */
#ifndef HV_NET_PANIC_FRAME_H
#define HV_NET_PANIC_FRAME_H

#include "hv/net/net.h"

#define PANIC_FRAME_MAX 640
#define PANIC_HOST_MAX IP_ADDRESS_TEXT

/* Everything that does not change from frame to frame, found while the network is well. */
struct panic_route {
	struct net_hop hop;
	struct ip_address to;
	uint16_t port;
	char host[PANIC_HOST_MAX]; /* for the receiver's log: this machine's address as text */
};

/*
 * Builds the frame for the number-th line (from 1), which may begin with "gnomon: " and end in "\r\n" and is cut
 * where it does not fit. Returns the frame's length without checksum; 0 when the route's addresses are of two
 * kinds or of none.
 */
size_t panic_frame_build(uint8_t frame[PANIC_FRAME_MAX], const struct panic_route *r, uint32_t number,
			 const char *line, size_t len);

#endif
