/*
 * Reads requests of HTTP/1.1 (RFC 9112), byte by byte and strictly: what is not plainly a request without a body
 * is refused. Pure; the memory of one request is this structure. No locks.
 */
#ifndef HV_NET_HTTP_REQUEST_H
#define HV_NET_HTTP_REQUEST_H

#include "hv/base/types.h"

#define HTTP_LINE_MAX 256   /* bytes kept of the request line and of header fields that matter */
#define HTTP_HEAD_MAX 8192  /* bytes of a request */
#define HTTP_TARGET_MAX 128 /* with its NUL */

enum http_progress {
	HTTP_MORE,   /* the request goes on */
	HTTP_READY,  /* it is complete; reset before the next byte */
	HTTP_REFUSE, /* answer with `status` and close */
};

enum http_method { HTTP_GET, HTTP_HEAD };

struct http_request {
	enum http_method method;
	uint32_t minor;               /* HTTP/1.minor */
	char target[HTTP_TARGET_MAX]; /* its path, as sent, without query */
	bool close;                   /* the client wants no further request */
	uint32_t status;              /* with HTTP_REFUSE: what to answer */
	/* From here on: how far it has got. */
	bool has_line, has_host, had_return;
	uint32_t total; /* bytes */
	uint32_t length; /* of the current line, also of what is not kept */
	char line[HTTP_LINE_MAX];
};

void http_request_reset(struct http_request *r);
enum http_progress http_request_byte(struct http_request *r, uint8_t byte);

#endif
