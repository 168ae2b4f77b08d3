/*
 * What a VM has in VMX beside its vCPUs: the APIC-access page.
 */
#ifndef VMX_VM_H
#define VMX_VM_H

#include "hv/vm.h"

/* The frame that all vCPUs' APIC pages translate to, HPA_NONE where the CPU does not virtualise it. */
hpa_t vmx_apic_page(const struct vm *vm);
/* Puts it where the guest expects its APIC, once the VM's MMU is there. Errors of mmu_slot_add. */
int vmx_vm_map(struct vm *vm, struct failure *f);

#endif
