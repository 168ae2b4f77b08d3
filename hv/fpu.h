/*
 * Guest FPU, SSE and AVX state. The hypervisor is built without them, so a guest's state stays in
 * the registers until another vCPU runs on the CPU. XCR0 is switched with it. Debug registers and
 * the policy table's switched MSRs follow the same rule through the back end's load and put.
 */
#ifndef HV_FPU_H
#define HV_FPU_H

#include "hv/base/frame.h"
#include "hv/vm.h"

/* Once per CPU: turns XSAVE on where allowed. The boot CPU sets fpu_guest_xcr0. */
void fpu_init_cpu(bool xsave);
/* XCR0 bits a guest may set; x87 only where the host has no XSAVE. */
extern uint64_t fpu_guest_xcr0;

/* The area in its architectural initial state; NULL when there is no memory. */
struct fpu *fpu_create(frame_owner_t owner);
void fpu_destroy(struct fpu *f, frame_owner_t owner);
/* Initial state. On v's own CPU, or while v has never run. */
void fpu_reset(struct vcpu *v);
/* Makes v's state the one in this CPU's registers, saving another's first. */
void fpu_switch_to(struct vcpu *v);
/* Saves v's state if it is in this CPU's registers, so that it can be read or destroyed. */
void fpu_release(struct vcpu *v);

#define FPU_LEGACY_BYTES 512
/* The x87 and SSE part of a state that fpu_release() has saved, as FXSAVE lays it out. What is written may be
 * any bytes: reserved bits of MXCSR are dropped. */
void fpu_legacy_read(const struct vcpu *v, void *image);
void fpu_legacy_write(struct vcpu *v, const void *image);

/* XMM register 0..15 of the vCPU whose state is in this CPU's registers. The upper parts of YMM and
 * ZMM stay as they are. */
void fpu_xmm_read(unsigned xmm, uint64_t value[2]);
void fpu_xmm_write(unsigned xmm, const uint64_t value[2]);

#endif
