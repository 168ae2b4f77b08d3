/*
 * Numbers of the MSRs that VMX itself is about. SDM volume 4, "Model-Specific Registers".
 */
#ifndef VMX_CORE_MSRS_H
#define VMX_CORE_MSRS_H

#include "hv/base/msr.h"
#include "hv/base/types.h"

#define MSR_FEATURE_CONTROL 0x3a
#define FEATURE_CONTROL_LOCK 1u
#define FEATURE_CONTROL_VMX_IN_SMX 2u
#define FEATURE_CONTROL_VMX 4u

#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176

#define MSR_VMX_BASIC 0x480
#define MSR_VMX_PIN 0x481
#define MSR_VMX_PRIMARY 0x482
#define MSR_VMX_EXIT 0x483
#define MSR_VMX_ENTRY 0x484
#define MSR_VMX_MISC 0x485
#define MSR_VMX_CR0_FIXED0 0x486
#define MSR_VMX_CR0_FIXED1 0x487
#define MSR_VMX_CR4_FIXED0 0x488
#define MSR_VMX_CR4_FIXED1 0x489
#define MSR_VMX_SECONDARY 0x48b
#define MSR_VMX_EPT_VPID 0x48c
#define MSR_VMX_TRUE_PIN 0x48d
#define MSR_VMX_TRUE_PRIMARY 0x48e
#define MSR_VMX_TRUE_EXIT 0x48f
#define MSR_VMX_TRUE_ENTRY 0x490

#define VMX_BASIC_REVISION(basic) ((uint32_t)((basic) & 0x7fffffff))
#define VMX_BASIC_TRUE_CONTROLS BIT(55)

#endif
