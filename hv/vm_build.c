/*
 * Building a VM: guest RAM in runs as large as the host has them, the MMU over it, devices, vCPUs.
 */
#include "hv/vm_build.h"

#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "hv/emulate/decode.h"
#include "hv/exits.h"
#include "hv/fpu.h"
#include "hv/guest/cpuid.h"
#include "hv/guest/loader.h"
#include "hv/guest/msr.h"
#include "hv/host.h"
#include "hv/mmio_memo.h"
#include "hv/pc.h"
#include "hv/vcpu.h"
#include "mmu/mmu.h"

static frame_owner_t meta_owner(const struct vm *vm) { return OWNER_VM_META(vm->id); }

static uint64_t pages_of(size_t size) { return align_up(size, PAGE_SIZE) >> PAGE_SHIFT; }

static void *meta_alloc(struct vm *vm, size_t size)
{
	hpa_t pa = frame_alloc_run(pages_of(size), 1, meta_owner(vm));

	return pa == HPA_NONE ? NULL : phys_to_virt(pa);
}

static void meta_free(struct vm *vm, void *p, size_t size)
{
	if (p)
		frame_free_run(virt_to_phys(p), pages_of(size), meta_owner(vm));
}

/* ---- RAM ---- */

/* One run for [gpa, gpa + size) or a part of it: a gigabyte page's worth if it may be mapped so,
 * else the longest run of whole 2 MiB pages there is. */
static hpa_t take_run(struct vm *vm, gpa_t gpa, uint64_t *size)
{
	uint64_t want = *size;
	hpa_t pa = HPA_NONE;

	if (want >= GIB(1) && is_aligned(gpa, GIB(1)))
		pa = frame_alloc_run(want >> PAGE_SHIFT, GIB(1) >> PAGE_SHIFT, OWNER_VM(vm->id));
	while (pa == HPA_NONE && want >= MIB(2)) {
		pa = frame_alloc_run(want >> PAGE_SHIFT, MIB(2) >> PAGE_SHIFT, OWNER_VM(vm->id));
		if (pa == HPA_NONE)
			want = align_down(want / 2, MIB(2));
	}
	*size = want;
	return pa;
}

static int add_ram(struct vm *vm, gpa_t gpa, uint64_t size, struct failure *f)
{
	uint32_t flags = vm->config->type == VM_TYPE_TD ? SLOT_PRIVATE : 0;

	while (size) {
		uint64_t got = size;
		hpa_t pa = vm->extent_count < VM_MAX_EXTENTS ? take_run(vm, gpa, &got) : HPA_NONE;
		int err;

		if (pa == HPA_NONE)
			return fail(f, -ENOMEM, "guest memory is too scattered on this host: lower `memory`");
		vm->extents[vm->extent_count++] = (struct vm_extent){ gpa, pa, got };
		err = mmu_slot_add(vm->mmu, gpa >> PAGE_SHIFT, got >> PAGE_SHIFT, pa, flags, f);
		if (!err && vm->config->premap)
			err = mmu_premap_slot(vm->mmu, gpa >> PAGE_SHIFT, f);
		if (err)
			return err;
		gpa += got;
		size -= got;
	}
	return 0;
}

/* Frames to be left for tables, devices and the hypervisor itself beside a guest's RAM. */
static uint64_t overhead(uint64_t memory) { return MIB(4) + memory / 256; }

static int build_ram(struct vm *vm, struct failure *f)
{
	uint64_t memory = vm->config->memory;
	uint64_t low = min_u64(memory, GUEST_LOW_RAM_END);
	uint64_t free = frame_count(OWNER_FREE) << PAGE_SHIFT;
	int err;

	if (memory + overhead(memory) > free)
		return fail(f, -ENOMEM, "gnomon.conf:%u: guest %s asks for %lu MiB, but this host has %lu MiB "
			    "free: lower `memory` to %lu MiB or less", vm->config->line, vm->config->name,
			    memory >> 20, free >> 20,
			    free > overhead(free) ? align_down(free - overhead(free), MIB(2)) >> 20 : 0);
	err = add_ram(vm, 0, low, f);
	if (!err && memory > low)
		err = add_ram(vm, GUEST_HIGH_RAM_BASE, memory - low, f);
	return err;
}

