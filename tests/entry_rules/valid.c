/*
 * VMCSs that break no rule and are near to breaking one: the checker has nothing to say about them,
 * and a CPU enters them.
 */
#include "tests/entry_rules/rules.h"

#define INTR(type, vector) SET(ENTRY_INTR_INFO, INTR_VALID | (uint64_t)(type) << 8 | (vector))
#define INTR_ERROR(vector) SET(ENTRY_INTR_INFO, INTR_VALID | INTR_DELIVER_ERROR | INTR_HARDWARE << 8 | (vector))
#define LENGTH(n) SET(ENTRY_INSN_LENGTH, n)
#define IF_SET SET(GUEST_RFLAGS, RFLAGS_FIXED1 | RFLAGS_IF)
#define TF_SET SET(GUEST_RFLAGS, RFLAGS_FIXED1 | RFLAGS_TF)
#define BLOCKING(bits) SET(GUEST_INTERRUPTIBILITY, bits)
#define PAE_GUEST FLIP(ENTRY_CONTROLS, ENTRY_IA32E), SET(GUEST_EFER, 0), SET(GUEST_RIP, 0x1000)
#define RESTRICTED FLIP(SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED)
#define UNUSABLE(seg) SET(GUEST_##seg##_AR, BIT(16)), SET(GUEST_##seg##_LIMIT, 0x12345678)
#define PENDING_BS BIT(14)
#define DEBUGCTL_LBR_BTF 3

static const struct check_case cases[] = {
	{ .id = "64-bit" },
	{ "virtual-8086", .base = BASE_V8086 },
	{ "real-mode", .base = BASE_REAL },
	{ "real-mode-data-cs", .edits = { SET(GUEST_CS_AR, 0x93) }, .base = BASE_REAL },
	{ "32-bit-pae", .edits = { PAE_GUEST } },
	{ "32-bit-tss16", .edits = { PAE_GUEST, SET(GUEST_TR_AR, 0x83) } },
	{ "restricted", .edits = { RESTRICTED } },
	{ "no-secondary-controls", .edits = { FLIP(PRIMARY_CONTROLS, PRIMARY_SECONDARY | PRIMARY_TPR_SHADOW),
				     SET(SECONDARY_CONTROLS, 0xffffffff) } },
	{ "user-mode",
	  .edits = { RESTRICTED, SET(GUEST_CS_SEL, 0x33), SET(GUEST_CS_AR, 0xa0fb), SET(GUEST_SS_SEL, 0x2b),
			 SET(GUEST_SS_AR, 0xc0f3) } },
	{ "conforming-code", .edits = { SET(GUEST_CS_AR, 0xa09f) } },
	{ "unusable-data", .edits = { UNUSABLE(DS), UNUSABLE(ES), UNUSABLE(FS) } },
	{ "unusable-stack",
	  .edits = { UNUSABLE(SS), UNUSABLE(GS), UNUSABLE(LDTR), SET(GUEST_LDTR_BASE, BIT(47)) } },
	{ "rip-at-the-edge", .edits = { SET(GUEST_RIP, BIT(47)) } },
	{ "cr0-nw-without-cd", .edits = { FLIP(GUEST_CR0, CR0_NW) } },
	{ "efer-sce-nxe", .edits = { FLIP(GUEST_EFER, EFER_SCE | EFER_NXE) } },
	{ "debugctl", .edits = { SET(GUEST_DEBUGCTL, DEBUGCTL_LBR_BTF) } },
	{ "pat", .edits = { SET(GUEST_PAT, 0x0607050401000606) } },
	{ "pdpte-not-present", .edits = { PAE_GUEST, SET(GUEST_PDPTE2, ~1ul) } },
	{ "pdpte-present", .edits = { PAE_GUEST, PAGE(GUEST_PDPTE0, PAGE_ZERO, 1) } },
	{ "msr-areas-unused",
	  .edits = { SET(EXIT_MSR_STORE, 1), SET(EXIT_MSR_LOAD, 2), SET(ENTRY_MSR_LOAD, 3) } },
	{ "tpr-threshold-off",
	  .edits = { FLIP(PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW), SET(TPR_THRESHOLD, 0xff) } },
	{ "x2apic", .edits = { FLIP(SECONDARY_CONTROLS, SECONDARY_X2APIC) } },
	{ "apic-access", .edits = { FLIP(SECONDARY_CONTROLS, SECONDARY_APIC_ACCESS) } },
	{ "shadow-vmcs",
	  .edits = { FLIP(SECONDARY_CONTROLS, SECONDARY_VMCS_SHADOW), PAGE(VMCS_LINK, PAGE_SHADOW, 0) } },

	{ "hlt", .edits = { SET(GUEST_ACTIVITY, ACTIVITY_HLT) } },
	{ "shutdown", .edits = { SET(GUEST_ACTIVITY, ACTIVITY_SHUTDOWN) } },
	{ "hlt-nmi", .edits = { SET(GUEST_ACTIVITY, ACTIVITY_HLT), INTR(INTR_NMI, VEC_NMI) } },
	{ "hlt-interrupt", .edits = { SET(GUEST_ACTIVITY, ACTIVITY_HLT), IF_SET, INTR(INTR_EXTERNAL, 64) } },
	{ "shutdown-nmi", .edits = { SET(GUEST_ACTIVITY, ACTIVITY_SHUTDOWN), INTR(INTR_NMI, VEC_NMI) } },
	{ "inject-interrupt", .edits = { IF_SET, INTR(INTR_EXTERNAL, 255) } },
	{ "inject-fault", .edits = { INTR(INTR_HARDWARE, VEC_UD) } },
	{ "inject-error-code", .edits = { INTR_ERROR(VEC_GP), SET(ENTRY_ERROR_CODE, 0xffff) } },
	{ "inject-in-real-mode", .edits = { INTR(INTR_HARDWARE, VEC_GP) }, .base = BASE_REAL },
	{ "inject-int", .edits = { INTR(INTR_SOFTWARE, 0x80), LENGTH(15) } },
	{ "inject-int3", .edits = { INTR(INTR_EXCEPTION, VEC_BP), LENGTH(1) } },
	{ "inject-int1", .edits = { INTR(INTR_PRIVILEGED, VEC_DB), LENGTH(1) } },
	{ "intr-info-not-valid",
	  .edits = { SET(ENTRY_INTR_INFO, 0x7fffffff), SET(ENTRY_ERROR_CODE, 0xffffffff) } },

	{ "sti-shadow", .edits = { IF_SET, BLOCKING(BLOCKING_STI) } },
	{ "mov-ss-shadow", .edits = { BLOCKING(BLOCKING_MOV_SS) } },
	{ "nmi-blocked", .edits = { BLOCKING(BLOCKING_NMI) } },
	{ "step-in-shadow",
	  .edits = { TF_SET, BLOCKING(BLOCKING_MOV_SS), SET(GUEST_PENDING_DB, PENDING_BS) } },
	{ "step-no-shadow", .edits = { TF_SET } },
	{ "branch-step-in-shadow",
	  .edits = { TF_SET, BLOCKING(BLOCKING_MOV_SS), SET(GUEST_DEBUGCTL, BIT(1)) } },
};

const struct check_cases cases_valid = { cases, ARRAY_LEN(cases), NULL, "valid states" };
