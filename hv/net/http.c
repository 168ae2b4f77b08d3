/*
 * The web server. A connection reads a request, then writes its answer from a piece buffer that is filled again when
 * the client has taken it, and only then reads on: what a client sends meanwhile waits in the stream's own bounded
 * buffer. Answers are sent in chunks, so their length need not be known before.
 */
#include "hv/net/http.h"

#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/x86.h"
#include "hv/net/counts.h"
#include "hv/net/http_request.h"
#include "hv/net/memory.h"
#include "hv/net/metrics.h"
#include "hv/net/page.h"
#include "hv/net/stats.h"
#include "hv/net/stream.h"
#include "hv/net/trace_page.h"

#define PIECE_SIZE 4096
#define INPUT_SIZE 256
#define CHUNK_HEAD 6 /* four hexadecimal digits, CR, LF */
#define CHUNK_TAIL 2 /* CR, LF */
#define OK 200
#define NOT_FOUND 404

struct answer_at {
	struct metrics_at metrics;
	struct page_at page;
	struct trace_page_at trace;
};

struct resource {
	const char *path, *type;
	bool (*piece)(struct text *t, struct answer_at *at); /* true: that was all */
};

struct connection {
	struct stream *stream; /* NULL: free */
	uint64_t deadline;     /* host TSC: closed when it has not got on by then */
	uint32_t requests;
	bool closing;          /* after what is in the piece */
	bool answering;
	bool chunked;
	const struct resource *resource; /* whose pieces are still to come, or NULL */
	struct answer_at at;
	struct http_request request;
	uint32_t input_at, input_len;
	uint32_t sent, piece_len;
	uint8_t input[INPUT_SIZE];
	char piece[PIECE_SIZE];
};

static struct connection *connections; /* HTTP_CONNECTIONS */

/* ---- what there is ---- */

static bool page(struct text *t, struct answer_at *at) { return page_piece(t, &at->page); }

static bool still_page(struct text *t, struct answer_at *at)
{
	at->page.still = true;
	return page_piece(t, &at->page);
}

static bool metrics(struct text *t, struct answer_at *at) { return metrics_piece(t, &at->metrics); }

static bool trace(struct text *t, struct answer_at *at) { return trace_piece(t, &at->trace); }

static const struct resource resources[] = {
	{ "/", "text/html; charset=utf-8", page },
	{ "/still", "text/html; charset=utf-8", still_page },
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8", metrics },
	{ "/trace", "text/plain; charset=utf-8", trace },
};

static const struct resource *find_resource(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(resources); i++)
		if (strcmp(resources[i].path, path) == 0)
			return &resources[i];
	return NULL;
}

static const struct {
	uint32_t status;
	const char *phrase, *text;
} statuses[] = {
	{ OK, "OK", "" },
	{ 400, "Bad Request", "This is no request of HTTP/1.1." },
	{ NOT_FOUND, "Not Found", "There are /, /still, /metrics and /trace." },
	{ 405, "Method Not Allowed", "Everything here is read-only: GET and HEAD." },
	{ 413, "Content Too Large", "Nothing here takes a body." },
	{ 414, "URI Too Long", "There are /, /still, /metrics and /trace." },
	{ 431, "Request Header Fields Too Large", "A request has at most 8192 bytes." },
	{ 501, "Not Implemented", "Nothing here takes a body." },
	{ 505, "HTTP Version Not Supported", "This is a server of HTTP/1.1." },
};

static size_t status_row(uint32_t status)
{
	size_t i = 0;

	while (i < ARRAY_LEN(statuses) - 1 && statuses[i].status != status)
		i++;
	return i;
}

/* ---- answers ---- */

/* It has got on, and has so long for the next step. */
static void progress(struct connection *c, uint32_t seconds) { c->deadline = rdtsc() + tsc_khz * 1000 * seconds; }

