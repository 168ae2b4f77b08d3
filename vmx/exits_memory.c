/*
 * EPT violations and misconfigurations: mapped by mmu/, or an access to a device; and what becomes of
 * a fault that cannot be mapped, whatever the kind of paging.
 */
#include "hv/exits.h"
#include "mmu/mmu.h"
#include "vmx/core/vmcs.h"
#include "vmx/vmx.h"

enum exit_result vmx_fault_stop(struct vcpu *v, gpa_t gpa, enum fault_result r)
{
	exit_fault_stop(v, gpa, r);
	return EXIT_RESUME;
}

/* An interrupt whose delivery needs such an access cannot be carried out. */
static bool delivers_event(struct vcpu *v, gpa_t gpa)
{
	if (LIKELY(!to_vmx(v)->event.info))
		return false;
	vm_stop(v->vm, "vCPU %u delivers an event through guest-physical address %lx, which is no memory "
		"it can write: its IDT, GDT or stack lies there", v->index, gpa);
	return true;
}

enum exit_result vmx_device_access(struct vcpu *v, gpa_t gpa, gva_t gva, bool gva_valid, bool write)
{
	if (delivers_event(v, gpa))
		return EXIT_RESUME;
	return gva_valid ? exit_mmio_at(v, gpa, gva, write) : exit_mmio(v, gpa, write);
}

enum exit_result vmx_readonly_write(struct vcpu *v, gpa_t gpa)
{
	return delivers_event(v, gpa) ? EXIT_RESUME : exit_memory(v);
}

/* The linear address belongs to gpa only if the access itself failed, not the walk to it. */
static enum exit_result device(struct vcpu *v, gpa_t gpa, uint64_t q)
{
	const uint64_t known = EPT_VIOLATION_LINEAR_VALID | EPT_VIOLATION_FINAL;
	bool valid = (q & known) == known;

	return vmx_device_access(v, gpa, valid ? vmread(VMCS_GUEST_LINEAR) : 0, valid, q & MMU_WRITE);
}

enum exit_result vmx_exit_ept_violation(struct vcpu *v)
{
	struct vmx_vcpu *x = to_vmx(v);
	uint64_t q = vmread_always(VMCS_EXIT_QUALIFICATION);
	gpa_t gpa = vmread_always(VMCS_GUEST_PHYSICAL);
	enum fault_result r;

	vmx_keep_delivery(x);
	/* SDM "Exit Qualification for EPT Violations", bit 12: the IRET that faulted runs again. */
	if (UNLIKELY(q & EPT_VIOLATION_NMI_UNBLOCK) && !x->event.info)
		vmx_undo_iret(x);
	r = mmu_fault(v->mmu, gpa, q & EPT_VIOLATION_ACCESS);
	if (LIKELY(r <= FAULT_RETRY)) /* or FAULT_MAPPED */
		return EXIT_RESUME;
	switch (r) {
	case FAULT_MMIO:
		return device(v, gpa, q);
	case FAULT_READONLY_WRITE:
		return vmx_readonly_write(v, gpa);
	default:
		return vmx_fault_stop(v, gpa, r);
	}
}

/* mmu/ marks what is no memory by entries that the CPU reports as misconfigured: no qualification. */
enum exit_result vmx_exit_ept_misconfig(struct vcpu *v)
{
	gpa_t gpa = vmread_always(VMCS_GUEST_PHYSICAL);

	vmx_keep_delivery(to_vmx(v));
	switch (mmu_mmio_hit(v->mmu, gpa)) {
	case MMIO_HIT:
		return delivers_event(v, gpa) ? EXIT_RESUME : exit_mmio(v, gpa, false);
	case MMIO_STALE:
		mmu_fault(v->mmu, gpa, MMU_READ);
		return EXIT_RESUME;
	case MMIO_BROKEN:
		break;
	}
	vm_stop(v->vm, "the EPT entry for guest-physical address %lx is damaged (misconfigured)", gpa);
	return EXIT_RESUME;
}
