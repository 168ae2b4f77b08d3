/* sources: vmx/check.c vmx/check_controls.c vmx/check_host.c vmx/check_guest_regs.c vmx/check_guest_segs.c vmx/check_nonreg.c tests/unit/check_state.c hv/base/format.c */
/*
 * The entry checker's rules on the host state, one case each.
 */
#include "tests/unit/check_state.h"

#define BAD_LINEAR (1ul << 47)
#define BEYOND BIT(TEST_PHYSICAL_BITS)
#define HOST_32 FLIP(EXIT_CONTROLS, EXIT_HOST_64), FLIP(ENTRY_CONTROLS, ENTRY_IA32E), SET(HOST_RIP, 0x1000), \
	SET(HOST_EFER, 0)

/* A 32-bit host implies a 32-bit guest, whose registers must fit. */
#define GUEST_32 SET(GUEST_EFER, 0), SET(GUEST_RIP, 0x1000)

static void outside_long_mode(struct check_env *env, struct vmx_caps *caps)
{
	(void)caps;
	env->long_mode = false;
}

static const struct check_case cases[] = {
	{ "host-cr0-fixed", { FLIP(HOST_CR0, CR0_NE) }, NULL },
	{ "host-cr0-fixed", { FLIP(HOST_CR0, BIT(32)) }, NULL },
	{ "host-cr4-fixed", { FLIP(HOST_CR4, CR4_VMXE) }, NULL },
	{ "host-cr4-fixed", { FLIP(HOST_CR4, BIT(19)) }, NULL },
	{ "host-cr4-cet", { FLIP(HOST_CR4, CR4_CET), FLIP(HOST_CR0, CR0_WP) }, NULL },
	{ "host-cr3", { FLIP(HOST_CR3, BEYOND) }, NULL },
	{ "host-sysenter-esp", { SET(HOST_SYSENTER_ESP, BAD_LINEAR) }, NULL },
	{ "host-sysenter-eip", { SET(HOST_SYSENTER_EIP, BAD_LINEAR) }, NULL },
	{ "host-perf-global", { FLIP(EXIT_CONTROLS, EXIT_LOAD_PERF_GLOBAL), SET(HOST_PERF_GLOBAL, BIT(20)) }, NULL },
	{ "host-pat", { SET(HOST_PAT, 2) }, NULL },
	{ "host-pat", { SET(HOST_PAT, 8ul << 56) }, NULL },
	{ "host-efer-reserved", { FLIP(HOST_EFER, BIT(1)) }, NULL },
	{ "host-efer-lma", { FLIP(HOST_EFER, EFER_LMA) }, NULL },
	{ "host-efer-lma", { FLIP(HOST_EFER, EFER_LME) }, NULL },
	{ "host-s-cet", { FLIP(EXIT_CONTROLS, EXIT_LOAD_CET), SET(HOST_S_CET, BIT(6)) }, NULL },
	{ "host-s-cet", { FLIP(EXIT_CONTROLS, EXIT_LOAD_CET), SET(HOST_S_CET, BITS(11, 10)) }, NULL },
	{ "host-s-cet", { FLIP(EXIT_CONTROLS, EXIT_LOAD_CET), SET(HOST_S_CET, BAD_LINEAR) }, NULL },
	{ "host-ssp-aligned", { FLIP(EXIT_CONTROLS, EXIT_LOAD_CET), SET(HOST_SSP, 2) }, NULL },
	{ "host-ssp-canonical", { FLIP(EXIT_CONTROLS, EXIT_LOAD_CET), SET(HOST_SSP, BAD_LINEAR) }, NULL },
	{ "host-ssp-table", { FLIP(EXIT_CONTROLS, EXIT_LOAD_CET), SET(HOST_SSP_TABLE, BAD_LINEAR) }, NULL },
	{ "host-pkrs", { FLIP(EXIT_CONTROLS, EXIT_LOAD_PKRS), SET(HOST_PKRS, BIT(32)) }, NULL },
	{ "host-es-bits", { SET(HOST_ES_SEL, 0x13) }, NULL },
	{ "host-cs-bits", { SET(HOST_CS_SEL, 0xb) }, NULL },
	{ "host-ss-bits", { SET(HOST_SS_SEL, 0x14) }, NULL },
	{ "host-ds-bits", { SET(HOST_DS_SEL, 0x11) }, NULL },
	{ "host-fs-bits", { SET(HOST_FS_SEL, 0x12) }, NULL },
	{ "host-gs-bits", { SET(HOST_GS_SEL, 0x14) }, NULL },
	{ "host-tr-bits", { SET(HOST_TR_SEL, 0x1c) }, NULL },
	{ "host-cs-null", { SET(HOST_CS_SEL, 0) }, NULL },
	{ "host-tr-null", { SET(HOST_TR_SEL, 0) }, NULL },
	{ "host-ss-null", { HOST_32, GUEST_32 }, outside_long_mode },
	{ "host-fs-base", { SET(HOST_FS_BASE, BAD_LINEAR) }, NULL },
	{ "host-gs-base", { SET(HOST_GS_BASE, BAD_LINEAR) }, NULL },
	{ "host-gdtr-base", { SET(HOST_GDTR_BASE, BAD_LINEAR) }, NULL },
	{ "host-idtr-base", { SET(HOST_IDTR_BASE, BAD_LINEAR) }, NULL },
	{ "host-tr-base", { SET(HOST_TR_BASE, BAD_LINEAR) }, NULL },
	{ "size-outside-ia32e", { SET(HOST_FS_BASE, 0) }, outside_long_mode },
	{ "size-inside-ia32e", { HOST_32, GUEST_32, SET(HOST_SS_SEL, 0x10) }, NULL },
	{ "size-host32-pcide", { HOST_32, GUEST_32, SET(HOST_SS_SEL, 0x10), FLIP(HOST_CR4, CR4_PCIDE) },
	  outside_long_mode },
	{ "size-host32-rip", { HOST_32, GUEST_32, SET(HOST_SS_SEL, 0x10), SET(HOST_RIP, BIT(32)) },
	  outside_long_mode },
	{ "size-host64-pae", { FLIP(HOST_CR4, CR4_PAE) }, NULL },
	{ "size-host64-rip", { SET(HOST_RIP, BAD_LINEAR) }, NULL },
};

int main(void) { return check_run_cases("host state", cases, ARRAY_LEN(cases), &check_host); }
