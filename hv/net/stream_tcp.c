/* Owns lwIP's side of the streams: its callbacks, which only move bytes and set flags, and what is asked of it. */
#include "hv/net/stream_priv.h"

#include <lwip/ip_addr.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>
#include <string.h>

#include "drivers/lwip/port.h"
#include "hv/base/clock.h"
#include "hv/net/address.h"

/* Who goes first when lwIP has no connection left for a newcomer. */
#define PRIORITY_HALF_OPEN TCP_PRIO_MIN
#define PRIORITY_CLOSING (TCP_PRIO_MIN + 1)
#define PRIORITY_LISTENER TCP_PRIO_NORMAL
#define PRIORITY_STREAM (TCP_PRIO_NORMAL + 1)

#define BACKLOG 255
#define KEEPALIVE_MS 60000 /* a peer that has vanished without a word is noticed */
#define KEEPALIVE_COUNT 4

_Static_assert(STREAM_RX_SIZE >= TCP_WND, "what a peer may send must fit");
_Static_assert(STREAM_TX_SIZE >= TCP_SND_BUF, "lwIP sends from the ring");
_Static_assert(STREAM_MAX < MEMP_NUM_TCP_PCB, "half-open connections need some too");
_Static_assert(STREAM_LISTENERS_MAX <= MEMP_NUM_TCP_PCB_LISTEN, "a port each");

/* The stream is over and lwIP's connection knows it no more. The connection, NULL when it was gone already. */
static struct tcp_pcb *part(struct stream *s)
{
	struct tcp_pcb *pcb = s->pcb;

	s->pcb = NULL;
	s->over = true;
	if (!pcb)
		return NULL;
	tcp_arg(pcb, NULL);
	tcp_recv(pcb, NULL);
	tcp_sent(pcb, NULL);
	tcp_err(pcb, NULL);
	return pcb;
}

/* lwIP keeps the connection, to end it in its own time. */
static void detach(struct stream *s)
{
	struct tcp_pcb *pcb = part(s);

	if (!pcb)
		return;
	tcp_setprio(pcb, PRIORITY_CLOSING);
	tcp_close(pcb); /* a FIN has gone: this only says that nobody reads any more */
}

/* Our FIN has gone and the peer has all our bytes. It must be let go at once: from here on lwIP may free the
 * connection without a callback. */
static void let_go_if_settled(struct stream *s)
{
	if (s->fin_sent && stream_ring_used(&s->tx) == 0)
		detach(s);
}

static void abort_stream(struct stream *s)
{
	struct tcp_pcb *pcb = part(s);

	if (pcb)
		tcp_abort(pcb);
}

static void store(struct stream *s, const struct pbuf *p)
{
	uint32_t at = s->rx.head % STREAM_RX_SIZE;
	uint16_t first = (uint16_t)min_u64(p->tot_len, STREAM_RX_SIZE - at);

	pbuf_copy_partial(p, s->rx_bytes + at, first, 0);
	pbuf_copy_partial(p, s->rx_bytes, (uint16_t)(p->tot_len - first), first);
	s->rx.head += p->tot_len;
}

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct stream *s = arg;

	(void)err;
	if (!p) {
		s->peer_finished = true;
		let_go_if_settled(s);
		return ERR_OK;
	}
	if (p->tot_len > STREAM_RX_SIZE - stream_ring_used(&s->rx))
		return ERR_MEM;
	s->heard_at = lwip_port_tsc();
	if (s->closing) {
		tcp_recved(pcb, p->tot_len);
	} else {
		store(s, p);
		s->fresh = true;
	}
	pbuf_free(p);
	return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	struct stream *s = arg;

	(void)pcb;
	s->tx.tail += len;
	s->moved_at = lwip_port_tsc();
	let_go_if_settled(s);
	return ERR_OK;
}

/* lwIP has freed the connection already. */
static void on_error(void *arg, err_t err)
{
	struct stream *s = arg;

	(void)err;
	s->pcb = NULL;
	s->over = true;
}

