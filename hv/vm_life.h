/*
 * The life of VMs: made from gnomon.conf, started, stopped, started again. A VM keeps its memory
 * and structures after it stopped, so that it can be looked at; a new start clears and reuses them.
 */
#ifndef HV_VM_LIFE_H
#define HV_VM_LIFE_H

#include "boot/boot_info.h"
#include "hv/base/failure.h"
#include "hv/vm.h"

/* Makes one struct vm per section of the configuration; allocates nothing else. Start-up only. */
int vms_init(const struct boot_info *bi, struct failure *f);
uint32_t vms_count(void);
struct vm *vm_at(uint32_t index);          /* index < vms_count() */
struct vm *vm_by_name(const char *name);   /* NULL: none */
extern const char *const vm_state_names[];
/* How its memory is mapped, as gnomon.conf names it; as asked for while it has not been built. */
const char *vm_mmu_name(const struct vm *vm);

/* Monitor's context only. Loads the kernel and sets all vCPUs going. -EBUSY while it runs. */
int vm_start(struct vm *vm, struct failure *f);

/* v has come to rest after a stop; the last one of a VM wakes the monitor. On v's CPU. */
void vm_vcpu_parked(struct vcpu *v);

/* Monitor's context: restarts VMs that asked for a reset, announces those that stopped. True when
 * the last autostarted VM has stopped since the call before. */
bool vms_poll(void);

/* Guest RAM as host memory: NULL unless [gpa, gpa + len) is RAM and contiguous. */
void *vm_ram_at(struct vm *vm, gpa_t gpa, uint64_t len);

#endif
