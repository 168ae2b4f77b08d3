/* A host with guests, as far as the network's services look at it. */
#include "tests/unit/net_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/host.h"
#include "hv/trace.h"
#include "hv/vm_life.h"
#include "mmu/inspect.h"
#include "tests/unit/support/support.h"

struct vm net_guests[NET_GUESTS];
struct vm_config net_configs[NET_GUESTS];
struct vcpu net_vcpus[3];
struct context net_contexts[3];
struct mmu_stats net_mmu_stats;
struct shadow_counts net_shadow_counts;
uint32_t net_guest_count;

static struct mmu mmus[NET_GUESTS];
static struct boot_info info;

const char *const vm_state_names[] = { "off", "running", "stopping", "stopped" };
const char *const fault_result_names[FAULT_RESULTS] = { "mapped", "retry", "MMIO", "write to read-only", "no memory",
	"bad address", "guest's own", "write tracked", "write emulated", "wrong kind", "broken" };

uint32_t vms_count(void) { return net_guest_count; }
struct vm *vm_at(uint32_t index) { return &net_guests[index]; }
const char *vm_mmu_name(const struct vm *vm) { return vm->config->mmu == MMU_SHADOW ? "shadow" : "ept"; }
const struct boot_info *host_boot(void) { return &info; }

struct vm *vm_by_name(const char *name)
{
	for (uint32_t i = 0; i < net_guest_count; i++)
		if (strcmp(net_configs[i].name, name) == 0)
			return &net_guests[i];
	return NULL;
}

void mmu_stats_sum(struct mmu *mmu, struct mmu_stats *sum)
{
	(void)mmu;
	*sum = net_mmu_stats;
}

void mmu_shadow_count(struct mmu *mmu, struct shadow_counts *counts)
{
	(void)mmu;
	*counts = net_shadow_counts;
}

bool trace_on = true;

uint32_t trace_read(uint32_t cpu, struct trace_event *out, uint32_t n)
{
	(void)cpu;
	out[0] = (struct trace_event){ .kind = 1 };
	out[1] = (struct trace_event){ .kind = 2 };
	return n < 2 ? n : 2;
}

void trace_format(const struct trace_event *e, uint64_t previous, char *text, size_t size)
{
	(void)previous;
	snprintf(text, size, "event %u", e->kind);
}

static const char *reason_name(uint32_t reason)
{
	static const char *const names[] = { "exception or NMI", "external interrupt", "triple fault" };

	return reason < 3 ? names[reason] : reason == 12 ? "HLT" : reason == 30 ? "I/O \"instruction\\\"" : NULL;
}

static const struct backend backend = { .name = "vmx", .reason_name = reason_name };

static void make_guest(uint32_t i, const char *name, uint32_t first_vcpu, uint32_t vcpus, enum mmu_kind mmu)
{
	struct vm *vm = &net_guests[i];

	strcpy(net_configs[i].name, name);
	net_configs[i].vcpus = vcpus;
	net_configs[i].memory = MIB(64);
	net_configs[i].mmu = mmu;
	mmus[i].config.kind = mmu;
	*vm = (struct vm){ .id = i + 1, .config = &net_configs[i], .backend = &backend, .state = VM_RUNNING,
		.mmu = &mmus[i], .mmu_ready = true, .vcpu_count = vcpus };
	for (uint32_t n = 0; n < vcpus; n++) {
		struct vcpu *v = &net_vcpus[first_vcpu + n];

		vm->vcpus[n] = v;
		*v = (struct vcpu){ .index = n, .vm = vm, .cpu = this_cpu(), .context = &net_contexts[first_vcpu + n],
			.state = VCPU_RUNNING };
	}
}

void net_world_start(void)
{
	test_phys_init(MIB(1), 256 * PAGE_SIZE);
	net_guest_count = NET_GUESTS;
	make_guest(0, "linux", 0, 1, MMU_EPT);
	make_guest(1, "second", 1, 2, MMU_SHADOW);
}

void net_world_end(void) { test_phys_end(); }
