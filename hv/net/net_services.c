/* Owns the table of services. Each is off unless the configuration turns it on. */
#include "hv/net/net_services.h"

#include "hv/sched.h"

/* Ended by an entry without name. */
static const struct net_service services[] = {
	{ NULL, NULL, NULL },
};

static bool started;

void net_services_start(const struct config *c)
{
	if (started)
		return;
	started = true;
	for (const struct net_service *s = services; s->name; s++)
		s->start(c);
}

uint64_t net_services_poll(uint64_t now)
{
	uint64_t deadline = NEVER;

	for (const struct net_service *s = services; started && s->name; s++)
		if (s->poll)
			deadline = min_u64(deadline, s->poll(now));
	return deadline;
}
