/* sources: hv/net/address.c hv/net/ether.c hv/net/net.c hv/net/stream.c hv/net/stream_tcp.c hv/net/datagram.c hv/net/hop.c drivers/lwip/port.c hv/base/digest.c hv/base/ip_address.c hv/base/config.c hv/base/config_key.c hv/base/config_net.c hv/base/config_serial.c hv/base/features.c hv/base/failure.c hv/base/format.c tests/unit/net_station.c tests/unit/net_dhcp_server.c */
/*
 * Ethernet into lwIP: an exchange of DHCP, ARP, TCP, UDP, ICMP and IPv6 whose frames are changed on their way to the
 * host, most with their checksums made right again. Whatever comes, lwIP's assertions hold, its pools' guards
 * are whole, every frame it sends is well formed (net_station.c judges), and afterwards it works as before.
 */
#include "hv/net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "drivers/lwip/port.h"
#include "hv/base/frame.h"
#include "hv/net/datagram.h"
#include "hv/net/stream_priv.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/net_dhcp_server.h"
#include "tests/unit/net_station.h"
#include "tests/unit/support/support.h"

static bool honest;
static unsigned changed;

/* ---- Checksums of a frame that may be anything ---- */

static uint32_t sum_of(const uint8_t *from, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += get16(from + i);
	return sum;
}

static void mend_body(uint8_t protocol, uint8_t *body, size_t len, uint32_t pseudo)
{
	size_t field = protocol == 6 ? 16 : protocol == 17 ? 6 : 2;

	if ((protocol != 1 && protocol != 6 && protocol != 17 && protocol != 58) || len < field + 2)
		return;
	put16(body + field, 0);
	put16(body + field, station_checksum(body, len, protocol == 1 ? 0 : pseudo + protocol + (uint32_t)len));
}

static void mend_v4(uint8_t *ip, size_t len)
{
	size_t header = (size_t)(ip[0] & 15) * 4, total = get16(ip + 2);

	if (header < 20 || header > len || total < header || total > len)
		return;
	put16(ip + 10, 0);
	put16(ip + 10, station_checksum(ip, header, 0));
	mend_body(ip[9], ip + header, total - header, sum_of(ip + 12, 8));
}

static void mend(uint8_t *frame, size_t len)
{
	if (len >= 34 && get16(frame + 12) == 0x0800)
		mend_v4(frame + 14, len - 14);
	if (len >= 54 && get16(frame + 12) == 0x86dd && get16(frame + 18) <= len - 54)
		mend_body(frame[20], frame + 54, get16(frame + 18), sum_of(frame + 22, 32));
}

static size_t change(uint8_t *frame, size_t len)
{
	if (honest || fuzz_random(3) == 0)
		return len;
	changed++;
	for (uint64_t changes = 1 + fuzz_random(3); changes; changes--)
		len = fuzz_mutate(frame, len);
	if (fuzz_random(4))
		mend(frame, len);
	return len;
}

/* ---- The traffic ---- */

static struct station_tcp *peer;

static void echo(struct stream *s)
{
	uint8_t bytes[500];
	size_t n;

	while ((n = stream_read(s, bytes, min_u64(sizeof(bytes), stream_room(s)))) != 0)
		assert_int_equal(stream_write(s, bytes, n), n);
}

static const struct stream_service service = {
	.name = "echo", .max_connections = 6, .idle_seconds = 30, .received = echo,
};

static void say_tcp(void)
{
	static const uint8_t bytes[700] = "once more";
	static const unsigned flags[] = { TCP_ACK | TCP_PSH, TCP_ACK, TCP_SYN, TCP_FIN | TCP_ACK, TCP_RST };

	if (peer->reset || peer->finished || fuzz_random(60) == 0) {
		station_forget(peer);
		peer = station_tcp(STATION_IP + (uint32_t)fuzz_random(3), 80);
		station_segment(peer, TCP_SYN, NULL, 0);
		return;
	}
	station_segment(peer, flags[fuzz_random(8) ? 0 : fuzz_random(5)], bytes, fuzz_random(sizeof(bytes)));
}

static void say_arp(void)
{
	uint8_t arp[42] = { 2, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1 };

	arp[21] = (uint8_t)(1 + fuzz_random(2));
	put32(arp + 28, STATION_IP + (uint32_t)fuzz_random(40));
	put32(arp + 38, STATION_HOST_IP);
	station_frame(arp, sizeof(arp));
}

