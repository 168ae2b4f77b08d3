/* sources: hv/net/address.c hv/net/ether.c hv/net/net.c hv/net/stream.c hv/net/stream_tcp.c hv/net/datagram.c hv/net/hop.c drivers/lwip/port.c hv/base/digest.c hv/base/ip_address.c hv/base/config.c hv/base/config_key.c hv/base/config_net.c hv/base/config_serial.c hv/base/features.c hv/base/failure.c hv/base/format.c tests/unit/net_station.c */
#include "hv/net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/lwip/port.h"
#include "hv/net/address.h"
#include "hv/net/datagram.h"
#include "tests/unit/net_station.h"
#include "tests/unit/support/support.h"

static const uint8_t router[16] = { 0xfe, 0x80, [15] = 1 };
static const uint8_t all_nodes[16] = { 0xff, 2, [15] = 1 };
static const uint8_t prefix[16] = { 0x20, 1, 0xd, 0xb8 };

static unsigned solicitations, asked, reports, datagrams;

static uint16_t icmp6_checksum(const uint8_t *ip, size_t len)
{
	uint32_t sum = 58 + (uint32_t)len;

	for (int i = 8; i < 40; i += 2)
		sum += get16(ip + i);
	return station_checksum(ip + 40, len, sum);
}

static void send_icmp6(const uint8_t to[16], const void *message, size_t len)
{
	uint8_t frame[300] = { 0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60 }, *ip = frame + 14;

	if (to[0] != 0xff)
		memcpy(frame, "\2\0\0\0\0\7", 6);
	put16(ip + 4, (uint32_t)len);
	ip[6] = 58;
	ip[7] = 255;
	memcpy(ip + 8, router, 16);
	memcpy(ip + 24, to, 16);
	memcpy(ip + 40, message, len);
	put16(ip + 42, 0);
	put16(ip + 42, icmp6_checksum(ip, len));
	station_frame(frame, 54 + len);
}

/* RFC 4861 section 4.2, with the prefix to make addresses of: section 4.6.2. */
static void advertise(uint32_t lifetime)
{
	uint8_t message[56] = { 134, 0, 0, 0, 64, 0, 0, 0 };

	put16(message + 6, lifetime ? 1800 : 0);
	message[16] = 1;
	message[17] = 1;
	memcpy(message + 18, "\2\0\0\0\0\1", 6);
	message[24] = 3;
	message[25] = 4;
	message[26] = 64;
	message[27] = 0xc0;
	put32(message + 28, lifetime);
	put32(message + 32, lifetime);
	memcpy(message + 40, prefix, 16);
	send_icmp6(all_nodes, message, sizeof(message));
}

static void take(const uint8_t *frame, size_t len)
{
	const uint8_t *ip = frame + 14;
	uint16_t body = get16(ip + 4);

	assert_int_equal(get16(frame + 12), 0x86dd);
	assert_true(54u + body <= len);
	if (ip[6] == 0) { /* MLD: behind a hop-by-hop header */
		reports++;
		return;
	}
	if (ip[6] == 17) {
		datagrams++;
		assert_int_equal(get16(ip + 42), 514);
		return;
	}
	assert_int_equal(ip[6], 58);
	assert_int_equal(icmp6_checksum(ip, body), 0);
	solicitations += ip[40] == 133;
	asked += ip[40] == 135 && ip[63] == 9;
}

static bool has(const char *text)
{
	struct address_shown list[ADDRESS_MAX];
	unsigned count = address_list(list);
	char is[IP_ADDRESS_TEXT];

	for (unsigned i = 0; i < count; i++) {
		ip_address_text(&list[i].address, is);
		if (strcmp(is, text) == 0)
			return true;
	}
	return false;
}

static void test_link_local(void **state)
{
	(void)state;
	station_other = take;
	station_start("ipv6 = auto\n");
	assert_false(has("fe80::ff:fe00:7"));
	station_run(10000);
	assert_true(has("fe80::ff:fe00:7"));
	assert_false(net_up());
	assert_in_range(solicitations, 1, 5);
	assert_true(reports > 0);
}

static void test_advertisement(void **state)
{
	(void)state;
	advertise(600);
	station_run(10000);
	assert_true(has("2001:db8::ff:fe00:7"));
	assert_true(net_up());
	assert_int_equal(station_services_started, 1);
}

static void test_ipv4_is_off(void **state)
{
	uint8_t ping[16] = { 8 };
	unsigned before = station_frames;

	(void)state;
	station_ipv4(STATION_IP, STATION_HOST_IP, 1, ping, sizeof(ping));
	station_run(1);
	assert_int_equal(station_frames, before);
}

static void test_ping_and_datagram(void **state)
{
	uint8_t ping[40] = { 128 }, host[16] = { 0x20, 1, 0xd, 0xb8, [11] = 0xff, [12] = 0xfe, [15] = 7 };
	struct ip_address to = { .version = IP_V6, .bytes = { 0x20, 1, 0xd, 0xb9, [15] = 9 } };
	unsigned before = station_frames;
	struct net_hop hop;

	(void)state;
	host[8] = 0;
	host[10] = 0;
	send_icmp6(host, ping, sizeof(ping));
	station_run(1);
	assert_int_equal(station_frames, before + 1);
	/* Beyond the router, whose address it has from the advertisement. */
	assert_int_equal(net_next_hop(&to, &hop), 0);
	assert_memory_equal(hop.mac, "\2\0\0\0\0\1", 6);
	assert_int_equal(datagram_send(&to, 514, "line", 4), 0);
	station_run(10);
	assert_int_equal(datagrams, 1);
}

/* On the link, and never heard of: it is asked, and its answer is the way. */
static void test_neighbour(void **state)
{
	struct ip_address to = { .version = IP_V6, .bytes = { 0x20, 1, 0xd, 0xb8, [15] = 9 } };
	uint8_t host[16] = { 0x20, 1, 0xd, 0xb8, [11] = 0xff, [12] = 0xfe, [15] = 7 };
	uint8_t message[32] = { 136, [4] = 0x60, [24] = 2, 1, 2, 0, 0, 0, 0, 9 };
	struct net_hop hop;

	(void)state;
	memcpy(message + 8, to.bytes, 16);
	assert_int_equal(net_next_hop(&to, &hop), -EAGAIN);
	station_run(1);
	assert_int_equal(asked, 1);
	send_icmp6(host, message, sizeof(message));
	station_run(1);
	assert_int_equal(net_next_hop(&to, &hop), 0);
	assert_memory_equal(hop.mac, message + 26, 6);
	assert_memory_equal(hop.source.bytes, host, 16);
}

static void test_address_runs_out(void **state)
{
	(void)state;
	station_run(700000);
	assert_false(has("2001:db8::ff:fe00:7"));
	assert_false(net_up());
	assert_null(lwip_broken());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_local), cmocka_unit_test(test_advertisement), cmocka_unit_test(test_ipv4_is_off),
		cmocka_unit_test(test_ping_and_datagram), cmocka_unit_test(test_neighbour),
		cmocka_unit_test(test_address_runs_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
