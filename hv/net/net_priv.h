/*
 * What net.c offers to the rest of hv/net.
 */
#ifndef HV_NET_NET_PRIV_H
#define HV_NET_NET_PRIV_H

#include "hv/base/types.h"

/*
 * One turn of card and lwIP without any service's function: frames, timers, streams. Returns the host TSC at
 * which it wants the next, unless the card wakes the monitor before; NEVER without network.
 */
uint64_t net_serve(void);

#endif
