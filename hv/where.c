/* Reads what another CPU has on record about itself; it may be changing. Holds no state. */
#include "hv/where.h"

#include "hv/base/backtrace.h"
#include "hv/base/format.h"
#include "hv/base/nmi.h"
#include "hv/base/panic.h"
#include "hv/base/smp.h"
#include "hv/sched.h"
#include "hv/vm.h"

#define WHAT_MAX 120
#define LINE_MAX 280

static const char *exit_name(const struct vcpu *v, uint32_t reason)
{
	const char *name = v->vm->backend->reason_name(reason);

	return name ? name : "unknown";
}

static void what_runs(const struct context *x, char *out, size_t size)
{
	if (x && x->vcpu)
		format(out, size, "runs vCPU %u of guest %s", x->vcpu->index, x->vcpu->vm->config->name);
	else
		format(out, size, "runs %s", x && x->name ? x->name : "its start");
}

static void where(const struct nmi_note *n, char *out, size_t size)
{
	char name[BACKTRACE_NAME];

	if (n->in_guest && n->rip)
		format(out, size, "in the guest at rip %lx", n->rip);
	else if (n->in_guest)
		format(out, size, "in the guest, which keeps its registers to itself");
	else if (n->runs && n->runs->vcpu)
		format(out, size, "in root mode since the exit \"%s\", at %s", exit_name(n->runs->vcpu, n->exit),
		       backtrace_name(n->rip, name, sizeof name));
	else
		format(out, size, "at %s", backtrace_name(n->rip, name, sizeof name));
}

/* What it runs is not known from a note then, but from what it was doing before. */
static void no_answer(const struct context *x, char *out, size_t size)
{
	format(out, size, "answers no NMI%s%s", x && x->vcpu ? "; its latest exit: " : "",
	       x && x->vcpu ? exit_name(x->vcpu, x->vcpu->last_reason) : "");
}

void where_tell(const struct cpu *c, bool noted, void (*say)(const char *text))
{
	const struct context *current = c->sched ? c->sched->current : NULL;
	const struct nmi_note *n = nmi_note(c);
	char what[WHAT_MAX], place[WHAT_MAX + BACKTRACE_NAME], line[LINE_MAX], name[BACKTRACE_NAME];

	what_runs(noted ? n->runs : current, what, sizeof what);
	if (noted)
		where(n, place, sizeof place);
	else
		no_answer(current, place, sizeof place);
	format(line, sizeof line, "CPU %u %s, %s", c->index, what, place);
	say(line);
	for (unsigned i = 0; noted && i < n->found && i < NMI_RETURNS; i++) {
		format(line, sizeof line, "  ?  %s", backtrace_return_name(n->returns[i], name, sizeof name));
		say(line);
	}
}

static void say_in_panic(const char *text) { panic_line("%s", text); }

void where_report_others(void)
{
	const struct cpu *me = cpu_if_known();

	for (uint32_t i = 0; i < cpu_count; i++)
		if (cpus[i] != me)
			where_tell(cpus[i], cpu_has_stopped(cpus[i]), say_in_panic);
}
