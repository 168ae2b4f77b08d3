/* Setting threads going, and the reply when they have stopped. */
#include <errno.h>
#include <string.h>

#include "hv/gdb/reply.h"

static void go(struct gdb *g, const bool *steps, const bool *runs)
{
	g->running = true;
	g->target->resume(g->ctx, steps, runs);
}

/*
 * c [address], C signal [;address], s, S: of the thread of Hc, or of all; a step is one thread's. A signal is
 * nothing that a machine can be given, and an address to go on at is set by gdb as a register.
 */
void gdb_continue(struct gdb *g, const char *text)
{
	bool steps[GDB_MAX_THREADS] = { false }, runs[GDB_MAX_THREADS] = { false };
	bool step = *text == 's' || *text == 'S', with_signal = *text == 'C' || *text == 'S';
	uint32_t thread = g->hc == GDB_ALL && step ? g->selected : g->hc;

	if (with_signal ? strchr(text, ';') != NULL : text[1] != 0) {
		gdb_put_error(g, -EINVAL);
		return;
	}
	for (uint32_t i = 0; i < g->target->threads(g->ctx); i++)
		(step ? steps : runs)[i] = thread == GDB_ALL || thread == i;
	go(g, steps, runs);
}

struct action {
	bool step;
	uint32_t thread; /* or GDB_ALL */
};

/* ";c:1" and the like; *text moves behind it. */
static bool read_action(struct gdb *g, const char **text, struct action *a)
{
	uint64_t signal;
	char what;

	if (*(*text)++ != ';')
		return false;
	what = **text;
	if (what != 'c' && what != 's' && what != 'C' && what != 'S')
		return false;
	++*text;
	if ((what == 'C' || what == 'S') && !gdb_hex_number(text, &signal))
		return false;
	a->step = what == 's' || what == 'S';
	a->thread = GDB_ALL;
	if (**text != ':')
		return true;
	++*text;
	return gdb_thread(g, text, &a->thread);
}

/* The leftmost action that names a thread, or all, is what it does; one that none names stays. */
void gdb_vcont(struct gdb *g, const char *text)
{
	bool steps[GDB_MAX_THREADS] = { false }, runs[GDB_MAX_THREADS] = { false };
	uint32_t threads = g->target->threads(g->ctx);
	bool any = false;
	struct action a;

	while (*text) {
		if (!read_action(g, &text, &a)) {
			gdb_put_error(g, -EINVAL);
			return;
		}
		for (uint32_t i = 0; i < threads; i++)
			if ((a.thread == GDB_ALL || a.thread == i) && !steps[i] && !runs[i])
				(a.step ? steps : runs)[i] = any = true;
	}
	if (any)
		go(g, steps, runs);
	else
		gdb_put_error(g, -EINVAL);
}

#define SIGINT 2
#define SIGTRAP 5

void gdb_put_stop(struct gdb *g)
{
	struct gdb_stop stop = { 0 };

	g->target->why(g->ctx, g->selected, &stop);
	g->selected = stop.thread;
	gdb_put(g, "T%02xthread:%x;", stop.why == GDB_STOP_ASKED ? SIGINT : SIGTRAP, stop.thread + 1);
	switch (stop.why) {
	case GDB_STOP_SOFT:
		gdb_put(g, "swbreak:;");
		break;
	case GDB_STOP_HW:
		gdb_put(g, "hwbreak:;");
		break;
	case GDB_STOP_WATCH_WRITE:
		gdb_put(g, "watch:%lx;", stop.address);
		break;
	case GDB_STOP_WATCH_ACCESS:
		gdb_put(g, "awatch:%lx;", stop.address);
		break;
	case GDB_STOP_ASKED:
	case GDB_STOP_STEP:
		break;
	}
}
