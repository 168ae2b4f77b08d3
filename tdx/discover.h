/*
 * Whether this processor and its firmware offer TDX, from MSRs alone, and what is missing in words. Pure: the MSRs
 * come from a function. TDX Module 1.5 base specification, "Intel TDX Platform Enumeration and Configuration"; SDM
 * volume 4 for the MSRs.
 */
#ifndef TDX_DISCOVER_H
#define TDX_DISCOVER_H

#include "hv/base/failure.h"
#include "hv/base/types.h"

struct tdx_msrs {
	bool (*read)(void *ctx, uint32_t msr, uint64_t *value); /* false: the CPU has no such MSR */
	void *ctx;
};

struct tdx_facts {
	bool has_seam;        /* the processor can set memory aside for a module */
	bool seam_configured; /* and the firmware has done so */
	bool seam_valid;      /* ... for good: locked and in force */
	hpa_t seam_base;
	uint64_t seam_size;
	bool tme_on;          /* memory is encrypted */
	uint32_t keyid_bits;  /* that an address carries */
	uint32_t shared_keys; /* MKTME's, the 0 not counted */
	uint32_t private_keys;
	uint32_t first_private;
	uint32_t hpa_bits;    /* of an address without its key id */
};

/* address_bits: the processor's MAXPHYADDR. 0: TDX can be used if a module is loaded; else -ENODEV, and f says
 * what is missing and what to do. What was found is in facts in any case. */
int tdx_discover(const struct tdx_msrs *msrs, uint32_t address_bits, struct tdx_facts *facts, struct failure *f);

#endif
