/*
 * The entry checker's rules on the guest's non-register state and PDPTEs, one case each.
 */
#include "tests/entry_rules/rules.h"

#define INTR(type, vector) (INTR_VALID | (uint64_t)(type) << 8 | (vector))
#define IF_SET SET(GUEST_RFLAGS, RFLAGS_FIXED1 | RFLAGS_IF)
#define TF_SET SET(GUEST_RFLAGS, RFLAGS_FIXED1 | RFLAGS_TF)
#define BLOCKING(bits) SET(GUEST_INTERRUPTIBILITY, bits)
#define ACTIVITY(state) SET(GUEST_ACTIVITY, state)
#define PAE_GUEST FLIP(ENTRY_CONTROLS, ENTRY_IA32E), SET(GUEST_EFER, 0), SET(GUEST_RIP, 0x1000)
#define NO_EPT FLIP(SECONDARY_CONTROLS, SECONDARY_EPT | SECONDARY_UNRESTRICTED)

static void only_active(struct check_env *env, struct vmx_caps *caps) { (void)env, caps->misc &= ~BITS(8, 6); }
static void with_rtm(struct check_env *env, struct vmx_caps *caps) { (void)caps, env->rtm = true; }
static void with_sgx(struct check_env *env, struct vmx_caps *caps) { (void)caps, env->sgx = true; }

static const struct check_case cases[] = {
	{ "activity-supported", .edits = { ACTIVITY(4) } },
	{ "activity-supported", .edits = { ACTIVITY(ACTIVITY_HLT) }, .cpu = only_active },
	{ "activity-hlt-privilege",
	  .edits = { ACTIVITY(ACTIVITY_HLT), SET(GUEST_SS_AR, 0xc0f3), SET(GUEST_SS_SEL, 0x13),
				      SET(GUEST_CS_AR, 0xa0fb), SET(GUEST_CS_SEL, 0xb) } },
	{ "activity-shadow", .edits = { ACTIVITY(ACTIVITY_SHUTDOWN), IF_SET, BLOCKING(BLOCKING_STI) } },
	{ "activity-shadow", .edits = { ACTIVITY(ACTIVITY_HLT), BLOCKING(BLOCKING_MOV_SS) } },
	{ "activity-injection",
	  .edits = { ACTIVITY(ACTIVITY_HLT), SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_UD)) } },
	{ "activity-injection",
	  .edits = { ACTIVITY(ACTIVITY_SHUTDOWN), IF_SET, SET(ENTRY_INTR_INFO, INTR(INTR_EXTERNAL, 64)) } },
	{ "activity-injection",
	  .edits = { ACTIVITY(ACTIVITY_WAIT_SIPI), SET(ENTRY_INTR_INFO, INTR(INTR_NMI, VEC_NMI)) } },
	{ "blocking-reserved", .edits = { BLOCKING(BIT(5)) } },
	{ "blocking-both", .edits = { IF_SET, BLOCKING(BLOCKING_STI | BLOCKING_MOV_SS) } },
	{ "blocking-sti-if", .edits = { BLOCKING(BLOCKING_STI) } },
	{ "blocking-external",
	  .edits = { IF_SET, BLOCKING(BLOCKING_STI), SET(ENTRY_INTR_INFO, INTR(INTR_EXTERNAL, 64)) } },
	{ "blocking-external",
	  .edits = { IF_SET, BLOCKING(BLOCKING_MOV_SS), SET(ENTRY_INTR_INFO, INTR(INTR_EXTERNAL, 64)) } },
	{ "blocking-nmi-mov-ss",
	  .edits = { BLOCKING(BLOCKING_MOV_SS), SET(ENTRY_INTR_INFO, INTR(INTR_NMI, VEC_NMI)) } },
	{ "blocking-smi", .edits = { BLOCKING(BLOCKING_SMI) } },
	{ "blocking-nmi",
	  .edits = { BLOCKING(BLOCKING_NMI), SET(ENTRY_INTR_INFO, INTR(INTR_NMI, VEC_NMI)) } },
	{ "blocking-enclave", .edits = { BLOCKING(BLOCKING_ENCLAVE) } },
	{ "blocking-enclave", .edits = { BLOCKING(BLOCKING_ENCLAVE | BLOCKING_MOV_SS) }, .cpu = with_sgx },
	{ "pending-reserved", .edits = { SET(GUEST_PENDING_DB, BIT(13)) } },
	{ "pending-reserved", .edits = { SET(GUEST_PENDING_DB, BIT(4)) } },
	{ "pending-step-missing", .edits = { TF_SET, BLOCKING(BLOCKING_MOV_SS) } },
	{ "pending-step-missing", .edits = { TF_SET, ACTIVITY(ACTIVITY_HLT) } },
	{ "pending-step-unwanted", .edits = { BLOCKING(BLOCKING_MOV_SS), SET(GUEST_PENDING_DB, BIT(14)) } },
	{ "pending-step-unwanted",
	  .edits = { TF_SET, BLOCKING(BLOCKING_MOV_SS), SET(GUEST_PENDING_DB, BIT(14)),
				     SET(GUEST_DEBUGCTL, BIT(1)) } },
	{ "pending-rtm", .edits = { SET(GUEST_PENDING_DB, BIT(16) | BIT(12)) } },
	{ "pending-rtm", .edits = { SET(GUEST_PENDING_DB, BIT(16)) }, .cpu = with_rtm },
	{ "pending-rtm", .edits = { SET(GUEST_PENDING_DB, BIT(16) | BIT(12) | BIT(0)) }, .cpu = with_rtm },
	{ "pending-rtm", .edits = { SET(GUEST_PENDING_DB, BIT(16) | BIT(12)), BLOCKING(BLOCKING_MOV_SS) },
	  .cpu = with_rtm },
	{ "link-address", .edits = { PAGE(VMCS_LINK, PAGE_VMCS, 0x800) } },
	{ "link-address", .edits = { SET_BEYOND(VMCS_LINK, 0) } },
	{ "link-revision", .edits = { PAGE(VMCS_LINK, PAGE_ZERO, 0) } },
	{ "link-revision", .edits = { PAGE(VMCS_LINK, PAGE_SHADOW, 0) } },
	{ "link-current", .edits = { PAGE(VMCS_LINK, PAGE_VMCS, 0) } },
	{ "pdpte0", .edits = { PAE_GUEST, SET(GUEST_PDPTE0, 3) } },
	{ "pdpte1", .edits = { PAE_GUEST, SET(GUEST_PDPTE1, BIT(5) | 1) } },
	{ "pdpte2", .edits = { PAE_GUEST, SET(GUEST_PDPTE2, BIT(8) | 1) } },
	{ "pdpte3", .edits = { PAE_GUEST, SET_BEYOND(GUEST_PDPTE3, 1) } },
	{ "pdptes-in-memory", .edits = { PAE_GUEST, NO_EPT, PAGE(GUEST_CR3, PAGE_PDPTES, 0) } },
};

const struct check_cases cases_nonreg = { cases, ARRAY_LEN(cases), &check_nonreg, "guest non-register state" };
