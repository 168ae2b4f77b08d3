/*
 * TD memory regions (TDMRs), their reserved areas, and the places of their page metadata (PAMTs), built
 * from the machine's memory by the rules that TDH.SYS.CONFIG checks. Pure but for the places, which come from
 * a function. TDX Module 1.5 base specification, "Physical Memory Management".
 *
 * A TDMR is whole gigabytes; all of it that is not reserved must be in a convertible memory region (CMR) and
 * holds no PAMT. So what is no memory of ours is reserved, and so is each PAMT. There are only so many
 * regions and reserved areas: when they do not suffice, the memory that is least is given up.
 */
#ifndef TDX_TDMR_H
#define TDX_TDMR_H

#include "hv/base/failure.h"
#include "hv/base/types.h"
#include "tdx/abi/params.h"

struct tdmr_limits {
	uint32_t max_tdmrs;             /* at most TDX_MAX_TDMRS */
	uint32_t max_reserved;          /* of a TDMR, at most TDX_MAX_RESERVED */
	uint64_t pamt_entry[TDX_PAMTS]; /* bytes per page, by size of page */
};

#define TDMR_MAX_INPUT 256   /* pieces of memory */
#define TDMR_MAX_MEMORY (TDMR_MAX_INPUT + TDX_MAX_CMRS + TDX_MAX_TDMRS)

struct tdmr_set {
	struct tdmr_limits limits;
	uint32_t count;
	struct tdx_tdmr_info tdmr[TDX_MAX_TDMRS + 1]; /* one too many while they are chosen */
	uint32_t memory_count;
	struct tdx_range memory[TDMR_MAX_MEMORY]; /* what TDs may have: ascending, disjoint, not adjacent */
	uint64_t given_up;                        /* bytes */
};

/* A run of that many bytes, page aligned, of memory in a CMR for a PAMT; 0 when there is none. */
typedef hpa_t (*tdmr_place_fn)(void *ctx, uint64_t bytes);

/*
 * memory: what is to be usable, ascending, disjoint, page aligned; cmrs likewise. place is called once for each
 * TDMR, for its three PAMTs in one. -ENOENT: no memory is convertible; -ENOMEM: no place for a PAMT, and what
 * was placed is in the set, for the caller to give back; -ENOSPC: too scattered even to give up parts.
 */
int tdmr_build(struct tdmr_set *set, const struct tdmr_limits *limits, const struct tdx_range *memory, uint32_t count,
	       const struct tdx_range *cmrs, uint32_t cmr_count, tdmr_place_fn place, void *ctx, struct failure *f);

/* Bytes of the three PAMTs of a TDMR of that size. */
uint64_t tdmr_pamt_bytes(const struct tdmr_limits *limits, uint64_t size);

/* Whether [base, base + size) may all be given to TDs. */
bool tdmr_covers(const struct tdmr_set *set, hpa_t base, uint64_t size);

#endif
