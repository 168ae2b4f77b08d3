/*
 * Page-modification logging: a page for the log per vCPU, its switch in the VMCS, and who waits for what
 * is in it.
 *
 * Only the owner reads a log: its index is in the VMCS. It does so when the log is full, when it is asked
 * to, and when it leaves the run loop, so that nothing is left in the log of a vCPU that is halted or whose
 * CPU runs others. log_round tells the others: it is odd while entries may be there, and moves on with each
 * time the log is handed over. That takes the mmu's lock, so it is done outside the guest's side, for which
 * holders of the lock wait. Model: tests/model/pml.pml.
 *
 * A wait here ends with the exit handler that the vCPU is in: an interrupt brings it out of the guest
 * whatever its RFLAGS.IF says (SDM "External-Interrupt Exiting"), and it looks at requests before the next entry.
 */
#include "vmx/pml.h"

#include "hv/base/frame.h"
#include "hv/base/panic.h"
#include "hv/base/phys.h"
#include "hv/base/spin.h"
#include "hv/base/x86.h"
#include "mmu/dirty.h"
#include "vmx/core/vmcs.h"
#include "vmx/vmx.h"

/* By VM id: what its vCPUs are to do. Atomic. */
static bool wanted[CONFIG_MAX_VMS + 1];

/* Only the owner writes it; what it did for the round that ends comes before. */
static void move_on(struct vmx_vcpu *x, uint32_t by)
{
	__atomic_store_n(&x->log_round, x->log_round + by, __ATOMIC_RELEASE);
}

static void hand_over(struct vmx_vcpu *x)
{
	const uint64_t *log = phys_to_virt(x->log);
	uint32_t first = pml_first_used(vmread(VMCS_PML_INDEX));

	if (first == PML_ENTRIES)
		return;
	mmu_pml_drain(x->v.mmu, log + first, PML_ENTRIES - first);
	vmwrite(VMCS_PML_INDEX, PML_INDEX_EMPTY);
}

/* ---- the vCPU itself ---- */

bool vmx_pml_create(struct vmx_vcpu *x)
{
	if (!x->v.vm->mmu->config.pml)
		return true;
	x->log = frame_alloc(OWNER_VM_META(x->v.vm->id));
	return x->log != HPA_NONE;
}

void vmx_pml_destroy(struct vmx_vcpu *x)
{
	if (x->log != HPA_NONE)
		frame_free(x->log, OWNER_VM_META(x->v.vm->id));
}

void vmx_pml_setup(const struct vmx_vcpu *x)
{
	if (x->log == HPA_NONE)
		return;
	vmwrite(VMCS_PML_ADDRESS, x->log);
	if (!x->ready)
		vmwrite(VMCS_PML_INDEX, PML_INDEX_EMPTY);
}

void vmx_pml_begin(struct vmx_vcpu *x)
{
	if (x->logging)
		move_on(x, 1);
}

void vmx_pml_end(struct vmx_vcpu *x)
{
	if (!x->logging)
		return;
	hand_over(x);
	move_on(x, 1);
}

static void set_logging(struct vmx_vcpu *x, bool on)
{
	x->logging = on;
	x->secondary = on ? x->secondary | SECONDARY_PML : x->secondary & ~SECONDARY_PML;
	vmwrite(VMCS_SECONDARY_CONTROLS, x->secondary);
}

void vmx_pml_update(struct vmx_vcpu *x)
{
	vmx_pml_end(x);
	set_logging(x, __atomic_load_n(&wanted[x->v.vm->id], __ATOMIC_ACQUIRE));
	vmx_pml_begin(x);
}

enum exit_result vmx_exit_pml_full(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);

	vmx_keep_delivery(x);
	/* SDM "Exit Qualification for Page-Modification Log-Full": as for EPT violations, and no other bit. */
	if ((vmread(VMCS_EXIT_QUALIFICATION) & EPT_VIOLATION_NMI_UNBLOCK) && !x->event.info)
		vmx_undo_iret(x);
	hand_over(x);
	move_on(x, 2);
	return EXIT_RESUME;
}

/* ---- others ---- */

void vmx_pml_switch(void *ctx, bool on)
{
	struct vm *vm = ctx;

	__atomic_store_n(&wanted[vm->id], on, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		vcpu_request(vm->vcpus[i], REQUEST_LOG);
	vmx_wait_outside(vm);
}

/* Who is elsewhere in its run loop hands over before it enters the guest again, or when it leaves the
 * loop. This CPU's vCPUs are outside of theirs, but for the caller: no context gives way inside. */
static void sync_one(struct vmx_vcpu *x)
{
	uint32_t round = __atomic_load_n(&x->log_round, __ATOMIC_ACQUIRE);

	if (!(round & 1))
		return;
	if (x->v.cpu == this_cpu()) {
		INVARIANT(this_cpu()->vmx->current == x);
		vmx_pml_update(x);
		return;
	}
	vcpu_request(&x->v, REQUEST_LOG);
	while (__atomic_load_n(&x->log_round, __ATOMIC_ACQUIRE) == round)
		cpu_pause();
}

void vmx_pml_sync(void *ctx)
{
	struct vm *vm = ctx;

	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		sync_one(to_vmx(vm->vcpus[i]));
}
