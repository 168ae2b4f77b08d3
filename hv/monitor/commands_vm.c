/*
 * Monitor commands on guests: vm, regs.
 */
#include "hv/base/clock.h"
#include "hv/base/x86.h"
#include "hv/monitor/commands.h"
#include "hv/sched.h"
#include "hv/vm_life.h"

#include <stdlib.h>
#include <string.h>

/* How long a vCPU may take to copy its registers: it answers within a time slice. */
#define SNAPSHOT_WAIT_MS 500

static const char *const vcpu_state_names[] = { "waits for SIPI", "running", "halted", "stopped" };

struct vm *command_vm(struct monitor_out *out, int argc, char **argv, int arg)
{
	struct vm *vm;

	if (argc <= arg && vms_count() == 1)
		return vm_at(0);
	if (argc <= arg) {
		mon_printf(out, "name a guest; `vm` lists them\n");
		return NULL;
	}
	vm = vm_by_name(argv[arg]);
	if (!vm)
		mon_printf(out, "there is no guest %s; `vm` lists them\n", argv[arg]);
	return vm;
}

bool command_trusted(struct monitor_out *out)
{
	if (!out->trusted)
		mon_printf(out, "only the serial line and sessions that have authenticated may open ports\n");
	return out->trusted;
}

bool command_number(struct monitor_out *out, const char *text, uint64_t *value)
{
	char *end;

	*value = strtoul(text, &end, 0);
	if (*text && !*end)
		return true;
	mon_printf(out, "%s is no number: write 4096 or 0x1000\n", text);
	return false;
}

static void list_vms(struct monitor_out *out)
{
	mon_printf(out, "%-16s %-9s %5s %8s  %-6s  %s\n", "guest", "state", "vCPUs", "MiB", "MMU", "last stop");
	for (uint32_t i = 0; i < vms_count(); i++) {
		const struct vm *vm = vm_at(i);

		mon_printf(out, "%-16s %-9s %5u %8lu  %-6s  %s\n", vm->config->name, vm_state_names[vm->state],
			   vm->config->vcpus, vm->config->memory >> 20, vm_mmu_name(vm), vm->stop_reason);
	}
}

static void show_vm(struct monitor_out *out, const struct vm *vm)
{
	mon_printf(out, "%s: %s, MMU %s; kernel %s, initrd %s\n  cmdline: %s\n", vm->config->name,
		   vm_state_names[vm->state], vm_mmu_name(vm), vm->config->kernel,
		   vm->config->initrd[0] ? vm->config->initrd : "none", vm->config->cmdline);
	if (vm->mailbox)
		mon_printf(out, "  vCPUs but the first start through the ACPI wakeup mailbox\n");
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		const struct vcpu *v = vm->vcpus[i];

		mon_printf(out, "  vCPU %u on CPU %u: %s, %lu ms of CPU time\n", i, v->cpu->index,
			   vcpu_state_names[v->state], v->context->run_time / tsc_khz);
	}
	if (vm->stop_reason[0])
		mon_printf(out, "  last stop: %s\n", vm->stop_reason);
}

static int start(struct monitor_out *out, struct vm *vm)
{
	struct failure f = { 0 };
	int err = vm_start(vm, &f);

	if (err)
		mon_printf(out, "%s\n", f.text);
	return err;
}

static int stop(struct monitor_out *out, struct vm *vm, bool again)
{
	if (vm->state != VM_RUNNING && again)
		return start(out, vm);
	if (vm->state != VM_RUNNING) {
		mon_printf(out, "guest %s is not running\n", vm->config->name);
		return -EINVAL;
	}
	vm->reset_wanted = again;
	vm_stop(vm, again ? "reset by the operator" : "stopped by the operator");
	return 0;
}

static int vm_command(struct monitor_out *out, int argc, char **argv)
{
	struct vm *vm;

	if (argc == 1) {
		list_vms(out);
		return 0;
	}
	vm = command_vm(out, argc, argv, 2);
	if (!vm)
		return -EINVAL;
	if (strcmp(argv[1], "start") == 0)
		return start(out, vm);
	if (strcmp(argv[1], "stop") == 0)
		return stop(out, vm, false);
	if (strcmp(argv[1], "reset") == 0)
		return stop(out, vm, true);
	if (strcmp(argv[1], "state") == 0) {
		show_vm(out, vm);
		return 0;
	}
	mon_printf(out, "vm knows start, stop, reset and state, not %s\n", argv[1]);
	return -EINVAL;
}

/* Asks v's context for a copy of its registers and waits for it. */
static bool snapshot(struct vcpu *v)
{
	uint32_t before = __atomic_load_n(&v->snapshot_count, __ATOMIC_ACQUIRE);
	uint64_t give_up = rdtsc() + tsc_khz * SNAPSHOT_WAIT_MS;

	vcpu_request(v, REQUEST_SNAPSHOT);
	while (__atomic_load_n(&v->snapshot_count, __ATOMIC_ACQUIRE) == before) {
		if (rdtsc() > give_up)
			return false;
		sched_block(rdtsc() + tsc_khz);
	}
	return true;
}

static void print_regs(struct monitor_out *out, const struct vcpu *v)
{
	static const char *const names[GPR_COUNT] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
						      "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
	const uint64_t *s = v->snapshot, *g = v->snapshot + REG_COUNT;

	mon_printf(out, "vCPU %u, %s: cs:rip %04lx:%016lx rflags %lx cpl %lu\n", v->index,
		   vcpu_state_names[v->state], s[REG_CS_SEL], s[REG_RIP], s[REG_RFLAGS], s[REG_CPL]);
	for (unsigned r = 0; r < GPR_COUNT; r++)
		mon_printf(out, "  %-3s %016lx%s", names[r], g[r], r % 4 == 3 ? "\n" : "");
	mon_printf(out, "  cr0 %lx cr3 %lx cr4 %lx efer %lx\n  fs %lx gs %lx gdt %lx idt %lx tr %lx\n",
		   s[REG_CR0], s[REG_CR3], s[REG_CR4], s[REG_EFER], s[REG_FS_BASE], s[REG_GS_BASE],
		   s[REG_GDTR_BASE], s[REG_IDTR_BASE], s[REG_TR_SEL]);
}

static int regs_command(struct monitor_out *out, int argc, char **argv)
{
	struct vm *vm = command_vm(out, argc, argv, 1);

	if (!vm)
		return -EINVAL;
	if (vm->vcpu_count == 0)
		mon_printf(out, "guest %s has not been started yet: `vm start %s`\n", vm->config->name,
			   vm->config->name);
	else if (vm->backend->hides_state)
		mon_printf(out, "guest %s keeps the registers of its vCPUs from its host\n", vm->config->name);
	for (uint32_t i = 0; i < vm->vcpu_count && !vm->backend->hides_state; i++) {
		if (snapshot(vm->vcpus[i]))
			print_regs(out, vm->vcpus[i]);
		else
			mon_printf(out, "vCPU %u has not answered for %u ms\n", i, SNAPSHOT_WAIT_MS);
	}
	return 0;
}

const struct monitor_command commands_vm[] = {
	{ "vm", "[start|stop|reset|state NAME]", "list guests, or do that to one", vm_command },
	{ "regs", "[NAME]", "registers of a guest's vCPUs", regs_command },
	{ NULL, NULL, NULL, NULL },
};
