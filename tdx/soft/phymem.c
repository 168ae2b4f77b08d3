/*
 * What a page is, and how the host gets one back: PHYMEM.PAGE.RDMD, RECLAIM, WBINVD. TDX Module 1.5 base
 * specification, "Physical Page Management".
 */
#include "tdx/soft/td.h"

static void report(struct soft_call *c, const struct pamt_entry *e, uint32_t level)
{
	call_set(c, TDX_RCX, e->type);
	call_set(c, TDX_RDX, pamt_owner(e));
	call_set(c, TDX_R8, level);
}

uint64_t tdh_phymem_page_rdmd(struct soft_call *c)
{
	struct pamt_entry *e;
	uint32_t level;
	uint64_t status = pamt_lock_any(c, call_arg(c, TDX_RCX), LOCK_SHARED, TDX_RCX, &e, &level);

	if (status)
		return status;
	report(c, e, level);
	call_set(c, TDX_R9, e->type == TDX_PT_REG || e->type == TDX_PT_EPT ? e->bepoch : 0);
	return TDX_SUCCESS;
}

/* The TDR is last: what is its TD's names it. */
static uint64_t reclaim_tdr(struct soft_call *c, struct pamt_entry *e)
{
	const struct soft_tdr *tdr = hpa_map(c->m, call_arg(c, TDX_RCX));

	report(c, e, SOFT_4K);
	if (tdr->lifecycle != TDX_TEARDOWN)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	if (__atomic_load_n(&tdr->children, __ATOMIC_ACQUIRE))
		return TDX_TD_ASSOCIATED_PAGES_EXIST;
	pamt_free(e);
	return TDX_SUCCESS;
}

static uint64_t reclaim_child(struct soft_call *c, struct pamt_entry *e, uint32_t level)
{
	struct soft_td td;
	uint64_t status = td_lock_owner(c, e, LOCK_SHARED, &td);

	if (status)
		return status;
	report(c, e, level);
	if (td.tdr->lifecycle != TDX_TEARDOWN)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	td_count(&td, -(int64_t)(level_size(level) / PAGE_SIZE));
	pamt_free(e);
	return TDX_SUCCESS;
}

uint64_t tdh_phymem_page_reclaim(struct soft_call *c)
{
	hpa_t hpa = call_arg(c, TDX_RCX);
	struct pamt_entry *e;
	uint32_t level;
	uint64_t status = pamt_lock_any(c, hpa, LOCK_EXCLUSIVE, TDX_RCX, &e, &level);

	if (status)
		return status;
	if (e->type == TDX_PT_NDA || e->type == TDX_PT_RSVD)
		return TDX_PAGE_METADATA_INCORRECT | TDX_RCX;
	if (!is_aligned(hpa, level_size(level)))
		return invalid(TDX_RCX);
	return e->type == TDX_PT_TDR ? reclaim_tdr(c, e) : reclaim_child(c, e, level);
}

/*
 * Lines of that key id leave the caches; the page must be free by then. The address carries the key id, of a TD
 * or, for a TDR's page, the module's own. There is one line for all key ids here, so that nothing is to be done.
 */
uint64_t tdh_phymem_page_wbinvd(struct soft_call *c)
{
	uint32_t shift = c->m->platform.keyid_shift;
	uint64_t operand = call_arg(c, TDX_RCX);
	struct pamt_entry *e;
	uint32_t level;
	uint64_t status;

	if (!sys_hkid_private(c->m, operand >> shift))
		return invalid(TDX_RCX);
	status = pamt_lock_any(c, operand & BITS(shift - 1, 0), LOCK_SHARED, TDX_RCX, &e, &level);
	if (status)
		return status;
	return e->type == TDX_PT_NDA ? TDX_SUCCESS : TDX_PAGE_METADATA_INCORRECT | TDX_RCX;
}
