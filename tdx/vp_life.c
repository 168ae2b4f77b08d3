/*
 * The life of a TD's vCPU outside the run loop. In the TD it exists from tdx_vm_load() to tdx_vm_unload(), which
 * may come many times in the life of the struct vcpu.
 */
#include <string.h>

#include "hv/base/frame.h"
#include "hv/base/log.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/vectors.h"
#include "tdx/vp.h"

#define VCPU_PAGES ((sizeof(struct tdx_vcpu) + PAGE_SIZE - 1) >> PAGE_SHIFT)

struct vcpu *tdx_vcpu_create(struct vm *vm, uint32_t index, struct failure *f)
{
	hpa_t home;
	struct tdx_vcpu *x;

	if (index == 0 && tdx_vm_map_firmware(vm, f))
		return NULL;
	home = frame_alloc_run(VCPU_PAGES, 1, OWNER_VM_META(vm->id));
	if (home == HPA_NONE) {
		fail(f, -ENOMEM, "no memory for vCPU %u of guest %s", index, vm->config->name);
		return NULL;
	}
	x = phys_to_virt(home);
	x->td = tdx_vm_of(vm);
	x->v.lapic.remote = true;
	return &x->v;
}

void tdx_vcpu_destroy(struct vcpu *v)
{
	frame_free_run(virt_to_phys(to_tdx(v)), VCPU_PAGES, OWNER_VM_META(v->vm->id));
}

/* What the module must know to deliver interrupts and to translate shared addresses. TDX Module 1.5 ABI
 * specification, "TDVPS Fields Writable by the Host". */
static int set_fields(struct tdx_vcpu *x, struct failure *f)
{
	const struct {
		uint64_t field, value, mask;
	} fields[] = {
		{ TDX_VP_POSTED_DESCRIPTOR, virt_to_phys(x->v.lapic.posted), ~0ul },
		{ TDX_VP_POSTED_VECTOR, HOST_VECTOR_POSTED, 0xffff },
		{ TDX_VP_PIN_CONTROLS, TDX_PIN_POSTED_INTERRUPTS, TDX_PIN_POSTED_INTERRUPTS },
		{ TDX_VP_SHARED_EPTP, x->td->shared.root, BITS(51, 12) },
	};
	int err = 0;

	for (size_t i = 0; i < ARRAY_LEN(fields) && !err; i++)
		err = td_vcpu_write(&x->td->td, x->v.index, fields[i].field, fields[i].value, fields[i].mask, f);
	return err;
}

/* There is no INIT for a vCPU of a TD: this is power-on, and the module has its first state. The local APIC's
 * timer counts at the rate that the module's CPUID leaf 15h tells. */
void tdx_vcpu_reset(struct vcpu *v, const struct guest_entry *entry)
{
	struct tdx_vcpu *x = to_tdx(v);
	struct failure f = { 0 };

	(void)entry;
	x->sched = v->cpu->sched;
	memset(&x->answer, 0, sizeof x->answer);
	x->busy_since = 0;
	x->unmapped_count = 0;
	v->tsc_offset = x->td->tsc_offset;
	v->tsc_ratio = x->td->tsc_ratio;
	v->lapic.tsc_hz = x->td->tsc_hz;
	v->lapic.timer_hz = TDX_TSC_UNIT;
	if (set_fields(x, &f))
		vm_stop(v->vm, "vCPU %u cannot be started: %s", v->index, f.text);
}

/* So that the TD can be dismantled by any CPU. */
void tdx_vcpu_park(struct vcpu *v)
{
	struct failure f = { 0 };

	if (td_vcpu_flush(&to_tdx(v)->td->td, v->index, &f))
		log_warn("guest %s, vCPU %u: %s", v->vm->config->name, v->index, f.text);
}

/* What waits in the descriptor, or is with the module already and waits for a vCPU that runs. */
bool tdx_has_interrupt(struct vcpu *v)
{
	struct tdx_vcpu *x = to_tdx(v);
	struct failure f = { 0 };
	uint64_t details = 0;

	vlapic_sync_posted(&v->lapic);
	if (vlapic_remote_pending(&v->lapic))
		return true;
	if (td_vcpu_read(&x->td->td, v->index, TDX_VP_STATE_DETAILS, &details, &f))
		vm_stop(v->vm, "vCPU %u: %s", v->index, f.text);
	return details & TDX_VP_DETAILS_INTERRUPT_PENDING;
}
