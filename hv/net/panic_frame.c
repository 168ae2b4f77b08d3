/* Ethernet, IPv4 (RFC 791) or IPv6 (RFC 8200), UDP (RFC 768), syslog (RFC 5424). Holds no state. */
#include "hv/net/panic_frame.h"

#include <string.h>

#include "hv/base/format.h"
#include "hv/base/panic.h"

#define ETHER_HEADER 14
#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define UDP_HEADER 8
#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd
#define PROTOCOL_UDP 17
#define HOPS 64
#define DO_NOT_FRAGMENT 0x4000
#define SOURCE_PORT 514
#define PRIORITY (16 * 8 + 2) /* facility local0, severity critical: emergencies go to every terminal there is */

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* The sum of 16-bit words, an odd byte as a word's first: RFC 1071. */
static uint32_t add_words(uint32_t sum, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint16_t checksum(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* A UDP checksum of 0 says that there is none: it is sent as its other form. */
static void put_udp(uint8_t *udp, const struct panic_route *r, size_t address_len, size_t len)
{
	uint32_t sum;
	uint16_t check;

	put16(udp, SOURCE_PORT);
	put16(udp + 2, r->port);
	put16(udp + 4, (uint32_t)len);
	put16(udp + 6, 0);
	sum = add_words(0, r->hop.source.bytes, address_len);
	sum = add_words(sum, r->to.bytes, address_len) + PROTOCOL_UDP + (uint32_t)len;
	check = checksum(add_words(sum, udp, len));
	put16(udp + 6, check ? check : 0xffff);
}

static void put_ipv4(uint8_t *ip, const struct panic_route *r, uint32_t number, size_t len)
{
	memset(ip, 0, IPV4_HEADER);
	ip[0] = 0x45; /* version, words of the header */
	put16(ip + 2, (uint32_t)(IPV4_HEADER + len));
	put16(ip + 4, number);
	put16(ip + 6, DO_NOT_FRAGMENT);
	ip[8] = HOPS;
	ip[9] = PROTOCOL_UDP;
	memcpy(ip + 12, r->hop.source.bytes, 4);
	memcpy(ip + 16, r->to.bytes, 4);
	put16(ip + 10, checksum(add_words(0, ip, IPV4_HEADER)));
}

static void put_ipv6(uint8_t *ip, const struct panic_route *r, size_t len)
{
	memset(ip, 0, IPV6_HEADER);
	ip[0] = 0x60;
	put16(ip + 4, (uint32_t)len);
	ip[6] = PROTOCOL_UDP;
	ip[7] = HOPS;
	memcpy(ip + 8, r->hop.source.bytes, 16);
	memcpy(ip + 24, r->to.bytes, 16);
}

/* Printable ASCII and nothing else reaches the receiver's log. */
static size_t put_message(uint8_t *out, size_t size, const struct panic_route *r, uint32_t number, const char *line,
			  size_t len)
{
	const size_t prefix = sizeof PANIC_PREFIX - 1;
	size_t used;

	format((char *)out, size, "<%u>1 - %s gnomon - panic [meta sequenceId=\"%u\"] ", PRIORITY, r->host, number);
	used = strnlen((char *)out, size - 1);
	if (len >= prefix && !memcmp(line, PANIC_PREFIX, prefix)) {
		line += prefix;
		len -= prefix;
	}
	while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	for (size_t i = 0; i < len && used < size; i++)
		out[used++] = line[i] < ' ' || line[i] > '~' ? '?' : (uint8_t)line[i];
	return used;
}

size_t panic_frame_build(uint8_t frame[PANIC_FRAME_MAX], const struct panic_route *r, uint32_t number, const char *line,
			 size_t len)
{
	bool v6 = r->to.version == IP_V6;
	uint8_t *ip = frame + ETHER_HEADER, *udp = ip + (v6 ? IPV6_HEADER : IPV4_HEADER), *text = udp + UDP_HEADER;
	size_t udp_len;

	if (r->to.version != r->hop.source.version || r->to.version == IP_NONE)
		return 0;
	udp_len = UDP_HEADER + put_message(text, (size_t)(frame + PANIC_FRAME_MAX - text), r, number, line, len);
	memcpy(frame, r->hop.mac, 6);
	memcpy(frame + 6, r->hop.source_mac, 6);
	put16(frame + 12, v6 ? TYPE_IPV6 : TYPE_IPV4);
	if (v6)
		put_ipv6(ip, r, udp_len);
	else
		put_ipv4(ip, r, number, udp_len);
	put_udp(udp, r, v6 ? 16 : 4, udp_len);
	return (size_t)(udp + udp_len - frame);
}
