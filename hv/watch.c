/*
 * Who is missed, and the roll call. Owns when each CPU was last well, and the NMI hooks. Reports go to the
 * log from a CPU that is well; when none has taken a report up for as long as a CPU may be away, the NMI
 * handler writes it past the log.
 */
#include "hv/watch.h"

#include "hv/base/clock.h"
#include "hv/base/format.h"
#include "hv/base/log.h"
#include "hv/base/nmi.h"
#include "hv/base/panic.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"
#include "hv/sched.h"
#include "hv/vm.h"
#include "hv/watch_alarm.h"
#include "hv/where.h"

#define LOOKS 4          /* in the time that a CPU may be away */
#define ANSWER_MS 50
#define ROLL_PAUSE_MS 1000 /* a button that bounces, NMIs to each CPU by itself: one roll call */

struct watch_cpu watch_cpus[MAX_CPUS];
uint32_t watch_roll_called;

static uint64_t patience; /* in TSC ticks; 0: nobody watches */
static uint64_t roll_at;  /* when the roll was last called, by this machine's first CPU that took the NMI */
static uint32_t notes_before[MAX_CPUS];

static void say_in_log(const char *text) { log_warn("%s", text); }
static void say_past_log(const char *text) { panic_line("%s", text); }

/* ---- asking ---- */

static bool has_noted(const struct cpu *c)
{
	return __atomic_load_n(&nmi_note(c)->count, __ATOMIC_ACQUIRE) != notes_before[c->index];
}

static void ask(struct cpu *c)
{
	notes_before[c->index] = __atomic_load_n(&nmi_note(c)->count, __ATOMIC_ACQUIRE);
	nmi_send(c, NMI_TELL);
}

static bool wait_for(const struct cpu *c)
{
	uint64_t end = rdtsc() + tsc_khz * ANSWER_MS;

	while (!has_noted(c))
		if (rdtsc() > end)
			return false;
		else
			cpu_pause();
	return true;
}

/* ---- the roll ---- */

