/*
 * Monitor command on the cost of guests: exits by reason and vCPU.
 */
#include "hv/monitor/commands.h"
#include "hv/vm_life.h"

static void show_reason(struct monitor_out *out, const struct vm *vm, uint32_t reason)
{
	uint64_t count = 0, cycles = 0;
	const char *name = vm->backend->reason_name(reason);

	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		count += vm->vcpus[i]->stats.count[reason];
		cycles += vm->vcpus[i]->stats.cycles[reason];
	}
	if (!count)
		return;
	mon_printf(out, "  %-28s %12lu %14lu %8lu", name ? name : "unknown", count, cycles, cycles / count);
	for (uint32_t i = 0; vm->vcpu_count > 1 && i < vm->vcpu_count; i++)
		mon_printf(out, " %10lu", vm->vcpus[i]->stats.count[reason]);
	mon_printf(out, "\n");
}

static void show_exits(struct monitor_out *out, const struct vm *vm)
{
	if (!vm->vcpu_count) {
		mon_printf(out, "guest %s has not been started yet\n", vm->config->name);
		return;
	}
	mon_printf(out, "guest %s, its TSC %lu behind the host's\n  %-28s %12s %14s %8s%s\n", vm->config->name,
		   0 - vm->vcpus[0]->tsc_offset, "exit reason", "exits", "root cycles", "each",
		   vm->vcpu_count > 1 ? "   exits of each vCPU" : "");
	for (uint32_t reason = 0; reason < EXIT_REASONS; reason++)
		show_reason(out, vm, reason);
}

static void clear_exits(struct vm *vm)
{
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		vm->vcpus[i]->stats = (struct exit_stats){ 0 };
}

static int exits_command(struct monitor_out *out, int argc, char **argv)
{
	struct vm *vm;

	if (argc == 1) {
		for (uint32_t i = 0; i < vms_count(); i++)
			show_exits(out, vm_at(i));
		return 0;
	}
	vm = command_vm(out, argc, argv, 1);
	if (!vm)
		return -EINVAL;
	if (argc > 2 && argv[2][0] == 'c')
		clear_exits(vm);
	else
		show_exits(out, vm);
	return 0;
}

const struct monitor_command commands_exits[] = {
	{ "exits", "[NAME [clear]]", "VM exits per reason and vCPU, TSC cycles in the hypervisor", exits_command },
	{ NULL, NULL, NULL, NULL },
};
