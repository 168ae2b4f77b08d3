/*
 * VMs: memory, start, stop. What a PC consists of is hv/pc.c, what a vCPU does is hv/vcpu.c.
 */
#include "hv/vm_life.h"

#include <string.h>

#include "hv/base/format.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "hv/gdb/server.h"
#include "hv/guest/acpi.h"
#include "hv/guest/loader.h"
#include "hv/guest/wakeup.h"
#include "hv/console.h"
#include "hv/monitor/monitor.h"
#include "hv/pc.h"
#include "hv/report.h"
#include "hv/vcpu.h"
#include "hv/vclock_run.h"
#include "hv/vm_build.h"
#include "mmu/mmu.h"
#include "mmu/shadow.h"

static struct vm *vms[CONFIG_MAX_VMS];
static uint32_t vm_total;
static const struct boot_info *boot;
static bool autostarted; /* and none has been found at rest since */

const char *const vm_state_names[] = { "off", "running", "stopping", "stopped" };

const char *vm_mmu_name(const struct vm *vm)
{
	switch (vm->mmu_ready ? vm->mmu->config.kind : vm->config->mmu) {
	case MMU_EPT:
		return "ept";
	case MMU_SHADOW:
		return "shadow";
	default:
		return "-";
	}
}

int vms_init(const struct boot_info *bi, struct failure *f)
{
	boot = bi;
	for (uint32_t i = 0; i < bi->config.vm_count; i++) {
		hpa_t frame = frame_alloc(OWNER_HV);

		if (frame == HPA_NONE)
			return fail(f, -ENOMEM, "no memory for the table of guests");
		vms[i] = phys_to_virt(frame);
		vms[i]->id = i + 1;
		vms[i]->config = &bi->config.vms[i];
		vm_total = i + 1;
	}
	return 0;
}

uint32_t vms_count(void) { return vm_total; }

struct vm *vm_at(uint32_t index) { return vms[index]; }

struct vm *vm_by_name(const char *name)
{
	for (uint32_t i = 0; i < vm_total; i++)
		if (strcmp(vms[i]->config->name, name) == 0)
			return vms[i];
	return NULL;
}

void *vm_ram_at(struct vm *vm, gpa_t gpa, uint64_t len)
{
	for (uint32_t i = 0; i < vm->extent_count; i++) {
		const struct vm_extent *x = &vm->extents[i];

		if (gpa >= x->gpa && gpa - x->gpa < x->size && len <= x->size - (gpa - x->gpa))
			return phys_to_virt(x->hpa + (gpa - x->gpa));
	}
	return NULL;
}

/* ---- start ---- */

static const struct boot_file *find_file(const char *path)
{
	for (uint32_t i = 0; i < boot->file_count; i++)
		if (strcmp(boot->files[i].path, path) == 0)
			return &boot->files[i];
	return NULL;
}

static int want_file(struct vm *vm, const char *key, const char *path, struct guest_file *out,
		     struct failure *f)
{
	const struct boot_file *file = find_file(path);

	if (!file)
		return fail(f, -ENOENT, "gnomon.conf:%u: [vm %s]: %s %s was not loaded from the stick: "
			    "copy the file there or correct the path", vm->config->line,
			    vm->config->name, key, path);
	out->name = path;
	out->data = phys_to_virt(file->base);
	out->size = file->size;
	return 0;
}

static void *ram_at(void *ctx, gpa_t gpa, uint64_t len) { return vm_ram_at(ctx, gpa, len); }

static int load_kernel(struct vm *vm, struct failure *f)
{
	struct guest_mem mem = { .ram_size = vm->config->memory, .at = ram_at, .ctx = vm };
	struct guest_image image = { .cmdline = vm->config->cmdline, 
				     .platform = vm->mailbox ? GUEST_PC_MAILBOX : GUEST_PC };
	int err = want_file(vm, "kernel", vm->config->kernel, &image.kernel, f);

	if (!err && vm->config->initrd[0])
		err = want_file(vm, "initrd", vm->config->initrd, &image.initrd, f);
	if (!err && vm->backend->vm_load)
		return vm->backend->vm_load(vm, &image, f);
	if (!err)
		err = acpi_build(&mem, vm->vcpu_count, image.platform, &image.rsdp, f);
	if (!err && vm->mailbox)
		err = wakeup_build(&mem, f);
	if (!err)
		err = guest_load(&mem, &image, vm->entry, f);
	return err;
}

/* What the guest kept from the hypervisor comes back. */
static void unload(struct vm *vm)
{
	struct failure f = { 0 };

	if (vm->backend->vm_unload && vm->backend->vm_unload(vm, &f)) {
		vm->lost = true;
		log_error("guest %s cannot be started again before Gnomon is: %s", vm->config->name, f.text);
	}
}

