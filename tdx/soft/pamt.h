/*
 * The physical address metadata tables: what each page of a TDMR is to the module, whose it is, and in
 * which epoch it was blocked. 16 bytes a page, one array for each page size, in memory that the host gave
 * with SYS.CONFIG. A page's record lives at one level: below an entry that is not free (NDA) those of
 * smaller pages say nothing. TDX Module 1.5 base specification, "Physical Address Metadata Tables".
 *
 * A walk takes shared locks of the levels above, so that nobody can make a 2M page out of free 4K pages
 * while one of them is looked at; all of them are on the call's list.
 */
#ifndef TDX_SOFT_PAMT_H
#define TDX_SOFT_PAMT_H

#include "tdx/soft/hpa.h"

struct pamt_entry {
	struct sharex lock;
	uint8_t type; /* enum tdx_page_type */
	uint8_t owner_high;
	uint32_t owner_low; /* with owner_high: the TDR's frame number; 0: nobody */
	uint64_t bepoch;    /* REG, EPT: the epoch in which it was blocked */
};
_Static_assert(sizeof(struct pamt_entry) == 16, "PAMT entry");

/* The entry of that level for hpa, whose PAMT must be initialised; takes no lock. NULL: it is not. */
struct pamt_entry *pamt_entry(struct soft *m, hpa_t hpa, uint32_t level);

/*
 * Check 1 of a leaf, for a page that must be of that type and size: OPERAND_INVALID, OPERAND_ADDR_RANGE_ERROR,
 * OPERAND_BUSY, PAGE_METADATA_INCORRECT, each with the operand's id; else *out is locked in that mode.
 * A free 2M page has 512 free 4K pages.
 */
uint64_t pamt_lock(struct soft_call *c, hpa_t hpa, uint32_t level, uint32_t type, enum lock_mode mode,
	uint32_t operand, struct pamt_entry **out) MUST_CHECK;

/* The same for a page of whatever type and size, which *level becomes: RDMD and RECLAIM. */
uint64_t pamt_lock_any(struct soft_call *c, hpa_t hpa, enum lock_mode mode, uint32_t operand,
	struct pamt_entry **out, uint32_t *level) MUST_CHECK;

hpa_t pamt_owner(const struct pamt_entry *e);
/* With the entry locked exclusively. bepoch becomes 0. */
void pamt_set(struct pamt_entry *e, enum tdx_page_type type, hpa_t owner);
static inline void pamt_free(struct pamt_entry *e) { pamt_set(e, TDX_PT_NDA, 0); }

/* Whether the module has the page at hpa: it belongs to a TD, or to a PAMT. */
bool pamt_claims(struct soft *m, hpa_t hpa);

#endif
