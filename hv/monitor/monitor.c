/*
 * The monitor's context: starts network and guests, then waits for input, for frames and for guests that stop.
 */
#include "hv/monitor/monitor.h"

#include "hv/base/log.h"
#include "hv/base/panic.h"
#include "hv/console.h"
#include "hv/gdb/server.h"
#include "hv/host.h"
#include "hv/monitor/commands.h"
#include "hv/net/guest_console.h"
#include "hv/net/net.h"
#include "hv/reset.h"
#include "hv/vm_life.h"

static struct context *context;
static struct monitor_line line;

void monitor_wake(void)
{
	if (context)
		context_wake(context);
}

void monitor_show(void) { monitor_line_show(&line); }

static void start_guests(void)
{
	for (uint32_t i = 0; i < vms_count(); i++) {
		struct vm *vm = vm_at(i);
		struct failure f = { 0 };

		if (vm->config->autostart && vm_start(vm, &f))
			log_error("guest %s does not start: %s", vm->config->name, f.text);
	}
}

static void all_done(void)
{
	enum when_done what = host_boot()->config.when_done;

	console_flush();
	if (what == WHEN_DONE_POWEROFF) {
		log_info("the last guest has stopped: the host powers off");
		host_reset(RESET_POWER_OFF);
	}
	if (what == WHEN_DONE_REBOOT) {
		log_info("the last guest has stopped: the host restarts");
		host_reset(RESET_RESTART);
	}
	console_focus(NULL);
}

static void read_input(void)
{
	uint8_t byte;

	while (console_monitor_byte(&byte))
		monitor_line_byte(&line, byte);
}

static void run(void *arg)
{
	(void)arg;
	net_start(&host_boot()->config);
	start_guests();
	if (!console_focused())
		monitor_show();
	for (;;) {
		if (vms_poll())
			all_done();
		gdb_poll();
		console_pump();
		read_input();
		sched_block(min_u64(net_poll(), console_deadline()));
	}
}

void monitor_add_commands(struct monitor_line *l)
{
	monitor_line_add(l, commands_vm);
	monitor_line_add(l, commands_exits);
	monitor_line_add(l, commands_mmu);
	monitor_line_add(l, commands_trace);
	monitor_line_add(l, commands_gdb);
	monitor_line_add(l, commands_tdx);
	monitor_line_add(l, commands_pci);
	monitor_line_add(l, commands_net);
	monitor_line_add(l, commands_console);
	monitor_line_add(l, commands_host);
}

void monitor_init(void)
{
	monitor_line_init(&line, console_monitor_out());
	monitor_add_commands(&line);
	context = context_create(this_cpu(), "monitor", run, NULL);
	if (!context)
		panic("no memory for the monitor's stack");
	context->priority = true;
	context_wake(context);
}
