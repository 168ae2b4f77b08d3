/* Owns the services' side of TCP connections: their table, their rings, and the calls of services' functions. */
#include "hv/net/stream_priv.h"

#include <string.h>

#include "drivers/lwip/port.h"
#include "hv/base/clock.h"
#include "hv/net/ether.h"
#include "hv/net/memory.h"
#include "hv/sched.h"

struct stream *streams[STREAM_MAX];
unsigned streams_end;
struct stream_listener stream_listeners[STREAM_LISTENERS_MAX];

static struct stream *running; /* whose service's function is being called, or NULL */

/* ---- Ports ---- */

static struct stream_listener *free_listener(void)
{
	for (unsigned i = 0; i < STREAM_LISTENERS_MAX; i++)
		if (!stream_listeners[i].service)
			return &stream_listeners[i];
	return NULL;
}

static bool read_peer(struct ip_address *a, const char *peer)
{
	*a = (struct ip_address){ .version = IP_NONE };
	return !peer || ip_address_parse(a, peer, strlen(peer));
}

static struct stream_listener *open_port(struct stream_listener *l, struct failure *f)
{
	struct stream_open_request request = { .listener = l, .err = -ENETDOWN };

	if (lwip_guard(stream_tcp_open, &request) && !request.err)
		return l;
	l->service = NULL;
	if (request.err == -EADDRINUSE)
		fail(f, -EADDRINUSE, "port %u is taken by another service; choose another one", l->port);
	else if (request.err == -ENOMEM)
		fail(f, -ENOMEM, "port %u: no buffers are left for another port; close one", l->port);
	else
		fail(f, -ENETDOWN, "port %u: the network has stopped; the log says why", l->port);
	return NULL;
}

struct stream_listener *stream_listen(const struct stream_service *service, uint16_t port, const char *peer,
                                      void *state, struct failure *f)
{
	struct stream_listener *l = free_listener();
	struct ip_address address;

	if (!ether_netif() || lwip_broken()) {
		fail(f, -ENETDOWN, "port %u: the host has no network; `net` says why", port);
		return NULL;
	}
	if (!port || !read_peer(&address, peer)) {
		fail(f, -EINVAL, port ? "%.60s is no IP address; write it like 192.0.2.7 or fe80::1" :
		     "%s0 is no port; take one from 1 to 65535", port ? peer : "");
		return NULL;
	}
	if (!l) {
		fail(f, -ENOMEM, "port %u: %u ports are open already; close one", port, STREAM_LISTENERS_MAX);
		return NULL;
	}
	*l = (struct stream_listener){ .service = service, .state = state, .peer = address, .port = port };
	return open_port(l, f);
}

static void forget_if_done(struct stream_listener *l)
{
	if (l->closed && !l->connections)
		l->service = NULL;
}

/* The service hears of the end, now; the rest of it goes when lwIP has let go of it. */
static void announce_end(struct stream *s)
{
	struct stream *outer = running;

	if (!s->announced)
		return;
	s->announced = false;
	running = s;
	if (s->listener->service->closed)
		s->listener->service->closed(s);
	running = outer;
}

void stream_unlisten(struct stream_listener *l)
{
	l->closed = true;
	lwip_guard(stream_tcp_shut, l);
	for (unsigned i = 0; i < streams_end; i++) {
		if (!streams[i] || streams[i]->listener != l)
			continue;
		streams[i]->over = true;
		if (streams[i] != running)
			announce_end(streams[i]);
	}
	forget_if_done(l);
}

/* ---- One connection ---- */

struct stream *stream_make(struct stream_listener *l, struct tcp_pcb *pcb, const struct ip_address *peer,
                           uint16_t peer_port)
{
	unsigned i = 0;
	struct stream *s;

	while (i < STREAM_MAX && streams[i])
		i++;
	s = i < STREAM_MAX ? net_memory_take(sizeof(*s)) : NULL;
	if (!s)
		return NULL;
	s->listener = l;
	s->pcb = pcb;
	s->peer_port = peer_port;
	s->heard_at = s->moved_at = lwip_port_tsc();
	ip_address_text(peer, s->peer);
	l->connections++;
	l->accepted++;
	streams[i] = s;
	streams_end = (unsigned)max_u64(streams_end, i + 1);
	return s;
}

void *stream_listener_state(const struct stream *s) { return s->listener->state; }
void *stream_state(const struct stream *s) { return s->state; }
void stream_set_state(struct stream *s, void *state) { s->state = state; }
const char *stream_peer(const struct stream *s) { return s->peer; }

