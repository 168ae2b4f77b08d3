/*
 * A VM's own part in TDX: the TD, made anew for every start and dismantled after it, its memory and its image.
 */
#include <string.h>

#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/phys.h"
#include "hv/exits.h"
#include "hv/fpu.h"
#include "hv/guest/cpuid.h"
#include "hv/guest/td_image.h"
#include "hv/vm_life.h"
#include "mmu/mirror.h"
#include "tdx/image.h"
#include "tdx/vp.h"

#define VM_PAGES ((sizeof(struct tdx_vm) + PAGE_SIZE - 1) >> PAGE_SHIFT)
#define FIRMWARE_PAGES (GUEST_TD_SHIM_SIZE >> PAGE_SHIFT)

/* By VM id, 0 unused. */
static struct tdx_vm *vms[CONFIG_MAX_VMS + 1];

struct tdx_vm *tdx_vm_of(const struct vm *vm) { return vms[vm->id]; }

static uint64_t pages_of(size_t size) { return align_up(size, PAGE_SIZE) >> PAGE_SHIFT; }

/* ---- the TD ---- */

/* The rate nearest to the host's that a TD's TSC can have. */
static uint64_t nearest_tsc_hz(void)
{
	return (tsc_khz * 1000 + TDX_TSC_UNIT / 2) / TDX_TSC_UNIT * TDX_TSC_UNIT;
}

/* What CPUID shall say where the module leaves it to the host: what it says to other guests. */
static void say_cpuid(void *ctx, uint32_t leaf, uint32_t subleaf, struct tdx_cpuid_values *v)
{
	struct cpuid_regs r = cpuid_lookup(ctx, leaf, subleaf == UINT32_MAX ? 0 : subleaf)->regs;

	*v = (struct tdx_cpuid_values){ r.eax, r.ebx, r.ecx, r.edx };
}

static int create_with(struct tdx_vm *t, struct cpuid_policy *policy, struct failure *f)
{
	struct td_config config = {
		.attributes = TDX_ATTR_SEPT_VE_DISABLE, /* Linux insists on it */
		.xfam = fpu_guest_xcr0,
		.max_vcpus = t->vm->config->vcpus,
		.tsc_units = (uint32_t)(t->tsc_hz / TDX_TSC_UNIT),
		.cpuid = say_cpuid,
		.cpuid_ctx = policy,
		.kicker = { .bar = tdx_bar, .kick = tdx_kick, .ctx = t },
	};
	int err = exits_cpuid_policy(t->vm, 0, tdx_shared_bit(), policy, f);

	return err ? err : td_create(&t->td, t->vm->id, &config, f);
}

static int create_td(struct tdx_vm *t, struct failure *f)
{
	uint64_t npages = pages_of(sizeof(struct cpuid_policy));
	hpa_t policy = frame_alloc_run(npages, 1, OWNER_VM_META(t->vm->id));
	int err;

	if (policy == HPA_NONE)
		return fail(f, -ENOMEM, "no memory for the CPUID policy of guest %s", t->vm->config->name);
	err = create_with(t, phys_to_virt(policy), f);
	frame_free_run(policy, npages, OWNER_VM_META(t->vm->id));
	return err;
}

static bool has_td(const struct tdx_vm *t) { return t->td.state != TD_NONE && t->td.state != TD_LOST; }

int tdx_vm_create(struct vm *vm, struct failure *f)
{
	hpa_t home;
	int err;

	if (!tdx_module.ready)
		return fail(f, -ENODEV, "guest %s is a TD and cannot run here: %s", vm->config->name,
			    tdx_module.why_not);
	home = frame_alloc_run(VM_PAGES, 1, OWNER_VM_META(vm->id));
	if (home == HPA_NONE)
		return fail(f, -ENOMEM, "no memory for guest %s", vm->config->name);
	vms[vm->id] = phys_to_virt(home);
	vms[vm->id]->vm = vm;
	vms[vm->id]->tsc_hz = nearest_tsc_hz();
	err = create_td(vms[vm->id], f);
	if (err)
		tdx_vm_destroy(vm);
	return err;
}

static void free_firmware(struct tdx_vm *t)
{
	if (t->firmware != HPA_NONE && t->td.state != TD_LOST)
		frame_free_run(t->firmware, FIRMWARE_PAGES, OWNER_VM(t->vm->id));
	t->firmware = HPA_NONE;
}

/* The address space is gone by now, and with it all private memory: it was never started. */
void tdx_vm_destroy(struct vm *vm)
{
	struct tdx_vm *t = tdx_vm_of(vm);
	struct failure f = { 0 };

	if (!t)
		return;
	if (has_td(t) && td_end(&t->td, NULL, &f))
		log_error("guest %s: %s", vm->config->name, f.text);
	free_firmware(t);
	shared_root_destroy(&t->shared, OWNER_VM_META(vm->id));
	vms[vm->id] = NULL;
	frame_free_run(virt_to_phys(t), VM_PAGES, OWNER_VM_META(vm->id));
}