static bool admitted(struct stream_listener *l, const struct ip_address *peer)
{
	if (l->closed || l->connections >= l->service->max_connections)
		return false;
	return l->peer.version == IP_NONE || ip_address_equal(&l->peer, peer);
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct stream_listener *l = arg;
	struct ip_address peer;
	struct stream *s;

	if (err != ERR_OK || !pcb)
		return ERR_VAL;
	peer = address_from_lwip(&pcb->remote_ip);
	s = admitted(l, &peer) ? stream_make(l, pcb, &peer, pcb->remote_port) : NULL;
	if (!s) {
		l->refused++;
		return ERR_VAL; /* lwIP answers with a reset */
	}
	tcp_setprio(pcb, PRIORITY_STREAM);
	tcp_nagle_disable(pcb);
	ip_set_option(pcb, SOF_KEEPALIVE);
	pcb->keep_idle = pcb->keep_intvl = KEEPALIVE_MS;
	pcb->keep_cnt = KEEPALIVE_COUNT;
	tcp_arg(pcb, s);
	tcp_recv(pcb, on_received);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
	return ERR_OK;
}

void stream_tcp_open(void *arg)
{
	struct stream_open_request *request = arg;
	struct stream_listener *l = request->listener;
	struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY), *listening = NULL;
	err_t err = ERR_MEM;

	if (pcb) {
		ip_set_option(pcb, SOF_REUSEADDR);
		err = tcp_bind(pcb, IP_ANY_TYPE, l->port);
	}
	if (err == ERR_OK) {
		tcp_setprio(pcb, PRIORITY_LISTENER);
		listening = tcp_listen_with_backlog_and_err(pcb, BACKLOG, &err);
	}
	request->err = err == ERR_OK ? 0 : err == ERR_USE ? -EADDRINUSE : -ENOMEM;
	if (listening) {
		tcp_arg(listening, l);
		tcp_accept(listening, on_accept);
		l->pcb = listening;
	} else if (pcb) {
		tcp_close(pcb);
	}
}

void stream_tcp_shut(void *arg)
{
	struct stream_listener *l = arg;

	if (l->pcb)
		tcp_close(l->pcb);
	l->pcb = NULL;
}

/* lwIP takes all of a piece or nothing of it, so a piece is what it makes one segment of. */
static uint32_t segment_size(const struct tcp_pcb *pcb)
{
	uint32_t half = pcb->snd_wnd_max / 2;

	return half && half < tcp_mss(pcb) ? half : tcp_mss(pcb);
}

/* Gives lwIP what is queued, in place: the ring keeps it until the peer has acknowledged it. */
static void give(struct stream *s)
{
	while (s->tx_given != s->tx.head) {
		uint32_t at = s->tx_given % STREAM_TX_SIZE;
		uint32_t n = (uint32_t)min_u64(s->tx.head - s->tx_given, STREAM_TX_SIZE - at);

		n = (uint32_t)min_u64(n, min_u64(tcp_sndbuf(s->pcb), segment_size(s->pcb)));
		if (!n || tcp_write(s->pcb, s->tx_bytes + at, (u16_t)n, 0) != ERR_OK)
			return;
		s->tx_given += n;
	}
}

static void tell_credit(struct stream *s)
{
	if (s->closing) {
		s->rx_credit += stream_ring_used(&s->rx);
		s->rx.tail = s->rx.head;
	}
	if (s->rx_credit)
		tcp_recved(s->pcb, (u16_t)s->rx_credit); /* at most STREAM_RX_SIZE */
	s->rx_credit = 0;
}

static void finish(struct stream *s)
{
	if (!s->closing || s->fin_sent || s->tx_given != s->tx.head)
		return;
	s->fin_sent = tcp_shutdown(s->pcb, 0, 1) == ERR_OK;
	let_go_if_settled(s);
}

static void advance(struct stream *s)
{
	s->touched = false;
	if (s->over) {
		abort_stream(s);
		return;
	}
	tell_credit(s);
	give(s);
	finish(s);
	if (s->pcb)
		tcp_output(s->pcb);
}

void stream_tcp_advance(void)
{
	for (unsigned i = 0; i < streams_end; i++)
		if (streams[i] && streams[i]->pcb)
			advance(streams[i]);
}

void stream_tcp_demote_half_open(void)
{
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
		if (pcb->state == SYN_RCVD)
			tcp_setprio(pcb, PRIORITY_HALF_OPEN);
}

unsigned stream_tcp_half_open(void)
{
	unsigned n = 0;

	for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
		n += pcb->state == SYN_RCVD;
	return n;
}
