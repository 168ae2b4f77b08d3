/* sources: vmx/check.c vmx/check_controls.c vmx/check_host.c vmx/check_guest_regs.c vmx/check_guest_segs.c vmx/check_nonreg.c tests/unit/check_state.c hv/base/format.c */
/*
 * The entry checker's rules on the guest's registers other than segments, one case each.
 */
#include "tests/unit/check_state.h"

#define BAD_LINEAR (1ul << 47)
#define BEYOND BIT(TEST_PHYSICAL_BITS)
#define WITH(control) FLIP(ENTRY_CONTROLS, ENTRY_##control)
#define RESTRICTED FLIP(SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED)
/* A 32-bit guest: paging with PAE, CS is not looked at for L outside IA-32e mode. */
#define GUEST_32 FLIP(ENTRY_CONTROLS, ENTRY_IA32E), SET(GUEST_EFER, 0), SET(GUEST_RIP, 0x1000)
#define EXTERNAL (INTR_VALID | 0x40)

static void tracing(struct check_env *env, struct vmx_caps *caps) { (void)caps, env->tracing = true; }
static void la57(struct check_env *env, struct vmx_caps *caps) { (void)caps, env->la57 = true; }

/* RFLAGS.VM in IA-32e mode: the segments are those of virtual-8086 mode as well. */
static void v8086_in_ia32e(struct check_env *env, struct vmx_caps *caps)
{
	(void)env, (void)caps;
	for (uint32_t seg = 0; seg < 6; seg++) {
		const struct check_edit edits[4] = {
			{ VMCS_GUEST_ES_SEL + 2 * seg, 0, false }, { VMCS_GUEST_ES_BASE + 2 * seg, 0, false },
			{ VMCS_GUEST_ES_LIMIT + 2 * seg, 0xffff, false }, { VMCS_GUEST_ES_AR + 2 * seg, 0xf3, false },
		};
		for (unsigned i = 0; i < 4; i++)
			check_state_edit(&edits[i]);
	}
}