/* ---- memory ---- */

/* The first address above all RAM, and above the devices below 4 GiB. */
static gpa_t address_end(const struct vm *vm)
{
	uint64_t memory = vm->config->memory;

	return memory > GUEST_LOW_RAM_END ? GUEST_HIGH_RAM_BASE + memory - GUEST_LOW_RAM_END : GUEST_HIGH_RAM_BASE;
}

int tdx_mmu_limits(const struct vm *vm, struct mmu_config *config, struct failure *f)
{
	struct tdx_vm *t = tdx_vm_of(vm);
	int err = vmx_backend.mmu_limits(vm, config, f);

	if (err)
		return err;
	if (config->kind != MMU_EPT)
		return fail(f, -ENOTSUP, "gnomon.conf:%u: guest %s is a TD, which needs EPT: this CPU has none, or "
			    "`disable` turns it off", vm->config->line, vm->config->name);
	config->shared_bit = tdx_shared_bit();
	config->gpa_bits = config->shared_bit;
	config->external = &t->td.external;
	config->max_level = config->max_level < LEVEL_2M ? config->max_level : LEVEL_2M;
	config->ept_ad = false; /* as the module has it for the shared EPT too */
	config->pml = false;
	if (address_end(vm) > BIT(config->gpa_bits))
		return fail(f, -EINVAL, "gnomon.conf:%u: guest %s has addresses of %u bits as a TD here: lower `memory`",
			    vm->config->line, vm->config->name, config->gpa_bits);
	return shared_root_create(&t->shared, config->shared_bit, address_end(vm), OWNER_VM_META(vm->id)) ?
		       fail(f, -ENOMEM, "no memory for the shared EPT of guest %s", vm->config->name) : 0;
}

/* Under the reset vector, at the end of the first 4 GiB. */
int tdx_vm_map_firmware(struct vm *vm, struct failure *f)
{
	struct tdx_vm *t = tdx_vm_of(vm);

	t->firmware = frame_alloc_run(FIRMWARE_PAGES, 1, OWNER_VM(vm->id));
	if (t->firmware == HPA_NONE)
		return fail(f, -ENOMEM, "no memory for the firmware of guest %s", vm->config->name);
	return mmu_slot_add(vm->mmu, GUEST_TD_SHIM_BASE >> PAGE_SHIFT, FIRMWARE_PAGES, t->firmware, SLOT_PRIVATE, f);
}

/* ---- the image ---- */

static int set_kind(struct vm *vm, gpa_t gpa, uint64_t npages, bool private, struct failure *f)
{
	return mmu_set_attributes(vm->mmu, gpa >> PAGE_SHIFT, npages, private, f);
}

/* What the last run or its image made shared. */
static int all_private(struct tdx_vm *t, struct failure *f)
{
	int err = 0;

	for (uint32_t i = 0; i < t->vm->extent_count && !err; i++)
		err = set_kind(t->vm, t->vm->extents[i].gpa, t->vm->extents[i].size >> PAGE_SHIFT, true, f);
	return err;
}

/* Page by page: they may lie in several extents. */
static int put_shared(struct vm *vm, const struct td_pages *p, struct failure *f)
{
	int err = set_kind(vm, p->gpa, p->npages, false, f);

	for (uint64_t i = 0; i < p->npages && !err && p->source; i++) {
		void *to = vm_ram_at(vm, p->gpa + (i << PAGE_SHIFT), PAGE_SIZE);

		if (!to)
			return fail(f, -EINVAL, "shared pages of the image at %lx are not in the guest's RAM", p->gpa);
		memcpy(to, (const uint8_t *)p->source + (i << PAGE_SHIFT), PAGE_SIZE);
	}
	return err;
}

static int put_private(struct tdx_vm *t, const struct td_pages *p, hpa_t bounce, struct failure *f)
{
	int err = 0;

	for (uint64_t i = 0; i < p->npages && !err; i++) {
		if (p->source)
			memcpy(phys_to_virt(bounce), (const uint8_t *)p->source + (i << PAGE_SHIFT), PAGE_SIZE);
		else
			memset(phys_to_virt(bounce), 0, PAGE_SIZE);
		err = td_add_page(&t->td, &t->vm->mmu->host, (p->gpa >> PAGE_SHIFT) + i, bounce,
				  p->kind == TD_PAGES_MEASURED, f);
	}
	return err;
}

