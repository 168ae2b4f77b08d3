/*
 * Why a VM entry failed: the SDM's checks of a VMCS carried out in software, each broken rule told
 * in one sentence with the field at fault. Pure: fields and facts about the CPU come from the caller.
 *
 * The edition is the Intel SDM of December 2023 (order number 325462-082), volume 3C, chapter 27
 * "VM Entries"; rules cite it by section title.
 */
#ifndef VMX_CHECK_H
#define VMX_CHECK_H

#include "hv/base/types.h"
#include "vmx/core/controls.h"

struct check_env {
	/* A VMCS field (vmx/core/fields.h). Asked only for fields that the set controls give a meaning. */
	uint64_t (*read)(void *ctx, uint32_t field);
	/* 8 bytes of host-physical memory, for the virtual TPR and the revision at the link pointer;
	 * false when it cannot be read. NULL: what needs it is not checked. */
	bool (*read_phys)(void *ctx, hpa_t pa, uint64_t *value);
	/* The same of guest-physical memory, for PDPTEs without EPT. */
	bool (*read_guest)(void *ctx, gpa_t gpa, uint64_t *value);
	void *ctx;

	const struct vmx_caps *caps;
	uint64_t tertiary_allowed;  /* IA32_VMX_PROCBASED_CTLS3: bits that may be 1 */
	uint64_t exit2_allowed;     /* IA32_VMX_EXIT_CTLS2: likewise */
	uint64_t vmfunc_allowed;    /* IA32_VMX_VMFUNC */
	uint64_t perf_global_valid; /* bits of IA32_PERF_GLOBAL_CTRL that are not reserved */
	uint64_t rtit_ctl_valid;    /* of IA32_RTIT_CTL */
	uint64_t lbr_ctl_valid;     /* of IA32_LBR_CTL */
	hpa_t vmcs;                 /* the current VMCS */
	unsigned physical_bits;     /* MAXPHYADDR */
	bool la57;                  /* the CPU has 57-bit linear addresses */
	bool rtm, sgx, cet;         /* CPUID has these */
	bool tracing;               /* IA32_RTIT_CTL.TraceEn is 1 on this CPU now */
	bool long_mode;             /* IA32_EFER.LMA is 1 on this CPU now */
};

struct check_result {
	const char *id;      /* of the rule, as in "guest-cr4-fixed" */
	const char *section; /* its SDM section's title */
	uint32_t field;
	uint64_t value;
	char text[360];      /* "VM entry refused: guest CR4 (0h) lacks ...; SDM '...'" */
};

/* Number of rules broken; the first of them (in the SDM's order) in *first, which may be NULL. */
int vmx_check(const struct check_env *env, struct check_result *first);

/* The same, each broken rule handed to `each`. */
int vmx_check_each(const struct check_env *env, void (*each)(void *ctx, const struct check_result *r), void *ctx);

/* A VM-instruction error number in words; never NULL. SDM section "VM Instruction Error Numbers". */
const char *vmx_instruction_error(uint32_t number);

#endif
