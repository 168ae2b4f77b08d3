/*
 * What a service has said and its client has not taken yet, behind the stream's own buffer: so much may be said
 * without waiting for anybody. Monitor's context; no locks.
 */
#ifndef HV_NET_OUTBOX_H
#define HV_NET_OUTBOX_H

#include "hv/net/stream.h"

struct outbox {
	char *bytes;
	uint32_t size;
	uint32_t head, tail; /* bytes ever put in and taken out; a byte's place is its number modulo the size */
	bool full;           /* something did not fit, and was left out */
};

static inline bool outbox_empty(const struct outbox *o) { return o->head == o->tail; }

/* Empties it. size: a power of two. */
void outbox_init(struct outbox *o, char *bytes, uint32_t size);
/* Says n bytes to the stream, or keeps what it has no room for. All or nothing: false, and from then on for all, when
 * there is no room for them here either. */
bool outbox_say(struct outbox *o, struct stream *s, const char *text, size_t n);
/* For the service's `writable`: moves on what is kept. How many bytes moved. */
size_t outbox_move(struct outbox *o, struct stream *s);

#endif