static void free_ram(struct vm *vm)
{
	for (uint32_t i = 0; i < vm->extent_count; i++)
		frame_free_run(vm->extents[i].hpa, vm->extents[i].size >> PAGE_SHIFT, OWNER_VM(vm->id));
	vm->extent_count = 0;
}

/* ---- MMU ---- */

/* Every vCPU flushes before it enters again; those in the guest are brought out by the request. */
static void flush_vm(void *ctx, const struct flush_range *range)
{
	struct vm *vm = ctx;

	(void)range; /* INVEPT knows no ranges */
	vm->backend->flush(vm);
}

static int build_mmu(struct vm *vm, struct failure *f)
{
	struct mmu_config config = {
		.kind = vm->config->mmu,
		.vm_id = (uint16_t)vm->id,
		.hpa_bits = host_hpa_bits(),
		.gpa_bits = min_u64(host_hpa_bits(), 48),
		.flush = flush_vm,
		.flush_ctx = vm,
	};

	int err = vm->backend->mmu_limits(vm, &config, f);

	return err ? err : mmu_init(vm->mmu, &config, f);
}

/* ---- vCPUs ---- */

static void destroy_vcpu(struct vm *vm, struct vcpu *v)
{
	if (v->fpu)
		fpu_destroy(v->fpu, meta_owner(vm));
	if (v->mmu->mmu)
		mmu_vcpu_destroy(v->mmu);
	meta_free(vm, v->cpuid, sizeof *v->cpuid);
	meta_free(vm, v->msr, sizeof *v->msr);
	meta_free(vm, v->mmu, sizeof *v->mmu);
	meta_free(vm, v->snapshot, PAGE_SIZE);
	meta_free(vm, v->decoded, sizeof *v->decoded);
	meta_free(vm, v->walks, sizeof *v->walks);
	meta_free(vm, v->memos, sizeof *v->memos);
	meta_free(vm, v->lapic.regs, PAGE_SIZE);
	meta_free(vm, v->lapic.posted, PAGE_SIZE);
	vm->backend->vcpu_destroy(v);
}

static int fill_vcpu(struct vm *vm, struct vcpu *v, struct failure *f)
{
	v->cpuid = meta_alloc(vm, sizeof *v->cpuid);
	v->msr = meta_alloc(vm, sizeof *v->msr);
	v->mmu = meta_alloc(vm, sizeof *v->mmu);
	v->snapshot = meta_alloc(vm, PAGE_SIZE);
	v->decoded = meta_alloc(vm, sizeof *v->decoded);
	v->walks = meta_alloc(vm, sizeof *v->walks);
	v->memos = meta_alloc(vm, sizeof *v->memos);
	v->lapic.regs = meta_alloc(vm, PAGE_SIZE);
	v->lapic.posted = meta_alloc(vm, PAGE_SIZE);
	v->fpu = fpu_create(meta_owner(vm));
	if (!v->cpuid || !v->msr || !v->mmu || !v->snapshot || !v->decoded ||
	    !v->walks || !v->memos || !v->lapic.regs || !v->lapic.posted || !v->fpu)
		return fail(f, -ENOMEM, "no memory for vCPU %u of guest %s", v->index, vm->config->name);
	fpu_reset(v);
	mmu_vcpu_init(v->mmu, vm->mmu);
	v->lapic.tsc_hz = tsc_khz * 1000;
	v->lapic.timer_hz = exits_apic_timer_hz();
	vlapic_init(&v->lapic, v->index, v->index == 0, &vcpu_lapic_host, v);
	return exits_init_vcpu(v, f);
}

static int build_vcpu(struct vm *vm, uint32_t index, struct failure *f)
{
	struct vcpu *v = vm->backend->vcpu_create(vm, index, f);

	if (!v)
		return -ENOMEM;
	v->vm = vm;
	v->index = index;
	v->cpu = cpus[(vm->config->first_cpu + index) % cpu_count];
	v->state = VCPU_STOPPED;
	vm->vcpus[index] = v;
	vm->vcpu_count = index + 1;
	return fill_vcpu(vm, v, f);
}

