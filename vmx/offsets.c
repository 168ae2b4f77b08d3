/*
 * Offsets for vmx/core/entry.S; becomes vmx_offsets.h. See hv/base/offsets.h.
 */
#include "hv/base/offsets.h"
#include "vmx/core/fields.h"
#include "vmx/vmx.h"

void vmx_offsets(void);
void vmx_offsets(void)
{
	VALUE(VCPU_GPR, offsetof(struct vcpu, gpr));
	VALUE(FIELD_HOST_RSP, VMCS_HOST_RSP);
	VALUE(NEXT_ENTER, VMX_ENTER);
}