static int put_pages(struct tdx_vm *t, const struct td_image *list, struct failure *f)
{
	hpa_t bounce = frame_alloc(OWNER_HV);
	int err = 0;

	if (bounce == HPA_NONE)
		return fail(f, -ENOMEM, "no memory for the image of guest %s", t->vm->config->name);
	for (uint32_t i = 0; i < list->count && !err; i++)
		err = list->pages[i].kind == TD_PAGES_SHARED ? put_shared(t->vm, &list->pages[i], f) :
							       put_private(t, &list->pages[i], bounce, f);
	frame_free(bounce, OWNER_HV);
	return err;
}

static int create_vcpus(struct tdx_vm *t, uint64_t rcx, struct failure *f)
{
	int err = 0;

	for (uint32_t i = 0; i < t->vm->vcpu_count && !err; i++) {
		err = td_vcpu_create(&t->td, rcx, f);
		to_tdx(t->vm->vcpus[i])->tdvpr = t->td.vcpu[i].page[0];
	}
	return err;
}

/* The TD's TSC is the module's affair from MNG.INIT on. */
static int read_tsc(struct tdx_vm *t, struct failure *f)
{
	uint64_t ratio;
	int err = td_read(&t->td, TDX_TD_TSC_OFFSET, &t->tsc_offset, f);

	if (!err)
		err = td_read(&t->td, TDX_TD_TSC_MULTIPLIER, &ratio, f);
	if (!err)
		t->tsc_ratio = ratio == BIT(TSC_RATIO_SHIFT) ? 0 : ratio;
	return err;
}

struct work { /* for the time of loading */
	struct tdx_image image;
	struct td_image list;
};

static int load(struct tdx_vm *t, struct work *w, const struct guest_image *boot, struct failure *f)
{
	const struct vm_config *config = t->vm->config;
	int err = tdx_image_build(&w->image, &w->list, config->memory, t->vm->vcpu_count, config->lazy_accept, boot, f);

	if (!err)
		err = create_vcpus(t, w->list.first_rcx, f);
	if (!err)
		err = put_pages(t, &w->list, f);
	if (!err)
		err = td_finalize(&t->td, f);
	return err ? err : read_tsc(t, f);
}

/* A TD that was dismantled is made anew. */
static int ensure_td(struct tdx_vm *t, struct failure *f)
{
	int err;

	if (has_td(t))
		return 0;
	mmu_mirror_renew(t->vm->mmu);
	err = create_td(t, f);
	return err ? err : all_private(t, f);
}

int tdx_vm_load(struct vm *vm, const struct guest_image *image, struct failure *f)
{
	struct tdx_vm *t = tdx_vm_of(vm);
	uint64_t npages = pages_of(sizeof(struct work));
	hpa_t work = frame_alloc_run(npages, 1, OWNER_VM_META(vm->id));
	int err;

	if (work == HPA_NONE)
		return fail(f, -ENOMEM, "no memory for the image of guest %s", vm->config->name);
	err = ensure_td(t, f);
	if (!err)
		err = load(t, phys_to_virt(work), image, f);
	frame_free_run(work, npages, OWNER_VM_META(vm->id));
	return err;
}

int tdx_vm_unload(struct vm *vm, struct failure *f)
{
	struct tdx_vm *t = tdx_vm_of(vm);

	return has_td(t) ? td_end(&t->td, vm->mmu, f) : 0;
}

/* ---- for the audit ---- */

int tdx_for_each_frame(struct vm *vm, int (*fn)(void *ctx, hpa_t frame, frame_owner_t owner), void *ctx)
{
	const struct tdx_vm *t = tdx_vm_of(vm);
	frame_owner_t meta = OWNER_VM_META(vm->id), td = OWNER_TD(vm->id);
	int err = t->td.tdr ? fn(ctx, t->td.tdr, td) : 0;

	for (uint32_t i = 0; i < t->td.tdcx_count && !err; i++)
		err = fn(ctx, t->td.tdcx[i], td);
	for (uint32_t i = 0; i < t->td.vcpu_count && !err; i++)
		for (uint32_t page = 0; page < t->td.vcpu[i].count && !err; page++)
			err = fn(ctx, t->td.vcpu[i].page[page], td);
	for (uint32_t i = 0; i < vm->vcpu_count && !err; i++) {
		err = fn(ctx, virt_to_phys(vm->vcpus[i]->lapic.regs), meta);
		if (!err)
			err = fn(ctx, virt_to_phys(vm->vcpus[i]->lapic.posted), meta);
	}
	if (!err && t->shared.root != HPA_NONE)
		err = fn(ctx, t->shared.root, meta);
	if (!err && t->shared.below != HPA_NONE)
		err = fn(ctx, t->shared.below, meta);
	return err;
}
