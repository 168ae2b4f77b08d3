/*
 * The structures that the host hands to the TDX module in memory, and the page types and S-EPT states the
 * module reports. TDX Module 1.5 ABI, "Data Types".
 */
#ifndef TDX_ABI_PARAMS_H
#define TDX_ABI_PARAMS_H

#include "hv/base/types.h"

#define TDX_MAX_TDMRS 64
#define TDX_MAX_RESERVED 16
#define TDX_MAX_CMRS 32
#define TDX_TDMR_ALIGN GIB(1)
#define TDX_TDMR_INFO_ALIGN 512u

/* PAMTs by the size of page they describe. */
enum { TDX_PAMT_1G, TDX_PAMT_2M, TDX_PAMT_4K, TDX_PAMTS };

struct tdx_range {
	uint64_t base; /* of a reserved area: offset in its TDMR */
	uint64_t size; /* bytes */
};

struct tdx_tdmr_info {
	uint64_t base, size;
	struct tdx_range pamt[TDX_PAMTS];
	struct tdx_range reserved[TDX_MAX_RESERVED]; /* ascending; then those of size 0 */
};
_Static_assert(sizeof(struct tdx_tdmr_info) == 320, "TDMR_INFO");

/* TD_PARAMS of TDH.MNG.INIT: 1024 bytes, aligned to as many. */
#define TDX_TD_PARAMS_CPUIDS 48
struct tdx_cpuid_values {
	uint32_t eax, ebx, ecx, edx;
};
struct tdx_td_params {
	uint64_t attributes;
	uint64_t xfam;
	uint16_t max_vcpus;
	uint8_t num_l2_vms;
	uint8_t msr_config_ctls;
	uint32_t reserved0;
	uint64_t eptp_controls;
	uint64_t config_flags;
	uint16_t tsc_frequency; /* in units of 25 MHz */
	uint8_t reserved1[38];
	uint8_t mrconfigid[48];
	uint8_t mrowner[48];
	uint8_t mrownerconfig[48];
	uint64_t arch_capabilities_config;
	uint8_t reserved2[24];
	struct tdx_cpuid_values cpuid[TDX_TD_PARAMS_CPUIDS]; /* in the order of SYS.RD CPUID_CONFIG_LEAVES */
};
_Static_assert(sizeof(struct tdx_td_params) == 1024, "TD_PARAMS");

#define TDX_ATTR_DEBUG BIT(0)
#define TDX_ATTR_SEPT_VE_DISABLE BIT(28)
#define TDX_ATTR_MIGRATABLE BIT(29)
#define TDX_ATTR_PKS BIT(30)
#define TDX_ATTR_PERFMON BIT(63)

#define TDX_CONFIG_GPAW_52 BIT(0)
#define TDX_CONFIG_FLEXIBLE_PENDING_VE BIT(1)
#define TDX_CONFIG_NO_RBP_MOD BIT(2)

#define TDX_TSC_UNIT 25000000ul /* Hz */
#define TDX_TSC_UNITS_MIN 4
#define TDX_TSC_UNITS_MAX 400

/* What a physical page is to the module: RCX of TDH.PHYMEM.PAGE.RDMD. */
enum tdx_page_type {
	TDX_PT_NDA = 0,
	TDX_PT_RSVD = 1,
	TDX_PT_REG = 3,
	TDX_PT_TDR = 4,
	TDX_PT_TDCX = 5,
	TDX_PT_TDVPR = 6,
	TDX_PT_EPT = 8,
};

/* States of an S-EPT entry as TDH.MEM.SEPT.RD and the details of a failed walk have them, in RDX[15:8]. */
enum tdx_sept_state {
	TDX_SEPT_FREE = 0x00,
	TDX_SEPT_BLOCKED = 0x01,
	TDX_SEPT_PENDING = 0x02,
	TDX_SEPT_PENDING_BLOCKED = 0x03,
	TDX_SEPT_MAPPED = 0x04,
	TDX_SEPT_NL_BLOCKED = 0x81,
	TDX_SEPT_NL_MAPPED = 0x84,
};

/* RDX of those: level[2:0] | state[15:8]. */
static inline uint32_t tdx_sept_level(uint64_t rdx) { return rdx & 7; }
static inline uint32_t tdx_sept_state(uint64_t rdx) { return (rdx >> 8) & 0xff; }

/* Lifecycle of a TD, and the operation state of its control structure. */
enum tdx_lifecycle { TDX_HKID_ASSIGNED, TDX_KEYS_CONFIGURED, TDX_BLOCKED, TDX_TEARDOWN };
enum tdx_op_state { TDX_UNINITIALIZED, TDX_INITIALIZED, TDX_RUNNABLE };

/* Pages a module of version 1.5 asks for; SYS.RD says how many a given module wants. */
#define TDX_TDCS_PAGES 6
#define TDX_TDVPS_PAGES 6 /* the TDVPR is one of them */

/* RCX of TDH.VP.ENTER. */
#define TDX_ENTER_HOST_RECOVERABLE_HINT BIT(52)
#define TDX_ENTER_RESUME_L1 BIT(53)

/* Extended exit qualification of an asynchronous TD exit: RDX[3:0]. */
enum tdx_exit_extended {
	TDX_EEQ_NONE = 0,
	TDX_EEQ_ACCEPT = 1,
	TDX_EEQ_GPA_DETAILS = 2,
	TDX_EEQ_MSR = 3,
	TDX_EEQ_XSTATE = 4,
	TDX_EEQ_ATTR_WR = 5,
	TDX_EEQ_PENDING_EPT_VIOLATION = 6,
};

/* Basic exit reason of TDG.VP.VMCALL, in RAX of TDH.VP.ENTER. */
#define TDX_EXIT_SEAMCALL 76
#define TDX_EXIT_TDCALL 77

#endif
