/*
 * Guest clocks and timers: a sorted list per VM, run on the CPU of its vCPU 0.
 */
#include "hv/vclock.h"

#include "hv/base/clock.h"
#include "hv/base/x86.h"
#include "hv/sched.h"
#include "hv/vclock_run.h"

static struct vclock *clocks[MAX_CPUS]; /* by home CPU; grows at the head, release-published */

void vclock_init(struct vclock *c, struct cpu *home)
{
	c->home = home;
	c->next = clocks[home->index];
	__atomic_store_n(&clocks[home->index], c, __ATOMIC_RELEASE);
}

void vclock_restart(struct vclock *c, uint64_t epoch)
{
	spin_lock(&c->lock);
	for (struct vtimer *t = c->timers; t; t = t->next)
		t->deadline = VTIMER_OFF;
	c->timers = NULL;
	c->tsc_start = rdtsc();
	c->epoch = epoch;
	spin_unlock(&c->lock);
}

uint64_t vclock_now(const struct vclock *c) { return tsc_to_ns(rdtsc() - c->tsc_start); }

uint64_t vclock_epoch(const struct vclock *c) { return c->epoch; }

void vtimer_init(struct vtimer *t, struct vclock *c, void (*fire)(void *dev), void *dev)
{
	*t = (struct vtimer){ .fire = fire, .dev = dev, .deadline = VTIMER_OFF, .clock = c };
}

static void unlink_timer(struct vclock *c, struct vtimer *t)
{
	for (struct vtimer **p = &c->timers; *p; p = &(*p)->next)
		if (*p == t) {
			*p = t->next;
			break;
		}
	t->deadline = VTIMER_OFF;
}

/* True when t became the first to fire, so that its CPU must look again. */
static bool insert_timer(struct vclock *c, struct vtimer *t, uint64_t deadline)
{
	struct vtimer **p = &c->timers;

	while (*p && (*p)->deadline <= deadline)
		p = &(*p)->next;
	t->deadline = deadline;
	t->next = *p;
	*p = t;
	return c->timers == t;
}

void vtimer_set(struct vtimer *t, uint64_t deadline_ns)
{
	struct vclock *c = t->clock;
	bool first;

	spin_lock(&c->lock);
	if (t->deadline != VTIMER_OFF)
		unlink_timer(c, t);
	first = insert_timer(c, t, min_u64(deadline_ns, VTIMER_OFF - 1));
	spin_unlock(&c->lock);
	if (first)
		sched_poke(c->home);
}

void vtimer_cancel(struct vtimer *t)
{
	spin_lock(&t->clock->lock);
	if (t->deadline != VTIMER_OFF)
		unlink_timer(t->clock, t);
	spin_unlock(&t->clock->lock);
}

static struct vtimer *take_due(struct vclock *c, uint64_t now_ns)
{
	struct vtimer *t;

	spin_lock(&c->lock);
	t = c->timers;
	if (t && t->deadline <= now_ns)
		unlink_timer(c, t);
	else
		t = NULL;
	spin_unlock(&c->lock);
	return t;
}

/* Host TSC of the clock's next timer. One tick is added: conversion rounds down. */
static uint64_t next_deadline(struct vclock *c)
{
	uint64_t next = UINT64_MAX;

	spin_lock(&c->lock);
	if (c->timers)
		next = c->tsc_start + ns_to_tsc(c->timers->deadline) + 1;
	spin_unlock(&c->lock);
	return next;
}

uint64_t vclock_run_due(uint64_t now_tsc)
{
	struct vclock *c = __atomic_load_n(&clocks[this_cpu()->index], __ATOMIC_ACQUIRE);
	uint64_t next = UINT64_MAX;

	for (; c; c = c->next) {
		uint64_t now_ns = tsc_to_ns(now_tsc - c->tsc_start);
		struct vtimer *t;

		while ((t = take_due(c, now_ns)))
			t->fire(t->dev);
		next = min_u64(next, next_deadline(c));
	}
	return next;
}
