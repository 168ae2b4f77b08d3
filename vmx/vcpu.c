/*
 * A vCPU's structures, and which VMCS is current on a CPU. Debug registers and switched MSRs stay
 * the last vCPU's until another one is loaded: the hypervisor uses none of them.
 */
#include "vmx/vmx.h"

#include "hv/base/frame.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/x86.h"
#include "hv/fpu.h"
#include "vmx/core/vmcs.h"
#include "vmx/guard.h"
#include "vmx/pml.h"
#include "vmx/vm.h"

#define VCPU_PAGES ((sizeof(struct vmx_vcpu) + PAGE_SIZE - 1) >> PAGE_SHIFT)

struct vcpu *vmx_vcpu_create(struct vm *vm, uint32_t index, struct failure *f)
{
	frame_owner_t owner = OWNER_VM_META(vm->id);
	struct vmx_vcpu *x;
	hpa_t home;

	if (index == 0 && vmx_vm_map(vm, f))
		return NULL;
	home = frame_alloc_run(VCPU_PAGES, 1, owner);
	if (home == HPA_NONE) {
		fail(f, -ENOMEM, "no memory for vCPU %u", index);
		return NULL;
	}
	x = phys_to_virt(home);
	x->v.vm = vm;
	x->v.index = index;
	x->shadow = vm->mmu->config.kind == MMU_SHADOW;
	x->vmcs = vmcs_alloc(vmx_caps(), owner);
	x->msr_bitmap = frame_alloc(owner);
	if (vmx_pml_create(x) && x->vmcs != HPA_NONE && x->msr_bitmap != HPA_NONE)
		return &x->v;
	fail(f, -ENOMEM, "no memory for the VMCS of vCPU %u", index);
	vmx_vcpu_destroy(&x->v);
	return NULL;
}

/* The vCPU is stopped, so vmx_vcpu_put has cleared its VMCS from its CPU. */
void vmx_vcpu_destroy(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	frame_owner_t owner = OWNER_VM_META(v->vm->id);

	if (x->vmcs != HPA_NONE)
		frame_free(x->vmcs, owner);
	if (x->msr_bitmap != HPA_NONE)
		frame_free(x->msr_bitmap, owner);
	vmx_pml_destroy(x);
	frame_free_run(virt_to_phys(x), VCPU_PAGES, owner);
}

/* DR7 is in the VMCS; a VM exit leaves 400h in it, so that the guest's breakpoints are off. */
static void save_debug(struct vcpu *v)
{
	v->dr[0] = read_dr0();
	v->dr[1] = read_dr1();
	v->dr[2] = read_dr2();
	v->dr[3] = read_dr3();
	v->dr6 = read_dr6();
}

static void load_debug(const struct vcpu *v)
{
	write_dr0(v->dr[0]);
	write_dr1(v->dr[1]);
	write_dr2(v->dr[2]);
	write_dr3(v->dr[3]);
	write_dr6(v->dr6);
}

static void save_registers(struct vmx_vcpu *x)
{
	save_debug(&x->v);
	vmx_msrs_save(x);
	vmx_guard_unload(x->v.cpu->vmx, x);
	x->cr2 = read_cr2();
}

static void load_registers(struct vmx_vcpu *x)
{
	load_debug(&x->v);
	vmx_msrs_load(x);
	if (x->shadow)
		vmx_shadow_efer(x);
	write_cr2(x->cr2);
}

void vmx_release_current(struct vmx_cpu *c)
{
	struct vmx_vcpu *x = c->current;

	if (!x)
		return;
	save_registers(x);
	INVARIANT(vmclear(x->vmcs));
	x->launched = false;
	c->current = NULL;
}

void vmx_vcpu_load(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v), *old;
	struct vmx_cpu *c = v->cpu->vmx;

	old = c->current;
	if (old != x) {
		if (old)
			save_registers(old);
		if (!x->ready)
			INVARIANT(vmclear(x->vmcs)); /* SDM "VMCLEAR": a region's first use */
		INVARIANT(vmptrld(x->vmcs));
		c->current = x;
		guard_turn(c, v->vm->id);
		load_registers(x);
	}
	fpu_switch_to(v);
}

void vmx_vcpu_put(struct vcpu *v)
{
	struct vmx_cpu *c = v->cpu->vmx;

	if (v->state == VCPU_STOPPED && c->current == to_vmx(v))
		vmx_release_current(c);
}
