/*
 * VM-entry checks on the guest's control registers, debug registers, MSRs, descriptor-table
 * registers, RIP, RFLAGS and SSP.
 */
#include "vmx/check.h"

#include "vmx/check_rules.h"

#define ENTRY(name) CONTROL(CONTROL_ENTRY, ENTRY_##name)
#define REGS SECTION_GUEST_REGISTERS
#define EFER_DEFINED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define DEBUGCTL_DEFINED (BITS(2, 0) | BITS(15, 6))
#define RFLAGS_RESERVED (BITS(63, 22) | BIT(15) | BIT(5) | BIT(3))
#define AR_LONG_MODE BIT(13)

/* NW and CD are never looked at, PE and PG not for an unrestricted guest. */
static bool guest_cr0_fixed(const struct check *c, const struct check_rule *r)
{
	uint64_t free_bits = CR0_NW | CR0_CD | (check_unrestricted(c) ? CR0_PE | CR0_PG : 0);
	uint64_t v = check_field(c, r->field), must = c->env->caps->cr0_fixed0, may = c->env->caps->cr0_fixed1;

	return !(must & ~v & ~free_bits) && !(v & ~may & ~free_bits);
}

static bool guest_cr0_pg_pe(const struct check *c, const struct check_rule *r)
{
	uint64_t v = check_field(c, r->field);
	return !(v & CR0_PG) || v & CR0_PE;
}

static bool guest_cr4_fixed(const struct check *c, const struct check_rule *r)
{
	uint64_t v = check_field(c, r->field), must = c->env->caps->cr4_fixed0, may = c->env->caps->cr4_fixed1;
	return (v & must) == must && !(v & ~may);
}

static bool guest_cet_needs_wp(const struct check *c, const struct check_rule *r)
{
	return !(check_field(c, r->field) & CR4_CET) || check_field(c, VMCS_GUEST_CR0) & CR0_WP;
}

/* arg: bits that are 1. */
static bool bits_set(const struct check *c, const struct check_rule *r)
{
	return (check_field(c, r->field) & r->arg) == r->arg;
}

static bool legacy_no_pcide(const struct check *c, const struct check_rule *r)
{
	return check_ia32e(c) || !(check_field(c, r->field) & CR4_PCIDE);
}

static bool guest_efer_lma(const struct check *c, const struct check_rule *r)
{
	return !!(check_field(c, r->field) & EFER_LMA) == check_ia32e(c);
}

static bool guest_efer_lme(const struct check *c, const struct check_rule *r)
{
	uint64_t v = check_field(c, r->field);
	return !(check_field(c, VMCS_GUEST_CR0) & CR0_PG) || !(v & EFER_LMA) == !(v & EFER_LME);
}

static bool rtit_while_tracing(const struct check *c, const struct check_rule *r)
{
	(void)r;
	return !c->env->tracing;
}

static bool rtit_ctl(const struct check *c, const struct check_rule *r)
{
	return !(check_field(c, r->field) & ~c->env->rtit_ctl_valid);
}

static bool lbr_ctl(const struct check *c, const struct check_rule *r)
{
	return !(check_field(c, r->field) & ~c->env->lbr_ctl_valid);
}

static bool in_64bit_code(const struct check *c)
{
	return check_ia32e(c) && check_field(c, VMCS_GUEST_CS_AR) & AR_LONG_MODE;
}

static bool rip_32bit(const struct check *c, const struct check_rule *r)
{
	return in_64bit_code(c) || !(check_field(c, r->field) >> 32);
}

/* RIP may lie one byte behind the lower half: only the bits above the linear-address width count. */
static bool rip_64bit(const struct check *c, const struct check_rule *r)
{
	unsigned bits = c->env->la57 ? 57 : 48;
	uint64_t upper = check_field(c, r->field) >> bits;

	return !in_64bit_code(c) || !upper || upper == BITS(63, 0) >> bits;
}

static bool rflags_vm(const struct check *c, const struct check_rule *r)
{
	bool possible = !check_ia32e(c) && check_field(c, VMCS_GUEST_CR0) & CR0_PE;
	return possible || !(check_field(c, r->field) & RFLAGS_VM);
}

