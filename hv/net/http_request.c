/*
 * The reader of HTTP requests. A line is judged when it has ended: its first HTTP_LINE_MAX bytes are kept, which is
 * enough for every field that decides anything here; of a longer one that matters, the request is refused.
 */
#include "hv/net/http_request.h"

#include <string.h>

#define BAD_REQUEST 400
#define NOT_ALLOWED 405
#define NO_BODY_HERE 413
#define TARGET_TOO_LONG 414
#define HEAD_TOO_LONG 431
#define NOT_IMPLEMENTED 501
#define WRONG_VERSION 505

/* A piece of a line. */
struct piece {
	const char *at;
	size_t len;
};

void http_request_reset(struct http_request *r) { memset(r, 0, offsetof(struct http_request, line)); }

static enum http_progress refuse(struct http_request *r, uint32_t status)
{
	r->status = status;
	return HTTP_REFUSE;
}

/* RFC 9110 "Tokens". */
static bool token_char(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct piece p)
{
	for (size_t i = 0; i < p.len; i++)
		if (!token_char(p.at[i]))
			return false;
	return p.len != 0;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

/* Field names and their keywords do not depend on case. */
static bool same_word(struct piece p, const char *word)
{
	if (p.len != strlen(word))
		return false;
	for (size_t i = 0; i < p.len; i++)
		if (lower(p.at[i]) != word[i])
			return false;
	return true;
}

static bool is(struct piece p, const char *word) { return p.len == strlen(word) && memcmp(p.at, word, p.len) == 0; }

/* Cuts what stands before the first c off *rest; without a c, all of it. */
static struct piece cut(struct piece *rest, char c)
{
	const char *found = rest->len ? memchr(rest->at, c, rest->len) : NULL;
	struct piece head = { rest->at, found ? (size_t)(found - rest->at) : rest->len };
	size_t gone = head.len + (found ? 1 : 0);

	*rest = (struct piece){ rest->at + gone, rest->len - gone };
	return head;
}

static struct piece trim(struct piece p)
{
	while (p.len && (p.at[0] == ' ' || p.at[0] == '\t'))
		p.at++, p.len--;
	while (p.len && (p.at[p.len - 1] == ' ' || p.at[p.len - 1] == '\t'))
		p.len--;
	return p;
}

/* http://HOST/PATH means PATH here: RFC 9112 "absolute-form". */
static struct piece without_authority(struct piece target)
{
	static const char scheme[] = "http://";
	struct piece rest = { target.at + sizeof scheme - 1, target.len - (sizeof scheme - 1) };
	const char *slash;

	if (target.len < sizeof scheme || memcmp(target.at, scheme, sizeof scheme - 1) != 0)
		return target;
	slash = memchr(rest.at, '/', rest.len);
	if (!slash)
		return (struct piece){ "/", 1 };
	return (struct piece){ slash, rest.len - (size_t)(slash - rest.at) };
}

static enum http_progress take_target(struct http_request *r, struct piece target)
{
	struct piece path;

	for (size_t i = 0; i < target.len; i++)
		if (target.at[i] <= ' ' || target.at[i] >= 0x7f)
			return refuse(r, BAD_REQUEST);
	target = without_authority(target);
	path = cut(&target, '?');
	if (path.len == 0 || path.at[0] != '/')
		return refuse(r, BAD_REQUEST);
	if (path.len >= sizeof r->target)
		return refuse(r, TARGET_TOO_LONG);
	memcpy(r->target, path.at, path.len);
	r->target[path.len] = 0;
	return HTTP_MORE;
}

static bool is_version(struct piece p)
{
	return p.len == 8 && memcmp(p.at, "HTTP/", 5) == 0 && p.at[5] >= '0' && p.at[5] <= '9' && p.at[6] == '.' &&
	       p.at[7] >= '0' && p.at[7] <= '9';
}

/* METHOD SP TARGET SP HTTP/1.x */
static enum http_progress request_line(struct http_request *r, struct piece line)
{
	struct piece method, target;

	if (r->length > HTTP_LINE_MAX)
		return refuse(r, TARGET_TOO_LONG);
	method = cut(&line, ' ');
	target = cut(&line, ' ');
	if (!is_token(method) || !is_version(line))
		return refuse(r, BAD_REQUEST);
	if (line.at[5] != '1')
		return refuse(r, WRONG_VERSION);
	r->minor = (uint32_t)(line.at[7] - '0');
	if (!is(method, "GET") && !is(method, "HEAD"))
		return refuse(r, NOT_ALLOWED);
	r->method = is(method, "GET") ? HTTP_GET : HTTP_HEAD;
	r->has_line = true;
	return take_target(r, target);
}

static enum http_progress field_host(struct http_request *r, struct piece value)
{
	if (r->has_host)
		return refuse(r, BAD_REQUEST);
	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] <= ' ' || value.at[i] >= 0x7f || strchr("/\\@?#", value.at[i]))
			return refuse(r, BAD_REQUEST);
	r->has_host = true;
	return HTTP_MORE;
}

