/*
 * A vCPU comes into being and leaves its LP: VP.CREATE, VP.ADDCX, VP.INIT, VP.FLUSH. TDX Module 1.5 base
 * specification, "TD VCPU", "VCPU Life Cycle".
 */
#include <string.h>

#include "tdx/soft/vp.h"

static void new_page(struct soft_call *c, struct pamt_entry *e, hpa_t hpa, enum tdx_page_type type,
	struct soft_td *td)
{
	memset(hpa_map(c->m, hpa), 0, PAGE_SIZE);
	td_count(td, 1);
	pamt_set(e, type, td->hpa);
}

uint64_t tdh_vp_create(struct soft_call *c)
{
	struct soft_td td;
	struct soft_vp *vp;
	struct pamt_entry *e;
	hpa_t hpa = call_arg(c, TDX_RCX);
	uint64_t status = td_open(c, TDX_RDX, LOCK_SHARED, &td);

	if (!status)
		status = pamt_lock(c, hpa, SOFT_4K, TDX_PT_NDA, LOCK_EXCLUSIVE, TDX_RCX, &e);
	if (status)
		return status;
	new_page(c, e, hpa, TDX_PT_TDVPR, &td);
	vp = hpa_map(c->m, hpa);
	vp->state = VP_UNINITIALIZED;
	vp->associated_lp = VP_NO_LP;
	vp->page[vp->num_pages++] = hpa;
	return TDX_SUCCESS;
}

uint64_t tdh_vp_addcx(struct soft_call *c)
{
	struct soft_vcpu v;
	struct pamt_entry *e;
	hpa_t hpa = call_arg(c, TDX_RCX);
	uint64_t status = vcpu_open(c, TDX_RDX, LOCK_EXCLUSIVE, &v);

	if (status)
		return status;
	if (v.vp->state != VP_UNINITIALIZED)
		return TDX_VCPU_STATE_INCORRECT;
	if (v.vp->num_pages >= VP_MAX_PAGES)
		return TDX_TDCX_NUM_INCORRECT;
	status = pamt_lock(c, hpa, SOFT_4K, TDX_PT_NDA, LOCK_EXCLUSIVE, TDX_RCX, &e);
	if (status)
		return status;
	new_page(c, e, hpa, TDX_PT_TDCX, &v.td);
	v.vp->page[v.vp->num_pages++] = hpa;
	return TDX_SUCCESS;
}

/* The next number, unless the TD has all its vCPUs. Several can be initialised at once. */
static bool take_index(struct soft_tdcs *t, uint32_t *index)
{
	*index = __atomic_load_n(&t->num_vcpus, __ATOMIC_RELAXED);
	while (*index < t->max_vcpus)
		if (__atomic_compare_exchange_n(&t->num_vcpus, index, *index + 1, false, __ATOMIC_RELAXED,
			    __ATOMIC_RELAXED))
			return true;
	return false;
}

uint64_t tdh_vp_init(struct soft_call *c)
{
	struct soft_vcpu v;
	uint32_t index;
	uint64_t status = vcpu_open(c, TDX_RCX, LOCK_EXCLUSIVE, &v);

	if (status)
		return status;
	if (v.vp->num_pages < TDX_TDVPS_PAGES)
		return TDX_TDCX_NUM_INCORRECT;
	if (v.vp->state != VP_UNINITIALIZED)
		return TDX_VCPU_STATE_INCORRECT;
	if (!take_index(v.td.tdcs, &index))
		return TDX_MAX_VCPUS_EXCEEDED;
	v.vp->index = index;
	v.vp->td = v.td.tdr->uuid[0] | BIT(63);
	v.vp->initial_rcx = call_arg(c, TDX_RDX);
	v.vp->state = VP_READY;
	status = vcpu_associate(c, &v);
	vp_reset(c, &v);
	return status;
}

uint64_t tdh_vp_flush(struct soft_call *c)
{
	struct soft_vcpu v;
	uint64_t status = vcpu_lock(c, TDX_RCX, LOCK_EXCLUSIVE, &v);

	if (status)
		return status;
	if (v.td.tdr->lifecycle != TDX_KEYS_CONFIGURED)
		return TDX_TD_KEYS_NOT_CONFIGURED;
	if (v.vp->associated_lp != c->lp)
		return TDX_VCPU_NOT_ASSOCIATED;
	v.td.tdcs = td_page(c->m, &v.td, TDCS_BASE);
	c->m->platform.flush(c->m->platform.ctx, v.vp);
	v.vp->epoch = 0;
	vcpu_dissociate(&v);
	return TDX_SUCCESS;
}
