/* A station on the wire: see net_station.h. */
#include "tests/unit/net_station.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/lwip/port.h"
#include "hv/base/clock.h"
#include "hv/base/random.h"
#include "hv/monitor/monitor.h"
#include "hv/net/net.h"
#include "hv/net/net_services.h"
#include "hv/sched.h"
#include "tests/unit/support/random.h"
#include "tests/unit/support/support.h"

#define QUEUE 512
#define CONNECTIONS 300

uint64_t test_net_tsc = 1000000000;
bool station_nic_missing;
unsigned station_frames;
unsigned station_services_started;
void (*station_other)(const uint8_t *frame, size_t len);
size_t (*station_change)(uint8_t *frame, size_t len);

static const uint8_t host_mac[6] = { 2, 0, 0, 0, 0, 7 }, our_mac[6] = { 2, 0, 0, 0, 0, 1 };
static struct config config;
static struct station_tcp *connections[CONNECTIONS];
static void (*notify)(void);

/* ---- The card ---- */

static struct {
	uint8_t bytes[2048];
	size_t len;
} queue[QUEUE];
static unsigned queue_head, queue_tail;

static void judge(const uint8_t *frame, size_t len);

static int card_send(struct nic *nic, const void *frame, size_t len)
{
	uint8_t *copy;

	if (!nic->link)
		return -ENETDOWN;
	assert_in_range(len, NIC_FRAME_MIN, NIC_FRAME_MAX);
	station_frames++;
	copy = malloc(len); /* of exactly its size, so that ASan sees a step beyond */
	memcpy(copy, frame, len);
	judge(copy, len);
	free(copy);
	return 0;
}

static size_t card_receive(struct nic *nic, void *frame, size_t max)
{
	size_t len;

	(void)nic;
	do {
		if (queue_tail == queue_head)
			return 0;
		len = queue[queue_tail % QUEUE].len;
		memcpy(frame, queue[queue_tail % QUEUE].bytes, len <= max ? len : 0);
		queue_tail++;
	} while (len > max);
	return len;
}

static void card_service(struct nic *nic) { (void)nic; }

static void card_multicast(struct nic *nic, const uint8_t group[NIC_MAC_SIZE], bool accept)
{
	(void)nic;
	(void)accept;
	assert_int_equal(get16(group), 0x3333);
}

struct nic station_nic = {
	.name = "fake", .place = "00:00.0", .mac = { 2, 0, 0, 0, 0, 7 }, .link = true, .full_duplex = true,
	.speed = 1000, .send = card_send, .receive = card_receive, .service = card_service,
	.multicast = card_multicast,
};

struct nic *nic_start(uint32_t address, void (*on_notify)(void), struct failure *f)
{
	assert_int_equal(address, NIC_ANY);
	if (station_nic_missing) {
		(fail)(f, -ENODEV, "no network card");
		return NULL;
	}
	notify = on_notify;
	return &station_nic;
}

const char *nic_irq_name(enum nic_irq irq) { return irq == NIC_IRQ_POLL ? "polled" : "MSI"; }

void monitor_wake(void) { }

void station_link(bool up)
{
	station_nic.link = up;
	notify();
}

void station_frame(const void *frame, size_t len)
{
	assert_in_range(len, 0, sizeof(queue[0].bytes));
	if (queue_head - queue_tail == QUEUE)
		return;
	memcpy(queue[queue_head % QUEUE].bytes, frame, len);
	if (station_change)
		len = station_change(queue[queue_head % QUEUE].bytes, len);
	queue[queue_head++ % QUEUE].len = len;
	notify();
}

/* ---- The rest of the host ---- */

void net_services_start(const struct config *c)
{
	assert_ptr_equal(c, &config);
	station_services_started |= 1;
}

uint64_t net_services_poll(uint64_t now)
{
	(void)now;
	return NEVER;
}

void random_bytes(void *out, size_t n)
{
	static uint64_t seed = 11;

	for (size_t i = 0; i < n; i++)
		((uint8_t *)out)[i] = (uint8_t)test_random(&seed);
}

uint32_t random_u32(void)
{
	uint32_t n;

	random_bytes(&n, sizeof(n));
	return n;
}

bool random_by_hardware(void) { return true; }

void station_start(const char *conf)
{
	struct failure f = { "" };

	test_phys_init(MIB(1), MIB(16));
	config_defaults(&config);
	assert_int_equal(config_parse(&config, conf, strlen(conf), &f), 0);
	assert_int_equal(config_check(&config, &f), 0);
	net_start(&config);
}

unsigned station_run(uint32_t ms)
{
	uint64_t end = test_net_tsc + ms * tsc_khz;
	unsigned polls = 0;

	for (;;) {
		unsigned before = queue_head;
		uint64_t deadline = net_poll();

		polls++;
		assert_true(deadline > test_net_tsc || queue_head != before);
		if (queue_head != before)
			continue;
		if (deadline > end)
			break;
		test_net_tsc = deadline;
	}
	test_net_tsc = max_u64(end, test_net_tsc);
	return polls;
}

/* ---- Frames to the host ---- */