static const struct check_case cases[] = {
	{ "guest-cr0-fixed", { FLIP(GUEST_CR0, CR0_NE) }, NULL },
	{ "guest-cr0-fixed", { FLIP(GUEST_CR0, BIT(32)) }, NULL },
	{ "guest-cr0-fixed", { GUEST_32, RESTRICTED, FLIP(GUEST_CR0, CR0_PG) }, NULL },
	{ "guest-cr0-pg", { GUEST_32, FLIP(GUEST_CR0, CR0_PE) }, NULL },
	{ "guest-cr4-fixed", { FLIP(GUEST_CR4, CR4_VMXE) }, NULL },
	{ "guest-cr4-fixed", { FLIP(GUEST_CR4, BIT(19)) }, NULL },
	{ "guest-cr4-cet", { FLIP(GUEST_CR4, CR4_CET), FLIP(GUEST_CR0, CR0_WP) }, NULL },
	{ "guest-debugctl", { SET(GUEST_DEBUGCTL, BIT(3)) }, NULL },
	{ "guest-debugctl", { SET(GUEST_DEBUGCTL, BIT(16)) }, NULL },
	{ "guest-ia32e-pg", { FLIP(GUEST_CR0, CR0_PG) }, NULL },
	{ "guest-ia32e-pae", { FLIP(GUEST_CR4, CR4_PAE) }, NULL },
	{ "guest-pcide", { GUEST_32, FLIP(GUEST_CR4, CR4_PCIDE) }, NULL },
	{ "guest-cr3", { FLIP(GUEST_CR3, BEYOND) }, NULL },
	{ "guest-dr7", { FLIP(GUEST_DR7, BIT(32)) }, NULL },
	{ "guest-sysenter-esp", { SET(GUEST_SYSENTER_ESP, BAD_LINEAR) }, NULL },
	{ "guest-sysenter-eip", { SET(GUEST_SYSENTER_EIP, BAD_LINEAR) }, NULL },
	{ "guest-perf-global", { WITH(LOAD_PERF_GLOBAL), SET(GUEST_PERF_GLOBAL, BIT(40)) }, NULL },
	{ "guest-pat", { SET(GUEST_PAT, 3) }, NULL },
	{ "guest-efer-reserved", { FLIP(GUEST_EFER, BIT(12)) }, NULL },
	{ "guest-efer-lma", { GUEST_32, SET(GUEST_EFER, EFER_LMA | EFER_LME) }, NULL },
	{ "guest-efer-lme", { FLIP(GUEST_EFER, EFER_LME) }, NULL },
	{ "guest-bndcfgs-reserved", { WITH(LOAD_BNDCFGS), SET(GUEST_BNDCFGS, 4) }, NULL },
	{ "guest-bndcfgs-base", { WITH(LOAD_BNDCFGS), SET(GUEST_BNDCFGS, BAD_LINEAR) }, NULL },
	{ "guest-rtit-tracing", { WITH(LOAD_RTIT) }, tracing },
	{ "guest-rtit-ctl", { WITH(LOAD_RTIT), SET(GUEST_RTIT_CTL, BIT(20)) }, NULL },
	{ "guest-s-cet", { WITH(LOAD_CET), SET(GUEST_S_CET, BIT(9)) }, NULL },
	{ "guest-s-cet", { WITH(LOAD_CET), SET(GUEST_S_CET, BITS(11, 10)) }, NULL },
	{ "guest-ssp-table", { WITH(LOAD_CET), SET(GUEST_SSP_TABLE, BAD_LINEAR) }, NULL },
	{ "guest-lbr-ctl", { WITH(LOAD_LBR), SET(GUEST_LBR_CTL, BIT(5)) }, NULL },
	{ "guest-pkrs", { WITH(LOAD_PKRS), SET(GUEST_PKRS, BIT(40)) }, NULL },
	{ "guest-uinv", { WITH(LOAD_UINV), SET(GUEST_UINV, 0x100) }, NULL },

	{ "guest-gdtr-base", { SET(GUEST_GDTR_BASE, BAD_LINEAR) }, NULL },
	{ "guest-idtr-base", { SET(GUEST_IDTR_BASE, BAD_LINEAR) }, NULL },
	{ "guest-gdtr-limit", { SET(GUEST_GDTR_LIMIT, 0x10000) }, NULL },
	{ "guest-idtr-limit", { SET(GUEST_IDTR_LIMIT, 0x10000) }, NULL },
	{ "guest-rip-32", { GUEST_32, SET(GUEST_RIP, BIT(32)) }, NULL },
	{ "guest-rip-64", { SET(GUEST_RIP, BIT(48)) }, NULL },
	{ "guest-rip-64", { SET(GUEST_RIP, BIT(57)) }, la57 },
	{ "guest-rflags-reserved", { FLIP(GUEST_RFLAGS, BIT(15)) }, NULL },
	{ "guest-rflags-reserved", { FLIP(GUEST_RFLAGS, BIT(22)) }, NULL },
	{ "guest-rflags-bit1", { SET(GUEST_RFLAGS, 0) }, NULL },
	{ "guest-rflags-vm", { FLIP(GUEST_RFLAGS, RFLAGS_VM), SET(GUEST_RIP, 0x1000) }, v8086_in_ia32e },
	{ "guest-rflags-if", { SET(ENTRY_INTR_INFO, EXTERNAL) }, NULL },
	{ "guest-ssp-aligned", { WITH(LOAD_CET), SET(GUEST_SSP, 6) }, NULL },
	{ "guest-ssp-32", { GUEST_32, WITH(LOAD_CET), SET(GUEST_SSP, BIT(32)) }, NULL },
	{ "guest-ssp-canonical", { WITH(LOAD_CET), SET(GUEST_SSP, BAD_LINEAR) }, NULL },
};

int main(void) { return check_run_cases("guest registers", cases, ARRAY_LEN(cases), &check_guest_regs); }
