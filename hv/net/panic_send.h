/*
 * A panic's report by UDP to where the log goes (key syslog): the way there is looked up while the network is
 * well, so that the panic needs nothing but the card.
 */
#ifndef HV_NET_PANIC_SEND_H
#define HV_NET_PANIC_SEND_H

#include "hv/net/service.h"

extern const struct net_service panic_send_service;

#endif
