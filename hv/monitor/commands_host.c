/*
 * Monitor commands on the host: cpu, caps, mem, log, reboot, poweroff.
 */
#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/format.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/nmi.h"
#include "hv/base/x86.h"
#include "hv/host.h"
#include "hv/monitor/commands.h"
#include "hv/net/net.h"
#include "hv/reset.h"
#include "hv/sched.h"
#include "hv/vm_life.h"
#include "hv/watch.h"

static int cpu_command(struct monitor_out *out, int argc, char **argv)
{
	char watched[WATCH_TEXT];

	(void)argc;
	(void)argv;
	watch_describe(watched, sizeof watched);
	mon_printf(out, "%s\n", watched);
	mon_printf(out, "TSC %lu.%03lu MHz, %u bits of physical address\n", tsc_khz / 1000, tsc_khz % 1000,
		   host_hpa_bits());
	for (uint32_t i = 0; i < cpu_count; i++) {
		const struct cpu *c = cpus[i];
		const struct context *now = c->sched ? c->sched->current : NULL;
		uint64_t nmis = nmi_outside_count(c);

		mon_printf(out, "CPU %u: APIC id %u, %s, runs %s\n", i, c->apic_id,
			   c->runs_guests ? "virtualisation on" : "no guests", now ? now->name : "nothing");
		if (nmis)
			mon_printf(out, "  took %lu NMIs from outside\n", nmis);
	}
	return 0;
}

static int caps_command(struct monitor_out *out, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (host_backend())
		host_backend()->describe(out);
	else
		mon_printf(out, "no guest can run here: %s\n", host_no_backend());
	tdx_backend.describe(out);
	return 0;
}

static void show_owner(struct monitor_out *out, const char *what, frame_owner_t owner)
{
	uint64_t frames = frame_count(owner);

	if (frames)
		mon_printf(out, "  %-24s %10lu KiB\n", what, frames * 4);
}

static int mem_command(struct monitor_out *out, int argc, char **argv)
{
	char what[64];

	(void)argc;
	(void)argv;
	show_owner(out, "free", OWNER_FREE);
	show_owner(out, "hypervisor", OWNER_HV);
	mon_printf(out, "    lwIP's pools           %10lu KiB\n", net_pool_bytes() >> 10);
	show_owner(out, "hypervisor page tables", OWNER_PAGE_TABLE);
	show_owner(out, "network", OWNER_NET);
	show_owner(out, "TDX module", OWNER_PAMT);
	for (uint32_t i = 0; i < vms_count(); i++) {
		format(what, sizeof what, "%s: memory", vm_at(i)->config->name);
		show_owner(out, what, OWNER_VM(vm_at(i)->id));
		format(what, sizeof what, "%s: tables, devices", vm_at(i)->config->name);
		show_owner(out, what, OWNER_VM_META(vm_at(i)->id));
		format(what, sizeof what, "%s: held by the module", vm_at(i)->config->name);
		show_owner(out, what, OWNER_TD(vm_at(i)->id));
	}
	mon_printf(out, "  largest free run         %10lu KiB\n", frame_largest_free_run() * 4);
	return 0;
}

/* As sinks get it, which is with "\r\n" at the end. */
static void show_line(void *ctx, const char *line, size_t len)
{
	while (len && (line[len - 1] == '\r' || line[len - 1] == '\n'))
		len--;
	mon_printf(ctx, "%.*s\n", (int)len, line);
}

static int log_command(struct monitor_out *out, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	log_replay(show_line, out);
	return 0;
}

static int reboot_command(struct monitor_out *out, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	mon_printf(out, "the host restarts\n");
	host_reset(RESET_RESTART);
}

static int poweroff_command(struct monitor_out *out, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	mon_printf(out, "the host powers off\n");
	host_reset(RESET_POWER_OFF);
}

const struct monitor_command commands_host[] = {
	{ "cpu", "", "host CPUs and what they run", cpu_command },
	{ "caps", "", "what the CPU offers and what is used", caps_command },
	{ "mem", "", "who owns the host's memory", mem_command },
	{ "log", "", "the log from its beginning", log_command },
	{ "reboot", "", "restart the host", reboot_command },
	{ "poweroff", "", "switch the host off", poweroff_command },
	{ NULL, NULL, NULL, NULL },
};