size_t stream_read(struct stream *s, void *buf, size_t n)
{
	uint32_t at = s->rx.tail % STREAM_RX_SIZE, take, first;

	take = (uint32_t)min_u64(n, stream_ring_used(&s->rx));
	first = (uint32_t)min_u64(take, STREAM_RX_SIZE - at);
	memcpy(buf, s->rx_bytes + at, first);
	memcpy((char *)buf + first, s->rx_bytes, take - first);
	s->rx.tail += take;
	s->rx_credit += take;
	s->touched |= take != 0;
	return take;
}

static bool may_write(const struct stream *s) { return !s->closing && !s->over; }

size_t stream_room(const struct stream *s)
{
	return may_write(s) ? STREAM_TX_SIZE - stream_ring_used(&s->tx) : 0;
}

size_t stream_write(struct stream *s, const void *buf, size_t n)
{
	uint32_t at = s->tx.head % STREAM_TX_SIZE;
	uint32_t put = (uint32_t)min_u64(n, stream_room(s));
	uint32_t first = (uint32_t)min_u64(put, STREAM_TX_SIZE - at);

	if (put && stream_ring_used(&s->tx) == 0)
		s->moved_at = lwip_port_tsc();
	memcpy(s->tx_bytes + at, buf, first);
	memcpy(s->tx_bytes, (const char *)buf + first, put - first);
	s->tx.head += put;
	s->touched |= put != 0;
	s->wants_room = may_write(s) && put < n;
	return put;
}

void stream_close(struct stream *s)
{
	if (!may_write(s))
		return;
	s->closing = true;
	s->touched = true;
	s->moved_at = lwip_port_tsc();
}

/* ---- The services' turn ---- */

static void run(struct stream *s, void (*function)(struct stream *s))
{
	running = s;
	if (function)
		function(s);
	running = NULL;
}

static void open_stream(struct stream *s)
{
	const struct stream_service *service = s->listener->service;
	bool taken = true;

	running = s;
	if (service->opened)
		taken = service->opened(s);
	running = NULL;
	s->announced = taken;
	s->over |= !taken;
}

/* An end that time brings: of the peer's silence, or of waiting for it to take what is left. */
static uint64_t time_limit(const struct stream *s)
{
	uint32_t idle = s->listener->service->idle_seconds;

	if (s->over)
		return NEVER;
	if (s->closing)
		return s->moved_at + tsc_khz * STREAM_LINGER_MS;
	return idle ? s->heard_at + tsc_khz * 1000 * idle : NEVER;
}

static void check_time(struct stream *s)
{
	if (lwip_port_tsc() < time_limit(s))
		return;
	if (s->closing)
		s->over = s->touched = true;
	else
		stream_close(s);
}

static void call_service(struct stream *s)
{
	const struct stream_service *service = s->listener->service;

	if (!s->announced && !s->over)
		open_stream(s);
	if (s->fresh && may_write(s)) {
		s->fresh = false;
		run(s, service->received);
	}
	if (s->wants_room && stream_room(s)) {
		s->wants_room = false;
		run(s, service->writable);
	}
	if (s->peer_finished && !s->fresh && !s->wants_room)
		stream_close(s);
}

static void free_stream(unsigned i)
{
	struct stream *s = streams[i];
	struct stream_listener *l = s->listener;

	announce_end(s);
	streams[i] = NULL;
	while (streams_end && !streams[streams_end - 1])
		streams_end--;
	net_memory_give(s, sizeof(*s));
	l->connections--;
	forget_if_done(l);
}

void streams_dispatch(void)
{
	for (unsigned i = 0; i < streams_end; i++) {
		struct stream *s = streams[i];

		if (!s)
			continue;
		call_service(s);
		check_time(s);
		if (s->over && !s->pcb)
			free_stream(i);
	}
}

bool streams_dirty(void)
{
	for (unsigned i = 0; i < streams_end; i++) {
		const struct stream *s = streams[i];

		if (s && (s->touched || s->over || (s->fresh && !s->closing) || (!s->announced && !s->over)))
			return true;
	}
	return false;
}

void streams_give_up(void)
{
	for (unsigned i = 0; i < streams_end; i++) {
		if (!streams[i])
			continue;
		streams[i]->pcb = NULL;
		streams[i]->over = true;
	}
}

uint64_t streams_deadline(void)
{
	uint64_t deadline = NEVER;

	for (unsigned i = 0; i < streams_end; i++)
		if (streams[i])
			deadline = min_u64(deadline, time_limit(streams[i]));
	return deadline;
}
