/* sources: vmx/check.c vmx/check_controls.c vmx/check_host.c vmx/check_guest_regs.c vmx/check_guest_segs.c vmx/check_nonreg.c tests/unit/check_state.c hv/base/format.c */
/*
 * The entry checker's rules on the guest's non-register state and PDPTEs, one case each.
 */
#include "tests/unit/check_state.h"

#define BEYOND BIT(TEST_PHYSICAL_BITS)
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
	{ "activity-supported", { ACTIVITY(4) }, NULL },
	{ "activity-supported", { ACTIVITY(ACTIVITY_HLT) }, only_active },
	{ "activity-hlt-privilege", { ACTIVITY(ACTIVITY_HLT), SET(GUEST_SS_AR, 0xc0f3), SET(GUEST_SS_SEL, 0x13),
				      SET(GUEST_CS_AR, 0xa0fb), SET(GUEST_CS_SEL, 0xb) }, NULL },
	{ "activity-shadow", { ACTIVITY(ACTIVITY_SHUTDOWN), IF_SET, BLOCKING(BLOCKING_STI) }, NULL },
	{ "activity-shadow", { ACTIVITY(ACTIVITY_HLT), BLOCKING(BLOCKING_MOV_SS) }, NULL },
	{ "activity-injection", { ACTIVITY(ACTIVITY_HLT), SET(ENTRY_INTR_INFO, INTR(INTR_HARDWARE, VEC_UD)) }, NULL },
	{ "activity-injection", { ACTIVITY(ACTIVITY_SHUTDOWN), IF_SET, SET(ENTRY_INTR_INFO, INTR(INTR_EXTERNAL, 64)) },
	  NULL },
	{ "activity-injection", { ACTIVITY(ACTIVITY_WAIT_SIPI), SET(ENTRY_INTR_INFO, INTR(INTR_NMI, VEC_NMI)) }, NULL },
	{ "blocking-reserved", { BLOCKING(BIT(5)) }, NULL },
	{ "blocking-both", { IF_SET, BLOCKING(BLOCKING_STI | BLOCKING_MOV_SS) }, NULL },
	{ "blocking-sti-if", { BLOCKING(BLOCKING_STI) }, NULL },
	{ "blocking-external", { IF_SET, BLOCKING(BLOCKING_STI), SET(ENTRY_INTR_INFO, INTR(INTR_EXTERNAL, 64)) }, NULL },
	{ "blocking-external", { IF_SET, BLOCKING(BLOCKING_MOV_SS), SET(ENTRY_INTR_INFO, INTR(INTR_EXTERNAL, 64)) },
	  NULL },
	{ "blocking-nmi-mov-ss", { BLOCKING(BLOCKING_MOV_SS), SET(ENTRY_INTR_INFO, INTR(INTR_NMI, VEC_NMI)) }, NULL },
	{ "blocking-smi", { BLOCKING(BLOCKING_SMI) }, NULL },
	{ "blocking-nmi", { BLOCKING(BLOCKING_NMI), SET(ENTRY_INTR_INFO, INTR(INTR_NMI, VEC_NMI)) }, NULL },
	{ "blocking-enclave", { BLOCKING(BLOCKING_ENCLAVE) }, NULL },
	{ "blocking-enclave", { BLOCKING(BLOCKING_ENCLAVE | BLOCKING_MOV_SS) }, with_sgx },
	{ "pending-reserved", { SET(GUEST_PENDING_DB, BIT(13)) }, NULL },
	{ "pending-reserved", { SET(GUEST_PENDING_DB, BIT(4)) }, NULL },
	{ "pending-step-missing", { TF_SET, BLOCKING(BLOCKING_MOV_SS) }, NULL },
	{ "pending-step-missing", { TF_SET, ACTIVITY(ACTIVITY_HLT) }, NULL },
	{ "pending-step-unwanted", { BLOCKING(BLOCKING_MOV_SS), SET(GUEST_PENDING_DB, BIT(14)) }, NULL },
	{ "pending-step-unwanted", { TF_SET, BLOCKING(BLOCKING_MOV_SS), SET(GUEST_PENDING_DB, BIT(14)),
				     SET(GUEST_DEBUGCTL, BIT(1)) }, NULL },
	{ "pending-rtm", { SET(GUEST_PENDING_DB, BIT(16) | BIT(12)) }, NULL },
	{ "pending-rtm", { SET(GUEST_PENDING_DB, BIT(16)) }, with_rtm },
	{ "pending-rtm", { SET(GUEST_PENDING_DB, BIT(16) | BIT(12) | BIT(0)) }, with_rtm },
	{ "pending-rtm", { SET(GUEST_PENDING_DB, BIT(16) | BIT(12)), BLOCKING(BLOCKING_MOV_SS) }, with_rtm },
	{ "link-address", { SET(VMCS_LINK, 0x8800) }, NULL },
	{ "link-address", { SET(VMCS_LINK, BEYOND) }, NULL },
	{ "link-revision", { SET(VMCS_LINK, 0x9000) }, NULL },
	{ "link-revision", { SET(VMCS_LINK, TEST_SHADOW_VMCS) }, NULL },
	{ "link-current", { SET(VMCS_LINK, TEST_VMCS) }, NULL },
	{ "pdpte0", { PAE_GUEST, SET(GUEST_PDPTE0, 3) }, NULL },
	{ "pdpte1", { PAE_GUEST, SET(GUEST_PDPTE1, BIT(5) | 1) }, NULL },
	{ "pdpte2", { PAE_GUEST, SET(GUEST_PDPTE2, BIT(8) | 1) }, NULL },
	{ "pdpte3", { PAE_GUEST, SET(GUEST_PDPTE3, BEYOND | 1) }, NULL },
	{ "pdptes-in-memory", { PAE_GUEST, NO_EPT, SET(GUEST_CR3, TEST_VMCS) }, NULL },
};

int main(void) { return check_run_cases("guest non-register state", cases, ARRAY_LEN(cases), &check_nonreg); }
