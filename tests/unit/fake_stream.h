/*
 * hv/net/stream.h for tests of services: connections whose other end is the test. It is as strict as the interface
 * says: `closed` comes after the service's function has returned, and a connection that is over must not be used.
 */
#ifndef TESTS_UNIT_FAKE_STREAM_H
#define TESTS_UNIT_FAKE_STREAM_H

#include "hv/net/stream.h"

#define FAKE_STREAMS 32
#define FAKE_BUFFER 65536

/* Starts anew: no ports, no connections, and the memory that services took from the arena at 1 MiB is free again. How
 * much a service may queue: 4096 bytes. */
void fake_reset(void);
extern size_t fake_room;            /* bytes a service may have queued per connection */
extern const char *fake_peer_allowed; /* of the last stream_listen: its peer, or NULL */

/* The port is open. */
bool fake_listens(uint16_t port);
/* A peer connects: NULL when the service, its limit or the absence of a port refuses it. */
struct stream *fake_connect(uint16_t port, const char *peer);
/* The peer sends; the service is called. False: the connection is over. */
bool fake_send(struct stream *s, const void *bytes, size_t n);
/* The peer takes what is queued, at most n bytes; then the service may go on writing. */
size_t fake_take(struct stream *s, char *to, size_t n);
/* All that comes until the service has nothing more to say, NUL-terminated. */
size_t fake_take_all(struct stream *s, char *to, size_t size);
/* The peer goes away. */
void fake_hang_up(struct stream *s);
/* The service has closed it, or the peer. */
bool fake_is_closed(const struct stream *s);
unsigned fake_open_count(void);
/* Carries out what a service asked for outside of a call from here. */
void fake_settle(void);

#endif