uint16_t station_checksum(const uint8_t *data, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Of the addresses at ip + 12, the protocol and the length. */
static uint32_t pseudo_sum(const uint8_t *ip, uint8_t protocol, size_t len)
{
	uint32_t sum = protocol + (uint32_t)len;

	for (int i = 12; i < 20; i += 2)
		sum += get16(ip + i);
	return sum;
}

void station_ipv4(uint32_t from, uint32_t to, uint8_t protocol, const void *payload, size_t len)
{
	static const unsigned field[256] = { [1] = 2, [6] = 16, [17] = 6 };
	uint8_t frame[2048] = { 0 }, *ip = frame + 14, *body = ip + 20;

	memcpy(frame, to == UINT32_MAX ? (const uint8_t *)"\xff\xff\xff\xff\xff\xff" : host_mac, 6);
	memcpy(frame + 6, our_mac, 6);
	put16(frame + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, (uint32_t)len + 20);
	ip[8] = 64;
	ip[9] = protocol;
	put32(ip + 12, from);
	put32(ip + 16, to);
	put16(ip + 10, station_checksum(ip, 20, 0));
	memcpy(body, payload, len);
	if (field[protocol]) {
		put16(body + field[protocol], 0);
		put16(body + field[protocol],
		      station_checksum(body, len, protocol == 1 ? 0 : pseudo_sum(ip, protocol, len)));
	}
	station_frame(frame, 34 + len);
}

void station_udp(uint32_t from, uint32_t to, uint16_t from_port, uint16_t to_port, const void *data, size_t len)
{
	uint8_t udp[1500];

	put16(udp, from_port);
	put16(udp + 2, to_port);
	put16(udp + 4, (uint32_t)len + 8);
	memcpy(udp + 8, data, len);
	station_ipv4(from, to, 17, udp, len + 8);
}

static void answer_arp(const uint8_t *frame)
{
	uint8_t reply[42];

	if (get16(frame + 20) != 1 || get32(frame + 38) == STATION_HOST_IP || !get32(frame + 28))
		return;
	memcpy(reply, frame + 6, 6);
	memcpy(reply + 6, our_mac, 6);
	memcpy(reply + 12, frame + 12, 8);
	put16(reply + 20, 2);
	memcpy(reply + 22, our_mac, 6);
	memcpy(reply + 28, frame + 38, 4);
	memcpy(reply + 32, frame + 22, 10);
	station_frame(reply, sizeof(reply));
}

/* ---- TCP ---- */

struct station_tcp *station_tcp(uint32_t ip, uint16_t host_port)
{
	static uint16_t next_port = 40000;
	struct station_tcp *t = calloc(1, sizeof(*t));
	unsigned i = 0;

	while (i < CONNECTIONS && connections[i])
		i++;
	assert_in_range(i, 0, CONNECTIONS - 1);
	t->ip = ip;
	t->port = next_port++;
	t->host_port = host_port;
	t->seq = 1000u * next_port;
	t->window = 60000;
	connections[i] = t;
	return t;
}

void station_forget(struct station_tcp *t)
{
	for (unsigned i = 0; i < CONNECTIONS; i++)
		if (connections[i] == t)
			connections[i] = NULL;
	free(t);
}

void station_segment(struct station_tcp *t, unsigned flags, const void *data, size_t len)
{
	uint8_t segment[1500] = { 0 };

	put16(segment, t->port);
	put16(segment + 2, t->host_port);
	put32(segment + 4, t->seq);
	put32(segment + 8, flags & TCP_ACK ? t->ack : 0);
	segment[12] = 5 << 4;
	segment[13] = (uint8_t)flags;
	put16(segment + 14, t->window);
	if (len)
		memcpy(segment + 20, data, len);
	station_ipv4(t->ip, STATION_HOST_IP, 6, segment, 20 + len);
	t->seq += (uint32_t)len + ((flags & TCP_SYN) != 0) + ((flags & TCP_FIN) != 0);
}

bool station_connect(struct station_tcp *t)
{
	station_segment(t, TCP_SYN, NULL, 0);
	station_run(1);
	return t->open && !t->reset;
}

static void take_segment(struct station_tcp *t, const uint8_t *tcp, size_t len)
{
	size_t header = (size_t)(tcp[12] >> 4) * 4;
	unsigned flags = tcp[13];
	uint32_t seq = get32(tcp + 4);
	bool news = false;

	assert_in_range(header, 20, len);
	if (flags & TCP_ACK)
		t->acked = get32(tcp + 8);
	t->reset |= (flags & TCP_RST) != 0;
	if (flags & TCP_SYN) {
		t->open = news = true;
		t->ack = seq + 1;
		seq++;
	}
	if (seq == t->ack && len > header && len - header <= t->window) {
		if (t->len + len - header > sizeof(t->data))
			t->len = 0;
		memcpy(t->data + t->len, tcp + header, len - header);
		t->len += len - header;
		t->ack += (uint32_t)(len - header);
		seq = t->ack;
		news = true;
	}
	if ((flags & TCP_FIN) && seq == t->ack) {
		t->finished = news = true;
		t->ack++;
	}
	if (news && !t->silent && !t->reset)
		station_segment(t, TCP_ACK, NULL, 0);
}

static void judge_tcp(const uint8_t *frame, const uint8_t *ip, size_t len)
{
	const uint8_t *tcp = ip + 20;

	assert_true(len >= 20);
	assert_int_equal(station_checksum(tcp, len, pseudo_sum(ip, 6, len)), 0);
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct station_tcp *t = connections[i];

		if (t && t->ip == get32(ip + 16) && t->port == get16(tcp + 2) && t->host_port == get16(tcp)) {
			take_segment(t, tcp, len);
			return;
		}
	}
	if (station_other)
		station_other(frame, len + 34);
}

static void judge(const uint8_t *frame, size_t len)
{
	const uint8_t *ip = frame + 14;

	assert_memory_equal(frame + 6, host_mac, 6);
	if (get16(frame + 12) == 0x0806) {
		assert_in_range(len, 42, 60);
		answer_arp(frame);
	}
	if (get16(frame + 12) == 0x0800) {
		assert_in_range(get16(ip + 2), 20, len - 14);
		assert_int_equal(station_checksum(ip, 20, 0), 0);
		if (ip[9] == 6) {
			judge_tcp(frame, ip, get16(ip + 2) - 20u);
			return;
		}
	}
	if (station_other)
		station_other(frame, len);
}
