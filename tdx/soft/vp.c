/* The checks of leafs that work on a vCPU, and its association with an LP; see the header. */
#include "tdx/soft/vp.h"

static uint64_t lock_at(struct soft_call *c, hpa_t hpa, uint32_t operand, enum lock_mode mode, struct soft_vcpu *v)
{
	uint64_t status = pamt_lock(c, hpa, SOFT_4K, TDX_PT_TDVPR, mode, operand, &v->pamt);

	if (status)
		return status;
	v->hpa = hpa;
	v->vp = hpa_map(c->m, hpa);
	return td_lock_owner(c, v->pamt, LOCK_SHARED, &v->td);
}

uint64_t vcpu_open_at(struct soft_call *c, hpa_t hpa, uint32_t operand, enum lock_mode mode, struct soft_vcpu *v)
{
	uint64_t status = lock_at(c, hpa, operand, mode, v);

	return status ? status : td_check(c, &v->td, LOCK_SHARED);
}

uint64_t vcpu_lock(struct soft_call *c, enum tdx_reg reg, enum lock_mode mode, struct soft_vcpu *v)
{
	return lock_at(c, call_arg(c, reg), reg, mode, v);
}

uint64_t vcpu_open(struct soft_call *c, enum tdx_reg reg, enum lock_mode mode, struct soft_vcpu *v)
{
	return vcpu_open_at(c, call_arg(c, reg), reg, mode, v);
}

uint64_t vcpu_associate(struct soft_call *c, struct soft_vcpu *v)
{
	uint32_t none = VP_NO_LP;

	if (__atomic_load_n(&v->vp->state, __ATOMIC_ACQUIRE) != VP_READY)
		return TDX_VCPU_STATE_INCORRECT;
	if (__atomic_compare_exchange_n(&v->vp->associated_lp, &none, c->lp, false, __ATOMIC_ACQ_REL,
		    __ATOMIC_ACQUIRE)) {
		__atomic_fetch_add(&v->td.tdcs->num_associated, 1, __ATOMIC_RELAXED);
		return TDX_SUCCESS;
	}
	return none == c->lp ? TDX_SUCCESS : TDX_VCPU_ASSOCIATED;
}

void vcpu_dissociate(struct soft_vcpu *v)
{
	__atomic_fetch_sub(&v->td.tdcs->num_associated, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&v->vp->associated_lp, VP_NO_LP, __ATOMIC_RELEASE);
}

void *vp_page(struct soft *m, const struct soft_vp *vp, enum tdvps_page page)
{
	return hpa_map(m, vp->page[page]);
}
