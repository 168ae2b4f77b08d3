/*
 * The entry checker's rules on the host state, one case each.
 */
#include "tests/entry_rules/rules.h"

#define BAD_LINEAR (1ul << 47)
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
	{ "host-cr0-fixed", .edits = { FLIP(HOST_CR0, CR0_NE) } },
	{ "host-cr0-fixed", .edits = { FLIP(HOST_CR0, BIT(32)) } },
	{ "host-cr4-fixed", .edits = { FLIP(HOST_CR4, CR4_VMXE) } },
	{ "host-cr4-fixed", .edits = { FLIP(HOST_CR4, BIT(19)) } },
	{ "host-cr4-cet", .edits = { FLIP(HOST_CR4, CR4_CET), FLIP(HOST_CR0, CR0_WP) } },
	{ "host-cr3", .edits = { BEYOND(HOST_CR3) } },
	{ "host-sysenter-esp", .edits = { SET(HOST_SYSENTER_ESP, BAD_LINEAR) } },
	{ "host-sysenter-eip", .edits = { SET(HOST_SYSENTER_EIP, BAD_LINEAR) } },
	{ "host-perf-global",
	  .edits = { FLIP(EXIT_CONTROLS, EXIT_LOAD_PERF_GLOBAL), SET(HOST_PERF_GLOBAL, BIT(20)) } },
	{ "host-pat", .edits = { SET(HOST_PAT, 2) } },
	{ "host-pat", .edits = { SET(HOST_PAT, 8ul << 56) } },
	{ "host-efer-reserved", .edits = { FLIP(HOST_EFER, BIT(1)) } },
	{ "host-efer-lma", .edits = { FLIP(HOST_EFER, EFER_LMA) } },
	{ "host-efer-lma", .edits = { FLIP(HOST_EFER, EFER_LME) } },
	{ "host-s-cet", .edits = { FLIP(EXIT_CONTROLS, EXIT_LOAD_CET), SET(HOST_S_CET, BIT(6)) } },
	{ "host-s-cet", .edits = { FLIP(EXIT_CONTROLS, EXIT_LOAD_CET), SET(HOST_S_CET, BITS(11, 10)) } },
	{ "host-s-cet", .edits = { FLIP(EXIT_CONTROLS, EXIT_LOAD_CET), SET(HOST_S_CET, BAD_LINEAR) } },
	{ "host-ssp-aligned", .edits = { FLIP(EXIT_CONTROLS, EXIT_LOAD_CET), SET(HOST_SSP, 2) } },
	{ "host-ssp-canonical", .edits = { FLIP(EXIT_CONTROLS, EXIT_LOAD_CET), SET(HOST_SSP, BAD_LINEAR) } },
	{ "host-ssp-table",
	  .edits = { FLIP(EXIT_CONTROLS, EXIT_LOAD_CET), SET(HOST_SSP_TABLE, BAD_LINEAR) } },
	{ "host-pkrs", .edits = { FLIP(EXIT_CONTROLS, EXIT_LOAD_PKRS), SET(HOST_PKRS, BIT(32)) } },
	{ "host-es-bits", .edits = { SET(HOST_ES_SEL, 0x13) } },
	{ "host-cs-bits", .edits = { SET(HOST_CS_SEL, 0xb) } },
	{ "host-ss-bits", .edits = { SET(HOST_SS_SEL, 0x14) } },
	{ "host-ds-bits", .edits = { SET(HOST_DS_SEL, 0x11) } },
	{ "host-fs-bits", .edits = { SET(HOST_FS_SEL, 0x12) } },
	{ "host-gs-bits", .edits = { SET(HOST_GS_SEL, 0x14) } },
	{ "host-tr-bits", .edits = { SET(HOST_TR_SEL, 0x1c) } },
	{ "host-cs-null", .edits = { SET(HOST_CS_SEL, 0) } },
	{ "host-tr-null", .edits = { SET(HOST_TR_SEL, 0) } },
	{ "host-ss-null", .edits = { HOST_32, GUEST_32 }, .cpu = outside_long_mode },
	{ "host-fs-base", .edits = { SET(HOST_FS_BASE, BAD_LINEAR) } },
	{ "host-gs-base", .edits = { SET(HOST_GS_BASE, BAD_LINEAR) } },
	{ "host-gdtr-base", .edits = { SET(HOST_GDTR_BASE, BAD_LINEAR) } },
	{ "host-idtr-base", .edits = { SET(HOST_IDTR_BASE, BAD_LINEAR) } },
	{ "host-tr-base", .edits = { SET(HOST_TR_BASE, BAD_LINEAR) } },
	{ "size-outside-ia32e", .edits = { SET(HOST_FS_BASE, 0) }, .cpu = outside_long_mode },
	{ "size-inside-ia32e", .edits = { HOST_32, GUEST_32, SET(HOST_SS_SEL, 0x10) } },
	{ "size-host32-pcide",
	  .edits = { HOST_32, GUEST_32, SET(HOST_SS_SEL, 0x10), FLIP(HOST_CR4, CR4_PCIDE) },
	  .cpu = outside_long_mode },
	{ "size-host32-rip", .edits = { HOST_32, GUEST_32, SET(HOST_SS_SEL, 0x10), SET(HOST_RIP, BIT(32)) },
	  .cpu = outside_long_mode },
	{ "size-host64-pae", .edits = { FLIP(HOST_CR4, CR4_PAE) } },
	{ "size-host64-rip", .edits = { SET(HOST_RIP, BAD_LINEAR) } },
};

const struct check_cases cases_host = { cases, ARRAY_LEN(cases), &check_host, "host state" };