static void write_head(struct text *t, const struct connection *c, uint32_t status, const char *type)
{
	text_add(t, "HTTP/1.1 ");
	text_number(t, status);
	text_char(t, ' ');
	text_add(t, statuses[status_row(status)].phrase);
	text_add(t, "\r\nServer: Gnomon\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
		    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nContent-Type: ");
	text_add(t, type);
	text_add(t, status == 405 ? "\r\nAllow: GET, HEAD" : "");
	text_add(t, c->chunked ? "\r\nTransfer-Encoding: chunked" : "");
	text_add(t, c->closing ? "\r\nConnection: close\r\n" : "\r\n");
}

static void begin_answer(struct connection *c, struct text *t, uint32_t status)
{
	*t = (struct text){ .at = c->piece, .size = sizeof c->piece };
	c->answering = true;
	c->sent = 0;
	net_counts.http_answers[status / 100]++;
	progress(c, HTTP_ANSWER_SECONDS);
}

static void answer_resource(struct connection *c, const struct resource *r)
{
	struct text t;

	c->chunked = c->request.minor >= 1;
	begin_answer(c, &t, OK);
	write_head(&t, c, OK, r->type);
	text_add(&t, "\r\n");
	c->piece_len = (uint32_t)t.len;
	c->resource = c->request.method == HTTP_GET ? r : NULL;
	memset(&c->at, 0, sizeof c->at);
	stats_refresh(rdtsc());
}

/* A sentence for a person; its length is known. */
static void answer_text(struct connection *c, uint32_t status)
{
	const char *text = statuses[status_row(status)].text;
	struct text t;

	c->chunked = false;
	begin_answer(c, &t, status);
	write_head(&t, c, status, "text/plain; charset=utf-8");
	text_add(&t, "Content-Length: ");
	text_number(&t, strlen(text) + 1);
	text_add(&t, "\r\n\r\n");
	if (c->request.method == HTTP_GET) {
		text_add(&t, text);
		text_char(&t, '\n');
	}
	c->piece_len = (uint32_t)t.len;
	c->resource = NULL;
}

/* A chunk's size is written in front of it when it is there; leading zeros are allowed. One without bytes would be
 * the end, which is written for the last one alone. */
static void frame_chunk(struct connection *c, size_t len, bool last)
{
	struct text t = { .at = c->piece, .size = sizeof c->piece };

	if (len) {
		text_printf(&t, "%04lx\r\n", (uint64_t)len);
		t.len = CHUNK_HEAD + len;
		text_add(&t, "\r\n");
	}
	text_add(&t, last ? "0\r\n\r\n" : "");
	c->piece_len = (uint32_t)t.len;
}

/* Fills the piece buffer with the next part of the answer; false when there is none. */
static bool next_piece(struct connection *c)
{
	uint32_t head = c->chunked ? CHUNK_HEAD : 0, tail = c->chunked ? CHUNK_TAIL + 5 : 0;
	struct text t = { .at = c->piece + head, .size = sizeof c->piece - head - tail };
	bool last;

	if (!c->resource)
		return false;
	last = c->resource->piece(&t, &c->at);
	if (last)
		c->resource = NULL;
	c->sent = 0;
	if (c->chunked)
		frame_chunk(c, t.len, last);
	else
		c->piece_len = (uint32_t)t.len;
	return true;
}

/* Writes as much of the answer as the stream takes. True: all of it. */
static bool write_answer(struct connection *c)
{
	do {
		size_t n = stream_write(c->stream, c->piece + c->sent, c->piece_len - c->sent);

		if (n)
			progress(c, HTTP_ANSWER_SECONDS);
		c->sent += (uint32_t)n;
		if (c->sent < c->piece_len)
			return false;
	} while (next_piece(c));
	return true;
}

/* ---- requests ---- */

static void answer(struct connection *c, enum http_progress p)
{
	const struct resource *r = p == HTTP_READY ? find_resource(c->request.target) : NULL;

	c->closing = p == HTTP_REFUSE || c->request.close || ++c->requests == HTTP_REQUESTS;
	if (r)
		answer_resource(c, r);
	else
		answer_text(c, p == HTTP_READY ? NOT_FOUND : c->request.status);
	http_request_reset(&c->request);
}

static bool next_byte(struct connection *c, uint8_t *byte)
{
	if (c->input_at == c->input_len) {
		c->input_at = 0;
		c->input_len = (uint32_t)stream_read(c->stream, c->input, sizeof c->input);
	}
	if (c->input_at == c->input_len)
		return false;
	*byte = c->input[c->input_at++];
	return true;
}

/* Reads until a request is complete, and begins its answer; false when more has to come. */
static bool read_request(struct connection *c)
{
	enum http_progress p = HTTP_MORE;
	uint8_t byte;

	while (p == HTTP_MORE && next_byte(c, &byte))
		p = http_request_byte(&c->request, byte);
	if (p != HTTP_MORE)
		answer(c, p);
	return p != HTTP_MORE;
}

/* What the client sent beyond its last answer is read and dropped: unread, it would cut the connection short. */
static void close_connection(struct connection *c)
{
	c->input_at = c->input_len = 0;
	while (stream_read(c->stream, c->input, sizeof c->input) > 0)
		;
	stream_close(c->stream);
}

/* One request after the other, until something has to be waited for. */
static void serve(struct connection *c)
{
	while (c->answering || read_request(c)) {
		if (!write_answer(c))
			return;
		c->answering = false;
		progress(c, HTTP_REQUEST_SECONDS);
		if (c->closing) {
			close_connection(c);
			return;
		}
	}
}

/* ---- the service ---- */

static bool opened(struct stream *s)
{
	for (uint32_t i = 0; i < HTTP_CONNECTIONS; i++) {
		struct connection *c = &connections[i];

		if (c->stream)
			continue;
		memset(c, 0, offsetof(struct connection, input));
		c->stream = s;
		stream_set_state(s, c);
		progress(c, HTTP_REQUEST_SECONDS);
		return true;
	}
	return false;
}

static void go_on(struct stream *s)
{
	struct connection *c = stream_state(s);

	if (!c->closing || c->answering)
		serve(c);
}

static void closed(struct stream *s)
{
	struct connection *c = stream_state(s);

	c->stream = NULL;
}

static const struct stream_service service = {
	.name = "http",
	.max_connections = HTTP_CONNECTIONS,
	.opened = opened,
	.received = go_on,
	.writable = go_on,
	.closed = closed,
};

static bool take_memory(void)
{
	connections = net_memory_take(HTTP_CONNECTIONS * sizeof(*connections));
	return connections && stats_start();
}

static void start(const struct config *c)
{
	struct failure f = { 0 };

	if (!c->http_port.number)
		return;
	if (!take_memory())
		log_error("http: no memory for the connections");
	else if (!stream_listen(&service, (uint16_t)c->http_port.number, NULL, NULL, &f))
		log_error("http: %s", f.text);
	else
		log_info("http: a page and /metrics on port %u, read-only, for everybody on this network",
			 c->http_port.number);
}

/* Closes what has not got on, and wants to look again when the next one may be due. */
static uint64_t poll(uint64_t now)
{
	uint64_t next = NEVER;

	for (uint32_t i = 0; connections && i < HTTP_CONNECTIONS; i++) {
		struct connection *c = &connections[i];

		if (!c->stream)
			continue;
		if (c->deadline > now) {
			next = min_u64(next, c->deadline);
			continue;
		}
		net_counts.http_late++;
		c->closing = true;
		c->answering = false;
		progress(c, HTTP_ANSWER_SECONDS);
		close_connection(c);
		next = min_u64(next, c->deadline);
	}
	return next;
}

const struct net_service http_service = { .name = "http", .start = start, .poll = poll };
