/*
 * What every tiny guest needs to name: selectors of its GDT (lib/start.S), MSRs, and the start of
 * the memory it may use freely.
 */
#ifndef TESTS_GUESTS_LIB_REGS_H
#define TESTS_GUESTS_LIB_REGS_H

#define SEL_CODE64 0x08
#define SEL_DATA 0x10
#define SEL_CODE32 0x18
#define SEL_USER_DATA 0x23
#define SEL_USER_CODE 0x2b
#define SEL_CODE16 0x30
#define SEL_DATA16 0x38
#define SEL_TSS 0x40
#define SEL_USER_CODE32 0x53

#define TRAMPOLINE 0x8000   /* 16-bit code for secondary CPUs and for mode switches, one page */
#define FREE_MEMORY 0x800000 /* from 8 MiB on nothing of a guest's image lies */

#ifndef __ASSEMBLER__
#define MSR_TSC 0x10
#define MSR_APIC_BASE 0x1b
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_BIOS_SIGN_ID 0x8b
#define MSR_MTRRCAP 0xfe
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_MISC_ENABLE 0x1a0
#define MSR_DEBUGCTL 0x1d9
#define MSR_PAT 0x277
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_VMX_BASIC 0x480
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC 0x800 /* + xAPIC offset >> 4 */
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_FMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103

#define APIC_BASE_EXTD (1ul << 10)
#define APIC_BASE_EN (1ul << 11)
#endif

#endif