/* Memory given to a guest before holds what that guest left: clear it (DESIGN: ownership). Its page tables go with it,
 * which the shadow does not see. */
static void clear_ram(struct vm *vm)
{
	if (vm->mmu->config.kind == MMU_SHADOW)
		mmu_shadow_zap_all(vm->mmu);
	for (uint32_t i = 0; i < vm->extent_count; i++)
		for (uint64_t at = 0; at < vm->extents[i].size; at += MIB(2)) {
			memset(phys_to_virt(vm->extents[i].hpa + at), 0, MIB(2));
			sched_yield();
		}
}

static void set_going(struct vm *vm)
{
	uint64_t tsc_offset = 0 - rdtsc(); /* guest TSCs start at 0, all at the same time */

	vm->stop_reason[0] = 0;
	vm->culprit = NULL;
	vm->reset_wanted = 0;
	vm->ended_itself = false;
	vm->announced = false;
	vm->powered = 0;
	vm->running_vcpus = vm->vcpu_count;
	vm->state = VM_RUNNING;
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		vm->vcpus[i]->tsc_offset = tsc_offset;
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		vcpu_request(vm->vcpus[i], REQUEST_POWER_ON);
}

/* Builds the VM when this is its first start, clears its memory otherwise, and loads its kernel. A VM whose
 * kernel cannot be loaded gives its memory back, for other guests to take. */
static int prepare(struct vm *vm, struct failure *f)
{
	bool first = vm->pc == NULL;
	int err = first ? vm_build(vm, f) : 0;

	if (err)
		return err;
	if (!first)
		clear_ram(vm);
	err = load_kernel(vm, f);
	if (!err)
		return 0;
	unload(vm);
	if (first && !vm->lost)
		vm_unbuild(vm);
	return err;
}

int vm_start(struct vm *vm, struct failure *f)
{
	int err;

	if (vm->state == VM_RUNNING || vm->state == VM_STOPPING)
		return fail(f, -EBUSY, "guest %s is %s already", vm->config->name, vm_state_names[vm->state]);
	if (vm->lost)
		return fail(f, -EIO, "guest %s cannot be started again: memory of it is lost since it ran last",
			    vm->config->name);
	if (vm->config->autostart)
		autostarted = true;
	err = prepare(vm, f);
	if (err)
		return err;
	pc_power_on(vm);
	log_info("guest %s starts: %u vCPU%s, %lu MiB, mmu %s", vm->config->name, vm->vcpu_count,
		 vm->vcpu_count == 1 ? "" : "s", vm->config->memory >> 20, vm_mmu_name(vm));
	set_going(vm);
	console_guest_started(vm);
	return 0;
}

/* ---- stop ---- */

void vm_stop(struct vm *vm, const char *fmt, ...)
{
	struct vcpu *self = this_cpu()->sched->current->vcpu;
	enum vm_state running = VM_RUNNING;
	va_list args;

	if (!__atomic_compare_exchange_n(&vm->state, &running, VM_STOPPING, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return;
	va_start(args, fmt);
	vformat(vm->stop_reason, sizeof vm->stop_reason, fmt, args);
	va_end(args);
	vm->culprit = self && self->vm == vm ? self : NULL;
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		vcpu_request(vm->vcpus[i], REQUEST_STOP);
}

void vm_vcpu_parked(struct vcpu *v)
{
	struct vm *vm = v->vm;

	if (v == vm->culprit)
		report_stopped_vcpu(v);
	if (vm->backend->park)
		vm->backend->park(v);
	if (__atomic_sub_fetch(&vm->running_vcpus, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	__atomic_store_n(&vm->state, VM_STOPPED, __ATOMIC_RELEASE);
	monitor_wake();
}

static void restart(struct vm *vm)
{
	struct failure f = { 0 };

	if (vm_start(vm, &f))
		log_error("guest %s could not be started again: %s", vm->config->name, f.text);
}

static bool announce_stopped(struct vm *vm)
{
	if (__atomic_load_n(&vm->state, __ATOMIC_ACQUIRE) != VM_STOPPED || vm->announced)
		return false;
	vm->announced = true;
	log_info("guest %s has stopped: %s", vm->config->name, vm->stop_reason);
	return true;
}

bool vms_poll(void)
{
	bool any_running = false;

	for (uint32_t i = 0; i < vm_total; i++) {
		struct vm *vm = vms[i];

		if (announce_stopped(vm)) {
			console_guest_stopped(vm);
			gdb_guest_stopped(vm);
			unload(vm);
			if (vm->reset_wanted)
				restart(vm);
		}
		any_running |= vm->config->autostart &&
			       (vm->state == VM_RUNNING || vm->state == VM_STOPPING);
	}
	if (any_running || !autostarted)
		return false;
	autostarted = false;
	return true;
}
