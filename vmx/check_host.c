/*
 * VM-entry checks on the host-state area.
 */
#include "vmx/check.h"

#include "vmx/check_rules.h"

#define EXIT(name) CONTROL(CONTROL_EXIT, EXIT_##name)
#define REGS SECTION_HOST_REGISTERS
#define SEGS SECTION_HOST_SEGMENTS
#define EFER_DEFINED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

static bool host_cr0_fixed(const struct check *c, const struct check_rule *r)
{
	uint64_t v = check_field(c, r->field), must = c->env->caps->cr0_fixed0, may = c->env->caps->cr0_fixed1;
	return (v & must) == must && !(v & ~may);
}

static bool host_cr4_fixed(const struct check *c, const struct check_rule *r)
{
	uint64_t v = check_field(c, r->field), must = c->env->caps->cr4_fixed0, may = c->env->caps->cr4_fixed1;
	return (v & must) == must && !(v & ~may);
}

static bool host_cet_needs_wp(const struct check *c, const struct check_rule *r)
{
	return !(check_field(c, r->field) & CR4_CET) || check_field(c, VMCS_HOST_CR0) & CR0_WP;
}

static bool host_size_is(const struct check *c, bool on) { return check_control(c, EXIT(HOST_64)) == on; }

/* LMA and LME must both equal "host address-space size". */
static bool host_efer_lma(const struct check *c, const struct check_rule *r)
{
	uint64_t v = check_field(c, r->field);
	return host_size_is(c, v & EFER_LMA) && host_size_is(c, v & EFER_LME);
}

static bool host_ss_null(const struct check *c, const struct check_rule *r)
{
	return check_control(c, EXIT(HOST_64)) || check_field(c, r->field);
}

/* Outside IA-32e mode neither the guest nor the host may be in it. With the next one this also says
 * what the SDM says again: no 64-bit guest of a 32-bit host. */
static bool size_outside_ia32e(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return c->env->long_mode || (host_size_is(c, false) && !check_ia32e(c));
}

static bool size_inside_ia32e(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return !c->env->long_mode || host_size_is(c, true);
}

/* arg: bits that are 0 when the host is 32-bit. */
static bool host32_clear(const struct check *c, const struct check_rule *r)
{
	return host_size_is(c, true) || check_clear(c, r);
}

static bool host64_pae(const struct check *c, const struct check_rule *r)
{
	return check_field(c, r->field) & CR4_PAE;
}

#define NOT_CANONICAL "is not canonical"
#define SELECTOR_BITS "must have RPL and TI (bits 2:0) 0"
#define NULL_SELECTOR "must not be 0"