static enum http_progress field_connection(struct http_request *r, struct piece value)
{
	while (value.len)
		r->close |= same_word(trim(cut(&value, ',')), "close");
	return HTTP_MORE;
}

/* No page here takes a body. */
static enum http_progress field_length(struct http_request *r, struct piece value)
{
	bool any = false;

	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return refuse(r, BAD_REQUEST);
		any |= value.at[i] != '0';
	}
	if (value.len == 0)
		return refuse(r, BAD_REQUEST);
	return any ? refuse(r, NO_BODY_HERE) : HTTP_MORE;
}

static enum http_progress field_encoding(struct http_request *r, struct piece value)
{
	(void)value;
	return refuse(r, NOT_IMPLEMENTED);
}

static const struct {
	const char *name;
	enum http_progress (*take)(struct http_request *r, struct piece value);
} fields[] = {
	{ "host", field_host },
	{ "connection", field_connection },
	{ "content-length", field_length },
	{ "transfer-encoding", field_encoding },
};

/* NAME ":" VALUE; a line that begins with a blank would continue the one before, which is no longer allowed. */
static enum http_progress header_line(struct http_request *r, struct piece line)
{
	struct piece name = cut(&line, ':');

	if (!is_token(name) || name.at + name.len == line.at)
		return refuse(r, BAD_REQUEST);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (!same_word(name, fields[i].name))
			continue;
		if (r->length > HTTP_LINE_MAX)
			return refuse(r, HEAD_TOO_LONG);
		return fields[i].take(r, trim(line));
	}
	return HTTP_MORE;
}

/* An empty line ends the head. Those before it begins are left over from whatever was there before. */
static enum http_progress empty_line(struct http_request *r)
{
	if (!r->has_line)
		return HTTP_MORE;
	if (r->minor >= 1 && !r->has_host)
		return refuse(r, BAD_REQUEST);
	r->close |= r->minor == 0;
	return HTTP_READY;
}

static enum http_progress line_ended(struct http_request *r)
{
	struct piece line = { r->line, min_u64(r->length, HTTP_LINE_MAX) };
	enum http_progress p;

	if (r->length == 0)
		p = empty_line(r);
	else if (!r->has_line)
		p = request_line(r, line);
	else
		p = header_line(r, line);
	r->length = 0;
	return p;
}

/* Lines end in CR LF; neither stands anywhere else, nor does another control character but the tabulator. */
enum http_progress http_request_byte(struct http_request *r, uint8_t byte)
{
	if (r->total++ == HTTP_HEAD_MAX)
		return refuse(r, HEAD_TOO_LONG);
	if (r->had_return != (byte == '\n'))
		return refuse(r, BAD_REQUEST);
	if (r->had_return) {
		r->had_return = false;
		return line_ended(r);
	}
	if (byte == '\r') {
		r->had_return = true;
		return HTTP_MORE;
	}
	if ((byte < ' ' && byte != '\t') || byte == 0x7f)
		return refuse(r, BAD_REQUEST);
	if (r->length < HTTP_LINE_MAX)
		r->line[r->length] = (char)byte;
	r->length++;
	return HTTP_MORE;
}