/* A context cannot be given back, so the VM keeps those it has for a later try. */
static int build_contexts(struct vm *vm, struct failure *f)
{
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *v = vm->vcpus[i];

		if (!vm->contexts[i])
			vm->contexts[i] = context_create(v->cpu, vm->config->name, vcpu_main, &vm->vcpus[i]);
		v->context = vm->contexts[i];
		if (!v->context)
			return fail(f, -ENOMEM, "no memory for the stack of vCPU %u of guest %s", i,
				    vm->config->name);
		v->context->vcpu = v;
	}
	return 0;
}

static int build_vcpus(struct vm *vm, struct failure *f)
{
	uint32_t wanted = vm->config->vcpus;
	int err = 0;

	if (wanted > cpu_count)
		return fail(f, -EINVAL, "gnomon.conf:%u: guest %s asks for %u vCPUs, but this host has %u CPU%s: "
			    "lower `vcpus` to %u or less", vm->config->line, vm->config->name, wanted,
			    cpu_count, cpu_count == 1 ? "" : "s", cpu_count);
	if (wanted > 1 && vm->mmu->config.kind == MMU_SHADOW && !vm->mailbox)
		return fail(f, -EINVAL, "gnomon.conf:%u: guest %s: wakeup = sipi starts vCPUs in real mode, which "
			    "mmu = shadow does not have: leave it out, or write wakeup = mailbox",
			    vm->config->line, vm->config->name);
	for (uint32_t i = 0; i < wanted && !err; i++)
		err = build_vcpu(vm, i, f);
	return err ? err : build_contexts(vm, f);
}

/* Entries for what is no memory too, and for the local APIC's page. Last, for a slot that is added makes
 * those of devices void. Which entries there are room for is the MMU's affair. */
static void premap_devices(struct vm *vm)
{
	for (unsigned i = 0; i < vm->bus->mmio_count; i++) {
		const struct mmio_range *r = &vm->bus->mmio[i];

		for (gpa_t gpa = align_down(r->base, PAGE_SIZE); gpa < r->base + r->len; gpa += PAGE_SIZE)
			mmu_fault(&vm->mmu->host, gpa, 0);
	}
	mmu_fault(&vm->mmu->host, GUEST_LAPIC_BASE, 0);
}

/* ---- the whole ---- */

void vm_unbuild(struct vm *vm)
{
	while (vm->vcpu_count) {
		uint32_t i = --vm->vcpu_count;

		destroy_vcpu(vm, vm->vcpus[i]);
		vm->vcpus[i] = NULL;
	}
	if (vm->pc)
		pc_destroy(vm);
	free_ram(vm);
	if (vm->mmu_ready)
		mmu_destroy(vm->mmu);
	vm->mmu_ready = false;
	meta_free(vm, vm->entry, sizeof *vm->entry);
	meta_free(vm, vm->mmu, sizeof *vm->mmu);
	vm->entry = NULL;
	vm->mmu = NULL;
	vm->backend->vm_destroy(vm);
}

static int build(struct vm *vm, struct failure *f)
{
	int err = vm->backend->vm_create(vm, f);

	if (err)
		return err;
	vm->entry = meta_alloc(vm, sizeof *vm->entry);
	vm->mmu = meta_alloc(vm, sizeof *vm->mmu);
	if (!vm->entry || !vm->mmu)
		return fail(f, -ENOMEM, "no memory for guest %s", vm->config->name);
	err = build_mmu(vm, f);
	if (err)
		return err;
	vm->mmu_ready = true;
	vm->mailbox = vm_config_mailbox(vm->config, vm->mmu->config.kind);
	err = build_ram(vm, f);
	if (!err)
		err = pc_create(vm, f);
	if (!err)
		err = build_vcpus(vm, f);
	if (!err && vm->config->premap)
		premap_devices(vm);
	return err;
}

int vm_build(struct vm *vm, struct failure *f)
{
	int err;

	if (!host_backend())
		return fail(f, -ENOTSUP, "guest %s cannot run: this host has no usable VMX (see `caps`)",
			    vm->config->name);
	vm->backend = vm->config->type == VM_TYPE_TD ? &tdx_backend : host_backend();
	err = build(vm, f);
	if (err)
		vm_unbuild(vm);
	return err;
}
