/* Owns the search for the next station towards an address, in lwIP's tables. */
#include "hv/net/net.h"

#include <errno.h>
#include <lwip/etharp.h>
#include <lwip/ip6.h>
#include <lwip/nd6.h>
#include <lwip/netif.h>
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

/* There is no packet to wait for an answer, but whose address is not known is asked all the same. */
static int find_v6(struct netif *n, const ip6_addr_t *to, struct net_hop *hop)
{
	const ip_addr_t *source = ip6_select_source_address(n, to);
	const u8_t *mac = NULL;
	err_t err;

	if (!source)
		return -ENETDOWN;
	err = nd6_get_next_hop_addr_or_queue(n, NULL, to, &mac);
	if (!mac)
		return err == ERR_RTE ? -EHOSTUNREACH : -EAGAIN;
	hop->source = address_from_lwip(source);
	memcpy(hop->mac, mac, sizeof(hop->mac));
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
