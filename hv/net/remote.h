/*
 * The monitor over TCP, on monitor_port: whoever shows that he has net_key gets a command line of his own, with the
 * commands that the serial line has. Monitor's context; no locks.
 */
#ifndef HV_NET_REMOTE_H
#define HV_NET_REMOTE_H

#include "hv/net/service.h"

#define REMOTE_SESSIONS 6          /* with those that have not answered yet */
#define REMOTE_ANSWER_SECONDS 20   /* to answer the challenge */
#define REMOTE_OUTPUT KIB(256)     /* of a command's output, kept for a client that is slower; a power of two */
#define REMOTE_STALL_SECONDS 30    /* a client that takes nothing of it for so long is cut off */
#define REMOTE_IDLE_SECONDS 900    /* a session in which nothing is typed for so long ends */

extern const struct net_service remote_service;

#endif
