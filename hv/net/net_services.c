/* Owns the table of services. Each is off unless the configuration turns it on. */
#include "hv/net/net_services.h"

#include "hv/net/guest_console.h"
#include "hv/net/http.h"
#include "hv/net/panic_send.h"
#include "hv/net/remote.h"
#include "hv/net/syslog.h"
#include "hv/sched.h"

static const struct net_service *const services[] = {
	&panic_send_service,
	&syslog_service,
	&remote_service,
	&http_service,
	&guest_console_service,
};

static bool started;

void net_services_start(const struct config *c)
{
	if (started)
		return;
	started = true;
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		services[i]->start(c);
}

uint64_t net_services_poll(uint64_t now)
{
	uint64_t deadline = NEVER;

	for (size_t i = 0; started && i < ARRAY_LEN(services); i++)
		if (services[i]->poll)
			deadline = min_u64(deadline, services[i]->poll(now));
	return deadline;
}
