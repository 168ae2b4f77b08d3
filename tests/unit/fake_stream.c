/* Connections whose other end is a test. */
#include "tests/unit/fake_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#undef fail

#include "hv/base/frame.h"
#include "tests/unit/support/support.h"

struct stream_listener {
	const struct stream_service *service;
	uint16_t port;
	char peer[STREAM_PEER_MAX];
	void *state;
};

struct stream {
	struct stream_listener *listener;
	void *state;
	char peer[STREAM_PEER_MAX];
	bool open;    /* the service knows it */
	bool closing; /* by the service */
	bool ending;  /* the service is being told */
	bool starved; /* a write took less than it was given */
	size_t in_len, out_len;
	uint8_t in[FAKE_BUFFER], out[FAKE_BUFFER];
};

size_t fake_room = 4096;
const char *fake_peer_allowed;

static struct stream_listener listeners[FAKE_STREAMS];
static struct stream streams[FAKE_STREAMS];
static unsigned depth; /* calls of the service under way */

/* A service takes its memory when it starts and keeps it. */
static void free_memory(void)
{
	for (hpa_t pa = MIB(1); test_phys_contains(pa, PAGE_SIZE); pa += PAGE_SIZE)
		if (frame_owner(pa) == OWNER_NET)
			frame_free(pa, OWNER_NET);
}

void fake_reset(void)
{
	free_memory();
	memset(listeners, 0, sizeof listeners);
	memset(streams, 0, sizeof streams);
	fake_room = 4096;
	fake_peer_allowed = NULL;
	depth = 0;
}

struct stream_listener *stream_listen(const struct stream_service *service, uint16_t port, const char *peer,
                                      void *state, struct failure *f)
{
	assert_non_null(service->received);
	assert_true(service->max_connections > 0);
	if (fake_listens(port)) {
		snprintf(f->text, sizeof f->text, "port %u is in use", port);
		return NULL;
	}
	for (unsigned i = 0; i < FAKE_STREAMS; i++) {
		if (listeners[i].service)
			continue;
		listeners[i] = (struct stream_listener){ .service = service, .port = port, .state = state };
		snprintf(listeners[i].peer, sizeof listeners[i].peer, "%s", peer ? peer : "");
		fake_peer_allowed = peer ? listeners[i].peer : NULL;
		return &listeners[i];
	}
	return NULL;
}

static void end(struct stream *s)
{
	if (!s->open || s->ending)
		return;
	s->ending = true;
	if (s->listener->service->closed) {
		depth++;
		s->listener->service->closed(s);
		depth--;
	}
	s->open = s->ending = false;
}

void fake_settle(void)
{
	assert_int_equal(depth, 0);
	for (unsigned i = 0; i < FAKE_STREAMS; i++)
		if (streams[i].open && streams[i].closing)
			end(&streams[i]);
}

void stream_unlisten(struct stream_listener *l)
{
	assert_non_null(l->service);
	for (unsigned i = 0; i < FAKE_STREAMS; i++)
		if (streams[i].open && streams[i].listener == l)
			end(&streams[i]);
	l->service = NULL;
}

bool fake_listens(uint16_t port)
{
	for (unsigned i = 0; i < FAKE_STREAMS; i++)
		if (listeners[i].service && listeners[i].port == port)
			return true;
	return false;
}

static struct stream *used(const struct stream *s)
{
	assert_true(s->open);
	return (struct stream *)(uintptr_t)s;
}

void *stream_listener_state(const struct stream *s) { return used(s)->listener->state; }
void *stream_state(const struct stream *s) { return s->state; }
void stream_set_state(struct stream *s, void *state) { used(s)->state = state; }
const char *stream_peer(const struct stream *s) { return s->peer; }

size_t stream_read(struct stream *s, void *buf, size_t n)
{
	size_t take = min_u64(n, used(s)->in_len);

	memcpy(buf, s->in, take);
	s->in_len -= take;
	memmove(s->in, s->in + take, s->in_len);
	return take;
}

size_t stream_room(const struct stream *s)
{
	return used(s)->closing || s->out_len >= fake_room ? 0 : fake_room - s->out_len;
}

size_t stream_write(struct stream *s, const void *buf, size_t n)
{
	size_t take = min_u64(n, stream_room(s));

	memcpy(s->out + s->out_len, buf, take);
	s->out_len += take;
	s->starved |= take < n;
	return take;
}

void stream_close(struct stream *s) { used(s)->closing = true; }

static struct stream *free_stream(void)
{
	for (unsigned i = 0; i < FAKE_STREAMS; i++)
		if (!streams[i].open && !streams[i].out_len)
			return &streams[i];
	return NULL;
}

static unsigned open_of(const struct stream_listener *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FAKE_STREAMS; i++)
		n += streams[i].open && (!l || streams[i].listener == l);
	return n;
}

unsigned fake_open_count(void) { return open_of(NULL); }

struct stream *fake_connect(uint16_t port, const char *peer)
{
	struct stream_listener *l = listeners;
	struct stream *s = free_stream();

	while (l < listeners + FAKE_STREAMS && !(l->service && l->port == port))
		l++;
	assert_non_null(s);
	if (l == listeners + FAKE_STREAMS || (l->peer[0] && strcmp(l->peer, peer) != 0) ||
	    open_of(l) >= l->service->max_connections)
		return NULL;
	memset(s, 0, sizeof *s);
	s->listener = l;
	s->open = true;
	snprintf(s->peer, sizeof s->peer, "%s", peer);
	depth++;
	if (l->service->opened && !l->service->opened(s))
		s->open = false;
	depth--;
	fake_settle();
	return s->open || s->out_len ? s : NULL;
}

bool fake_send(struct stream *s, const void *bytes, size_t n)
{
	if (!s->open)
		return false;
	assert_true(s->in_len + n <= FAKE_BUFFER);
	memcpy(s->in + s->in_len, bytes, n);
	s->in_len += n;
	depth++;
	s->listener->service->received(s);
	depth--;
	fake_settle();
	return s->open;
}

size_t fake_take(struct stream *s, char *to, size_t n)
{
	size_t take = min_u64(n, s->out_len);

	memcpy(to, s->out, take);
	s->out_len -= take;
	memmove(s->out, s->out + take, s->out_len);
	if (take && s->starved && s->open && s->listener->service->writable) {
		s->starved = false;
		depth++;
		s->listener->service->writable(s);
		depth--;
		fake_settle();
	}
	return take;
}

size_t fake_take_all(struct stream *s, char *to, size_t size)
{
	size_t len = 0, n;

	while ((n = fake_take(s, to + len, size - 1 - len)) > 0)
		len += n;
	to[len] = 0;
	return len;
}

void fake_hang_up(struct stream *s)
{
	end(s);
	s->out_len = 0;
}

bool fake_is_closed(const struct stream *s) { return !s->open; }
