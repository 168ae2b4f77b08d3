/*
 * Reading and writing a guest's MSRs by the table.
 */
#include "hv/guest/msr.h"

#include <string.h>

#include "hv/base/panic.h"
#include "hv/base/x86.h"
#include "hv/guest/guest.h"

#define FEATURE_CONTROL_LOCKED BIT(0) /* and no VMX */
#define MISC_ENABLE_POWER_ON 0x1801ul /* fast strings; BTS and PEBS unavailable */

#define MTRRCAP_VARIABLE 8ul
#define MTRRCAP_FIXED BIT(8)
#define MTRRCAP_WC BIT(10)
#define MTRR_UC 0ul
#define MTRR_WB 6ul
#define MTRR_ENABLE BIT(11)
#define MTRR_FIXED_ENABLE BIT(10)
#define MTRR_VALID BIT(11)
#define ALL_WB 0x0606060606060606ul

/* What a guest may be told of IA32_ARCH_CAPABILITIES: immunities (RDCL_NO, SKIP_L1DFL, SSB_NO, MDS_NO,
 * IF_PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO) and
 * behaviour (IBRS_ALL, RSBA, FB_CLEAR, RRSBA, RFDS_CLEAR), but no control a guest does not have. */
#define ARCH_CAPABILITIES_SHOWN \
	(BITS(6, 0) | BIT(8) | BITS(15, 13) | BIT(17) | BIT(19) | BIT(20) | BIT(24) | BITS(28, 26))

/* EFER bits, and bits of IA32_SPEC_CTRL, that exist when CPUID shows a feature. */
static const struct {
	struct cpuid_bit needs;
	uint64_t efer, spec_ctrl;
} control_bits[] = {
	{ { 0x80000001, 0, CPUID_EDX, 11 }, EFER_SCE, 0 },
	{ { 0x80000001, 0, CPUID_EDX, 29 }, EFER_LME | EFER_LMA, 0 },
	{ { 0x80000001, 0, CPUID_EDX, 20 }, EFER_NXE, 0 },
	{ { 7, 0, CPUID_EDX, 26 }, 0, BIT(0) },          /* IBRS */
	{ { 7, 0, CPUID_EDX, 27 }, 0, BIT(1) },          /* STIBP */
	{ { 7, 0, CPUID_EDX, 31 }, 0, BIT(2) },          /* SSBD */
	{ { 7, 2, CPUID_EDX, 1 }, 0, BIT(3) | BIT(4) },  /* IPRED_DIS_U, _S */
	{ { 7, 2, CPUID_EDX, 2 }, 0, BIT(5) | BIT(6) },  /* RRSBA_DIS_U, _S */
	{ { 7, 2, CPUID_EDX, 0 }, 0, BIT(7) },           /* PSFD */
	{ { 7, 2, CPUID_EDX, 3 }, 0, BIT(8) },           /* DDPD_U */
	{ { 7, 2, CPUID_EDX, 4 }, 0, BIT(10) },          /* BHI_DIS_S */
};

const struct msr_entry *msr_find(uint32_t msr)
{
	unsigned low = 0, high = msr_table_count;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (msr > msr_table[mid].last)
			low = mid + 1;
		else
			high = mid;
	}
	return low < msr_table_count && msr >= msr_table[low].first ? &msr_table[low] : NULL;
}

/* The entry of an MSR that the guest has, else NULL. */
static inline const struct msr_entry *entry_of(const struct msr_cpu *c, uint32_t msr)
{
	unsigned number = 0;

	if (LIKELY(msr < MSR_LOW_COUNT))
		number = c->low[msr];
	else if (LIKELY(msr - MSR_HIGH_FIRST < MSR_HIGH_COUNT))
		number = c->high[msr - MSR_HIGH_FIRST];
	return LIKELY(number) ? &msr_table[number - 1] : NULL;
}

bool msr_present(const struct msr_cpu *c, const struct msr_entry *e) { return c->present[e - msr_table]; }

uint8_t msr_pass(const struct msr_cpu *c, const struct msr_entry *e)
{
	return msr_present(c, e) ? e->pass : 0;
}

