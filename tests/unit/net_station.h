/*
 * A station on the wire in host tests: the card that the network gets is a fake one whose other end is this. It
 * answers ARP, speaks enough of TCP to be a good peer or a bad one, and hands everything else to the test. It
 * judges every frame that Gnomon sends: lengths and checksums. Time stands still but in station_run.
 */
#ifndef TESTS_UNIT_NET_STATION_H
#define TESTS_UNIT_NET_STATION_H

#include "drivers/nic.h"
#include "hv/base/config.h"

#define STATION_HOST_IP 0xc0000207u /* 192.0.2.7 */
#define STATION_IP 0xc0000201u      /* 192.0.2.1 */

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

/* One end of a connection, ours. */
struct station_tcp {
	uint32_t ip;      /* ours */
	uint16_t port, host_port;
	uint32_t seq;     /* of the next byte we send */
	uint32_t ack;     /* of the next byte we expect */
	uint32_t acked;   /* what the host acknowledged */
	uint16_t window;  /* what we say we take */
	bool silent;      /* acknowledges nothing by itself */
	bool open, finished, reset; /* the host said SYN, FIN, RST */
	uint8_t data[1 << 17];
	size_t len;       /* in-order bytes from the host */
};

extern struct nic station_nic;
extern bool station_nic_missing;
extern unsigned station_frames;      /* that the host sent so far */
extern unsigned station_services_started;
/* Frames but ARP and known TCP go here; NULL: nowhere. */
extern void (*station_other)(const uint8_t *frame, size_t len);
/* Changes frames on their way to the host, in a place of NIC_FRAME_MAX + 500 bytes; returns the new length. */
extern size_t (*station_change)(uint8_t *frame, size_t len);

/* The network with that configuration (lines of gnomon.conf); once per program. */
void station_start(const char *conf);
/* Lets ms pass, with net_poll at its deadlines and after every frame. Returns the number of polls. */
unsigned station_run(uint32_t ms);

/* Pulls the cable, or puts it back. */
void station_link(bool up);
/* A frame to the host, as soon as it looks. */
void station_frame(const void *frame, size_t len);
/* An IPv4 packet of that protocol, whole; checksums of header, TCP, UDP and ICMP are filled in. */
void station_ipv4(uint32_t from, uint32_t to, uint8_t protocol, const void *payload, size_t len);
void station_udp(uint32_t from, uint32_t to, uint16_t from_port, uint16_t to_port, const void *data, size_t len);
/* The Internet checksum of the bytes, in host order, starting from sum. */
uint16_t station_checksum(const uint8_t *data, size_t len, uint32_t sum);

/* A new end, not yet connected; and a segment from it, with its next sequence number. Data, SYN and FIN count. */
struct station_tcp *station_tcp(uint32_t ip, uint16_t host_port);
void station_segment(struct station_tcp *t, unsigned flags, const void *data, size_t len);
/* SYN, and ACK when the answer has come; true when the connection is open. */
bool station_connect(struct station_tcp *t);
void station_forget(struct station_tcp *t);

static inline uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static inline void put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v; }
static inline void put32(uint8_t *p, uint32_t v) { put16(p, v >> 16), put16(p + 2, v); }

#endif
