/*
 * Page-modification logging: the CPU writes down which pages a vCPU was the first to write to since their
 * EPT dirty flags were cleared. mmu/dirty.h uses it. SDM "Page-Modification Logging".
 */
#ifndef VMX_PML_H
#define VMX_PML_H

#include "hv/vm.h"

struct vmx_vcpu;

#define PML_ENTRIES 512u
#define PML_INDEX_EMPTY (PML_ENTRIES - 1)

/* The log fills from its end: its first entry in use, by the PML index; PML_ENTRIES: none is. Past entry 0
 * the index is beyond the page (FFFFh). */
static inline uint32_t pml_first_used(uint64_t index)
{
	return (uint16_t)index < PML_ENTRIES ? (uint16_t)index + 1u : 0;
}

/* mmu_config.pml_switch and pml_sync; ctx is the VM. On any CPU; pml_sync outside all locks, and not by two
 * vCPUs of one VM at a time, each of which would wait for the other's next entry. */
void vmx_pml_switch(void *ctx, bool on);
void vmx_pml_sync(void *ctx);

/* The page of a vCPU that is new; false: no memory. Nothing where its VM does not use the log. */
bool vmx_pml_create(struct vmx_vcpu *x);
void vmx_pml_destroy(struct vmx_vcpu *x);

/* On the vCPU's own CPU with its VMCS current, not on the guest's side. */
/* The fields, each time the VMCS is set up. The log of a VMCS that was in use stays as it is. */
void vmx_pml_setup(const struct vmx_vcpu *x);
/* Around the run loop. Outside of it the log is empty. */
void vmx_pml_begin(struct vmx_vcpu *x);
void vmx_pml_end(struct vmx_vcpu *x);
/* What REQUEST_LOG asks for: hands over what was logged; logs from now on, or no longer. */
void vmx_pml_update(struct vmx_vcpu *x);
/* The exit that says the log is full. */
enum exit_result vmx_exit_pml_full(struct vcpu *v);

#endif