static bool rflags_if(const struct check *c, const struct check_rule *r)
{
	bool external = c->intr_info & INTR_VALID && INTR_TYPE(c->intr_info) == INTR_EXTERNAL;
	return !external || check_field(c, r->field) & RFLAGS_IF;
}

static bool ssp_32bit(const struct check *c, const struct check_rule *r)
{
	return check_ia32e(c) || !(check_field(c, r->field) >> 32);
}

#define NOT_CANONICAL "is not canonical"
#define RESERVED "has reserved bits set"

static const struct check_rule rules[] = {
	{ "guest-cr0-fixed", REGS, VMCS_GUEST_CR0, ALWAYS, guest_cr0_fixed, 0,
	  "has bits other than the CPU requires fixed (IA32_VMX_CR0_FIXED0 and FIXED1)" },
	{ "guest-cr0-pg", REGS, VMCS_GUEST_CR0, ALWAYS, guest_cr0_pg_pe, 0, "has PG set without PE" },
	{ "guest-cr4-fixed", REGS, VMCS_GUEST_CR4, ALWAYS, guest_cr4_fixed, 0,
	  "has bits other than the CPU requires fixed (IA32_VMX_CR4_FIXED0 and FIXED1)" },
	{ "guest-cr4-cet", REGS, VMCS_GUEST_CR4, ALWAYS, guest_cet_needs_wp, 0, "has CET set while CR0.WP is 0" },
	{ "guest-debugctl", REGS, VMCS_GUEST_DEBUGCTL, ENTRY(LOAD_DEBUG), check_clear, ~DEBUGCTL_DEFINED, RESERVED },
	{ "guest-ia32e-pg", REGS, VMCS_GUEST_CR0, ENTRY(IA32E), bits_set, CR0_PG,
	  "lacks PG, which \"IA-32e mode guest\" needs" },
	{ "guest-ia32e-pae", REGS, VMCS_GUEST_CR4, ENTRY(IA32E), bits_set, CR4_PAE,
	  "lacks PAE, which \"IA-32e mode guest\" needs" },
	{ "guest-pcide", REGS, VMCS_GUEST_CR4, ALWAYS, legacy_no_pcide, 0,
	  "has PCIDE set while \"IA-32e mode guest\" is 0" },
	{ "guest-cr3", REGS, VMCS_GUEST_CR3, ALWAYS, check_physical, 0,
	  "has bits set beyond the physical-address width" },
	{ "guest-dr7", REGS, VMCS_GUEST_DR7, ENTRY(LOAD_DEBUG), check_clear, BITS(63, 32), "has bits 63:32 set" },
	{ "guest-sysenter-esp", REGS, VMCS_GUEST_SYSENTER_ESP, ALWAYS, check_canonical, 0, NOT_CANONICAL },
	{ "guest-sysenter-eip", REGS, VMCS_GUEST_SYSENTER_EIP, ALWAYS, check_canonical, 0, NOT_CANONICAL },
	{ "guest-perf-global", REGS, VMCS_GUEST_PERF_GLOBAL, ENTRY(LOAD_PERF_GLOBAL), check_perf_global, 0, RESERVED },
	{ "guest-pat", REGS, VMCS_GUEST_PAT, ENTRY(LOAD_PAT), check_pat, 0,
	  "has a byte that is no memory type: 0, 1, 4, 5, 6 or 7" },
	{ "guest-efer-reserved", REGS, VMCS_GUEST_EFER, ENTRY(LOAD_EFER), check_clear, ~EFER_DEFINED, RESERVED },
	{ "guest-efer-lma", REGS, VMCS_GUEST_EFER, ENTRY(LOAD_EFER), guest_efer_lma, 0,
	  "must have LMA equal to \"IA-32e mode guest\"" },
	{ "guest-efer-lme", REGS, VMCS_GUEST_EFER, ENTRY(LOAD_EFER), guest_efer_lme, 0,
	  "must have LMA equal to LME while CR0.PG is 1" },
	{ "guest-bndcfgs-reserved", REGS, VMCS_GUEST_BNDCFGS, ENTRY(LOAD_BNDCFGS), check_clear, BITS(11, 2), RESERVED },
	{ "guest-bndcfgs-base", REGS, VMCS_GUEST_BNDCFGS, ENTRY(LOAD_BNDCFGS), check_canonical, 0,
	  "has a bound-directory base that is not canonical" },
	{ "guest-rtit-tracing", REGS, VMCS_ENTRY_CONTROLS, ENTRY(LOAD_RTIT), rtit_while_tracing, 0,
	  "has \"load IA32_RTIT_CTL\" while the CPU is tracing" },
	{ "guest-rtit-ctl", REGS, VMCS_GUEST_RTIT_CTL, ENTRY(LOAD_RTIT), rtit_ctl, 0, RESERVED },
	{ "guest-s-cet", REGS, VMCS_GUEST_S_CET, ENTRY(LOAD_CET), check_s_cet, 0,
	  "has reserved bits set, SUPPRESS with TRACKER, or a bitmap address that is not canonical" },
	{ "guest-ssp-table", REGS, VMCS_GUEST_SSP_TABLE, ENTRY(LOAD_CET), check_canonical, 0, NOT_CANONICAL },
	{ "guest-lbr-ctl", REGS, VMCS_GUEST_LBR_CTL, ENTRY(LOAD_LBR), lbr_ctl, 0, RESERVED },
	{ "guest-pkrs", REGS, VMCS_GUEST_PKRS, ENTRY(LOAD_PKRS), check_clear, BITS(63, 32), "has bits 63:32 set" },
	{ "guest-uinv", REGS, VMCS_GUEST_UINV, ENTRY(LOAD_UINV), check_clear, BITS(15, 8), "has bits 15:8 set" },

	{ "guest-gdtr-base", SECTION_GUEST_TABLES, VMCS_GUEST_GDTR_BASE, ALWAYS, check_canonical, 0, NOT_CANONICAL },
	{ "guest-idtr-base", SECTION_GUEST_TABLES, VMCS_GUEST_IDTR_BASE, ALWAYS, check_canonical, 0, NOT_CANONICAL },
	{ "guest-gdtr-limit", SECTION_GUEST_TABLES, VMCS_GUEST_GDTR_LIMIT, ALWAYS, check_clear, BITS(31, 16),
	  "has bits 31:16 set" },
	{ "guest-idtr-limit", SECTION_GUEST_TABLES, VMCS_GUEST_IDTR_LIMIT, ALWAYS, check_clear, BITS(31, 16),
	  "has bits 31:16 set" },

	{ "guest-rip-32", SECTION_GUEST_RIP, VMCS_GUEST_RIP, ALWAYS, rip_32bit, 0,
	  "has bits 63:32 set outside 64-bit code" },
	{ "guest-rip-64", SECTION_GUEST_RIP, VMCS_GUEST_RIP, ALWAYS, rip_64bit, 0,
	  "has upper bits that differ from each other beyond the linear-address width" },
	{ "guest-rflags-reserved", SECTION_GUEST_RIP, VMCS_GUEST_RFLAGS, ALWAYS, check_clear, RFLAGS_RESERVED,
	  "has reserved bits set: 63:22, 15, 5 or 3" },
	{ "guest-rflags-bit1", SECTION_GUEST_RIP, VMCS_GUEST_RFLAGS, ALWAYS, bits_set, RFLAGS_FIXED1,
	  "lacks bit 1, which is always 1" },
	{ "guest-rflags-vm", SECTION_GUEST_RIP, VMCS_GUEST_RFLAGS, ALWAYS, rflags_vm, 0,
	  "has VM set in IA-32e mode or without CR0.PE" },
	{ "guest-rflags-if", SECTION_GUEST_RIP, VMCS_GUEST_RFLAGS, ALWAYS, rflags_if, 0,
	  "lacks IF, which injecting an external interrupt needs" },
	{ "guest-ssp-aligned", SECTION_GUEST_RIP, VMCS_GUEST_SSP, ENTRY(LOAD_CET), check_clear, BITS(1, 0),
	  "is not 4-byte aligned" },
	{ "guest-ssp-32", SECTION_GUEST_RIP, VMCS_GUEST_SSP, ENTRY(LOAD_CET), ssp_32bit, 0,
	  "has bits 63:32 set while \"IA-32e mode guest\" is 0" },
	{ "guest-ssp-canonical", SECTION_GUEST_RIP, VMCS_GUEST_SSP, ENTRY(LOAD_CET), check_canonical, 0,
	  NOT_CANONICAL },
};

const struct check_table check_guest_regs = { rules, ARRAY_LEN(rules) };
