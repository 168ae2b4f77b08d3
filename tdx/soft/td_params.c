/* What TD_PARAMS may say; see the header. */
#include "tdx/soft/td_params.h"

#include "tdx/soft/td_cpuid.h"

/* The only EPTP_CONTROLS: write-back, 4 levels, no accessed and dirty flags, which would undo PROMOTE's compare. */
#define EPTP_4_LEVELS (6 | 3 << 3)

#define XFAM_X87_SSE BITS(1, 0)
#define XFAM_AVX BIT(2)
#define XFAM_AVX512 BITS(7, 5)
#define XFAM_PKRU BIT(9)
/* What fits the pages of a TDVPS that hold the guest's extended state. */
#define XFAM_POSSIBLE (XFAM_X87_SSE | XFAM_AVX | XFAM_AVX512 | XFAM_PKRU)

uint64_t td_attributes_fixed0(const struct soft *m)
{
	(void)m;
	return TDX_ATTR_DEBUG | TDX_ATTR_SEPT_VE_DISABLE;
}

uint64_t td_attributes_fixed1(const struct soft *m)
{
	(void)m;
	return 0;
}

uint64_t td_xfam_fixed0(const struct soft *m) { return (m->platform.cpu.xfam & XFAM_POSSIBLE) | XFAM_X87_SSE; }

uint64_t td_xfam_fixed1(const struct soft *m)
{
	(void)m;
	return XFAM_X87_SSE;
}

uint64_t td_config_flags_fixed0(const struct soft *m)
{
	(void)m;
	return TDX_CONFIG_FLEXIBLE_PENDING_VE | TDX_CONFIG_NO_RBP_MOD;
}

uint64_t td_config_flags_fixed1(const struct soft *m)
{
	(void)m;
	return 0;
}

static bool between(uint64_t value, uint64_t fixed0, uint64_t fixed1)
{
	return !(value & ~fixed0) && (value & fixed1) == fixed1;
}

/* AVX-512 is all of its components or none, and has AVX below it. */
static bool xfam_ok(const struct soft *m, uint64_t xfam)
{
	uint64_t avx512 = xfam & XFAM_AVX512;

	return between(xfam, td_xfam_fixed0(m), td_xfam_fixed1(m)) &&
		(!avx512 || (avx512 == XFAM_AVX512 && (xfam & XFAM_AVX)));
}

/* Guest-physical addresses of 52 bits take an EPT of 5 levels, which there is not. */
static bool eptp_ok(const struct tdx_td_params *p)
{
	return p->eptp_controls == EPTP_4_LEVELS && !(p->config_flags & TDX_CONFIG_GPAW_52);
}

static bool all_zero(const void *bytes, size_t n)
{
	const uint8_t *b = bytes;

	while (n && !b[n - 1])
		n--;
	return !n;
}

static bool reserved_ok(const struct tdx_td_params *p)
{
	return !p->msr_config_ctls && !p->reserved0 && all_zero(p->reserved1, sizeof(p->reserved1)) &&
		!p->arch_capabilities_config && all_zero(p->reserved2, sizeof(p->reserved2));
}

static uint64_t check_controls(const struct soft *m, const struct tdx_td_params *p)
{
	uint64_t flags = td_config_flags_fixed0(m) | TDX_CONFIG_GPAW_52;

	if (!between(p->attributes, td_attributes_fixed0(m), td_attributes_fixed1(m)))
		return invalid(TDX_OP_ATTRIBUTES);
	if (!xfam_ok(m, p->xfam))
		return invalid(TDX_OP_XFAM);
	if (!p->max_vcpus)
		return invalid(TDX_OP_MAX_VCPUS);
	if (p->num_l2_vms)
		return invalid(TDX_OP_NUM_L2_VMS);
	if (!between(p->config_flags, flags, td_config_flags_fixed1(m)))
		return invalid(TDX_OP_EXEC_CONTROLS);
	return eptp_ok(p) ? TDX_SUCCESS : invalid(TDX_OP_EPTP_CONTROLS);
}

static bool cpuid_ok(const struct tdx_cpuid_values *v, const struct td_cpuid_config *config)
{
	const struct tdx_cpuid_values *mask = &config->mask;

	return !(v->eax & ~mask->eax) && !(v->ebx & ~mask->ebx) && !(v->ecx & ~mask->ecx) && !(v->edx & ~mask->edx);
}

/* Entries past the table of what can be configured must say nothing. */
static uint64_t check_cpuid(const struct tdx_td_params *p, uint64_t *leaf)
{
	for (uint32_t i = 0; i < TDX_TD_PARAMS_CPUIDS; i++) {
		const struct td_cpuid_config *config = td_cpuid_config(i);

		*leaf = config ? config->leaf | (uint64_t)config->subleaf << 32 : 0;
		if (config ? !cpuid_ok(&p->cpuid[i], config) : !all_zero(&p->cpuid[i], sizeof(p->cpuid[i])))
			return invalid(TDX_OP_CPUID_CONFIG);
	}
	return TDX_SUCCESS;
}

/* A CPU that cannot scale its TSC has but one to offer. */
static bool tsc_ok(const struct soft *m, uint32_t units)
{
	uint64_t multiplier;

	return units >= TDX_TSC_UNITS_MIN && units <= TDX_TSC_UNITS_MAX &&
		soft_tsc_multiplier(&m->platform.cpu, &m->controls, units, &multiplier);
}

uint64_t td_params_check(const struct soft *m, const struct tdx_td_params *p, uint64_t *leaf)
{
	uint64_t status = check_controls(m, p);

	if (status)
		return status;
	if (!tsc_ok(m, p->tsc_frequency))
		return invalid(TDX_OP_TSC_FREQUENCY);
	if (!reserved_ok(p))
		return invalid(TDX_RDX);
	return check_cpuid(p, leaf);
}
