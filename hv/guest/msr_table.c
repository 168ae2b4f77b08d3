/*
 * All MSRs a guest has, one row each, and the rules for values that a mask cannot say.
 * SDM volume 4 "Model-Specific Registers"; volume 3A "Memory Type Range Registers", "Page Attribute Table".
 */
#include "hv/guest/msr.h"

#include "hv/base/x86.h"

#define ALL (~0ul)
#define LOW32 0xfffffffful

#define MISC_ENABLE_FAST_STRINGS BIT(0)
#define MISC_ENABLE_NO_BTS BIT(11)  /* read-only */
#define MISC_ENABLE_NO_PEBS BIT(12) /* read-only */
#define DEBUGCTL_BTF BIT(1)
#define MCG_STATUS_BITS 7ul
#define MTRR_MASK_VALID BIT(11)
#define MTRR_DEF_TYPE_BITS (BIT(11) | BIT(10) | 0xff)

/* Memory types by their encoding: UC 0, WC 1, WT 4, WP 5, WB 6; UC- 7 in the PAT alone. */
#define MTRR_TYPES 0x73u
#define PAT_TYPES 0xf3u

static bool type_in(uint8_t type, unsigned types) { return type < 8 && (types >> type & 1); }

static bool all_types_in(uint64_t value, unsigned types)
{
	for (unsigned i = 0; i < 64; i += 8)
		if (!type_in(value >> i, types))
			return false;
	return true;
}

/* 48-bit linear addresses: LA57 is hidden. */
static bool valid_canonical(const struct msr_cpu *c, uint32_t msr, uint64_t value)
{
	(void)c;
	(void)msr;
	return is_canonical(value, 48);
}

static bool valid_pat(const struct msr_cpu *c, uint32_t msr, uint64_t value)
{
	(void)c;
	(void)msr;
	return all_types_in(value, PAT_TYPES);
}

static bool valid_mtrr_fixed(const struct msr_cpu *c, uint32_t msr, uint64_t value)
{
	(void)c;
	(void)msr;
	return all_types_in(value, MTRR_TYPES);
}

static bool valid_mtrr_def_type(const struct msr_cpu *c, uint32_t msr, uint64_t value)
{
	(void)c;
	(void)msr;
	return type_in(value, MTRR_TYPES);
}

/* Even numbers are bases with a type, odd ones masks with a valid bit. */
static bool valid_mtrr_variable(const struct msr_cpu *c, uint32_t msr, uint64_t value)
{
	uint64_t address = BITS(c->in.gpa_bits - 1, 12);

	if (msr & 1)
		return !(value & ~(address | MTRR_MASK_VALID));
	return !(value & ~(address | 0xff)) && type_in(value, MTRR_TYPES);
}

static bool valid_efer(const struct msr_cpu *c, uint32_t msr, uint64_t value)
{
	(void)msr;
	return !(value & ~c->efer_mask);
}

static bool valid_spec_ctrl(const struct msr_cpu *c, uint32_t msr, uint64_t value)
{
	(void)msr;
	return !(value & ~c->spec_ctrl_mask);
}

static bool valid_xss(const struct msr_cpu *c, uint32_t msr, uint64_t value)
{
	(void)msr;
	return !(value & ~c->in.cpuid->xss);
}

/* CPUID bits that MSRs depend on. */
#define IF_IBRS { 7, 0, CPUID_EDX, 26 }
#define IF_L1D_FLUSH { 7, 0, CPUID_EDX, 28 }
#define IF_ARCH_CAPABILITIES { 7, 0, CPUID_EDX, 29 }
#define IF_XSAVES { 0xd, 1, CPUID_EAX, 3 }
#define IF_RDTSCP { 0x80000001, 0, CPUID_EDX, 27 }

