/*
 * The scheduler: round-robin over the few contexts of one host CPU, idle, and wake-ups.
 * Contexts are never removed; a stopped guest's contexts stay blocked until it starts again.
 */
#include "hv/sched.h"

#include "drivers/lapic.h"
#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/map.h"
#include "hv/base/phys.h"
#include "hv/base/spin.h"
#include "hv/base/trap.h"
#include "hv/base/vectors.h"
#include "hv/base/x86.h"
#include "hv/vcpu.h"
#include "hv/vclock_run.h"
#include "hv/watch.h"

#include <string.h>

#define CONTEXT_STACK_PAGES 4

void context_switch(void **save_sp, void *load_sp);
void context_first(void);

static struct spinlock ring_lock = SPINLOCK_INIT;

/* A kick or the timer has done its work by ending hlt or the guest's run; make the CPU look again. */
static void interrupted(void) { __atomic_store_n(&this_cpu()->sched->resched, 1, __ATOMIC_RELEASE); }

void sched_init(void)
{
	trap_set_irq(HOST_VECTOR_KICK, interrupted);
	trap_set_irq(HOST_VECTOR_TIMER, interrupted);
}

void sched_init_cpu(struct cpu *c)
{
	struct sched *s = phys_to_virt(frame_alloc(OWNER_HV));
	s->idle.cpu = c;
	s->idle.name = "idle";
	s->idle.deadline = NEVER;
	s->current = &s->idle;
	s->slice_end = NEVER;
	s->next_event = NEVER;
	s->tick_from = NEVER;
	c->sched = s;
}

/* The words context_switch pops: r15, r14, r13, r12, rbp, rbx, then the return address. */
static void *initial_stack(void *top, void (*run)(void *), void *arg)
{
	uint64_t *sp = (uint64_t *)top - 8;

	memset(sp, 0, 8 * sizeof *sp);
	sp[4] = (uint64_t)arg;
	sp[5] = (uint64_t)run;
	sp[6] = (uint64_t)context_first;
	return sp;
}

struct context *context_create(struct cpu *c, const char *name, void (*run)(void *), void *arg)
{
	hpa_t frame = frame_alloc(OWNER_HV);
	void *top = frame == HPA_NONE ? NULL : map_stack(CONTEXT_STACK_PAGES);
	struct context *x;

	if (!top) {
		if (frame != HPA_NONE)
			frame_free(frame, OWNER_HV);
		return NULL;
	}
	x = phys_to_virt(frame);
	x->stack_top = top;
	x->sp = initial_stack(top, run, arg);
	x->name = name;
	x->cpu = c;
	x->blocked = true;
	x->deadline = NEVER;
	spin_lock(&ring_lock);
	x->next = c->sched->ring ? c->sched->ring->next : x;
	if (c->sched->ring)
		__atomic_store_n(&c->sched->ring->next, x, __ATOMIC_RELEASE);
	else
		__atomic_store_n(&c->sched->ring, x, __ATOMIC_RELEASE);
	spin_unlock(&ring_lock);
	return x;
}

void sched_poke(struct cpu *c)
{
	__atomic_store_n(&c->sched->resched, 1, __ATOMIC_RELEASE);
	if (c != this_cpu())
		lapic_send_ipi(c->apic_id, HOST_VECTOR_KICK);
}

void context_wake(struct context *c)
{
	__atomic_store_n(&c->woken, 1, __ATOMIC_RELEASE);
	sched_poke(c->cpu);
}

static bool runnable(const struct context *c, uint64_t now)
{
	return !c->blocked || __atomic_load_n(&c->woken, __ATOMIC_ACQUIRE) || now >= c->deadline;
}

/* The next runnable context after the current one, which comes last; idle when there is none.
 * A context that has priority (the monitor) goes before all others unless it runs just now. */
static struct context *pick_next(struct sched *s, uint64_t now)
{
	struct context *first = s->current == &s->idle ? s->ring : s->current->next;
	struct context *c = first, *best = NULL;

	if (!first)
		return &s->idle;
	do {
		if (runnable(c, now) && (!best || (c->priority && c != s->current)))
			best = c;
		c = c->next;
	} while (c != first);
	return best ? best : &s->idle;
}

