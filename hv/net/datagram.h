/*
 * UDP as the services of the network see it: datagrams out, to an address. Nothing is received.
 * Monitor's context; no locks.
 */
#ifndef HV_NET_DATAGRAM_H
#define HV_NET_DATAGRAM_H

#include "hv/base/ip_address.h"
#include "hv/base/types.h"

#define DATAGRAM_MAX 1400 /* bytes; goes through without fragments */

/*
 * Sends n bytes from a port of Gnomon's to to:port. What the local network cannot resolve at once waits
 * inside lwIP for the answer, a few datagrams at most: like all of UDP it may get lost.
 * 0, -EMSGSIZE over DATAGRAM_MAX, -ENETDOWN without link, address or route, -EAGAIN when buffers are out.
 */
int datagram_send(const struct ip_address *to, uint16_t port, const void *data, size_t n);

#endif
