/*
 * What stream.c (the services' side) and stream_tcp.c (lwIP's side) share. Between them there are only a
 * connection's two rings and its flags: services never call lwIP, and lwIP never calls services.
 */
#ifndef HV_NET_STREAM_PRIV_H
#define HV_NET_STREAM_PRIV_H

#include "hv/base/ip_address.h"
#include "hv/net/stream.h"

struct tcp_pcb; /* lwIP */

#define STREAM_MAX 32          /* connections of all services */
#define STREAM_LISTENERS_MAX 20
#define STREAM_RX_SIZE 8192    /* bytes; more than lwIP's TCP_WND */
#define STREAM_TX_SIZE 16384   /* bytes; lwIP's TCP_SND_BUF */
#define STREAM_LINGER_MS 20000 /* a peer that takes nothing of what is left at the end has so long */

/* Counters run on without limit: a byte's place is its number modulo the size. */
struct stream_ring {
	uint32_t head; /* bytes ever put in */
	uint32_t tail; /* bytes ever taken out; tx: acknowledged by the peer */
};

static inline uint32_t stream_ring_used(const struct stream_ring *r) { return r->head - r->tail; }

struct stream {
	struct stream_listener *listener;
	struct tcp_pcb *pcb;       /* NULL when lwIP has nothing of it (any more) */
	void *state;               /* the service's */
	char peer[STREAM_PEER_MAX];
	uint16_t peer_port;
	bool announced;            /* `opened` was called and took it: `closed` is owed */
	bool fresh;                /* bytes have come since the last `received` */
	bool wants_room;           /* a stream_write took less than it was given */
	bool closing;              /* no more of it for the service; what is queued is still sent */
	bool over;                 /* nothing more is sent or received */
	bool peer_finished;        /* it sends nothing more */
	bool fin_sent;
	bool touched;              /* the service did something that lwIP is to hear of */
	struct stream_ring rx, tx;
	uint32_t tx_given;         /* bytes ever given to lwIP: tx.tail <= tx_given <= tx.head */
	uint32_t rx_credit;        /* bytes taken out of rx that lwIP has not been told of */
	uint64_t heard_at;         /* host TSC: of the peer's last byte */
	uint64_t moved_at;         /* host TSC: of the last byte it acknowledged, or that was queued for it when idle */
	uint8_t rx_bytes[STREAM_RX_SIZE];
	uint8_t tx_bytes[STREAM_TX_SIZE];
};

struct stream_listener {
	const struct stream_service *service; /* NULL: free */
	struct tcp_pcb *pcb;
	void *state;
	struct ip_address peer; /* who may connect; IP_NONE: anybody */
	uint16_t port;
	uint32_t connections;
	bool closed;            /* goes when its last connection has gone */
	uint64_t accepted, refused;
};

extern struct stream *streams[STREAM_MAX]; /* NULL: free */
extern unsigned streams_end;               /* places from here on are free */
extern struct stream_listener stream_listeners[STREAM_LISTENERS_MAX];

/* Called by lwIP's side. NULL: no place or no memory for it, or the listener does not want it. */
struct stream *stream_make(struct stream_listener *l, struct tcp_pcb *pcb, const struct ip_address *peer,
                           uint16_t peer_port);

/* lwIP's side; all of them belong inside lwip_guard(). */
struct stream_open_request {
	struct stream_listener *listener;
	int err; /* negative errno */
};
/* Opens the listener's port: arg is a struct stream_open_request. */
void stream_tcp_open(void *arg);
/* arg: a struct stream_listener, whose port closes. */
void stream_tcp_shut(void *arg);
/* Moves every connection on: gives lwIP what is queued, tells it what was read, ends what is to end. */
void stream_tcp_advance(void);
/* Makes half-open connections the first to go when lwIP is out of them. */
void stream_tcp_demote_half_open(void);
/* Connections on their way that nobody has accepted yet. */
unsigned stream_tcp_half_open(void);

/* For net.c. After every turn of lwIP: calls the services, frees what is over. */
void streams_dispatch(void);
/* Whether lwIP, and then the services, should have another turn at once. */
bool streams_dirty(void);
/* Ends all connections: lwIP has broken down. */
void streams_give_up(void);
/* Host TSC at which an idle or lingering connection runs out; NEVER without. */
uint64_t streams_deadline(void);

#endif