static const struct check_rule rules[] = {
	{ "host-cr0-fixed", REGS, VMCS_HOST_CR0, ALWAYS, host_cr0_fixed, 0,
	  "has bits other than the CPU requires fixed (IA32_VMX_CR0_FIXED0 and FIXED1)" },
	{ "host-cr4-fixed", REGS, VMCS_HOST_CR4, ALWAYS, host_cr4_fixed, 0,
	  "has bits other than the CPU requires fixed (IA32_VMX_CR4_FIXED0 and FIXED1)" },
	{ "host-cr4-cet", REGS, VMCS_HOST_CR4, ALWAYS, host_cet_needs_wp, 0, "has CET set while host CR0.WP is 0" },
	{ "host-cr3", REGS, VMCS_HOST_CR3, ALWAYS, check_physical, 0,
	  "has bits set beyond the physical-address width" },
	{ "host-sysenter-esp", REGS, VMCS_HOST_SYSENTER_ESP, ALWAYS, check_canonical, 0, NOT_CANONICAL },
	{ "host-sysenter-eip", REGS, VMCS_HOST_SYSENTER_EIP, ALWAYS, check_canonical, 0, NOT_CANONICAL },
	{ "host-perf-global", REGS, VMCS_HOST_PERF_GLOBAL, EXIT(LOAD_PERF_GLOBAL), check_perf_global, 0,
	  "has reserved bits set" },
	{ "host-pat", REGS, VMCS_HOST_PAT, EXIT(LOAD_PAT), check_pat, 0,
	  "has a byte that is no memory type: 0, 1, 4, 5, 6 or 7" },
	{ "host-efer-reserved", REGS, VMCS_HOST_EFER, EXIT(LOAD_EFER), check_clear, ~EFER_DEFINED,
	  "has reserved bits set" },
	{ "host-efer-lma", REGS, VMCS_HOST_EFER, EXIT(LOAD_EFER), host_efer_lma, 0,
	  "must have LMA and LME equal to \"host address-space size\"" },
	{ "host-s-cet", REGS, VMCS_HOST_S_CET, EXIT(LOAD_CET), check_s_cet, 0,
	  "has reserved bits set, SUPPRESS with TRACKER, or a bitmap address that is not canonical" },
	{ "host-ssp-aligned", REGS, VMCS_HOST_SSP, EXIT(LOAD_CET), check_clear, BITS(1, 0),
	  "is not 4-byte aligned" },
	{ "host-ssp-canonical", REGS, VMCS_HOST_SSP, EXIT(LOAD_CET), check_canonical, 0, NOT_CANONICAL },
	{ "host-ssp-table", REGS, VMCS_HOST_SSP_TABLE, EXIT(LOAD_CET), check_canonical, 0, NOT_CANONICAL },
	{ "host-pkrs", REGS, VMCS_HOST_PKRS, EXIT(LOAD_PKRS), check_clear, BITS(63, 32), "has bits 63:32 set" },

	{ "host-es-bits", SEGS, VMCS_HOST_ES_SEL, ALWAYS, check_clear, 7, SELECTOR_BITS },
	{ "host-cs-bits", SEGS, VMCS_HOST_CS_SEL, ALWAYS, check_clear, 7, SELECTOR_BITS },
	{ "host-ss-bits", SEGS, VMCS_HOST_SS_SEL, ALWAYS, check_clear, 7, SELECTOR_BITS },
	{ "host-ds-bits", SEGS, VMCS_HOST_DS_SEL, ALWAYS, check_clear, 7, SELECTOR_BITS },
	{ "host-fs-bits", SEGS, VMCS_HOST_FS_SEL, ALWAYS, check_clear, 7, SELECTOR_BITS },
	{ "host-gs-bits", SEGS, VMCS_HOST_GS_SEL, ALWAYS, check_clear, 7, SELECTOR_BITS },
	{ "host-tr-bits", SEGS, VMCS_HOST_TR_SEL, ALWAYS, check_clear, 7, SELECTOR_BITS },
	{ "host-cs-null", SEGS, VMCS_HOST_CS_SEL, ALWAYS, check_non_zero, 0, NULL_SELECTOR },
	{ "host-tr-null", SEGS, VMCS_HOST_TR_SEL, ALWAYS, check_non_zero, 0, NULL_SELECTOR },
	{ "host-ss-null", SEGS, VMCS_HOST_SS_SEL, ALWAYS, host_ss_null, 0,
	  "must not be 0 while \"host address-space size\" is 0" },
	{ "host-fs-base", SEGS, VMCS_HOST_FS_BASE, ALWAYS, check_canonical, 0, NOT_CANONICAL },
	{ "host-gs-base", SEGS, VMCS_HOST_GS_BASE, ALWAYS, check_canonical, 0, NOT_CANONICAL },
	{ "host-gdtr-base", SEGS, VMCS_HOST_GDTR_BASE, ALWAYS, check_canonical, 0, NOT_CANONICAL },
	{ "host-idtr-base", SEGS, VMCS_HOST_IDTR_BASE, ALWAYS, check_canonical, 0, NOT_CANONICAL },
	{ "host-tr-base", SEGS, VMCS_HOST_TR_BASE, ALWAYS, check_canonical, 0, NOT_CANONICAL },

	{ "size-outside-ia32e", SECTION_HOST_SIZE, VMCS_EXIT_CONTROLS, ALWAYS, size_outside_ia32e, 0,
	  "asks for 64-bit host or guest while the CPU is not in IA-32e mode" },
	{ "size-inside-ia32e", SECTION_HOST_SIZE, VMCS_EXIT_CONTROLS, ALWAYS, size_inside_ia32e, 0,
	  "lacks \"host address-space size\" while the CPU is in IA-32e mode" },
	{ "size-host32-pcide", SECTION_HOST_SIZE, VMCS_HOST_CR4, ALWAYS, host32_clear, CR4_PCIDE,
	  "has PCIDE set while \"host address-space size\" is 0" },
	{ "size-host32-rip", SECTION_HOST_SIZE, VMCS_HOST_RIP, ALWAYS, host32_clear, BITS(63, 32),
	  "has bits 63:32 set while \"host address-space size\" is 0" },
	{ "size-host64-pae", SECTION_HOST_SIZE, VMCS_HOST_CR4, EXIT(HOST_64), host64_pae, 0,
	  "lacks PAE while \"host address-space size\" is 1" },
	{ "size-host64-rip", SECTION_HOST_SIZE, VMCS_HOST_RIP, EXIT(HOST_64), check_canonical, 0, NOT_CANONICAL },
};

const struct check_table check_host = { rules, ARRAY_LEN(rules) };
