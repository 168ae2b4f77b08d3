/*
 * The table of measures against leaks, and its reading.
 */
#include "vmx/core/leaks.h"

/* CPUID.(7,0). */
#define EBX_RTM BIT(11)
#define EDX_MD_CLEAR BIT(10)
#define EDX_IBRS_IBPB BIT(26)
#define EDX_STIBP BIT(27)
#define EDX_L1D_FLUSH BIT(28)
#define EDX_SSBD BIT(31)

/* IA32_ARCH_CAPABILITIES. */
#define RDCL_NO BIT(0)
#define IBRS_ALL BIT(1)
#define SKIP_L1DFL_VMENTRY BIT(3)
#define MDS_NO BIT(5)
#define TAA_NO BIT(8)
#define SBDR_SSDP_NO BIT(13)
#define FBSDP_NO BIT(14)
#define PSDP_NO BIT(15)
#define FB_CLEAR BIT(17)
#define PBRSB_NO BIT(24)
#define RFDS_NO BIT(27)
#define RFDS_CLEAR BIT(28)

#define SPEC_CTRL_IBRS BIT(0)

#define MMIO_IMMUNE (SBDR_SSDP_NO | FBSDP_NO | PSDP_NO)

/* VERW overwrites buffers as a side effect where one of these says so. */
static bool verw_clears(const struct leak_facts *f)
{
	return f->leaf7_edx & EDX_MD_CLEAR || f->arch_capabilities & (FB_CLEAR | RFDS_CLEAR);
}

static bool l1d_flush_offered(const struct leak_facts *f) { return f->leaf7_edx & EDX_L1D_FLUSH; }
static bool ibpb_offered(const struct leak_facts *f) { return f->leaf7_edx & EDX_IBRS_IBPB; }

/* CALLs fill the return stack buffer of any CPU; its owner says with IBRS that it matters. */
static bool rsb_offered(const struct leak_facts *f) { return f->leaf7_edx & EDX_IBRS_IBPB; }

static bool spec_ctrl_offered(const struct leak_facts *f)
{
	return f->leaf7_edx & (EDX_IBRS_IBPB | EDX_STIBP | EDX_SSBD);
}

/* L1 terminal fault: what is in the first-level cache, by EPT entries that are not present. */
static bool l1d_flush_needed(const struct leak_facts *f)
{
	return !(f->arch_capabilities & (RDCL_NO | SKIP_L1DFL_VMENTRY));
}

/* Data sampling, the same by transaction aborts, MMIO stale data, register-file data sampling. */
static bool verw_needed(const struct leak_facts *f)
{
	uint64_t caps = f->arch_capabilities;
	bool md_clear = f->leaf7_edx & EDX_MD_CLEAR;

	return (md_clear && !(caps & MDS_NO)) || (md_clear && f->leaf7_ebx & EBX_RTM && !(caps & TAA_NO)) ||
	       (caps & FB_CLEAR && (caps & MMIO_IMMUNE) != MMIO_IMMUNE) || (caps & RFDS_CLEAR && !(caps & RFDS_NO));
}

/* Enhanced IBRS keeps a guest's returns apart from the hypervisor's, unless post-barrier returns leak. */
static bool rsb_needed(const struct leak_facts *f)
{
	return !(f->arch_capabilities & IBRS_ALL) || !(f->arch_capabilities & PBRSB_NO);
}

static bool always(const struct leak_facts *f)
{
	(void)f;
	return true;
}

static const struct {
	enum feature feature;
	bool (*offered)(const struct leak_facts *f);
	bool (*needed)(const struct leak_facts *f);
} measures[] = {
	{ FEATURE_L1D_FLUSH, l1d_flush_offered, l1d_flush_needed },
	{ FEATURE_VERW, verw_clears, verw_needed },
	{ FEATURE_RSB_FILL, rsb_offered, rsb_needed },
	{ FEATURE_IBPB, ibpb_offered, always },
	{ FEATURE_SPEC_CTRL, spec_ctrl_offered, always },
};

feature_set_t leaks_scope(void)
{
	feature_set_t set = 0;

	for (size_t i = 0; i < ARRAY_LEN(measures); i++)
		set |= BIT(measures[i].feature);
	return set;
}

feature_set_t leaks_offered(const struct leak_facts *f)
{
	feature_set_t set = 0;

	for (size_t i = 0; i < ARRAY_LEN(measures); i++)
		if (measures[i].offered(f))
			set |= BIT(measures[i].feature);
	return set;
}

feature_set_t leaks_needed(const struct leak_facts *f)
{
	feature_set_t set = leaks_offered(f);

	for (size_t i = 0; i < ARRAY_LEN(measures); i++)
		if (!measures[i].needed(f))
			set &= ~BIT(measures[i].feature);
	return set;
}

/* Flushing the first-level cache overwrites what VERW would. */
feature_set_t leaks_used(const struct leak_facts *f, feature_set_t disabled)
{
	feature_set_t set = leaks_needed(f) & ~disabled;

	return set & BIT(FEATURE_L1D_FLUSH) ? set & ~BIT(FEATURE_VERW) : set;
}

uint64_t leaks_spec_ctrl(const struct leak_facts *f, feature_set_t disabled)
{
	bool enhanced = f->leaf7_edx & EDX_IBRS_IBPB && f->arch_capabilities & IBRS_ALL;

	return enhanced && leaks_used(f, disabled) & BIT(FEATURE_SPEC_CTRL) ? SPEC_CTRL_IBRS : 0;
}
