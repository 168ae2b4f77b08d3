/* What the services of the network have done. */
#include "hv/net/counts.h"

struct net_counts net_counts;
