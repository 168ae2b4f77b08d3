/*
 * What the trace says, and the monitor command that shows it.
 */
#include "hv/trace.h"

#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/format.h"
#include "hv/base/panic.h"
#include "hv/base/percpu.h"
#include "hv/monitor/commands.h"
#include "hv/vm_life.h"

#define SHOWN 32 /* events of a CPU, unless asked for more */
#define PANIC_SHOWN 12

/* What the exit before has cost is known when the next one comes: by what was charged to its reason. */
static void close_last(struct vcpu *v)
{
	struct trace_event *e = v->traced.event;

	if (e && e->tsc == v->traced.tsc)
		e->cost = v->stats.cycles[e->kind] - v->traced.cycles;
}

void trace_exit(struct vcpu *v, uint32_t reason, uint64_t rip, uint64_t qualification, uint64_t gpa)
{
	struct trace_event *e;

	close_last(v);
	e = trace_put(reason, (uint16_t)v->vm->id, rip, qualification);
	v->traced.event = e;
	if (!e)
		return;
	e->tsc = v->exit_tsc;
	e->vcpu = (uint16_t)v->index;
	e->gpa = gpa;
	e->cost = TRACE_OPEN;
	v->traced.tsc = v->exit_tsc;
	v->traced.cycles = v->stats.cycles[reason];
}

/* ---- in words ---- */

static const struct vm *vm_of(const struct trace_event *e)
{
	return e->vm > 0 && e->vm <= vms_count() ? vm_at(e->vm - 1) : NULL;
}

static const char *name_of(const struct vm *vm, uint32_t kind)
{
	const char *name = vm ? vm->backend->reason_name(kind) : NULL;

	return name ? name : "unknown";
}

static void format_exit(const struct trace_event *e, char *text, size_t size)
{
	const struct vm *vm = vm_of(e);
	size_t at = (size_t)format(text, size, "%s/%u exit %s, rip %lx", vm ? vm->config->name : "?", e->vcpu,
				   name_of(vm, e->kind), e->what);

	if (at < size && e->detail)
		at += (size_t)format(text + at, size - at, ", qualification %lx", e->detail);
	if (at < size && e->gpa)
		at += (size_t)format(text + at, size - at, ", gpa %lx", e->gpa);
	if (at < size && e->cost != TRACE_OPEN)
		format(text + at, size - at, ", %lu ticks", e->cost);
}

static void format_mmu(const struct trace_event *e, char *text, size_t size)
{
	static const struct {
		const char *name, *detail;
	} kinds[] = {
		[TRACE_MMU_FLUSH - TRACE_MMU_FLUSH] = { "TLB flush", "pages" },
		[TRACE_MMU_ZAP - TRACE_MMU_FLUSH] = { "zap", "pages" },
		[TRACE_MMU_SPLIT - TRACE_MMU_FLUSH] = { "split", "level" },
		[TRACE_MMU_COLLAPSE - TRACE_MMU_FLUSH] = { "collapse", "level" },
		[TRACE_SHADOW_NEW - TRACE_MMU_FLUSH] = { "new shadow page", "level" },
		[TRACE_SHADOW_GONE - TRACE_MMU_FLUSH] = { "shadow page gone", "level" },
	};
	const struct vm *vm = vm_of(e);

	if (e->kind >= TRACE_KIND_END) {
		format(text, size, "unknown event %u", e->kind);
		return;
	}
	format(text, size, "%s mmu %s, gfn %lx, %s %lu", vm ? vm->config->name : "-",
	       kinds[e->kind - TRACE_MMU_FLUSH].name, e->what, kinds[e->kind - TRACE_MMU_FLUSH].detail, e->detail);
}

void trace_format(const struct trace_event *e, uint64_t previous, char *text, size_t size)
{
	uint64_t since = previous && e->tsc > previous ? e->tsc - previous : 0;
	size_t at = (size_t)format(text, size, "%lu +%lu ", e->tsc, since);

	if (at >= size)
		return;
	if (e->kind < TRACE_MMU_FLUSH)
		format_exit(e, text + at, size - at);
	else
		format_mmu(e, text + at, size - at);
}

bool trace_panic(void)
{
	/* On no stack: a panic may have come up because one was full. The other CPUs stand still. */
	static struct trace_event events[PANIC_SHOWN];
	static char text[200];
	bool any = false;

	for (uint32_t cpu = 0; cpu < cpu_count; cpu++) {
		uint32_t n = trace_read(cpu, events, PANIC_SHOWN);

		if (n)
			panic_line("  trace of CPU %u, TSC and what happened:", cpu);
		for (uint32_t i = 0; i < n; i++) {
			trace_format(&events[i], i ? events[i - 1].tsc : 0, text, sizeof text);
			panic_line("    %s", text);
		}
		any |= n > 0;
	}
	return any;
}

/* ---- the monitor command ---- */

static void show_cpu(struct monitor_out *out, uint32_t cpu, uint32_t n)
{
	static struct trace_event events[TRACE_EVENTS]; /* the monitor's alone, and large for a stack */
	uint32_t count = trace_read(cpu, events, n < TRACE_EVENTS ? n : TRACE_EVENTS);
	char text[200];

	mon_printf(out, "CPU %u: %u events\n", cpu, count);
	for (uint32_t i = 0; i < count; i++) {
		trace_format(&events[i], i ? events[i - 1].tsc : 0, text, sizeof text);
		mon_printf(out, "  %s\n", text);
	}
}

static void show_all(struct monitor_out *out, uint32_t n)
{
	mon_printf(out, "the trace is %s; the TSC counts %lu kHz\n", trace_on ? "on" : "off", tsc_khz);
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
		show_cpu(out, cpu, n);
}

static int switch_trace(struct monitor_out *out, bool on)
{
	struct failure f = { 0 };
	int err = 0;

	if (!on)
		trace_stop();
	else
		err = trace_start(&f);
	if (err)
		mon_printf(out, "%s\n", f.text);
	else
		mon_printf(out, "the trace is %s\n", on ? "on" : "off");
	return err;
}

static int trace_command(struct monitor_out *out, int argc, char **argv)
{
	uint64_t cpu, n = SHOWN;

	if (argc == 2 && (strcmp(argv[1], "on") == 0 || strcmp(argv[1], "off") == 0))
		return switch_trace(out, strcmp(argv[1], "on") == 0);
	if (argc > 3 || (argc > 2 && !command_number(out, argv[2], &n)))
		return -EINVAL;
	if (argc == 1) {
		show_all(out, SHOWN);
		return 0;
	}
	if (!command_number(out, argv[1], &cpu))
		return -EINVAL;
	if (cpu >= cpu_count) {
		mon_printf(out, "there is no CPU %lu; the last is %u\n", cpu, cpu_count - 1);
		return -EINVAL;
	}
	show_cpu(out, (uint32_t)cpu, (uint32_t)min_u64(n, TRACE_EVENTS));
	return 0;
}

const struct monitor_command commands_trace[] = {
	{ "trace", "[on|off|CPU [N]]", "the last exits and changes of guests' memory, by CPU", trace_command },
	{ NULL, NULL, NULL, NULL },
};
