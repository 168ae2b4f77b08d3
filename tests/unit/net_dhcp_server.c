/* The DHCP server of net_dhcp_server.h. */
#include "tests/unit/net_dhcp_server.h"

#include "tests/unit/net_station.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK };

struct dhcp_server dhcp_server;

static const uint8_t *option(const uint8_t *dhcp, size_t len, uint8_t wanted)
{
	for (size_t at = 240; at + 2 < len && dhcp[at] != 255; at += 2u + dhcp[at + 1])
		if (dhcp[at] == wanted)
			return dhcp + at + 2;
	return NULL;
}

static size_t put_option(uint8_t *dhcp, size_t at, uint8_t code, uint32_t value, uint8_t len)
{
	dhcp[at] = code;
	dhcp[at + 1] = len;
	if (len == 1)
		dhcp[at + 2] = (uint8_t)value;
	else
		put32(dhcp + at + 2, value);
	return at + 2 + len;
}

static void answer(const uint8_t *asked, uint8_t type)
{
	uint8_t dhcp[300] = { 0 };
	size_t at = 240;

	memcpy(dhcp, asked, 44);
	dhcp[0] = 2;
	put32(dhcp + 16, type == NAK ? 0 : dhcp_server.address);
	put32(dhcp + 236, 0x63825363);
	at = put_option(dhcp, at, 53, type, 1);
	at = put_option(dhcp, at, 54, STATION_IP, 4);
	if (type != NAK) {
		at = put_option(dhcp, at, 51, dhcp_server.lease, 4);
		at = put_option(dhcp, at, 1, 0xffffff00, 4);
		at = put_option(dhcp, at, 3, STATION_IP, 4);
	}
	dhcp[at] = 255;
	station_udp(STATION_IP, UINT32_MAX, 67, 68, dhcp, sizeof(dhcp));
}

static void serve_dhcp(const uint8_t *dhcp, size_t len)
{
	const uint8_t *type = option(dhcp, len, 53);

	assert_non_null(type);
	dhcp_server.discovers += *type == DISCOVER;
	dhcp_server.requests += *type == REQUEST;
	dhcp_server.declines += *type == DECLINE;
	if (dhcp_server.mute)
		return;
	if (*type == DISCOVER)
		answer(dhcp, OFFER);
	if (*type == REQUEST)
		answer(dhcp, dhcp_server.refuse ? NAK : ACK);
}

/* lwIP asks whether somebody has the address it was given. */
static void serve_arp(const uint8_t *frame)
{
	uint8_t reply[42];

	if (!dhcp_server.taken || get16(frame + 20) != 1 || get32(frame + 38) != dhcp_server.address)
		return;
	memcpy(reply, frame, 42);
	memcpy(reply, frame + 6, 6);
	memcpy(reply + 6, "\2\0\0\0\0\x33", 6);
	put16(reply + 20, 2);
	memcpy(reply + 22, "\2\0\0\0\0\x33", 6);
	put32(reply + 28, dhcp_server.address);
	memcpy(reply + 32, frame + 22, 6);
	put32(reply + 38, 0);
	station_frame(reply, sizeof(reply));
}

void dhcp_server_take(const uint8_t *frame, size_t len)
{
	if (get16(frame + 12) == 0x0806)
		serve_arp(frame);
	if (get16(frame + 12) == 0x0800 && frame[23] == 17 && get16(frame + 36) == 67)
		serve_dhcp(frame + 42, len - 42);
}
