/*
 * lwIP's port: time, random numbers, sequence numbers, and what becomes of its assertions.
 *
 * lwIP asserts what it believes of its own state, and input may prove it wrong. A broken assertion must not
 * stop the hypervisor, and going on behind it could write anywhere. So every call into lwIP that
 * depends on input goes through lwip_guard(): a broken assertion ends that call at once, and lwIP for
 * good. Its memory is its own (pools, heap, connections' buffers), nobody else's data is in its hands,
 * and it is not entered again: the host goes on without network, and says so.
 */
#ifndef DRIVERS_LWIP_PORT_H
#define DRIVERS_LWIP_PORT_H

#include "hv/base/types.h"
#include "hv/base/x86.h"

/* Calls call(arg), which may call lwIP. False: lwIP has broken down, now or before; then not all of the call
 * was made, maybe nothing. Not from inside another one. */
bool lwip_guard(void (*call)(void *arg), void *arg);
/* The sentence of the assertion that broke, NULL while lwIP is well. */
const char *lwip_broken(void);

/* The host's TSC, from which lwIP takes its time; host tests set it themselves. */
#ifdef GNOMON_HOST_TEST
extern uint64_t test_net_tsc;
static inline uint64_t lwip_port_tsc(void) { return test_net_tsc; }
#else
static inline uint64_t lwip_port_tsc(void) { return rdtsc(); }
#endif

/* For lwIP: the initial sequence number of a connection, by RFC 6528: a clock, and a keyed digest of the two
 * ends, so that nobody who sees one connection's can tell another's. */
struct ip_addr;
uint32_t lwip_port_isn(const struct ip_addr *local, uint16_t local_port, const struct ip_addr *remote,
                       uint16_t remote_port);

#endif
