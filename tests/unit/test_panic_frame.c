/* sources: hv/net/panic_frame.c hv/net/panic_send.c hv/base/ip_address.c hv/base/format.c */
/*
 * A panic's frames: addresses, lengths and checksums as any receiver counts them, lines of every length, and that
 * the route a panic uses is the one that was found while the network was well.
 */
#define _GNU_SOURCE /* memmem */
#include "hv/net/panic_frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "drivers/nic.h"
#include "hv/base/clock.h"
#include "hv/base/panic.h"
#include "hv/net/panic_send.h"
#include "hv/sched.h"

#include <cmocka.h>

static struct panic_route v4, v6;
static uint8_t frame[PANIC_FRAME_MAX];

/* ---- the machine ---- */

static panic_output_fn output;
static bool panicking, no_card;
static int hop_error;
static uint8_t hop_mac;
static unsigned hops_asked, sent_count;
static uint8_t sent[PANIC_FRAME_MAX];
static size_t sent_len;

void panic_add_output(panic_output_fn o) { output = o; }
bool panic_is_on(void) { return panicking; }

static void panic_send(struct nic *nic, const void *f, size_t len)
{
	(void)nic;
	memcpy(sent, f, len);
	sent_len = len;
	sent_count++;
}

struct nic *nic_get(void)
{
	static struct nic nic = { .panic_send = panic_send };

	return no_card ? NULL : &nic;
}

int net_next_hop(const struct ip_address *to, struct net_hop *hop)
{
	hops_asked++;
	memset(hop, 0xee, sizeof *hop); /* while it is being found it means nothing */
	if (hop_error)
		return hop_error;
	hop->source = (struct ip_address){ .version = to->version, .bytes = { 192, 0, 2, 7 } };
	memset(hop->mac, hop_mac, 6);
	return 0;
}

/* ---- a receiver ---- */

static uint32_t get16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static uint32_t sum_of(const uint8_t *at, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += get16(at + i);
	if (n % 2)
		sum += (uint32_t)at[n - 1] << 8;
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)sum;
}

/* Checks everything but the text, which it returns. */
static const char *receive(size_t len, size_t ip_header)
{
	static char text[PANIC_FRAME_MAX];
	const uint8_t *ip = frame + 14, *udp = ip + ip_header;
	uint8_t pseudo[40] = { 0 };
	size_t udp_len = len - 14 - ip_header, n = ip_header == 20 ? 4 : 16;
	uint64_t sum;

	assert_true(len > 14 + ip_header + 8 && len <= PANIC_FRAME_MAX);
	assert_memory_equal(frame, v4.hop.mac, 6);
	assert_memory_equal(frame + 6, v4.hop.source_mac, 6);
	assert_int_equal(get16(udp + 4), udp_len);
	assert_int_not_equal(get16(udp + 6), 0);
	memcpy(pseudo, ip + (n == 4 ? 12 : 8), 2 * n);
	pseudo[2 * n + 1] = 17;
	pseudo[2 * n + 2] = (uint8_t)(udp_len >> 8);
	pseudo[2 * n + 3] = (uint8_t)udp_len;
	sum = sum_of(pseudo, 2 * n + 4) + sum_of(udp, udp_len);
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
	memcpy(text, udp + 8, udp_len - 8);
	text[udp_len - 8] = 0;
	return text;
}

static size_t build(const struct panic_route *r, uint32_t number, const char *line)
{
	memset(frame, 0xa5, sizeof frame);
	return panic_frame_build(frame, r, number, line, strlen(line));
}

static int start(void **state)
{
	(void)state;
	v4 = (struct panic_route){
		.hop = { .source_mac = { 2, 0, 0, 0, 0, 1 }, .mac = { 2, 0, 0, 0, 0, 2 },
			 .source = { .version = IP_V4, .bytes = { 192, 0, 2, 7 } } },
		.to = { .version = IP_V4, .bytes = { 198, 51, 100, 9 } },
		.port = 5514,
		.host = "192.0.2.7",
	};
	v6 = v4;
	v6.hop.source = (struct ip_address){ .version = IP_V6, .bytes = { 0x20, 1, 0xd, 0xb8, [15] = 7 } };
	v6.to = (struct ip_address){ .version = IP_V6, .bytes = { 0x20, 1, 0xd, 0xb8, [15] = 9 } };
	panicking = no_card = false;
	hop_error = 0;
	hops_asked = sent_count = 0;
	return 0;
}

static void ipv4(void **state)
{
	static const uint8_t ip[] = { 0x45, 0, 0, 0, 0, 3, 0x40, 0, 64, 17 };
	size_t len = build(&v4, 3, "gnomon: PANIC on CPU 0\r\n");

	(void)state;
	assert_string_equal(receive(len, 20), "<130>1 - 192.0.2.7 gnomon - panic [meta sequenceId=\"3\"] PANIC on CPU 0");
	assert_int_equal(get16(frame + 12), 0x0800);
	assert_int_equal(get16(frame + 16), len - 14);
	frame[16] = frame[17] = 0;
	assert_memory_equal(frame + 14, ip, sizeof ip);
	frame[16] = (uint8_t)((len - 14) >> 8);
	frame[17] = (uint8_t)(len - 14);
	assert_int_equal(sum_of(frame + 14, 20), 0xffff);
	assert_memory_equal(frame + 26, "\xc0\0\x02\x07\xc6\x33\x64\x09", 8);
	assert_int_equal(get16(frame + 34), 514);
	assert_int_equal(get16(frame + 36), 5514);
}