/* In an NMI from outside. What this CPU has just noted counts. */
static void call_roll(const struct cpu *me, uint64_t now)
{
	uint32_t not_yet = 0;

	if (now - roll_at < tsc_khz * ROLL_PAUSE_MS ||
	    !__atomic_compare_exchange_n(&watch_roll_called, &not_yet, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return;
	roll_at = now;
	notes_before[me->index] = nmi_note(me)->count - 1;
	for (uint32_t i = 0; i < cpu_count; i++)
		if (cpus[i] != me)
			ask(cpus[i]);
}

static void tell_roll(void (*say)(const char *text))
{
	say("an NMI from outside: where every CPU is");
	for (uint32_t i = 0; i < cpu_count; i++)
		where_tell(cpus[i], wait_for(cpus[i]), say);
}

/* Nobody has answered the first call, and the button is pressed again. */
static void tell_roll_at_once(uint64_t now)
{
	if (now - roll_at < tsc_khz * ROLL_PAUSE_MS)
		return;
	roll_at = now;
	tell_roll(say_past_log);
}

/* ---- who is missed ---- */

/* By its own word, as far as another CPU's TSC can be held against it. */
static uint64_t away_for(const struct watch_cpu *w, uint64_t now)
{
	uint64_t seen = __atomic_load_n(&w->seen, __ATOMIC_RELAXED);

	return !seen || seen > now ? 0 : now - seen;
}

static uint64_t in_seconds(uint64_t ticks) { return ticks / (tsc_khz * 1000); }

static void miss(struct cpu *c, uint64_t away)
{
	ask(c);
	log_warn("watch: CPU %u has not come back for %lu s:", c->index, in_seconds(away));
	where_tell(c, wait_for(c), say_in_log);
}

static void look_after(struct cpu *c, uint64_t now)
{
	struct watch_cpu *w = &watch_cpus[c->index];
	uint64_t away = away_for(w, now);

	if (away >= patience && __atomic_exchange_n(&w->missed, WATCH_MISSED, __ATOMIC_ACQ_REL) != WATCH_MISSED)
		miss(c, away);
}

/* This CPU was missed, and is back. */
static void come_back(struct cpu *me, struct watch_cpu *w)
{
	if (__atomic_exchange_n(&w->missed, WATCH_WELL, __ATOMIC_ACQ_REL) == WATCH_MISSED) {
		log_warn("watch: CPU %u is back", me->index);
		return;
	}
	log_warn("watch: CPU %u had not come back for %lu s:", me->index, in_seconds(w->away));
	where_tell(me, true, say_in_log);
}

void watch_look(uint64_t now)
{
	struct cpu *me = this_cpu();
	struct watch_cpu *w = &watch_cpus[me->index];

	if (__atomic_exchange_n(&watch_roll_called, 0, __ATOMIC_ACQ_REL))
		tell_roll(say_in_log);
	if (!patience)
		return;
	if (__atomic_load_n(&w->missed, __ATOMIC_ACQUIRE))
		come_back(me, w);
	w->look = now + min_u64(watch_alarm_set(patience), patience / LOOKS);
	for (uint32_t i = 0; i < cpu_count; i++)
		if (cpus[i] != me)
			look_after(cpus[i], now);
}

uint64_t watch_rest(void)
{
	struct watch_cpu *w = &watch_cpus[this_cpu()->index];

	__atomic_store_n(&w->seen, 0, __ATOMIC_RELAXED);
	if (watch_alarm_off())
		w->look = 0;
	return cpu_count > 1 ? w->look : NEVER;
}

/* ---- NMIs ---- */

static void complete(const struct cpu *c, struct nmi_note *n)
{
	n->runs = c->sched ? c->sched->current : NULL;
	if (!n->runs || !n->runs->vcpu)
		return;
	n->exit = n->runs->vcpu->last_reason;
	if (n->in_guest)
		n->rip = n->runs->vcpu->vm->backend->get_reg(n->runs->vcpu, REG_RIP);
}

/*
 * This CPU's own alarm has rung. Others say that it is missed, if there are any; else it does when it is back.
 * When it does not come back either, it is said past the log, whose lock this CPU may hold.
 */
static void look_at_myself(const struct cpu *me, uint64_t now)
{
	struct watch_cpu *w = &watch_cpus[me->index];
	uint64_t away = away_for(w, now);

	watch_alarm_set(patience);
	if (!patience || away < patience || __atomic_load_n(&w->missed, __ATOMIC_ACQUIRE) == WATCH_MISSED)
		return;
	w->away = away;
	if (away < 2 * patience) {
		__atomic_store_n(&w->missed, WATCH_NOTED, __ATOMIC_RELEASE);
		return;
	}
	__atomic_store_n(&w->missed, WATCH_MISSED, __ATOMIC_RELEASE);
	panic_line("watch: CPU %u has not come back for %lu s, and no other CPU has said so:", me->index,
		   in_seconds(away));
	where_tell(me, true, say_past_log);
}

static bool is_alarm(const struct cpu *c)
{
	if (!watch_alarm_rang())
		return false;
	look_at_myself(c, rdtsc());
	return true;
}

/* What the NMI handler must leave to others is done in the tick that follows. */
static void taken(struct cpu *c, uint32_t why)
{
	uint64_t now = rdtsc();

	if (!why && __atomic_load_n(&watch_roll_called, __ATOMIC_ACQUIRE))
		tell_roll_at_once(now);
	else if (!why)
		call_roll(c, now);
	if (c->sched)
		__atomic_store_n(&c->sched->resched, 1, __ATOMIC_RELEASE);
}

/* ---- start ---- */

static const struct nmi_hooks hooks = { .complete = complete, .is_alarm = is_alarm, .taken = taken };

void watch_describe(char *out, size_t size)
{
	uint64_t seconds = in_seconds(patience);
	const char *alarm = watch_alarm_name();

	if (!patience)
		format(out, size, "no CPU is watched: watchdog = 0");
	else if (cpu_count > 1)
		format(out, size, "CPUs watch each other%s%s, %lu s", alarm ? ", each is also watched by " : "",
		       alarm ? alarm : "", seconds);
	else if (alarm)
		format(out, size, "CPU 0 is watched by %s, %lu s", alarm, seconds);
	else
		format(out, size, "CPU 0 is not watched: it is the only one, it has no performance counter for it, and no "
		       "NMI came from the PIT");
}

void watch_init(uint32_t seconds)
{
	char text[WATCH_TEXT];

	nmi_set_hooks(&hooks);
	if (seconds)
		watch_alarm_init();
	for (uint32_t i = 0; i < cpu_count && !seconds; i++)
		watch_cpus[i].look = NEVER;
	patience = tsc_khz * 1000 * seconds;
	watch_describe(text, sizeof text);
	log_info("watch: %s", text);
}
