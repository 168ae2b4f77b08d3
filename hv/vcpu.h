/*
 * The life of a vCPU: its context's function, what wakes it, INIT and SIPI, stop and pause.
 */
#ifndef HV_VCPU_H
#define HV_VCPU_H

#include "hv/vm.h"

/* The function of a vCPU's context; where points to the VM's pointer to the vCPU. */
void vcpu_main(void *where);

/* Called by the scheduler around the time v has its CPU. */
void vcpu_switched_in(struct vcpu *v);
void vcpu_switched_out(struct vcpu *v);

/* What vlapic calls back; the context pointer is the vCPU. */
extern const struct vlapic_host vcpu_lapic_host;

/* Routes a message to the matching local APICs of the VM (struct apic_bus). */
void vcpu_deliver(void *vm, const struct apic_msg *msg);

/* Takes all requests and carries out what does not depend on the back end: stop, INIT, SIPI,
 * snapshot, timers that moved. Returns the bits left to the back end (APIC, EXTINT, FLUSH, LOG, EVENT
 * for an NMI in lapic.events). Afterwards the run loop leaves when state != VCPU_RUNNING. */
uint32_t vcpu_take_requests(struct vcpu *v);

/* Whether a halted v would resume: a deliverable interrupt with RFLAGS.IF, an NMI, INIT. */
bool vcpu_has_wake_event(struct vcpu *v);

#endif
