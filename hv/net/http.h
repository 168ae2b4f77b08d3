/*
 * The web server: read-only pages over HTTP/1.1 on http_port, for GET and HEAD. A connection costs its buffers,
 * whatever the client does; all of them are taken when the service starts. Monitor's context; no locks.
 */
#ifndef HV_NET_HTTP_H
#define HV_NET_HTTP_H

#include "hv/net/service.h"

#define HTTP_CONNECTIONS 8
#define HTTP_REQUESTS 100     /* on one connection, then it is closed */
#define HTTP_REQUEST_SECONDS 15 /* for a request to come in, and between two of them */
#define HTTP_ANSWER_SECONDS 30  /* for the client to take the next bytes of an answer */

extern const struct net_service http_service;

#endif
