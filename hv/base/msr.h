/*
 * Numbers of the model-specific registers that the host's own machine layer and drivers use.
 * SDM volume 4, "Architectural MSRs".
 */
#ifndef HV_BASE_MSR_H
#define HV_BASE_MSR_H

#define MSR_APIC_BASE 0x1b
#define MSR_SPEC_CTRL 0x48
#define MSR_PRED_CMD 0x49
#define MSR_XAPIC_DISABLE_STATUS 0xbd
#define MSR_ARCH_CAPABILITIES 0x10a
#define MSR_FLUSH_CMD 0x10b
#define MSR_MCG_CAP 0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_PAT 0x277
#define MSR_FIXED_CTR0 0x309
#define MSR_FIXED_CTR_CTRL 0x38d
#define MSR_PERF_GLOBAL_STATUS 0x38e
#define MSR_PERF_GLOBAL_CTRL 0x38f
#define MSR_PERF_GLOBAL_OVF_CTRL 0x390
#define MSR_MC0_CTL 0x400 /* then STATUS, ADDR, MISC: four registers a bank */
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC 0x800  /* + APIC register offset / 16 */
#define MSR_EFER 0xc0000080
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101

#endif
