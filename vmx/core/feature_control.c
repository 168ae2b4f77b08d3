/*
 * What IA32_FEATURE_CONTROL allows. Pure. SDM "Enabling and Entering VMX Operation".
 */
#include "vmx/core/msrs.h"
#include "vmx/core/vmxon.h"

enum feature_control vmx_feature_control(uint64_t value, uint64_t *wanted)
{
	*wanted = value | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX;
	if (!(value & FEATURE_CONTROL_LOCK))
		return FEATURE_CONTROL_SET;
	return value & FEATURE_CONTROL_VMX ? FEATURE_CONTROL_READY : FEATURE_CONTROL_LOCKED_OFF;
}
