/* Owns the search for the next station towards an address, in lwIP's tables. */
#include "hv/net/net.h"

#include <errno.h>
#include <lwip/etharp.h>
#include <lwip/ip6.h>
#include <lwip/netif.h>
#include <lwip/priv/nd6_priv.h>
#include <string.h>

#include "drivers/lwip/port.h"
#include "hv/net/address.h"
#include "hv/net/ether.h"

struct request {
	const struct ip_address *to;
	struct net_hop *hop;
	int err;
};

static int find_v4(struct netif *n, const ip4_addr_t *to, struct net_hop *hop)
{
	const ip4_addr_t *station = to, *known;
	struct eth_addr *mac;

	if (ip4_addr_isany(netif_ip4_addr(n)))
		return -ENETDOWN;
	if (!ip4_addr_netcmp(to, netif_ip4_addr(n), netif_ip4_netmask(n)))
		station = netif_ip4_gw(n);
	if (ip4_addr_isany(station))
		return -EHOSTUNREACH;
	hop->source = address_from_lwip(netif_ip_addr4(n));
	if (etharp_find_addr(n, station, &mac, &known) < 0) {
		etharp_request(n, station);
		return -EAGAIN;
	}
	memcpy(hop->mac, mac->addr, sizeof(hop->mac));
	return 0;
}

static const struct nd6_neighbor_cache_entry *neighbour(const ip6_addr_t *a)
{
	for (unsigned i = 0; i < LWIP_ND6_NUM_NEIGHBORS; i++)
		if (neighbor_cache[i].state > ND6_INCOMPLETE && ip6_addr_cmp(&neighbor_cache[i].next_hop_address, a))
			return &neighbor_cache[i];
	return NULL;
}

/* A neighbour, or else the first router there is. Nobody is asked: lwIP asks for whom it sends to. */
static int find_v6(struct netif *n, const ip6_addr_t *to, struct net_hop *hop)
{
	const ip_addr_t *source = ip6_select_source_address(n, to);
	const struct nd6_neighbor_cache_entry *station = neighbour(to);

	if (!source)
		return -ENETDOWN;
	for (unsigned i = 0; !station && i < LWIP_ND6_NUM_ROUTERS; i++)
		station = default_router_list[i].neighbor_entry;
	if (!station)
		return -EHOSTUNREACH;
	if (station->state <= ND6_INCOMPLETE)
		return -EAGAIN;
	hop->source = address_from_lwip(source);
	memcpy(hop->mac, station->lladdr, sizeof(hop->mac));
	return 0;
}

/* Inside lwip_guard(). */
static void find(void *arg)
{
	struct request *r = arg;
	struct netif *n = ether_netif();
	ip_addr_t to;

	address_to_lwip(&to, r->to);
	memcpy(r->hop->source_mac, n->hwaddr, sizeof(r->hop->source_mac));
	r->err = IP_IS_V6(&to) ? find_v6(n, ip_2_ip6(&to), r->hop) : find_v4(n, ip_2_ip4(&to), r->hop);
}

int net_next_hop(const struct ip_address *to, struct net_hop *hop)
{
	struct request r = { .to = to, .hop = hop };

	if (!net_up() || to->version == IP_NONE)
		return -ENETDOWN;
	return lwip_guard(find, &r) ? r.err : -ENETDOWN;
}
