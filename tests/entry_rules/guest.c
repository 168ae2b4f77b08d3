/*
 * The entry checker's rules on the guest's registers other than segments, one case each.
 */
#include "tests/entry_rules/rules.h"

#define BAD_LINEAR (1ul << 47)
#define WITH(control) FLIP(ENTRY_CONTROLS, ENTRY_##control)
#define RESTRICTED FLIP(SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED)
/* A 32-bit guest: paging with PAE, CS is not looked at for L outside IA-32e mode. */
#define GUEST_32 FLIP(ENTRY_CONTROLS, ENTRY_IA32E), SET(GUEST_EFER, 0), SET(GUEST_RIP, 0x1000)
#define EXTERNAL (INTR_VALID | 0x40)

static void tracing(struct check_env *env, struct vmx_caps *caps) { (void)caps, env->tracing = true; }
static void la57(struct check_env *env, struct vmx_caps *caps) { (void)caps, env->la57 = true; }

static const struct check_case cases[] = {
	{ "guest-cr0-fixed", .edits = { FLIP(GUEST_CR0, CR0_NE) } },
	{ "guest-cr0-fixed", .edits = { FLIP(GUEST_CR0, BIT(32)) } },
	{ "guest-cr0-fixed", .edits = { GUEST_32, RESTRICTED, FLIP(GUEST_CR0, CR0_PG) } },
	{ "guest-cr0-pg", .edits = { GUEST_32, FLIP(GUEST_CR0, CR0_PE) } },
	{ "guest-cr4-fixed", .edits = { FLIP(GUEST_CR4, CR4_VMXE) } },
	{ "guest-cr4-fixed", .edits = { FLIP(GUEST_CR4, BIT(19)) } },
	{ "guest-cr4-cet", .edits = { FLIP(GUEST_CR4, CR4_CET), FLIP(GUEST_CR0, CR0_WP) } },
	{ "guest-debugctl", .edits = { SET(GUEST_DEBUGCTL, BIT(3)) } },
	{ "guest-debugctl", .edits = { SET(GUEST_DEBUGCTL, BIT(16)) } },
	{ "guest-ia32e-pg", .edits = { FLIP(GUEST_CR0, CR0_PG) } },
	{ "guest-ia32e-pae", .edits = { FLIP(GUEST_CR4, CR4_PAE) } },
	{ "guest-pcide", .edits = { GUEST_32, FLIP(GUEST_CR4, CR4_PCIDE) } },
	{ "guest-cr3", .edits = { BEYOND(GUEST_CR3) } },
	{ "guest-dr7", .edits = { FLIP(GUEST_DR7, BIT(32)) } },
	{ "guest-sysenter-esp", .edits = { SET(GUEST_SYSENTER_ESP, BAD_LINEAR) } },
	{ "guest-sysenter-eip", .edits = { SET(GUEST_SYSENTER_EIP, BAD_LINEAR) } },
	{ "guest-perf-global", .edits = { WITH(LOAD_PERF_GLOBAL), SET(GUEST_PERF_GLOBAL, BIT(40)) } },
	{ "guest-pat", .edits = { SET(GUEST_PAT, 3) } },
	{ "guest-efer-reserved", .edits = { FLIP(GUEST_EFER, BIT(12)) } },
	{ "guest-efer-lma", .edits = { GUEST_32, SET(GUEST_EFER, EFER_LMA | EFER_LME) } },
	{ "guest-efer-lme", .edits = { FLIP(GUEST_EFER, EFER_LME) } },
	{ "guest-bndcfgs-reserved", .edits = { WITH(LOAD_BNDCFGS), SET(GUEST_BNDCFGS, 4) } },
	{ "guest-bndcfgs-base", .edits = { WITH(LOAD_BNDCFGS), SET(GUEST_BNDCFGS, BAD_LINEAR) } },
	{ "guest-rtit-tracing", .edits = { WITH(LOAD_RTIT) }, .cpu = tracing },
	{ "guest-rtit-ctl", .edits = { WITH(LOAD_RTIT), SET(GUEST_RTIT_CTL, BIT(20)) } },
	{ "guest-s-cet", .edits = { WITH(LOAD_CET), SET(GUEST_S_CET, BIT(9)) } },
	{ "guest-s-cet", .edits = { WITH(LOAD_CET), SET(GUEST_S_CET, BITS(11, 10)) } },
	{ "guest-ssp-table", .edits = { WITH(LOAD_CET), SET(GUEST_SSP_TABLE, BAD_LINEAR) } },
	{ "guest-lbr-ctl", .edits = { WITH(LOAD_LBR), SET(GUEST_LBR_CTL, BIT(5)) } },
	{ "guest-pkrs", .edits = { WITH(LOAD_PKRS), SET(GUEST_PKRS, BIT(40)) } },
	{ "guest-uinv", .edits = { WITH(LOAD_UINV), SET(GUEST_UINV, 0x100) } },

	{ "guest-gdtr-base", .edits = { SET(GUEST_GDTR_BASE, BAD_LINEAR) } },
	{ "guest-idtr-base", .edits = { SET(GUEST_IDTR_BASE, BAD_LINEAR) } },
	{ "guest-gdtr-limit", .edits = { SET(GUEST_GDTR_LIMIT, 0x10000) } },
	{ "guest-idtr-limit", .edits = { SET(GUEST_IDTR_LIMIT, 0x10000) } },
	{ "guest-rip-32", .edits = { GUEST_32, SET(GUEST_RIP, BIT(32)) } },
	{ "guest-rip-64", .edits = { SET(GUEST_RIP, BIT(48)) } },
	{ "guest-rip-64", .edits = { SET(GUEST_RIP, BIT(57)) }, .cpu = la57 },
	{ "guest-rflags-reserved", .edits = { FLIP(GUEST_RFLAGS, BIT(15)) } },
	{ "guest-rflags-reserved", .edits = { FLIP(GUEST_RFLAGS, BIT(22)) } },
	{ "guest-rflags-bit1", .edits = { SET(GUEST_RFLAGS, 0) } },
	{ "guest-rflags-vm",
	  .edits = { FLIP(ENTRY_CONTROLS, ENTRY_IA32E), SET(GUEST_EFER, EFER_LME | EFER_LMA) },
	  .base = BASE_V8086 },
	{ "guest-rflags-vm", .edits = { SET(GUEST_CR0, CR0_NE) }, .base = BASE_V8086 },
	{ "guest-rflags-if", .edits = { SET(ENTRY_INTR_INFO, EXTERNAL) } },
	{ "guest-ssp-aligned", .edits = { WITH(LOAD_CET), SET(GUEST_SSP, 6) } },
	{ "guest-ssp-32", .edits = { GUEST_32, WITH(LOAD_CET), SET(GUEST_SSP, BIT(32)) } },
	{ "guest-ssp-canonical", .edits = { WITH(LOAD_CET), SET(GUEST_SSP, BAD_LINEAR) } },
};

const struct check_cases cases_guest = { cases, ARRAY_LEN(cases), &check_guest_regs, "guest registers" };