/* What the guest has not: #GP where CPUID hides it and, in strict VMs, where the table has no such MSR. */
static NOINLINE bool unknown(struct msr_cpu *c, uint32_t msr)
{
	if (msr_find(msr))
		return false;
	c->unknown_count++;
	c->unknown_last = msr;
	return !c->in.strict;
}

static uint64_t *value_of(struct msr_cpu *c, const struct msr_entry *e, uint32_t msr)
{
	return &c->values[e->slot + (msr - e->first)];
}

/* What is not kept in values. */
static NOINLINE bool read_elsewhere(struct msr_cpu *c, const struct msr_entry *e, uint32_t msr, uint64_t *value)
{
	switch (e->kind) {
	case MSR_KIND_SWITCHED:
	case MSR_KIND_BACKEND:
	case MSR_KIND_APIC:
		return c->in.host->read(c->in.ctx, msr, value);
	case MSR_KIND_TSC:
		*value = c->in.host->tsc(c->in.ctx);
		return true;
	default: /* write-only */
		return false;
	}
}

bool msr_read(struct msr_cpu *c, uint32_t msr, uint64_t *value)
{
	const struct msr_entry *e = entry_of(c, msr);

	*value = 0;
	if (UNLIKELY(!e))
		return unknown(c, msr);
	if (UNLIKELY(e->kind > MSR_KIND_TSC_ADJUST))
		return read_elsewhere(c, e, msr, value);
	*value = *value_of(c, e, msr);
	return true;
}

/* Writing the TSC moves IA32_TSC_ADJUST by as much, and the other way round: SDM volume 3B
 * "IA32_TSC_ADJUST Register Support". */
static void move_tsc(struct msr_cpu *c, uint64_t delta)
{
	c->values[MSR_SLOT_TSC_ADJUST] += delta;
	c->in.host->tsc_shift(c->in.ctx, delta);
}

static NOINLINE bool write_checked(struct msr_cpu *c, const struct msr_entry *e, uint32_t msr, uint64_t value)
{
	uint64_t *kept;

	switch (e->kind) {
	case MSR_KIND_STORE:
		kept = value_of(c, e, msr);
		*kept = (*kept & ~e->writable) | (value & e->writable);
		return true;
	case MSR_KIND_SWITCHED:
	case MSR_KIND_BACKEND:
	case MSR_KIND_APIC:
	case MSR_KIND_COMMAND:
		return c->in.host->write(c->in.ctx, msr, value);
	case MSR_KIND_TSC:
		move_tsc(c, value - c->in.host->tsc(c->in.ctx));
		return true;
	case MSR_KIND_TSC_ADJUST:
		move_tsc(c, value - c->values[MSR_SLOT_TSC_ADJUST]);
		return true;
	case MSR_KIND_CONST:
	case MSR_KIND_NO_EFFECT:
		break;
	}
	return true;
}

static NOINLINE bool write_valid(struct msr_cpu *c, const struct msr_entry *e, uint32_t msr, uint64_t value)
{
	return e->valid(c, msr, value) && write_checked(c, e, msr, value);
}

bool msr_write(struct msr_cpu *c, uint32_t msr, uint64_t value)
{
	const struct msr_entry *e = entry_of(c, msr);

	if (UNLIKELY(!e))
		return unknown(c, msr);
	if (UNLIKELY((value & ~(e->writable | e->ignored)) || !(e->writable | e->ignored)))
		return false;
	return e->valid ? write_valid(c, e, msr, value) : write_checked(c, e, msr, value);
}

static void init_constants(struct msr_cpu *c)
{
	uint64_t ratio = (c->in.tsc_khz + 50000) / 100000; /* of the 100 MHz bus clock */

	c->values[MSR_SLOT_FEATURE_CONTROL] = FEATURE_CONTROL_LOCKED;
	c->values[MSR_SLOT_BIOS_SIGN_ID] = c->in.microcode;
	c->values[MSR_SLOT_PLATFORM_INFO] = min_u64(ratio, 0xff) << 8;
	c->values[MSR_SLOT_PERF_STATUS] = min_u64(ratio, 0xff) << 8;
	c->values[MSR_SLOT_MTRRCAP] = c->in.td ? 0 : MTRRCAP_VARIABLE | MTRRCAP_FIXED | MTRRCAP_WC;
	c->values[MSR_SLOT_ARCH_CAPABILITIES] = c->in.arch_capabilities & ARCH_CAPABILITIES_SHOWN;
}