/* Whether anybody but the current context could run now; *wake_at: when the next one could. */
static bool others_wait(struct sched *s, uint64_t now, uint64_t *wake_at)
{
	struct context *c = s->ring;
	bool found = false;

	*wake_at = NEVER;
	if (!c)
		return false;
	do {
		if (c != s->current) {
			found |= runnable(c, now);
			if (c->blocked && c->deadline < *wake_at)
				*wake_at = c->deadline;
		}
		c = c->next;
	} while (c != s->ring);
	return found;
}

/* True when a context that has priority was woken. One that merely yielded waits like all others,
 * so a long monitor command cannot starve the guests of its CPU. */
static bool priority_woken(const struct sched *s, uint64_t now)
{
	const struct context *c = s->ring;

	if (!c)
		return false;
	do {
		if (c->priority && c->blocked && c != s->current && runnable(c, now))
			return true;
		c = c->next;
	} while (c != s->ring);
	return false;
}

/* Host interrupts that are pending are taken now. No lock is held. */
static void take_interrupts(void) { __asm__ volatile("sti; nop; cli" : : : "memory"); }

/* A guest is brought out at least once a slice by the CPU's own timer: whatever becomes of interrupts
 * sent to the CPU, what waits for a vCPU (flushes, the monitor) waits no longer than that. A guest whose
 * own timer brings it out in the second half of the slice is not brought out again for that. */
static void plan_look(struct sched *s, uint64_t now)
{
	uint64_t slice = tsc_khz * SCHED_SLICE_MS;

	s->tick_from = s->next_event;
	if (!s->current->vcpu)
		return;
	s->tick_from = min_u64(s->next_event, now + slice / 2);
	s->next_event = min_u64(s->next_event, now + slice);
}

bool sched_tick(uint64_t now)
{
	struct sched *s = this_cpu()->sched;
	uint64_t next, wake_at;

	watch_tick(now);
	take_interrupts();
	__atomic_store_n(&s->resched, 0, __ATOMIC_RELAXED);
	next = vclock_run_due(now);
	if (!others_wait(s, now, &wake_at))
		s->slice_end = NEVER;
	else if (priority_woken(s, now))
		s->slice_end = now;
	else
		s->slice_end = s->current->run_since + tsc_khz * SCHED_SLICE_MS;
	s->next_event = min_u64(min_u64(next, wake_at), s->slice_end);
	plan_look(s, now);
	return s->slice_end <= now;
}

static void switch_to(struct sched *s, struct context *next, uint64_t now)
{
	struct context *prev = s->current;

	if (next == prev)
		return;
	prev->run_time += now - prev->run_since;
	next->blocked = false;
	next->run_since = now;
	if (prev->vcpu)
		vcpu_switched_out(prev->vcpu);
	s->current = next;
	if (next->vcpu)
		vcpu_switched_in(next->vcpu);
	context_switch(&prev->sp, next->sp);
}

static void reschedule(void)
{
	struct sched *s = this_cpu()->sched;
	uint64_t now = rdtsc();

	switch_to(s, pick_next(s, now), now);
	sched_tick(rdtsc());
}

void sched_yield(void) { reschedule(); }

void sched_block(uint64_t deadline)
{
	struct context *c = this_cpu()->sched->current;

	c->deadline = deadline;
	c->blocked = true;
	if (!__atomic_load_n(&c->woken, __ATOMIC_ACQUIRE))
		reschedule();
	__atomic_store_n(&c->woken, 0, __ATOMIC_RELAXED);
	c->blocked = false;
	c->deadline = NEVER;
}

/* Interrupts come in between sti and hlt at the earliest in hlt: SDM vol. 2, "STI". */
static void idle_wait(struct sched *s)
{
	sched_tick(rdtsc());
	if (pick_next(s, rdtsc()) != &s->idle)
		return;
	if (frames_clear_some())
		return;
	lapic_timer_arm(min_u64(s->next_event, watch_rest()));
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

void sched_run(void)
{
	struct sched *s = this_cpu()->sched;

	s->idle.run_since = rdtsc();
	for (;;) {
		uint64_t now = rdtsc();
		struct context *next = pick_next(s, now);

		if (next == &s->idle) {
			idle_wait(s);
			continue;
		}
		watch_tick(now); /* what runs now is missed when it does not come back, be it its first time */
		switch_to(s, next, now);
	}
}