static void say_ping(void)
{
	uint8_t ping[64] = { 8 };

	station_ipv4(STATION_IP, STATION_HOST_IP, 1, ping, fuzz_random(2) ? sizeof(ping) : 8 + fuzz_random(56));
}

/* A piece of a larger packet: flags and offset at bytes 6 and 7. */
static void say_fragment(void)
{
	uint8_t frame[114] = { 2, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 100 };

	frame[19] = (uint8_t)fuzz_random(4);
	put16(frame + 20, fuzz_random(2) << 13 | fuzz_random(40));
	frame[22] = 64;
	frame[23] = 17;
	put32(frame + 26, STATION_IP);
	put32(frame + 30, STATION_HOST_IP);
	put16(frame + 24, station_checksum(frame + 14, 20, 0));
	station_frame(frame, sizeof(frame));
}

/* Advertisements of router and neighbour, solicitations, queries, echo, with an option or two. */
static void say_ipv6(void)
{
	static const uint8_t types[] = { 134, 135, 136, 130, 128, 137, 133, 1, 2 };
	uint8_t frame[130] = { 0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60 };
	uint8_t *ip = frame + 14, *body = ip + 40;

	put16(ip + 4, 76);
	ip[6] = fuzz_random(6) ? 58 : (uint8_t)(fuzz_random(2) ? 0 : 44);
	ip[7] = 255;
	memcpy(ip + 8, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	memcpy(ip + 24, "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
	body[0] = types[fuzz_random(sizeof(types))];
	memcpy(body + 4, "\100\0\7\10\0\0\0\0\0\0\0\0\1\1\2\0\0\0\0\1\3\4\100\300\0\0\2\130\0\0\2\130", 32);
	memcpy(body + 40, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\0\5\1\0\0\0\0\5\xdc\1\1\2\0\0\0\0\1", 32);
	put16(body + 2, station_checksum(body, 76, sum_of(ip + 8, 32) + 58 + 76));
	station_frame(frame, sizeof(frame));
}

static void say_something(void)
{
	static void (*const ways[])(void) = {
		say_tcp, say_tcp, say_tcp, say_arp, say_ping, say_fragment, say_ipv6, say_ipv6,
	};

	ways[fuzz_random(sizeof(ways) / sizeof(ways[0]))]();
}

static void test_works(bool first)
{
	struct ip_address to = { .version = IP_V4, .bytes = { 192, 0, 2, 1 } };

	honest = true;
	station_link(false);
	station_run(60000);
	station_link(true);
	station_run(first ? 20000 : 400000);
	assert_null(lwip_broken());
	assert_true(net_up());
	station_forget(peer);
	peer = station_tcp(STATION_IP, 80);
	assert_true(station_connect(peer));
	station_segment(peer, TCP_ACK | TCP_PSH, "hello", 5);
	station_run(10);
	assert_int_equal(peer->len, 5);
	assert_int_equal(datagram_send(&to, 514, "line", 4), 0);
	honest = false;
}

static void test_traffic(void **state)
{
	struct failure f = { "" };
	const char *wish = getenv("FUZZ_ROUNDS");
	unsigned rounds = wish ? (unsigned)strtoul(wish, NULL, 0) : 100000;

	(void)state;
	honest = true;
	station_change = change;
	station_other = dhcp_server_take;
	dhcp_server.lease = 120;
	dhcp_server.address = STATION_HOST_IP;
	peer = station_tcp(STATION_IP, 80);
	station_start("net = dhcp\nipv6 = auto\n");
	test_phys_init(MIB(1), MIB(4));
	station_run(20000);
	assert_non_null(stream_listen(&service, 80, NULL, NULL, &f));
	test_works(true);
	for (unsigned i = 0; i < rounds; i++) {
		say_something();
		if (fuzz_random(4) == 0)
			station_run((uint32_t)fuzz_random(fuzz_random(100) ? 20 : 10000));
		if (fuzz_random(2000) == 0)
			station_link(!station_nic.link);
		if (lwip_broken())
			fail_msg("round %u: %s", i, lwip_broken());
	}
	test_works(false);
	assert_true(changed > rounds / 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_traffic) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