static void index_entry(struct msr_cpu *c, unsigned i)
{
	for (uint32_t msr = msr_table[i].first; msr <= msr_table[i].last; msr++) {
		INVARIANT(msr < MSR_LOW_COUNT || msr - MSR_HIGH_FIRST < MSR_HIGH_COUNT);
		*(msr < MSR_LOW_COUNT ? &c->low[msr] : &c->high[msr - MSR_HIGH_FIRST]) = (uint8_t)(i + 1);
	}
}

/* What a TD asks its host about is what its module does not keep for it: TDX Module 1.5 base specification,
 * "MSR Virtualization". It has no memory type ranges either: memory is write-back whatever they said. */
static bool absent_in_td(const struct msr_entry *e)
{
	switch (e->kind) {
	case MSR_KIND_SWITCHED:
	case MSR_KIND_BACKEND:
	case MSR_KIND_TSC:
	case MSR_KIND_TSC_ADJUST:
	case MSR_KIND_COMMAND:
		return true;
	default:
		return e->first == MSR_XSS ||
		       (e->first >= MSR_MTRR_PHYSBASE0 && e->last <= MSR_MTRR_FIX4K_F8000);
	}
}

static bool has_entry(const struct msr_inputs *in, const struct msr_entry *e)
{
	return (!in->td || !absent_in_td(e)) && (!e->needs.leaf || cpuid_has(in->cpuid, e->needs));
}

void msr_init(struct msr_cpu *c, const struct msr_inputs *in)
{
	memset(c, 0, sizeof(*c));
	c->in = *in;
	for (unsigned i = 0; i < msr_table_count; i++) {
		c->present[i] = has_entry(in, &msr_table[i]);
		if (c->present[i])
			index_entry(c, i);
	}
	for (size_t i = 0; i < ARRAY_LEN(control_bits); i++) {
		if (!cpuid_has(in->cpuid, control_bits[i].needs))
			continue;
		c->efer_mask |= control_bits[i].efer;
		c->spec_ctrl_mask |= control_bits[i].spec_ctrl;
	}
	msr_reset(c);
}

/* As firmware leaves them: all memory write-back but the VGA window and the gap below 4 GiB, so that
 * every vCPU has the same. */
static void reset_mtrrs(struct msr_cpu *c)
{
	uint64_t *phys = &c->values[MSR_SLOT_MTRR_PHYS];
	uint64_t hole = GUEST_HIGH_RAM_BASE - GUEST_LOW_RAM_END;

	memset(phys, 0, 16 * sizeof(*phys));
	if (c->in.td) {
		c->values[MSR_SLOT_MTRR_DEF_TYPE] = MTRR_WB; /* and off */
		return;
	}
	phys[0] = GUEST_LOW_RAM_END | MTRR_UC;
	phys[1] = (BITS(c->in.gpa_bits - 1, 12) & ~(hole - 1)) | MTRR_VALID;
	c->values[MSR_SLOT_MTRR_FIX64K] = ALL_WB;
	c->values[MSR_SLOT_MTRR_FIX16K] = ALL_WB;
	c->values[MSR_SLOT_MTRR_FIX16K + 1] = 0; /* a0000h..bffffh: UC */
	for (unsigned i = 0; i < 8; i++)
		c->values[MSR_SLOT_MTRR_FIX4K + i] = ALL_WB;
	c->values[MSR_SLOT_MTRR_DEF_TYPE] = MTRR_ENABLE | MTRR_FIXED_ENABLE | MTRR_WB;
}

void msr_reset(struct msr_cpu *c)
{
	memset(c->values, 0, sizeof(c->values));
	init_constants(c);
	reset_mtrrs(c);
	c->values[MSR_SLOT_MISC_ENABLE] = MISC_ENABLE_POWER_ON;
}
