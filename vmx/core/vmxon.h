/*
 * VMX operation of one host CPU: capabilities read, IA32_FEATURE_CONTROL judged, VMXON and VMXOFF.
 * The field `current` and what follows belongs to who runs VMCSs on the CPU; `predicted` to all of them.
 */
#ifndef VMX_CORE_VMXON_H
#define VMX_CORE_VMXON_H

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "vmx/core/controls.h"

struct vmx_cpu {
	hpa_t region;           /* the VMXON region */
	bool on;
	struct vmx_caps caps;
	void *current;          /* who owns the current VMCS, or NULL */
	feature_set_t leaks;    /* measures against leaks that are taken here: vmx/core/leaks.h */
	uint64_t spec_ctrl;     /* IA32_SPEC_CTRL while no guest has its own */
	uint64_t predicted;     /* the guest whose branches the CPU may have learnt; 0: none's */
	uint64_t timer_armed;   /* host TSC the host's APIC timer is set to; 0: not by us */
};

enum feature_control { FEATURE_CONTROL_READY, FEATURE_CONTROL_SET, FEATURE_CONTROL_LOCKED_OFF };

/* What to do about IA32_FEATURE_CONTROL; *wanted is what to write for FEATURE_CONTROL_SET. Pure. */
enum feature_control vmx_feature_control(uint64_t value, uint64_t *wanted);

/* Sets and locks IA32_FEATURE_CONTROL when it is open. -ENODEV with what is missing in words. */
int vmx_unlock(struct failure *f);

/* Reads the capability MSRs. The CPU has VMX. */
void vmx_read_caps(struct vmx_caps *caps);

/*
 * Enters VMX operation with the region of c (allocated when there is none yet). Sets CR0 and CR4 as
 * VMX operation demands. -EIO, -ENOMEM. This CPU, interrupts off.
 */
int vmx_on(struct vmx_cpu *c, struct failure *f);
/* Leaves VMX operation. Every VMCS that was current here has been cleared. This CPU. */
void vmx_off(struct vmx_cpu *c);

/* A frame for a VMCS with the revision identifier in place, HPA_NONE when out of memory. */
hpa_t vmcs_alloc(const struct vmx_caps *caps, uint16_t owner);

#endif
