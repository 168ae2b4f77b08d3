/* The checks that every leaf with a TD makes first; see the header. */
#include "tdx/soft/td.h"

#define STATES(leaf, mask) [leaf] = mask
#define U BIT(TDX_UNINITIALIZED)
#define I BIT(TDX_INITIALIZED)
#define R BIT(TDX_RUNNABLE)

/* In which op states a leaf is allowed. Those of migration do not exist here. */
static const uint8_t op_states[TDH_LEAF_COUNT] = {
	STATES(TDH_MNG_ADDCX, U), STATES(TDH_MNG_INIT, U),
	STATES(TDH_MEM_PAGE_ADD, I), STATES(TDH_MR_EXTEND, I), STATES(TDH_MR_FINALIZE, I), STATES(TDH_VP_INIT, I),
	STATES(TDH_VP_CREATE, I), STATES(TDH_VP_ADDCX, I),
	STATES(TDH_MEM_SEPT_ADD, I | R), STATES(TDH_MEM_PAGE_AUG, I | R),
	STATES(TDH_VP_ENTER, R),
	STATES(TDH_MEM_RANGE_BLOCK, I | R), STATES(TDH_MEM_RANGE_UNBLOCK, I | R),
	STATES(TDH_MEM_PAGE_DEMOTE, I | R), STATES(TDH_MEM_PAGE_PROMOTE, I | R),
	STATES(TDH_MEM_PAGE_RELOCATE, I | R), STATES(TDH_MEM_PAGE_REMOVE, I | R),
	STATES(TDH_MEM_SEPT_REMOVE, I | R), STATES(TDH_MEM_SEPT_RD, I | R),
	STATES(TDH_MNG_RD, I | R), STATES(TDH_VP_RD, I | R), STATES(TDH_MEM_RD, I | R),
	STATES(TDH_MNG_WR, I | R), STATES(TDH_VP_WR, I | R), STATES(TDH_MEM_WR, I | R),
	STATES(TDH_MEM_TRACK, I | R),
};

#undef U
#undef I
#undef R

static void td_map(struct soft_call *c, hpa_t hpa, struct pamt_entry *e, struct soft_td *td)
{
	*td = (struct soft_td){ .hpa = hpa, .pamt = e, .tdr = hpa_map(c->m, hpa) };
}

uint64_t td_lock(struct soft_call *c, enum tdx_reg reg, enum lock_mode mode, struct soft_td *td)
{
	hpa_t hpa = call_arg(c, reg);
	struct pamt_entry *e;
	uint64_t status = pamt_lock(c, hpa, SOFT_4K, TDX_PT_TDR, mode, reg, &e);

	if (!status)
		td_map(c, hpa, e, td);
	return status;
}

uint64_t td_lock_owner(struct soft_call *c, const struct pamt_entry *page, enum lock_mode mode, struct soft_td *td)
{
	hpa_t hpa = pamt_owner(page);
	struct pamt_entry *e = pamt_entry(c->m, hpa, SOFT_4K);
	uint64_t status = call_lock(c, &e->lock, mode, TDX_OP_TDR);

	if (!status)
		td_map(c, hpa, e, td);
	return status;
}

uint64_t td_check_keys(const struct soft_td *td)
{
	if (__atomic_load_n(&td->tdr->fatal, __ATOMIC_ACQUIRE))
		return TDX_TD_FATAL;
	return td->tdr->lifecycle == TDX_KEYS_CONFIGURED ? TDX_SUCCESS : TDX_TD_KEYS_NOT_CONFIGURED;
}

uint64_t td_check(struct soft_call *c, struct soft_td *td, enum lock_mode op_state)
{
	uint64_t status = td_check_keys(td);

	if (status)
		return status;
	if (td->tdr->num_tdcx < TDX_TDCS_PAGES)
		return TDX_TDCS_NOT_ALLOCATED;
	td->tdcs = td_page(c->m, td, TDCS_BASE);
	status = call_lock(c, &td->tdcs->op_state_lock, op_state, TDX_OP_OP_STATE);
	if (status)
		return status;
	return op_states[c->leaf] & BIT(td->tdcs->op_state) ? TDX_SUCCESS : TDX_OP_STATE_INCORRECT;
}

uint64_t td_open(struct soft_call *c, enum tdx_reg reg, enum lock_mode mode, struct soft_td *td)
{
	uint64_t status = td_lock(c, reg, mode, td);

	return status ? status : td_check(c, td, LOCK_SHARED);
}

void *td_page(struct soft *m, const struct soft_td *td, enum tdcs_page page)
{
	return hpa_map(m, td->tdr->tdcx[page]);
}
