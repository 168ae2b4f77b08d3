/*
 * A TD comes into being: MNG.CREATE, MNG.KEY.CONFIG, MNG.ADDCX. TDX Module 1.5 base specification,
 * "TD Life Cycle Management", "TD Creation".
 */
#include <string.h>

#include "tdx/soft/sept.h"
#include "tdx/soft/td.h"

static bool draw_uuid(struct soft_call *c, uint64_t uuid[4])
{
	const struct soft_platform *p = &c->m->platform;
	bool ok = true;

	for (uint32_t i = 0; i < 4; i++)
		ok = ok && p->entropy(p->ctx, &uuid[i]);
	return ok;
}

static uint64_t assign_hkid(struct soft_call *c, uint64_t hkid, uint64_t uuid[4])
{
	struct soft_kot_entry *e = &c->m->kot[hkid - c->m->platform.first_private_hkid];
	uint64_t status = call_lock(c, &c->m->kot_lock, LOCK_EXCLUSIVE, TDX_OP_KOT);

	if (status)
		return status;
	if (e->state != SOFT_KOT_FREE)
		return TDX_HKID_NOT_FREE;
	if (!draw_uuid(c, uuid))
		return TDX_RND_NO_ENTROPY;
	e->state = SOFT_KOT_ASSIGNED;
	return TDX_SUCCESS;
}

uint64_t tdh_mng_create(struct soft_call *c)
{
	hpa_t hpa = call_arg(c, TDX_RCX);
	uint64_t hkid = call_arg(c, TDX_RDX), uuid[4], status;
	struct pamt_entry *e;
	struct soft_tdr *tdr;

	if (!sys_hkid_private(c->m, hkid))
		return invalid(TDX_RDX);
	status = pamt_lock(c, hpa, SOFT_4K, TDX_PT_NDA, LOCK_EXCLUSIVE, TDX_RCX, &e);
	if (!status)
		status = assign_hkid(c, hkid, uuid);
	if (status)
		return status;
	tdr = hpa_map(c->m, hpa);
	memset(tdr, 0, PAGE_SIZE);
	tdr->hkid = (uint32_t)hkid;
	memcpy(tdr->uuid, uuid, sizeof(uuid));
	tdr->lifecycle = TDX_HKID_ASSIGNED;
	pamt_set(e, TDX_PT_TDR, 0);
	return TDX_SUCCESS;
}

/* PCONFIG draws the key from the same source; nothing is encrypted here, so that it is not kept. */
static bool generate_key(struct soft_call *c)
{
	const struct soft_platform *p = &c->m->platform;
	uint64_t key;

	return !call_fault(c, SOFT_FAULT_KEY, call_package(c)) && p->entropy(p->ctx, &key);
}

uint64_t tdh_mng_key_config(struct soft_call *c)
{
	struct soft_td td;
	uint32_t package = (uint32_t)BIT(call_package(c));
	uint64_t status = td_lock(c, TDX_RCX, LOCK_EXCLUSIVE, &td);

	if (status)
		return status;
	if (td.tdr->fatal)
		return TDX_TD_FATAL;
	if (td.tdr->lifecycle != TDX_HKID_ASSIGNED)
		return TDX_LIFECYCLE_STATE_INCORRECT;
	if (td.tdr->packages_keyed & package)
		return TDX_KEY_CONFIGURED;
	status = call_lock(c, &c->m->ket_lock, LOCK_EXCLUSIVE, TDX_OP_KET);
	if (status)
		return status;
	if (!generate_key(c))
		return TDX_KEY_GENERATION_FAILED;
	td.tdr->packages_keyed |= package;
	if (td.tdr->packages_keyed == call_all_packages(c))
		td.tdr->lifecycle = TDX_KEYS_CONFIGURED;
	return TDX_SUCCESS;
}

/* What a new page of the TDCS holds: every MSR is intercepted, every entry of the secure EPT is free. */
static void fill_tdcx(struct soft *m, hpa_t hpa, uint32_t index)
{
	uint64_t *page = hpa_map(m, hpa);

	memset(page, index == TDCS_MSR_BITMAP ? 0xff : 0, PAGE_SIZE);
	if (index == TDCS_SEPT_ROOT)
		sept_fill_free(page);
}

/* Before all pages are there, there is no op state to look at. */
static uint64_t check_addcx(struct soft_call *c, struct soft_td *td)
{
	uint64_t status = td_check_keys(td);

	if (!status && td->tdr->num_tdcx >= TDX_TDCS_PAGES)
		status = td_check(c, td, LOCK_SHARED);
	if (!status && td->tdr->num_tdcx == TD_MAX_TDCX)
		status = TDX_TDCX_NUM_INCORRECT;
	return status;
}

uint64_t tdh_mng_addcx(struct soft_call *c)
{
	struct soft_td td;
	struct pamt_entry *e;
	hpa_t hpa = call_arg(c, TDX_RCX);
	uint64_t status = td_lock(c, TDX_RDX, LOCK_EXCLUSIVE, &td);

	if (!status)
		status = check_addcx(c, &td);
	if (!status)
		status = pamt_lock(c, hpa, SOFT_4K, TDX_PT_NDA, LOCK_EXCLUSIVE, TDX_RCX, &e);
	if (status)
		return status;
	fill_tdcx(c->m, hpa, td.tdr->num_tdcx);
	td.tdr->tdcx[td.tdr->num_tdcx++] = hpa;
	td_count(&td, 1);
	pamt_set(e, TDX_PT_TDCX, td.hpa);
	return TDX_SUCCESS;
}
