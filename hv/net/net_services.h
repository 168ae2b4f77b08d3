/*
 * The services of the network all together: the table, for bring-up. Monitor's context.
 */
#ifndef HV_NET_NET_SERVICES_H
#define HV_NET_NET_SERVICES_H

#include "hv/net/service.h"

/* The first call starts every service, later ones nothing. */
void net_services_start(const struct config *c);
/* Every service's turn, none before net_services_start. now: host TSC; returns when the first wants another. */
uint64_t net_services_poll(uint64_t now);

#endif
