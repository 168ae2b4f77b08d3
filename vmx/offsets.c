/*
 * Offsets for vmx/core/entry.S; becomes vmx_offsets.h. See hv/base/offsets.h.
 */
#include "hv/base/offsets.h"
#include "hv/vm.h"
#include "vmx/core/fields.h"

void vmx_offsets(void);
void vmx_offsets(void)
{
	VALUE(VCPU_GPR, offsetof(struct vcpu, gpr));
	OFFSET(VCPU_EXIT_TSC, struct vcpu, exit_tsc);
	VALUE(FIELD_HOST_RSP, VMCS_HOST_RSP);
}
