/*
 * A VM's own part in VMX: the APIC-access page, TLB flushes, and the frames the hardware uses.
 */
#include "vmx/vm.h"

#include "hv/base/clock.h"
#include "hv/base/frame.h"
#include "hv/base/nmi.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"
#include "hv/guest/guest.h"
#include "mmu/shadow.h"
#include "vmx/pml.h"
#include "vmx/vmx.h"

#define NUDGE_MS (2 * SCHED_SLICE_MS)
#define GIVE_UP_MS 1000

/* By VM id, 0 unused. SDM "APIC-Access Page": it is never read or written, only recognised. */
static hpa_t apic_pages[CONFIG_MAX_VMS + 1];

hpa_t vmx_apic_page(const struct vm *vm) { return apic_pages[vm->id]; }

int vmx_vm_create(struct vm *vm, struct failure *f)
{
	if (!vmx_uses(FEATURE_VIRT_APIC_ACCESS))
		return 0;
	apic_pages[vm->id] = frame_alloc(OWNER_VM(vm->id));
	if (apic_pages[vm->id] == HPA_NONE)
		return fail(f, -ENOMEM, "no memory for the APIC page of guest %s", vm->config->name);
	return 0;
}

void vmx_vm_destroy(struct vm *vm)
{
	if (apic_pages[vm->id] != HPA_NONE)
		frame_free(apic_pages[vm->id], OWNER_VM(vm->id));
	apic_pages[vm->id] = HPA_NONE;
}

int vmx_vm_map(struct vm *vm, struct failure *f)
{
	if (apic_pages[vm->id] == HPA_NONE)
		return 0;
	return mmu_slot_add(vm->mmu, GUEST_LAPIC_BASE >> PAGE_SHIFT, 1, apic_pages[vm->id], 0, f);
}

/* A vCPU of this CPU is not in the guest: what is cached of it goes at once. A root that was taken away
 * is replaced before the next entry. */
static void flush_here(struct vmx_vcpu *x)
{
	if (x->ready)
		vmx_flush_tlb(x);
	if (x->rooted && mmu_shadow_stale(x->v.mmu))
		vcpu_request(&x->v, REQUEST_FLUSH);
}

/*
 * Who is in the guest comes out by the request's interrupt, or else within a slice. No interrupt flag of the
 * guest, and no lost interrupt, holds up an NMI. The lock of the guest's memory is held and stale translations
 * must not live on: a CPU that answers to nothing ends the machine.
 */
static uint64_t wait_until_outside(struct vmx_vcpu *x)
{
	uint32_t seen = __atomic_load_n(&x->run_seq, __ATOMIC_SEQ_CST);
	uint64_t begun, nudge = NUDGE_MS * tsc_khz, patience = nudge;

	if (!(seen & 1))
		return 0;
	begun = rdtsc();
	while (__atomic_load_n(&x->run_seq, __ATOMIC_ACQUIRE) == seen) {
		cpu_pause();
		if (rdtsc() - begun < patience)
			continue;
		if (patience >= GIVE_UP_MS * tsc_khz)
			panic("CPU %u has been in guest %s for %u ms and answers no NMI: what it knows of the "
			      "guest's memory cannot be flushed", x->v.cpu->index, x->v.vm->config->name, GIVE_UP_MS);
		nmi_send(x->v.cpu, NMI_LEAVE);
		patience += nudge;
	}
	return rdtsc() - begun;
}

uint64_t vmx_wait_outside(struct vm *vm)
{
	uint64_t waited = 0;

	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		waited += wait_until_outside(to_vmx(vm->vcpus[i]));
	return waited;
}

/* Elsewhere the request is taken before the next entry; who was in the guest when it was set is waited
 * for. */
void vmx_flush(struct vm *vm)
{
	bool elsewhere = false;
	uint64_t waited;

	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		if (vm->vcpus[i]->cpu == this_cpu()) {
			flush_here(to_vmx(vm->vcpus[i]));
		} else {
			vcpu_request(vm->vcpus[i], REQUEST_FLUSH);
			elsewhere = true;
		}
	waited = elsewhere ? vmx_wait_outside(vm) : 0;
	if (waited)
		mmu_flush_waited(vm->mmu, waited);
}

