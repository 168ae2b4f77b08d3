/*
 * Monitor command on the network: net.
 */
#include <lwip/priv/memp_priv.h>
#include <lwip/stats.h>

#include "drivers/lwip/port.h"
#include "drivers/nic.h"
#include "hv/base/clock.h"
#include "hv/monitor/commands.h"
#include "hv/net/address.h"
#include "hv/net/ether.h"
#include "hv/net/net.h"
#include "hv/net/stream_priv.h"

static void show_card(struct monitor_out *out, const struct nic *n)
{
	const struct nic_counters *c = &n->counters;

	mon_printf(out, "card %s at %s, %02x:%02x:%02x:%02x:%02x:%02x, by %s\n", n->name, n->place, n->mac[0], n->mac[1],
	           n->mac[2], n->mac[3], n->mac[4], n->mac[5], nic_irq_name(n->irq));
	if (n->link)
		mon_printf(out, "link up, %u Mbit/s, %s duplex, %lu changes\n", n->speed, n->full_duplex ? "full" : "half",
		           c->link_changes);
	else
		mon_printf(out, "link down, %lu changes\n", c->link_changes);
	mon_printf(out, "sent %lu frames, %lu bytes; refused %lu, ring full %lu times\n", c->sent, c->sent_bytes,
	           c->send_refused, c->send_full);
	mon_printf(out, "received %lu frames, %lu bytes; damaged %lu, lost by the card %lu\n", c->received,
	           c->received_bytes, c->receive_bad, c->receive_lost);
	mon_printf(out, "%lu interrupts, %lu resets\n", c->interrupts, c->resets);
}

/* In ticks of the TSC, of the CPU that the monitor shares with guests. */
static void show_work(struct monitor_out *out)
{
	mon_printf(out, "work: %lu turns, %lu ticks; of them services %lu, frames received %lu, sent %lu\n",
	           net_work.turns, net_work.ticks, net_work.services, ether_counters.receive_ticks,
	           ether_counters.send_ticks);
}

static void show_addresses(struct monitor_out *out)
{
	struct address_shown list[ADDRESS_MAX];
	unsigned count = address_list(list);
	struct ip_address gateway = address_gateway();
	char text[IP_ADDRESS_TEXT];

	if (!count)
		mon_printf(out, "no address yet\n");
	for (unsigned i = 0; i < count; i++) {
		ip_address_text(&list[i].address, text);
		mon_printf(out, "address %s/%u (%s)\n", text, list[i].prefix, list[i].origin);
	}
	if (gateway.version != IP_NONE) {
		ip_address_text(&gateway, text);
		mon_printf(out, "gateway %s\n", text);
	}
}

static void show_port(struct monitor_out *out, const struct stream_listener *l)
{
	char peer[IP_ADDRESS_TEXT] = "anybody";

	if (l->peer.version != IP_NONE)
		ip_address_text(&l->peer, peer);
	mon_printf(out, "port %u: %s, for %s%s; %u of %u connections, %lu taken, %lu refused\n", l->port,
	           l->service->name, peer, l->closed ? ", closing" : "", l->connections, l->service->max_connections,
	           l->accepted, l->refused);
}

static void show_stream(struct monitor_out *out, const struct stream *s)
{
	uint64_t quiet = tsc_to_ns(lwip_port_tsc() - s->heard_at) / 1000000000;

	mon_printf(out, "  %s from %s port %u: %u bytes in, %u out, %u waiting, quiet for %lu s%s\n",
	           s->listener->service->name, s->peer, s->peer_port, s->rx.head, s->tx.tail, stream_ring_used(&s->tx),
	           quiet, s->closing ? ", closing" : "");
}

static void show_streams(struct monitor_out *out)
{
	for (unsigned i = 0; i < STREAM_LISTENERS_MAX; i++)
		if (stream_listeners[i].service)
			show_port(out, &stream_listeners[i]);
	for (unsigned i = 0; i < STREAM_MAX; i++)
		if (streams[i])
			show_stream(out, streams[i]);
	mon_printf(out, "%u connections half-open\n", stream_tcp_half_open());
}

static void show_pool(struct monitor_out *out, const char *name, const struct stats_mem *m)
{
	mon_printf(out, "  %-22s %6lu of %6lu, at most %6lu, refused %lu\n", name, (uint64_t)m->used, (uint64_t)m->avail,
	           (uint64_t)m->max, (uint64_t)m->err);
}

static void show_pools(struct monitor_out *out)
{
	static const struct {
		const char *name;
		memp_t pool;
	} pools[] = {
		{ "frames received", MEMP_PBUF_POOL }, { "references sent", MEMP_PBUF }, { "TCP connections", MEMP_TCP_PCB },
		{ "TCP ports", MEMP_TCP_PCB_LISTEN },  { "TCP segments", MEMP_TCP_SEG }, { "timers", MEMP_SYS_TIMEOUT },
	};

	mon_printf(out, "lwIP's memory:\n");
	show_pool(out, "heap, bytes", &lwip_stats.mem);
	for (size_t i = 0; i < ARRAY_LEN(pools); i++)
		show_pool(out, pools[i].name, memp_pools[pools[i].pool]->stats);
	mon_printf(out, "dropped: %lu frames for want of memory, %lu of an IP version that is off, %lu to be sent;"
	           " %lu pauses in floods\n", ether_counters.dropped_memory, ether_counters.dropped_family,
	           ether_counters.dropped_send, ether_counters.pauses);
}

uint64_t net_pool_bytes(void)
{
	uint64_t bytes = MEM_SIZE;

	for (unsigned i = 0; i < MEMP_MAX; i++)
		bytes += (uint64_t)memp_pools[i]->num * memp_pools[i]->size;
	return bytes;
}

static int net_command(struct monitor_out *out, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (lwip_broken())
		mon_printf(out, "the network has stopped: %s; restart the host for a network\n", lwip_broken());
	if (!ether_nic()) {
		mon_printf(out, "no network: gnomon.conf leaves it off (net, ipv6), or the log says what is missing\n");
		return 0;
	}
	show_card(out, ether_nic());
	show_work(out);
	show_addresses(out);
	show_streams(out);
	show_pools(out);
	return 0;
}

const struct monitor_command commands_net[] = {
	{ "net", "", "the host's network: card, addresses, ports, connections, memory", net_command },
	{ NULL, NULL, NULL, NULL },
};
