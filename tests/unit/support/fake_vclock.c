/* Guest time in host tests: one clock, moved by hand. */
#include "tests/unit/support/fake_vclock.h"

#include <stddef.h>

struct vclock {
	uint64_t now, epoch;
	struct vtimer *first;
};

static struct vclock fake;

struct vclock *fake_vclock_start(uint64_t epoch)
{
	fake = (struct vclock){ .epoch = epoch };
	return &fake;
}

uint64_t vclock_now(const struct vclock *c) { return c->now; }
uint64_t vclock_epoch(const struct vclock *c) { return c->epoch; }

void vtimer_init(struct vtimer *t, struct vclock *c, void (*fire)(void *dev), void *dev)
{
	*t = (struct vtimer){ .fire = fire, .dev = dev, .deadline = VTIMER_OFF, .clock = c };
}

void vtimer_cancel(struct vtimer *t)
{
	for (struct vtimer **at = &t->clock->first; *at; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			break;
		}
	t->deadline = VTIMER_OFF;
}

void vtimer_set(struct vtimer *t, uint64_t deadline_ns)
{
	struct vtimer **at;

	vtimer_cancel(t);
	t->deadline = deadline_ns;
	if (deadline_ns == VTIMER_OFF)
		return;
	for (at = &t->clock->first; *at && (*at)->deadline <= deadline_ns; at = &(*at)->next)
		;
	t->next = *at;
	*at = t;
}

uint64_t fake_vclock_next(void) { return fake.first ? fake.first->deadline : VTIMER_OFF; }

static void fire_first(void)
{
	struct vtimer *t = fake.first;

	fake.first = t->next;
	t->deadline = VTIMER_OFF;
	t->fire(t->dev);
}

void fake_vclock_advance(uint64_t ns)
{
	uint64_t end = fake.now + ns;

	while (fake_vclock_next() <= end) {
		if (fake.first->deadline > fake.now)
			fake.now = fake.first->deadline;
		fire_first();
	}
	fake.now = end;
}

void fake_vclock_jump(uint64_t ns)
{
	fake.now += ns;
	while (fake_vclock_next() <= fake.now)
		fire_first();
}
