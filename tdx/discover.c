/*
 * Reading what the firmware has set up.
 */
#include "tdx/discover.h"

#include <string.h>

#define MSR_MTRRCAP 0xfe
#define MTRRCAP_SEAMRR BIT(15)
#define MSR_SEAMRR_BASE 0x1400
#define SEAMRR_CONFIGURED BIT(3)
#define MSR_SEAMRR_MASK 0x1401
#define SEAMRR_LOCKED BIT(10)
#define SEAMRR_VALID BIT(11)
#define SEAMRR_UNIT_BITS 25 /* 32 MiB */
#define MSR_TME_ACTIVATE 0x982
#define TME_LOCKED BIT(0)
#define TME_ENABLED BIT(1)
#define TME_KEYID_BITS(v) ((uint32_t)((v) >> 32 & 0xf))
#define MSR_KEYID_PARTITIONING 0x87 /* [31:0] shared, [63:32] private */

static uint64_t read(const struct tdx_msrs *msrs, uint32_t msr)
{
	uint64_t value;

	return msrs->read(msrs->ctx, msr, &value) ? value : 0;
}

static void read_seamrr(const struct tdx_msrs *msrs, uint32_t address_bits, struct tdx_facts *t)
{
	uint64_t base, mask, bits = BITS(address_bits - 1, SEAMRR_UNIT_BITS);

	t->has_seam = read(msrs, MSR_MTRRCAP) & MTRRCAP_SEAMRR;
	if (!t->has_seam)
		return;
	base = read(msrs, MSR_SEAMRR_BASE);
	mask = read(msrs, MSR_SEAMRR_MASK);
	t->seam_configured = base & SEAMRR_CONFIGURED;
	t->seam_valid = t->seam_configured && (mask & SEAMRR_LOCKED) && (mask & SEAMRR_VALID);
	t->seam_base = base & bits;
	t->seam_size = t->seam_valid ? (~mask & bits) + BIT(SEAMRR_UNIT_BITS) : 0;
}

static void read_keys(const struct tdx_msrs *msrs, uint32_t address_bits, struct tdx_facts *t)
{
	uint64_t activate = read(msrs, MSR_TME_ACTIVATE), keys = read(msrs, MSR_KEYID_PARTITIONING);

	t->tme_on = (activate & TME_LOCKED) && (activate & TME_ENABLED);
	t->keyid_bits = t->tme_on ? TME_KEYID_BITS(activate) : 0;
	t->hpa_bits = t->keyid_bits < address_bits ? address_bits - t->keyid_bits : address_bits;
	t->shared_keys = (uint32_t)keys;
	t->private_keys = (uint32_t)(keys >> 32);
	t->first_private = t->shared_keys + 1;
}

/* The last key id in use must fit the bits there are. */
static bool keys_fit(const struct tdx_facts *t)
{
	return (uint64_t)t->shared_keys + t->private_keys < BIT(t->keyid_bits);
}

int tdx_discover(const struct tdx_msrs *msrs, uint32_t address_bits, struct tdx_facts *t, struct failure *f)
{
	memset(t, 0, sizeof(*t));
	read_seamrr(msrs, address_bits, t);
	read_keys(msrs, address_bits, t);
	if (!t->has_seam)
		return fail(f, -ENODEV, "this processor has no TDX (IA32_MTRRCAP offers no SEAM range)");
	if (!t->seam_configured)
		return fail(f, -ENODEV, "the firmware has set no memory aside for a TDX module: enable TDX in its set-up");
	if (!t->seam_valid)
		return fail(f, -ENODEV, "the firmware's memory for a TDX module is not in force (IA32_SEAMRR_MASK is not "
			    "locked and valid): a firmware update may help");
	if (!t->tme_on)
		return fail(f, -ENODEV, "memory encryption is off: enable TME and TME-MT in the firmware's set-up");
	if (t->private_keys < 2)
		return fail(f, -ENODEV, "the firmware has given TDX %u of the memory encryption keys, and it needs 2 or "
			    "more: raise the TME-MT/TDX key split in its set-up", t->private_keys);
	if (!keys_fit(t))
		return fail(f, -ENODEV, "the firmware has given out %u and %u key ids, more than the %u bits of an address "
			    "can tell apart", t->shared_keys, t->private_keys, t->keyid_bits);
	return 0;
}