#define AT(msr) .first = MSR_##msr, .last = MSR_##msr, .name = #msr
#define CONST(msr) { AT(msr), .kind = MSR_KIND_CONST, .slot = MSR_SLOT_##msr }
#define STORE(msr, bits, check) \
	{ AT(msr), .kind = MSR_KIND_STORE, .slot = MSR_SLOT_##msr, .writable = bits, .valid = check }
#define STORES(from, to, text, place, check) \
	{ .first = from, .last = to, .name = text, .kind = MSR_KIND_STORE, .slot = place, .writable = ALL, \
	  .valid = check }
#define SWITCHED(msr, bits, check) \
	{ AT(msr), .kind = MSR_KIND_SWITCHED, .slot = MSR_SLOT_##msr, .writable = bits, .valid = check, \
	  .pass = MSR_PASS_BOTH }
#define BACKEND(msr, bits, check, may) \
	{ AT(msr), .kind = MSR_KIND_BACKEND, .writable = bits, .valid = check, .pass = may }

const struct msr_entry msr_table[] = {
	{ AT(TSC), .kind = MSR_KIND_TSC, .writable = ALL, .pass = MSR_PASS_READ },
	CONST(PLATFORM_ID),
	{ AT(APIC_BASE), .kind = MSR_KIND_APIC, .writable = ALL },
	CONST(EBL_CR_POWERON),
	CONST(FEATURE_CONTROL),
	{ AT(TSC_ADJUST), .kind = MSR_KIND_TSC_ADJUST, .slot = MSR_SLOT_TSC_ADJUST, .writable = ALL },
	{ AT(SPEC_CTRL), .kind = MSR_KIND_SWITCHED, .slot = MSR_SLOT_SPEC_CTRL, .writable = ALL,
	  .valid = valid_spec_ctrl, .pass = MSR_PASS_LAZY, .needs = IF_IBRS },
	{ AT(PRED_CMD), .kind = MSR_KIND_COMMAND, .writable = BIT(0), .pass = MSR_PASS_WRITE,
	  .needs = IF_IBRS },
	{ AT(BIOS_UPDT_TRIG), .kind = MSR_KIND_NO_EFFECT, .writable = ALL },
	{ AT(BIOS_SIGN_ID), .kind = MSR_KIND_CONST, .slot = MSR_SLOT_BIOS_SIGN_ID, .ignored = ALL },
	CONST(PLATFORM_INFO),
	CONST(MTRRCAP),
	{ AT(ARCH_CAPABILITIES), .kind = MSR_KIND_CONST, .slot = MSR_SLOT_ARCH_CAPABILITIES,
	  .needs = IF_ARCH_CAPABILITIES },
	{ AT(FLUSH_CMD), .kind = MSR_KIND_COMMAND, .writable = BIT(0), .pass = MSR_PASS_WRITE,
	  .needs = IF_L1D_FLUSH },
	BACKEND(SYSENTER_CS, LOW32, NULL, MSR_PASS_BOTH),
	BACKEND(SYSENTER_ESP, ALL, valid_canonical, MSR_PASS_BOTH),
	BACKEND(SYSENTER_EIP, ALL, valid_canonical, MSR_PASS_BOTH),
	CONST(MCG_CAP),
	STORE(MCG_STATUS, MCG_STATUS_BITS, NULL),
	CONST(PERF_STATUS),
	{ AT(MISC_ENABLE), .kind = MSR_KIND_STORE, .slot = MSR_SLOT_MISC_ENABLE,
	  .writable = MISC_ENABLE_FAST_STRINGS, .ignored = MISC_ENABLE_NO_BTS | MISC_ENABLE_NO_PEBS },
	BACKEND(DEBUGCTL, DEBUGCTL_BTF, NULL, 0),
	STORES(MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSMASK7, "MTRR_PHYS", MSR_SLOT_MTRR_PHYS, valid_mtrr_variable),
	STORES(MSR_MTRR_FIX64K, MSR_MTRR_FIX64K, "MTRR_FIX64K", MSR_SLOT_MTRR_FIX64K, valid_mtrr_fixed),
	STORES(MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000, "MTRR_FIX16K", MSR_SLOT_MTRR_FIX16K,
	       valid_mtrr_fixed),
	STORES(MSR_MTRR_FIX4K_C0000, MSR_MTRR_FIX4K_F8000, "MTRR_FIX4K", MSR_SLOT_MTRR_FIX4K,
	       valid_mtrr_fixed),
	BACKEND(PAT, ALL, valid_pat, 0),
	STORE(MTRR_DEF_TYPE, MTRR_DEF_TYPE_BITS, valid_mtrr_def_type),
	{ AT(TSC_DEADLINE), .kind = MSR_KIND_APIC, .writable = ALL },
	{ .first = MSR_X2APIC_FIRST, .last = MSR_X2APIC_LAST, .name = "X2APIC", .kind = MSR_KIND_APIC,
	  .writable = ALL },
	{ AT(XSS), .kind = MSR_KIND_STORE, .slot = MSR_SLOT_XSS, .writable = ALL, .valid = valid_xss,
	  .needs = IF_XSAVES },
	BACKEND(EFER, ALL, valid_efer, 0),
	SWITCHED(STAR, ALL, NULL),
	SWITCHED(LSTAR, ALL, valid_canonical),
	SWITCHED(CSTAR, ALL, valid_canonical),
	SWITCHED(FMASK, LOW32, NULL),
	BACKEND(FS_BASE, ALL, valid_canonical, MSR_PASS_BOTH),
	BACKEND(GS_BASE, ALL, valid_canonical, MSR_PASS_BOTH),
	SWITCHED(KERNEL_GS_BASE, ALL, valid_canonical),
	{ AT(TSC_AUX), .kind = MSR_KIND_SWITCHED, .slot = MSR_SLOT_TSC_AUX, .writable = LOW32,
	  .pass = MSR_PASS_BOTH, .needs = IF_RDTSCP },
};

const unsigned msr_table_count = ARRAY_LEN(msr_table);
_Static_assert(ARRAY_LEN(msr_table) <= MSR_TABLE_MAX, "MSR_TABLE_MAX");
