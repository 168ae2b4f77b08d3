/* Owns the glue between the card and lwIP. */
#include "hv/net/ether.h"

#include <lwip/etharp.h>
#include <lwip/ethip6.h>
#include <lwip/mld6.h>
#include <lwip/netif.h>
#include <lwip/snmp.h>
#include <netif/ethernet.h>
#include <string.h>

#include "drivers/lwip/port.h"
#include "drivers/nic.h"

#define ETHERTYPE_AT 12

struct ether_counters ether_counters;

static struct netif interface;
static struct nic *card;
static bool ipv4, ipv6;
static uint8_t frame[NIC_FRAME_MAX]; /* one at a time, in or out */

struct netif *ether_netif(void) { return card ? &interface : NULL; }
struct nic *ether_nic(void) { return card; }

static bool send(struct pbuf *p)
{
	uint16_t len = p->tot_len;

	return len <= sizeof(frame) && pbuf_copy_partial(p, frame, len, 0) == len && !card->send(card, frame, len);
}

static err_t link_output(struct netif *n, struct pbuf *p)
{
	uint64_t begun = lwip_port_tsc();
	bool sent = send(p);

	(void)n;
	ether_counters.send_ticks += lwip_port_tsc() - begun;
	ether_counters.dropped_send += !sent;
	return sent ? ERR_OK : ERR_IF;
}

/* RFC 2464, "Address Mapping -- Multicast": 33-33 and the group's last four bytes. */
static err_t follow_group(struct netif *n, const ip6_addr_t *group, enum netif_mac_filter_action action)
{
	uint8_t mac[NIC_MAC_SIZE] = { 0x33, 0x33 };

	(void)n;
	memcpy(mac + 2, &group->addr[3], 4);
	card->multicast(card, mac, action == NETIF_ADD_MAC_FILTER);
	return ERR_OK;
}

static err_t interface_init(struct netif *n)
{
	n->name[0] = 'e';
	n->name[1] = 'n';
	n->hostname = "gnomon";
	n->output = etharp_output;
	n->output_ip6 = ethip6_output;
	n->linkoutput = link_output;
	n->mtu = NIC_FRAME_MAX - NIC_FRAME_MIN;
	n->hwaddr_len = NIC_MAC_SIZE;
	memcpy(n->hwaddr, card->mac, NIC_MAC_SIZE);
	n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
	if (ipv6)
		n->flags |= NETIF_FLAG_MLD6;
	return ERR_OK;
}

/* Every node is in the group of all nodes: RFC 4291 section 2.8. */
static void start_ipv6(void)
{
	ip6_addr_t all_nodes;

	ip6_addr_set_allnodes_linklocal(&all_nodes);
	netif_set_mld_mac_filter(&interface, follow_group);
	follow_group(&interface, &all_nodes, NETIF_ADD_MAC_FILTER);
	netif_create_ip6_linklocal_address(&interface, 1);
	interface.ip6_autoconfig_enabled = 1;
}

void ether_start(struct nic *nic, const struct net_config *c)
{
	card = nic;
	ipv4 = c->mode != NET_OFF;
	ipv6 = c->ipv6;
	netif_add(&interface, NULL, NULL, NULL, NULL, interface_init, ethernet_input);
	netif_set_default(&interface);
	if (ipv6)
		start_ipv6();
	netif_set_up(&interface);
	ether_follow_link();
}

static bool wanted(size_t len)
{
	uint16_t type;

	if (len < NIC_FRAME_MIN)
		return false;
	type = (uint16_t)(frame[ETHERTYPE_AT] << 8 | frame[ETHERTYPE_AT + 1]);
	return type == ETHTYPE_IPV6 ? ipv6 : ipv4;
}

static void hand_over(size_t len)
{
	struct pbuf *p;

	if (!wanted(len)) {
		ether_counters.dropped_family++;
		return;
	}
	p = pbuf_alloc(PBUF_RAW, (uint16_t)len, PBUF_POOL);
	if (!p) {
		ether_counters.dropped_memory++;
		return;
	}
	pbuf_take(p, frame, (uint16_t)len);
	if (interface.input(p, &interface) != ERR_OK)
		pbuf_free(p);
}

bool ether_receive(void)
{
	for (unsigned i = 0; i < ETHER_BURST; i++) {
		uint64_t begun = lwip_port_tsc() - ether_counters.send_ticks;
		size_t len = card->receive(card, frame, sizeof(frame));

		if (!len)
			return false;
		hand_over(len);
		ether_counters.receive_ticks += lwip_port_tsc() - ether_counters.send_ticks - begun;
	}
	ether_counters.pauses++;
	return true;
}

void ether_follow_link(void)
{
	if (card->link == (bool)netif_is_link_up(&interface))
		return;
	if (card->link)
		netif_set_link_up(&interface);
	else
		netif_set_link_down(&interface);
}
