/*
 * TCP connections as the services of the network see them: bytes in, bytes out, bounded buffers on both
 * sides. A service knows nothing of lwIP, and its functions are never called from inside it: they run in
 * the monitor's context, one at a time, and never wait for a peer.
 * Everything here is for the monitor's context; no locks.
 */
#ifndef HV_NET_STREAM_H
#define HV_NET_STREAM_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

struct stream;

#define STREAM_PEER_MAX 48 /* an IPv6 address as text, with its NUL */

/* What a service does with its connections. Any of them but received may be NULL. */
struct stream_service {
	const char *name;         /* for `net` and the log */
	uint32_t max_connections; /* of this service at a time; more are refused when they come */
	uint32_t idle_seconds;    /* without a byte from the peer for so long: closed; 0: never */
	/* False refuses the connection. stream_set_state() belongs here. */
	bool (*opened)(struct stream *s);
	/* Bytes wait for stream_read. Called again only after more have come. */
	void (*received)(struct stream *s);
	/* There is room again after a stream_write that took less than it was given. */
	void (*writable)(struct stream *s);
	/* The connection is over, whoever ended it; s is invalid after the return. */
	void (*closed)(struct stream *s);
};

struct stream_listener; /* an open port */

/*
 * Opens a port on the configured address. peer, if not NULL, is the one address that may connect, as text.
 * NULL with a sentence: -EADDRINUSE, -EINVAL for a peer that is no address, -ENOMEM, -ENETDOWN without network.
 */
struct stream_listener *stream_listen(const struct stream_service *service, uint16_t port, const char *peer,
                                      void *state, struct failure *f);
/* Closes the port and all its connections; their `closed` is called. */
void stream_unlisten(struct stream_listener *l);

/* What stream_listen was given as state, and what the service keeps for one connection (NULL at first). */
void *stream_listener_state(const struct stream *s);
void *stream_state(const struct stream *s);
void stream_set_state(struct stream *s, void *state);
/* The peer's address as text, without its port. */
const char *stream_peer(const struct stream *s);

/* Takes up to n bytes that have come; returns how many, 0 when none wait. */
size_t stream_read(struct stream *s, void *buf, size_t n);
/* Queues up to n bytes; returns how many there was room for. */
size_t stream_write(struct stream *s, const void *buf, size_t n);
size_t stream_room(const struct stream *s);
/* Closes after what is queued has been sent. `closed` follows after the service's function has returned. */
void stream_close(struct stream *s);

#endif