static void ipv6(void **state)
{
	size_t len = build(&v6, 1, "no prefix, no end");

	(void)state;
	assert_non_null(strstr(receive(len, 40), "] no prefix, no end"));
	assert_int_equal(get16(frame + 12), 0x86dd);
	assert_int_equal(get16(frame + 14), 0x6000);
	assert_int_equal(get16(frame + 18), len - 54);
	assert_int_equal(frame[20], 17);
	assert_memory_equal(frame + 22, v6.hop.source.bytes, 16);
	assert_memory_equal(frame + 38, v6.to.bytes, 16);
}

/* Every length, odd and even, up to lines that are cut; and one in which each checksum comes up. */
static void all_lengths(void **state)
{
	char line[1000];

	(void)state;
	for (size_t n = 0; n < sizeof line - 1; n++) {
		size_t len;

		memset(line, 'a' + (int)(n % 26), n);
		line[n] = 0;
		len = build(&v4, (uint32_t)n, line);
		assert_int_equal(strlen(receive(len, 20)), len - 42);
		len = build(&v6, UINT32_MAX, line);
		assert_int_equal(strlen(receive(len, 40)), len - 62);
	}
	assert_int_equal(build(&v4, 1, line), PANIC_FRAME_MAX);
}

/* Some sum is 0, which is sent as all ones: receive() refuses 0. */
static void every_checksum(void **state)
{
	(void)state;
	for (uint32_t port = 0; port < 0x10000; port++) {
		v4.port = (uint16_t)port;
		receive(build(&v4, 1, "x"), 20);
	}
}

static void only_text(void **state)
{
	size_t len = build(&v4, 1, "gnomon: a\x1b[31m\xc3\xa4\tb\n\r\n");

	(void)state;
	assert_non_null(strstr(receive(len, 20), "] a?[31m???b"));
}

static void no_route(void **state)
{
	(void)state;
	v4.to.version = IP_V6;
	assert_int_equal(build(&v4, 1, "x"), 0);
	v4.to.version = v4.hop.source.version = IP_NONE;
	assert_int_equal(build(&v4, 1, "x"), 0);
}

/* ---- the service; the steps of one life ---- */

static void service(void **state)
{
	struct config c = { .syslog = { .address = { .version = IP_V4, .bytes = { 198, 51, 100, 9 } }, .port = 514 } };
	uint64_t now = 1000;

	(void)state;
	tsc_khz = 10;
	panic_send_service.start(&c);
	assert_non_null(output);
	hop_error = -EAGAIN;
	assert_int_equal(panic_send_service.poll(now), now + 10000); /* a second */
	assert_int_equal(panic_send_service.poll(now + 1), now + 10000);
	assert_int_equal(hops_asked, 1);
	panicking = true;
	output("gnomon: a\r\n", 11);
	assert_int_equal(sent_count, 0); /* nobody knows the way */
	panicking = false;
	hop_error = 0;
	hop_mac = 0x22;
	now += 10000;
	assert_int_equal(panic_send_service.poll(now), now + 300000); /* half a minute */
	output("gnomon: a\r\n", 11);
	assert_int_equal(sent_count, 0); /* no panic */
	panicking = true;
	output("gnomon: a\r\n", 11);
	assert_int_equal(sent_count, 1);
	assert_int_equal(sent[0], 0x22);
	assert_non_null(memmem(sent, sent_len, "192.0.2.7 gnomon - panic [meta sequenceId=\"1\"] a", 48));
	panicking = false;
	hop_error = -ENETDOWN; /* the old way is kept, whatever was written where a new one goes */
	now += 300000;
	assert_int_equal(panic_send_service.poll(now), now + 10000);
	panicking = true;
	output("gnomon: b\r\n", 11);
	assert_int_equal(sent_count, 2);
	assert_int_equal(sent[0], 0x22);
	hop_error = 0;
	hop_mac = 0x33;
	panic_send_service.poll(now + 10000);
	output("gnomon: c\r\n", 11);
	assert_int_equal(sent[0], 0x33);
	no_card = true;
	output("gnomon: d\r\n", 11);
	assert_int_equal(sent_count, 3);
}

static void off(void **state)
{
	struct config c = { .syslog = { .port = 514 } };

	(void)state;
	output = NULL;
	panic_send_service.start(&c);
	assert_null(output);
	assert_int_equal(panic_send_service.poll(5), NEVER);
}

#define TEST(name) cmocka_unit_test_setup(name, start)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ipv4), TEST(ipv6), TEST(all_lengths), TEST(every_checksum), TEST(only_text), TEST(no_route),
		TEST(service), TEST(off),
	};

	return cmocka_run_group_tests_name("a panic's frames", tests, NULL, NULL);
}