static int refuse_ept(const struct vm_config *config, struct failure *f)
{
	char lacking[120];

	vmx_controls_lacking_ept(vmx_caps(), lacking, sizeof lacking);
	if (!lacking[0])
		return fail(f, -ENOTSUP, "gnomon.conf:%u: `disable` turns EPT off: set mmu = shadow in [vm %s], or "
			    "take ept and unrestricted-guest out of `disable`", config->line, config->name);
	return fail(f, -ENOTSUP, "gnomon.conf:%u: this CPU cannot run guests on EPT, it has no %s: set mmu = shadow "
		    "in [vm %s]", config->line, lacking, config->name);
}

static int choose_mmu(const struct vm_config *vm, struct mmu_config *config, struct failure *f)
{
	bool ept = vmx_uses(FEATURE_EPT);

	if (config->kind == MMU_BY_HOST)
		config->kind = ept ? MMU_EPT : MMU_SHADOW;
	if (config->kind == MMU_EPT && !ept)
		return refuse_ept(vm, f);
	return 0;
}

static void shadow_limits(struct mmu_config *config)
{
	bool extended = cpuid(0x80000000, 0).eax >= 0x80000001;

	config->max_level = extended && cpuid(0x80000001, 0).edx & BIT(26) ? LEVEL_1G : LEVEL_2M;
	config->ept_ad = false;
	config->pml = false;
	config->execute_only = false;
}

static void ept_limits(enum vm_nx_huge wanted, struct mmu_config *config)
{
	config->max_level = LEVEL_4K;
	if (vmx_uses(FEATURE_EPT_2M))
		config->max_level = vmx_uses(FEATURE_EPT_1G) ? LEVEL_1G : LEVEL_2M;
	config->ept_ad = vmx_uses(FEATURE_EPT_AD);
	config->pml = vmx_uses(FEATURE_PML);
	config->pml_switch = vmx_pml_switch;
	config->pml_sync = vmx_pml_sync;
	config->execute_only = vmx_caps()->ept_vpid & EPT_CAP_EXECUTE_ONLY;
	config->nx_huge = wanted == NX_HUGE_AUTO ? vmx_multihit() : wanted == NX_HUGE_ON;
}

int vmx_mmu_limits(const struct vm *vm, struct mmu_config *config, struct failure *f)
{
	int err = choose_mmu(vm->config, config, f);

	if (err)
		return err;
	if (config->kind == MMU_EPT)
		ept_limits(vm->config->nx_huge, config);
	else
		shadow_limits(config);
	return 0;
}

struct visit {
	int (*fn)(void *ctx, hpa_t frame, frame_owner_t owner);
	void *ctx;
	int err;
};

static void visit(struct visit *w, hpa_t frame, frame_owner_t owner)
{
	if (!w->err && frame != HPA_NONE)
		w->err = w->fn(w->ctx, frame, owner);
}

int vmx_for_each_frame(struct vm *vm, int (*fn)(void *ctx, hpa_t frame, frame_owner_t owner), void *ctx)
{
	struct visit w = { .fn = fn, .ctx = ctx };
	frame_owner_t meta = OWNER_VM_META(vm->id);

	visit(&w, apic_pages[vm->id], OWNER_VM(vm->id));
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		const struct vmx_vcpu *x = to_vmx(vm->vcpus[i]);

		visit(&w, x->vmcs, meta);
		visit(&w, x->msr_bitmap, meta);
		visit(&w, x->log, meta);
		visit(&w, virt_to_phys(x->v.lapic.regs), meta);
		visit(&w, virt_to_phys(x->v.lapic.posted), meta);
		if (x->ready && !x->shadow)
			visit(&w, x->eptp & BITS(51, 12), meta);
		else if (x->rooted)
			visit(&w, mmu_shadow_cr3(x->v.mmu) & BITS(51, 12), meta);
	}
	return w.err;
}
