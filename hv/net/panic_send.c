/*
 * Owns the route of a panic's frames, twice: the one in use is not written. What the monitor was about when
 * the panic came does not matter.
 */
#include "hv/net/panic_send.h"

#include "drivers/nic.h"
#include "hv/base/clock.h"
#include "hv/base/panic.h"
#include "hv/net/net.h"
#include "hv/net/panic_frame.h"
#include "hv/sched.h"

#define AGAIN_MS 30000   /* stations change their addresses, routers come and go */
#define UNKNOWN_MS 1000

static struct {
	struct config_syslog to;
	struct panic_route routes[2];
	uint32_t valid;    /* atomic: 1 + index of the route in use; 0: none yet */
	uint64_t look_at;  /* host TSC of the next look */
	uint32_t number;   /* of lines sent */
} state;

/* In a panic alone: the card is not the network's any more afterwards. */
static void write(const char *line, size_t len)
{
	uint32_t valid = __atomic_load_n(&state.valid, __ATOMIC_ACQUIRE);
	struct nic *nic = nic_get();
	uint8_t frame[PANIC_FRAME_MAX];
	size_t n;

	if (!panic_is_on() || !valid || !nic)
		return;
	n = panic_frame_build(frame, &state.routes[valid - 1], ++state.number, line, len);
	if (n)
		nic->panic_send(nic, frame, n);
}

static void start(const struct config *c)
{
	state.to = c->syslog;
	if (state.to.address.version != IP_NONE)
		panic_add_output(write);
}

/* True when the way is known. */
static bool look_up(void)
{
	uint32_t spare = state.valid == 1 ? 1 : 0;
	struct panic_route *r = &state.routes[spare];

	if (net_next_hop(&state.to.address, &r->hop))
		return false;
	r->to = state.to.address;
	r->port = (uint16_t)state.to.port;
	ip_address_text(&r->hop.source, r->host);
	__atomic_store_n(&state.valid, spare + 1, __ATOMIC_RELEASE);
	return true;
}

/* A way that was known is kept when it cannot be found again: better an old one than none. */
static uint64_t poll(uint64_t now)
{
	if (state.to.address.version == IP_NONE)
		return NEVER;
	if (now >= state.look_at)
		state.look_at = now + tsc_khz * (look_up() ? AGAIN_MS : UNKNOWN_MS);
	return state.look_at;
}

const struct net_service panic_send_service = { .name = "panic", .start = start, .poll = poll };
