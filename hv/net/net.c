/* Owns the network's bring-up and its turn in the monitor's loop. */
#include "hv/net/net.h"

#include <lwip/init.h>
#include <lwip/timeouts.h>

#include "drivers/lwip/port.h"
#include "drivers/nic.h"
#include "hv/base/clock.h"
#include "hv/base/log.h"
#include "hv/base/random.h"
#include "hv/monitor/monitor.h"
#include "hv/net/address.h"
#include "hv/net/ether.h"
#include "hv/net/net_services.h"
#include "hv/net/stream_priv.h"
#include "hv/sched.h"

#define TURNS_MAX 8 /* of lwIP and the services in one turn of the monitor */
#define SOON_MS 1   /* the least that services leave to others */
#define LOOK_MS 1000

struct net_work net_work;

static const struct config *config; /* NULL: no network */
static bool notified;               /* written by the card's interrupt */
static uint64_t pause_until;        /* host TSC: after a burst the card waits */
static uint64_t poll_at;            /* host TSC: for a card without interrupt */
static uint64_t look_at;            /* host TSC: from here on a look at the card is due, but wakes nobody */
static bool gave_up;

static void on_notify(void)
{
	__atomic_store_n(&notified, true, __ATOMIC_RELEASE);
	monitor_wake();
}

/* Inside lwip_guard(). */
static void start(void *arg)
{
	lwip_init();
	ether_start(arg, &config->net);
	address_start(&config->net);
}

void net_start(const struct config *c)
{
	struct failure f = { 0 };
	struct nic *nic;

	_Static_assert(CONFIG_NIC_ANY == NIC_ANY, "one value for any card");
	if (!net_config_on(&c->net))
		return;
	nic = nic_start(c->net.nic, on_notify, &f);
	if (!nic) {
		log_error("net: %s", f.text);
		return;
	}
	if (!random_by_hardware())
		log_warn("net: the CPU has no RDRAND; random numbers come from its timing");
	config = c;
	notified = true;
	lwip_guard(start, nic);
}

/* Inside lwip_guard(). */
static void serve_card(struct nic *nic, uint64_t now)
{
	bool more;

	if (now < pause_until)
		return;
	if (!__atomic_exchange_n(&notified, false, __ATOMIC_ACQUIRE) && !pause_until && now < poll_at && now < look_at)
		return;
	poll_at = nic->poll_ms ? now + nic->poll_ms * tsc_khz : NEVER;
	look_at = now + LOOK_MS * tsc_khz;
	nic->service(nic);
	ether_follow_link();
	more = ether_receive();
	pause_until = more ? now + ns_to_tsc(ETHER_PAUSE_US * 1000) : 0;
	stream_tcp_demote_half_open();
}

/* Inside lwip_guard(). arg: where the time until lwIP's next timer goes, ms. */
static void serve(void *arg)
{
	serve_card(ether_nic(), lwip_port_tsc());
	sys_check_timeouts();
	stream_tcp_advance();
	*(uint32_t *)arg = sys_timeouts_sleeptime();
}

/* lwIP's timers together, at multiples of what just now is fine enough. */
static uint64_t timers_deadline(uint64_t now, uint32_t sleep_ms)
{
	uint64_t grain = address_timer_grain() * tsc_khz;
	uint64_t due = now + sleep_ms * tsc_khz;

	return sleep_ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE ? NEVER : (due + grain - 1) / grain * grain;
}

/*
 * One turn of card and lwIP without any service's function: frames, timers, streams. The host TSC at which it wants
 * the next, unless the card wakes the monitor before; NEVER when lwIP has broken down.
 */
static uint64_t net_serve(void)
{
	uint32_t sleep_ms = 0;
	uint64_t deadline;

	if (gave_up)
		return NEVER;
	if (!lwip_guard(serve, &sleep_ms)) {
		gave_up = true;
		streams_give_up();
		return NEVER;
	}
	deadline = min_u64(timers_deadline(lwip_port_tsc(), sleep_ms), streams_deadline());
	return min_u64(deadline, pause_until ? pause_until : poll_at);
}

bool net_up(void)
{
	return config && !gave_up && ether_nic() && ether_nic()->link && address_any();
}

static uint64_t serve_services(void)
{
	uint64_t begun = lwip_port_tsc();
	uint64_t deadline = net_services_poll(begun);

	streams_dispatch();
	net_work.services += lwip_port_tsc() - begun;
	return deadline;
}

uint64_t net_poll(void)
{
	uint64_t begun = lwip_port_tsc();
	uint64_t deadline, services, soon;
	unsigned turns = 0;

	if (!config)
		return NEVER;
	do {
		deadline = net_serve();
		address_report();
		if (net_up())
			net_services_start(config);
		services = serve_services();
	} while (streams_dirty() && ++turns < TURNS_MAX);
	net_work.turns++;
	net_work.ticks += lwip_port_tsc() - begun;
	soon = lwip_port_tsc() + tsc_khz * SOON_MS;
	return streams_dirty() ? soon : min_u64(deadline, max_u64(services, soon));
}
