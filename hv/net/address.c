/* Owns the host's addresses as lwIP has them: how they come, and saying so. */
#include "hv/net/address.h"

#include <lwip/dhcp.h>
#include <lwip/mld6.h>
#include <lwip/netif.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/prot/dhcp.h>
#include <lwip/timeouts.h>
#include <string.h>

#include "hv/base/log.h"
#include "hv/net/ether.h"

_Static_assert(ADDRESS_MAX == 1 + LWIP_IPV6_NUM_ADDRESSES, "all that there can be");

static enum net_mode mode;
static struct address_shown reported[ADDRESS_MAX];
static unsigned reported_count;

struct ip_address address_from_lwip(const ip_addr_t *a)
{
	struct ip_address out = { .version = IP_IS_V6(a) ? IP_V6 : IP_V4 };

	if (out.version == IP_V6)
		memcpy(out.bytes, ip_2_ip6(a)->addr, 16);
	else
		memcpy(out.bytes, &ip_2_ip4(a)->addr, 4);
	return out;
}

void address_to_lwip(ip_addr_t *to, const struct ip_address *a)
{
	memset(to, 0, sizeof(*to));
	if (a->version == IP_V6) {
		memcpy(ip_2_ip6(to)->addr, a->bytes, 16);
		IP_SET_TYPE(to, IPADDR_TYPE_V6);
	} else {
		memcpy(&ip_2_ip4(to)->addr, a->bytes, 4);
		IP_SET_TYPE(to, IPADDR_TYPE_V4);
	}
}

void address_start(const struct net_config *c)
{
	ip_addr_t address, gateway;
	ip4_addr_t mask = { lwip_htonl(~(UINT32_MAX >> c->prefix)) };

	mode = c->mode;
	if (mode == NET_DHCP)
		dhcp_start(ether_netif());
	if (mode != NET_STATIC)
		return;
	address_to_lwip(&address, &c->address);
	address_to_lwip(&gateway, &c->gateway);
	netif_set_addr(ether_netif(), ip_2_ip4(&address), &mask, ip_2_ip4(&gateway));
}

static unsigned list_ipv4(const struct netif *n, struct address_shown *out)
{
	if (ip4_addr_isany(netif_ip4_addr(n)))
		return 0;
	out->address = address_from_lwip(netif_ip_addr4(n));
	out->prefix = (uint32_t)__builtin_clz(~lwip_ntohl(netif_ip4_netmask(n)->addr) | 1);
	out->origin = mode == NET_DHCP ? "DHCP" : "static";
	return 1;
}

unsigned address_list(struct address_shown list[ADDRESS_MAX])
{
	const struct netif *n = ether_netif();
	unsigned count = 0;

	if (!n)
		return 0;
	memset(list, 0, ADDRESS_MAX * sizeof(list[0]));
	count = list_ipv4(n, &list[0]);
	for (int8_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
		if (!ip6_addr_isvalid(netif_ip6_addr_state(n, i)))
			continue;
		list[count++] = (struct address_shown){
			.address = address_from_lwip(netif_ip_addr6(n, i)),
			.prefix = 64,
			.origin = ip6_addr_islinklocal(netif_ip6_addr(n, i)) ? "link-local" : "SLAAC",
		};
	}
	return count;
}

struct ip_address address_gateway(void)
{
	const struct netif *n = ether_netif();

	if (!n || ip4_addr_isany(netif_ip4_gw(n)))
		return (struct ip_address){ .version = IP_NONE };
	return address_from_lwip(netif_ip_gw4(n));
}

static bool listed(const struct address_shown *list, unsigned count, const struct address_shown *a)
{
	for (unsigned i = 0; i < count; i++)
		if (list[i].prefix == a->prefix && ip_address_equal(&list[i].address, &a->address))
			return true;
	return false;
}

/* Says what `from` has and `to` lacks. */
static void report_difference(const struct address_shown *from, unsigned from_count, const struct address_shown *to,
                              unsigned to_count, const char *what)
{
	char text[IP_ADDRESS_TEXT];

	for (unsigned i = 0; i < from_count; i++) {
		if (listed(to, to_count, &from[i]))
			continue;
		ip_address_text(&from[i].address, text);
		log_info("net: the host %s the address %s/%u (%s)", what, text, from[i].prefix, from[i].origin);
	}
}

void address_report(void)
{
	struct address_shown now[ADDRESS_MAX];
	unsigned count = address_list(now);

	report_difference(reported, reported_count, now, count, "no longer has");
	report_difference(now, count, reported, reported_count, "has");
	memcpy(reported, now, sizeof(reported));
	reported_count = count;
}

bool address_any(void)
{
	struct address_shown list[ADDRESS_MAX];
	unsigned count = address_list(list);

	for (unsigned i = 0; i < count; i++)
		if (list[i].origin[0] != 'l')
			return true;
	return false;
}

static bool group_report_due(void)
{
	for (struct mld_group *g = netif_mld6_data(ether_netif()); g; g = g->next)
		if (g->timer)
			return true;
	return false;
}

static bool dhcp_busy(void)
{
	const struct dhcp *d = netif_dhcp_data(ether_netif());

	return d && d->state != DHCP_STATE_BOUND && netif_is_link_up(ether_netif());
}

/* lwIP's timers fire every 100 ms to 60 s whether they have work or not. Its work in between suffers no
 * harm when they come late, but for these. */
uint32_t address_timer_grain(void)
{
	if (tcp_active_pcbs)
		return TCP_TMR_INTERVAL;
	if (group_report_due())
		return MLD6_TMR_INTERVAL;
	if (dhcp_busy())
		return DHCP_FINE_TIMER_MSECS;
	return 1000;
}
