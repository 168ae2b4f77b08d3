/* Owns the reading of the network's keys, net, gateway, nic, syslog, and what goes together of all of them. */
#include "hv/base/config_key.h"

#include <string.h>

static int refuse_net(const struct config_key *k, struct slice v, const struct config_place *p)
{
	return config_refuse(p, "%s = %.*s is not known; write off, dhcp, or an address with the bits of its network,"
	                     " like 192.0.2.7/24", k->name, SHOWN(v));
}

/* Whether a host of an IPv4 network of that many bits can have the address: neither 0.x, loopback,
 * multicast or above, nor the network itself or its broadcast. */
static bool host_address(const struct ip_address *a, uint64_t prefix)
{
	uint32_t n = (uint32_t)a->bytes[0] << 24 | (uint32_t)a->bytes[1] << 16 | (uint32_t)a->bytes[2] << 8 | a->bytes[3];
	uint32_t host = UINT32_MAX >> prefix;

	if (a->bytes[0] == 0 || a->bytes[0] == 127 || a->bytes[0] >= 224)
		return false;
	return (n & host) != 0 && (n & host) != host;
}

int config_read_net(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	struct net_config *net = field;
	struct slice bits = v, text;
	struct ip_address a;
	uint64_t prefix;

	if (slice_is(v, "off") || slice_is(v, "dhcp")) {
		net->mode = slice_is(v, "off") ? NET_OFF : NET_DHCP;
		return 0;
	}
	if (!slice_cut(&bits, '/', &text) || !ip_address_parse(&a, text.at, text.len) || a.version != IP_V4)
		return refuse_net(k, v, p);
	if (!config_number(bits, 10, &prefix) || prefix < 1 || prefix > 30)
		return config_refuse(p, "%s = %.*s: a network has 1 to 30 bits", k->name, SHOWN(v));
	if (!host_address(&a, prefix))
		return config_refuse(p, "%s = %.*s is no address that a host can have", k->name, SHOWN(v));
	net->mode = NET_STATIC;
	net->address = a;
	net->prefix = (uint32_t)prefix;
	return 0;
}

int config_read_gateway(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	struct ip_address a;

	if (!ip_address_parse(&a, v.at, v.len) || a.version != IP_V4)
		return config_refuse(p, "%s = %.*s is no IPv4 address", k->name, SHOWN(v));
	*(struct ip_address *)field = a;
	return 0;
}

bool config_pci_address(struct slice v, uint32_t *address)
{
	struct slice rest = v, bus, device;
	uint64_t b, d, f;

	if (!slice_cut(&rest, ':', &bus) || !slice_cut(&rest, '.', &device) || !config_number(bus, 16, &b) ||
	    !config_number(device, 16, &d) || !config_number(rest, 16, &f) || b > 255 || d > 31 || f > 7)
		return false;
	*address = (uint32_t)(b << 8 | d << 3 | f);
	return true;
}

int config_read_nic(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	uint32_t address = CONFIG_NIC_ANY;

	if (!slice_is(v, "any") && !config_pci_address(v, &address))
		return config_refuse(p, "%s = %.*s is no PCI address; write any, or the address like 02:00.0", k->name,
		                     SHOWN(v));
	*(uint32_t *)field = address;
	return 0;
}

static bool same_network(const struct ip_address *a, const struct ip_address *b, uint32_t prefix)
{
	for (uint32_t i = 0; i < prefix; i++)
		if ((a->bytes[i / 8] ^ b->bytes[i / 8]) & (0x80 >> i % 8))
			return false;
	return true;
}

#define SYSLOG_PORT 514

static bool port_number(struct slice v, uint64_t *port)
{
	return config_number(v, 10, port) && *port >= 1 && *port <= UINT16_MAX;
}

/* The address before a port: an IPv4 one as it is, an IPv6 one in brackets. Without brackets a text with more than
 * one colon is an IPv6 address alone. */
static bool split_port(struct slice v, struct slice *address, uint64_t *port)
{
	struct slice rest = v;

	*address = v;
	*port = SYSLOG_PORT;
	if (v.len && v.at[0] == '[') {
		rest = (struct slice){ v.at + 1, v.len - 1 };
		if (!slice_cut(&rest, ']', address))
			return false;
		if (rest.len == 0)
			return true;
		return rest.at[0] == ':' && port_number((struct slice){ rest.at + 1, rest.len - 1 }, port);
	}
	if (!slice_cut(&rest, ':', address) || (rest.len && memchr(rest.at, ':', rest.len))) {
		*address = v;
		return true;
	}
	return port_number(rest, port);
}

int config_read_syslog(const struct config_key *k, void *field, struct slice v, const struct config_place *p)
{
	struct config_syslog *syslog = field;
	struct slice text;
	struct ip_address a = { .version = IP_NONE };
	uint64_t port = SYSLOG_PORT;

	if (!slice_is(v, "off") && (!split_port(v, &text, &port) || !ip_address_parse(&a, text.at, text.len)))
		return config_refuse(p, "%s = %.*s is not known; write an address like 192.0.2.1, 192.0.2.1:514 or"
		                     " [2001:db8::1]:514, or off", k->name, SHOWN(v));
	*syslog = (struct config_syslog){ .address = a, .port = (uint32_t)port, .line = p->line };
	return 0;
}

static int check_gateway(const struct net_config *n, struct failure *f)
{
	if (n->gateway.version == IP_NONE)
		return 0;
	if (n->mode != NET_STATIC)
		return fail(f, -EINVAL, "gnomon.conf: gateway goes with net = ADDRESS/BITS only; leave it out");
	if (!same_network(&n->address, &n->gateway, n->prefix))
		return fail(f, -EINVAL, "gnomon.conf: gateway is not in the network of net = ADDRESS/%u; correct one of"
		            " them", n->prefix);
	return 0;
}

/* A service that nobody could reach is a mistake. */
static int check_service(const struct config *c, bool on, uint32_t line, const char *key, struct failure *f)
{
	struct config_place place = { .failure = f, .line = line };

	if (!on || net_config_on(&c->net))
		return 0;
	return config_refuse(&place, "%s needs the host's own network; add a line net = dhcp or net = ADDRESS/BITS, or"
	                     " leave %s out", key, key);
}

static int check_ports(const struct config *c, struct failure *f)
{
	struct config_place monitor = { .failure = f, .line = c->monitor_port.line };
	struct config_place http = { .failure = f, .line = c->http_port.line };

	if (c->monitor_port.number && !c->net_key[0])
		return config_refuse(&monitor, "monitor_port opens the monitor to whoever has net_key, and there is none; add"
		                     " a line net_key = SECRET, or leave monitor_port out");
	if (c->http_port.number && c->http_port.number == c->monitor_port.number)
		return config_refuse(&http, "http_port and monitor_port are both %u; take two ports", c->http_port.number);
	return 0;
}

int config_check_net(const struct config *c, struct failure *f)
{
	int err = check_gateway(&c->net, f);

	if (!err)
		err = check_ports(c, f);
	if (!err)
		err = check_service(c, c->monitor_port.number, c->monitor_port.line, "monitor_port", f);
	if (!err)
		err = check_service(c, c->http_port.number, c->http_port.line, "http_port", f);
	if (!err)
		err = check_service(c, c->syslog.address.version != IP_NONE, c->syslog.line, "syslog", f);
	return err;
}
